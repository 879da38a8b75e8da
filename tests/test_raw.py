"""The raw archive: what was received can be read back with common tools, for as long as it is kept."""

import base64
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from etl.errors import SettingsError
from etl.extract.raw import Archive
from etl.extract.stream import Delivery, File, Page

TODAY = date(2026, 3, 31)


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """The umask of most machines."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def archive(folder: Path, days: int = 30) -> Archive:
    """The archive of a run of today."""
    return Archive(folder, "run", TODAY, days)


def keep(by: Archive, deliveries: Sequence[Delivery]) -> None:
    """Write the deliveries as one batch."""
    by.keep(deliveries)
    by.seal()


def content(path: Path) -> bytes:
    """What is in a compressed file."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        return bytes(stream.read())


def members(path: Path) -> dict[str, bytes]:
    """The files in a compressed tar, by name."""
    with (
        pa.input_stream(str(path), compression="zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        return {each.name: found.read() for each in tar if (found := tar.extractfile(each))}


def files(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def file(name: str, body: bytes | None) -> File:
    """A file of the stream of assets."""
    return File("assets", name, {}, body)


def test_records_are_lines_with_what_the_request_said(tmp_path: Path) -> None:
    """Each record is one line of JSON, byte for byte as received, below what only the request knew."""
    pages = [
        Page("detections", [b'{"b": 1.50, "a":"\\u00e9"}', b"[1]"], {"z": "1", "application_id": 'A"1'}),
        Page("subjects", [b"{}"]),
        Page("detections", ['"é"'.encode()], {"application_id": "B"}),
    ]
    keep(archive(tmp_path), pages)

    assert {
        "detections/2026-03-31/run-00001.jsonl.zst": (
            b'{"context":{"application_id":"A\\"1","z":"1"},"record":{"b": 1.50, "a":"\\u00e9"}}\n'
            b'{"context":{"application_id":"A\\"1","z":"1"},"record":[1]}\n'
            b'{"context":{"application_id":"B"},"record":"\xc3\xa9"}\n'
        ),
        "subjects/2026-03-31/run-00002.jsonl.zst": b'{"context":{},"record":{}}\n',
    } == {name: content(tmp_path / name) for name in files(tmp_path)}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_record_of_several_lines_becomes_one(tmp_path: Path, ends: str) -> None:
    """Line ends between the parts of a record are white space; those inside a text were escaped already."""
    record = {"text": "two\nlines\r\n\u2028\x85", "list": [1, {"deep": None}]}
    pretty = json.dumps(record, indent=2).replace("\n", ends).encode()
    keep(archive(tmp_path), [Page("detections", [pretty, pretty])])

    lines = content(tmp_path / "detections/2026-03-31/run-00001.jsonl.zst").splitlines()
    assert [record, record] == [json.loads(line)["record"] for line in lines]


BROKEN = {
    "control": b'{"text":"two\nlines\r"}',
    "cut": b'{"text":\n1',
    "utf8": b'{"text":"\xff"}',
    "surrogate": b'{"text":"\\ud800"}\n',
    "nan": b'{"number":NaN}',
    "several": b"{}\n{}",
    "empty": b"",
    "deep": b"[" * 3000 + b"\n" + b"]" * 3000,
}


@pytest.mark.parametrize(
    "record", [*BROKEN.values(), msgspec.Raw(BROKEN["utf8"])], ids=[*BROKEN, "of a page"]
)
def test_a_record_that_is_no_json_is_kept_byte_for_byte(tmp_path: Path, record: bytes) -> None:
    """What would break its line, or be altered in it, is encoded; the lines beside it can be read."""
    keep(archive(tmp_path), [Page("detections", [b"[1]", record, b"[2]"])])

    lines = content(tmp_path / "detections/2026-03-31/run-00001.jsonl.zst").splitlines()
    first, broken, last = map(json.loads, lines)
    assert ([1], bytes(record), [2]) == (
        first["record"],
        base64.b64decode(broken["record_base64"]),
        last["record"],
    )


def test_duckdb_reads_the_lines_of_all_days(tmp_path: Path) -> None:
    """The archive can be queried where it lies, years of it at once."""
    for number, day in enumerate([date(2026, 3, 30), TODAY]):
        record = json.dumps({"media_id": f"m{number}", "at": number + 0.5}, indent=1).encode()
        keep(Archive(tmp_path, f"run{number}", day, 30), [Page("media", [record], {"tenant": "t"})])
    query = "SELECT context.tenant, record.media_id, record.at FROM read_json(?) ORDER BY ALL"
    found = duckdb.execute(query, [f"{tmp_path}/media/*/*.jsonl.zst"]).fetchall()

    assert [("t", "m0", 0.5), ("t", "m1", 1.5)] == found


def test_files_are_kept_under_their_names(tmp_path: Path) -> None:
    """Bytes come back as they were received, long names included; what was not fetched is not there."""
    bodies = {"m1/metrics": b"\x00\xff" * 5000, "m1/empty": b"", f"{'long' * 60}/aoi_scores": b"a;b\n1;2\n"}
    deliveries: list[Delivery] = [file(name, body) for name, body in bodies.items()]
    keep(archive(tmp_path), [*deliveries, file("m1/heat", None)])

    assert ["assets/2026-03-31/run-00001.tar.zst"] == files(tmp_path)
    assert bodies == members(tmp_path / files(tmp_path)[0])


def test_deliveries_of_a_run_never_overwrite_each_other(tmp_path: Path) -> None:
    """Every batch of a run gets files of its own, numbered in the order they were written."""
    kept = archive(tmp_path)
    for number in range(3):
        keep(kept, [Page("media", [str(number).encode()]), file(f"m{number}", b"")])

    lines = [content(path) for path in sorted(tmp_path.glob("media/2026-03-31/*.jsonl.zst"))]
    assert [b'{"context":{},"record":%d}\n' % number for number in range(3)] == lines
    tars = [members(path) for path in sorted(tmp_path.glob("assets/2026-03-31/*.tar.zst"))]
    assert [{f"m{number}": b""} for number in range(3)] == tars


def test_what_is_loaded_together_is_in_one_file(tmp_path: Path) -> None:
    """What comes little by little has the name of an archive once the batch is complete, not before."""
    kept = archive(tmp_path)
    for number in range(3):
        kept.keep([Page("media", [str(number).encode()]), file(f"m{number}", b"")])
    before = {path.rpartition(".")[2] for path in files(tmp_path)}
    kept.seal()

    lines, tar = "media/2026-03-31/run-00001.jsonl.zst", "assets/2026-03-31/run-00002.tar.zst"
    assert ({"part"}, [tar, lines]) == (before, files(tmp_path))
    assert b"".join(b'{"context":{},"record":%d}\n' % number for number in range(3)) == content(
        tmp_path / lines
    )
    assert {f"m{number}": b"" for number in range(3)} == members(tmp_path / tar)


@pytest.mark.parametrize("deliveries", [[], [file("m1/heat", None)]])
def test_where_nothing_was_received_nothing_is_written(tmp_path: Path, deliveries: list[Delivery]) -> None:
    """A batch without a byte leaves neither a file nor a folder."""
    keep(archive(tmp_path), deliveries)

    assert [] == list(tmp_path.iterdir())


def test_an_archive_of_no_days_keeps_nothing(tmp_path: Path) -> None:
    """With 0 days nothing is written, and what earlier runs wrote is removed."""
    keep(archive(tmp_path), [Page("media", [b"{}"])])
    none = archive(tmp_path, days=0)
    keep(none, [Page("media", [b"{}"]), file("m1", b"")])
    before = files(tmp_path)
    none.prune()

    assert (["media/2026-03-31/run-00001.jsonl.zst"], []) == (before, files(tmp_path))


def days_left(folder: Path, *names: str) -> set[str]:
    """Which of these folders of a stream are still there after pruning."""
    for name in names:
        (folder / "media" / name).mkdir(parents=True)
        (folder / "media" / name / "run-00001.jsonl.zst").touch()
    archive(folder).prune()
    return {path.name for path in (folder / "media").iterdir()}


def test_only_days_older_than_the_archive_is_kept_are_removed(tmp_path: Path) -> None:
    """An archive of 30 days holds today and the 29 days before it."""
    kept = {"2026-03-02", "2026-03-30", "2026-03-31", "2026-04-01"}

    assert kept == days_left(tmp_path, "2025-12-31", "2026-02-28", "2026-03-01", *kept)


def test_what_is_no_day_is_left_alone(tmp_path: Path) -> None:
    """Folders that people put beside the days are theirs, and so are files."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "2020-01-01").touch()
    (tmp_path / "2020-01-01").mkdir()
    names = {"notes", "2026-03-01 looked at", ".snapshot", "0"}

    assert names | {"2020-01-01"} == days_left(tmp_path, *names)
    assert (tmp_path / "2020-01-01").is_dir()


def test_everything_in_the_archive_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Files have mode 0600 and folders 0700, whatever the umask is."""
    keep(archive(tmp_path / "raw" / "cogniac"), [Page("media", [b"{}"]), file("m1", b"")])

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    folders = dict.fromkeys(["raw", "cogniac", "media", "assets", "2026-03-31"], 0o700)
    assert folders | {"run-00001.jsonl.zst": 0o600, "run-00002.tar.zst": 0o600} == modes


class Broken:
    """A record whose bytes cannot be read."""

    def __bytes__(self) -> bytes:
        raise OSError(28, "No space left on device")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where writing breaks off, no file has the name of an archive, and the error says what to do."""
    records: list[Any] = [b"{}", Broken()]

    with pytest.raises(SettingsError) as caught:
        keep(archive(tmp_path), [Page("media", records)])

    folder = tmp_path / "media" / "2026-03-31"
    why = "No space left on device; make room, or set SIGHTGLASS_RAW_DAYS=0"
    assert f"cannot write the raw archive {folder}: {why}" == str(caught.value)
    assert [] == files(tmp_path)


def test_an_archive_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path) -> None:
    """A file in the place of the folder is named with what to do."""
    (tmp_path / "media").touch()

    with pytest.raises(SettingsError) as caught:
        keep(archive(tmp_path), [Page("media", [b"{}"])])

    why = "Not a directory; move away what stands in its place, or set SIGHTGLASS_RAW_DAYS=0"
    assert f"cannot write the raw archive {tmp_path / 'media' / '2026-03-31'}: {why}" == str(caught.value)
