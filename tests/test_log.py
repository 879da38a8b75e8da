"""The log: what was received can be read with common tools, and read back byte for byte."""

import base64
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from conftest import ROOT

from etl.errors import EnvironmentFaultError
from etl.extract.log import Log, Part, Run, StreamHead
from etl.extract.log_reader import DamagedPartError, read
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import Action, Delivery, End, File, Page, Watermark, stand_in

pytestmark = pytest.mark.usefixtures("usual_umask")

DAY = "2026-03-31"
RUN = Run("run", 1_000_000, "0.1")
HEADS = [StreamHead("detections", "A", 9), StreamHead("media", "", 9, 5, starts_over=True)]


def seal(
    folder: Path, *deliveries: Delivery, day: str = DAY, run: Run = RUN, ends_batch: bool = True
) -> Part:
    """Seal all of this as the next part."""
    log = Log(folder)
    received = [Received(0, 7, [each]) for each in deliveries]
    writer = LogWriter(log, run, day, log.highest())
    return writer.seal(HEADS, received, sealed_at=8, ends_batch=ends_batch)


def given_back(folder: Path, part: Part) -> list[Delivery]:
    """What a part gives back."""
    return [each for received in read(Log(folder), part).received for each in received.bundle]


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
    """All files below a folder, but for the entries of the parts."""
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [name for name in found if not name.startswith("log/")]


def file(name: str, body: bytes | None, **row: object) -> File:
    """A file of the stream of assets."""
    return File("assets", name, row, body)


LINES = f"detections/{DAY}/00000001-run.jsonl.zst"


def test_records_are_lines_with_what_the_request_said(tmp_path: Path) -> None:
    """Each record is one line of JSON, byte for byte as received, below what only the request knew."""
    pages = [
        Page("detections", [b'{"b": 1.50, "a":"\\u00e9"}', b"[1]"], {"z": "1", "application_id": 'A"1'}),
        Page("subjects", [b"{}"]),
        Page("detections", ['"é"'.encode()], {"application_id": "B"}),
    ]
    seal(tmp_path, *pages)

    assert {
        LINES: (
            b'{"context":{"application_id":"A\\"1","z":"1"},"record":{"b": 1.50, "a":"\\u00e9"}}\n'
            b'{"context":{"application_id":"A\\"1","z":"1"},"record":[1]}\n'
            b'{"context":{"application_id":"B"},"record":"\xc3\xa9"}\n'
        ),
        f"subjects/{DAY}/00000001-run.jsonl.zst": b'{"context":{},"record":{}}\n',
    } == {name: content(tmp_path / name) for name in files(tmp_path)}


def test_a_part_gives_back_what_was_received_in_its_order(tmp_path: Path) -> None:
    """Pages, files with and without bytes, actions, marks and ends: all that rows and counts are made of."""
    deliveries: list[Delivery] = [
        Page("media", [b'{"a": 1}', b"[2]"], {"tenant": "t"}),
        file("m1/metrics", b"\x00\xff", media_id="m1", bytes=2, fetched_at=1.5, error=None),
        Action("mark_deleted", {"ids": ["m1"], "held": 3}),
        file("m1/heat", None, state="skipped"),
        Page("media", [b"{}"], {"tenant": "u"}),
        file("m1/metrics", b"", state="loaded"),
        Watermark(5, holds=True, notice="odd"),
        Watermark(None),
        End("broke off"),
        End(),
    ]
    part = seal(tmp_path, *deliveries, ends_batch=False)
    head = read(Log(tmp_path), part).head

    assert deliveries == given_back(tmp_path, part)
    assert (1, RUN, 8, HEADS, False, True) == (
        *(head.number, head.run, head.sealed_at, head.streams),
        *(head.ends_batch, head.moves_cursors),
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_record_of_several_lines_becomes_one(tmp_path: Path, ends: str) -> None:
    """Line ends between the parts of a record are white space; those inside a text were escaped already."""
    record = {"text": "two\nlines\r\n\u2028\x85", "list": [1, {"deep": None}]}
    pretty = json.dumps(record, indent=2).replace("\n", ends).encode()
    part = seal(tmp_path, Page("detections", [pretty, pretty]))

    assert [record, record] == [json.loads(line)["record"] for line in content(tmp_path / LINES).splitlines()]
    on_one_line = pretty.replace(b"\r", b" ").replace(b"\n", b" ")
    assert [Page("detections", [on_one_line, on_one_line])] == given_back(tmp_path, part)


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
    part = seal(tmp_path, Page("detections", [b"[1]", record, b"[2]"]))

    first, broken, last = map(json.loads, content(tmp_path / LINES).splitlines())
    assert ([1], bytes(record), [2]) == (
        first["record"],
        base64.b64decode(broken["record_base64"]),
        last["record"],
    )
    (page,) = given_back(tmp_path, part)
    assert isinstance(page, Page)
    assert [b"[1]", stand_in(bytes(record)), b"[2]"] == page.records


def test_duckdb_reads_the_lines_of_all_days(tmp_path: Path) -> None:
    """The log can be queried where it lies, years of it at once."""
    for number, day in enumerate(["2026-03-30", DAY]):
        record = json.dumps({"media_id": f"m{number}", "at": number + 0.5}, indent=1).encode()
        seal(tmp_path, Page("media", [record], {"tenant": "t"}), day=day)
    query = "SELECT context.tenant, record.media_id, record.at FROM read_json(?) ORDER BY ALL"
    found = duckdb.execute(query, [f"{tmp_path}/media/*/*.jsonl.zst"]).fetchall()

    assert [("t", "m0", 0.5), ("t", "m1", 1.5)] == found


def test_files_are_kept_under_their_names(tmp_path: Path) -> None:
    """Bytes come back as they were received, long names included; what was not fetched is not there."""
    bodies = {"m1/metrics": b"\x00\xff" * 5000, "m1/empty": b"", f"{'long' * 60}/aoi_scores": b"a;b\n1;2\n"}
    seal(tmp_path, *(file(name, body) for name, body in bodies.items()), file("m1/heat", None))

    assert [f"assets/{DAY}/00000001-run.tar.zst"] == files(tmp_path)
    assert bodies == members(tmp_path / files(tmp_path)[0])


def test_numbers_rise_from_part_to_part_and_from_run_to_run(tmp_path: Path) -> None:
    """The order of the parts is theirs, whatever a clock said and whatever the runs are called."""
    runs = [Run("b", 2, "1"), Run("a", 1, "1"), Run("c", 3, "1")]
    made = [seal(tmp_path, Page("media", [b"%d" % at]), run=run) for at, run in enumerate(runs)]
    log = Log(tmp_path)

    assert (made, made[1:], 3) == (log.parts(), log.parts(1), log.highest())
    assert [(1, "b"), (2, "a"), (3, "c")] == [(part.number, part.run_id) for part in made]


@pytest.mark.parametrize(
    "name", [LINES, f"assets/{DAY}/00000001-run.tar.zst", f"log/{DAY}/00000001-run.jsonl.zst"]
)
@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "emptied"])
def test_damage_is_told(tmp_path: Path, name: str, how: str) -> None:
    """A part of which one byte is another, or is missing, gives nothing back."""
    part = seal(tmp_path, Page("detections", [b"[1]", b"[2]"]), file("m1", b"body"), End())
    path = tmp_path / name
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"flipped": bytes(body), "cut": bytes(body[:-3]), "emptied": b""}[how])

    with pytest.raises(DamagedPartError, match=path.name):
        read(Log(tmp_path), part)


def test_what_was_not_sealed_is_removed(tmp_path: Path) -> None:
    """Files without an entry are what a kill has left; those of other versions and people stay."""
    seal(tmp_path, Page("media", [b"{}"]), file("m1", b""))
    kept = files(tmp_path)
    for name in ("00000002-run.jsonl.zst", "00000002-run.tar.zst.part", "00000001-run.jsonl.zst.part"):
        (tmp_path / "media" / DAY / name).touch()
    others = ["20260331T000000-abcdef-00001.jsonl.zst", "notes.txt"]
    for name in others:
        (tmp_path / "media" / DAY / name).touch()
    Log(tmp_path).clean(0)

    assert sorted([*kept, *(f"media/{DAY}/{name}" for name in others)]) == files(tmp_path)


def test_what_is_applied_is_kept_without_its_entry(tmp_path: Path) -> None:
    """Where the entry was lost, the records are the only copy that is left of them."""
    part = seal(tmp_path, Page("media", [b"{}"]))
    part.entry.unlink()
    Log(tmp_path).clean(1)

    assert [f"media/{DAY}/00000001-run.jsonl.zst"] == files(tmp_path)


def test_after_a_part_that_could_not_be_written_none_is(tmp_path: Path) -> None:
    """What comes after it would look as if nothing were missing."""
    log = Log(tmp_path)
    writer = LogWriter(log, RUN, DAY, 0)
    records: list[Any] = [Broken()]
    for page in (Page("media", records), Page("media", [b"{}"])):
        with pytest.raises(EnvironmentFaultError, match="No space left on device"):
            writer.seal(HEADS, [Received(0, 7, [page])], sealed_at=8, ends_batch=True)

    assert [] == log.parts()


LIMITED = """
import gc, os, resource, signal, sys
from pathlib import Path
from etl.errors import EnvironmentFaultError
from etl.extract.log import Log, Run, StreamHead
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import File, Page

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
folder = Path(sys.argv[1])
body = os.urandom(int(sys.argv[2]))
given = [Page("detections", [b'{"a": 1}'], {}), File("media", "m1", {}, body), Page("subjects", [b"{}"], {})]
writer = LogWriter(Log(folder), Run("run", 1, "0"), "2026-03-31", 0)
try:
    writer.seal([StreamHead("detections", "", 9)], [Received(0, 7, given)], sealed_at=8, ends_batch=True)
except EnvironmentFaultError as error:
    print(str(error).partition(": ")[2])
del writer
gc.collect()
print([path.name for path in folder.rglob("*.part")], len(os.listdir("/proc/self/fd")))
"""


@pytest.mark.parametrize("size", [3_000_000, 100_000], ids=["while it is written", "at its end"])
def test_what_cannot_be_written_is_let_go_of(tmp_path: Path, size: int) -> None:
    """No file is left, none stays open, and nothing is said once Python finds what was not closed."""
    asked = [sys.executable, "-X", "dev", "-c", LIMITED, str(tmp_path), str(size)]
    ran = subprocess.run(
        asked, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    alone = [sys.executable, "-X", "dev", "-c", "import os; print(len(os.listdir('/proc/self/fd')))"]
    usual = subprocess.run(alone, capture_output=True, text=True, check=True).stdout.strip()

    assert "" == ran.stderr
    why = "Error writing bytes to file. Detail: [errno 27] File too large; make room"
    assert [why, f"[] {usual}"] == ran.stdout.splitlines()


def test_records_are_read_back_however_deep_they_are(tmp_path: Path) -> None:
    """Also where more functions wait for an answer than when they were written."""
    record = b"[" * 980 + b"]" * 980
    part = seal(tmp_path, Page("media", [msgspec.Raw(record)]))

    def deeper(levels: int) -> list[Delivery]:
        return deeper(levels - 1) if levels else given_back(tmp_path, part)

    (page,) = deeper(300)
    assert isinstance(page, Page)
    assert [record] == page.records


def test_parts_are_removed_up_to_a_number(tmp_path: Path) -> None:
    """Those that are applied go."""
    for day in ("2026-03-30", DAY, DAY):
        seal(tmp_path, Page("media", [b"{}"]), file("m1", b""), day=day)
    Log(tmp_path).remove(2)

    assert [f"assets/{DAY}/00000003-run.tar.zst", f"media/{DAY}/00000003-run.jsonl.zst"] == files(tmp_path)
    assert [3] == [part.number for part in Log(tmp_path).parts()]


def days_left(folder: Path, names: Sequence[str], applied: int = 1) -> set[str]:
    """Which of these folders of a stream are still there after pruning up to the first of March."""
    for name in names:
        (folder / "media" / name).mkdir(parents=True)
        (folder / "media" / name / "run-00001.jsonl.zst").touch()
    Log(folder).prune(date(2026, 3, 1), applied)
    return {path.name for path in (folder / "media").iterdir()}


def test_days_up_to_one_are_removed(tmp_path: Path) -> None:
    """Also those that an older version has written; folders that people put beside them are theirs."""
    kept = {"2026-03-02", "2026-03-31", "notes", "2026-03-01 looked at", ".snapshot", "0"}

    assert kept == days_left(tmp_path, ["2025-12-31", "2026-02-28", "2026-03-01", *kept])


def test_a_day_whose_parts_are_not_applied_is_kept(tmp_path: Path) -> None:
    """However old it is: nothing else holds what is in it."""
    seal(tmp_path, Page("media", [b"{}"]), day="2026-01-01")

    assert ({"2026-01-01"}, set()) == (
        days_left(tmp_path, ["2025-01-01"], applied=0),
        days_left(tmp_path, []),
    )


def test_everything_in_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Files have mode 0600 and folders 0700, whatever the umask is."""
    seal(tmp_path / "raw" / "cogniac", Page("media", [b"{}"]), file("m1", b""))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    folders = dict.fromkeys(["raw", "cogniac", "media", "assets", "log", DAY], 0o700)
    assert folders | {"00000001-run.jsonl.zst": 0o600, "00000001-run.tar.zst": 0o600} == modes


class Broken:
    """A record whose bytes cannot be read."""

    def __bytes__(self) -> bytes:
        raise OSError(28, "No space left on device")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where writing breaks off, nothing is sealed, and the error says what to do."""
    records: list[Any] = [b"{}", Broken()]

    with pytest.raises(EnvironmentFaultError) as caught:
        seal(tmp_path, Page("media", records))

    why = "No space left on device; make room"
    assert f"cannot write the log {tmp_path / 'media' / DAY}: {why}" == str(caught.value)
    assert ([], []) == (files(tmp_path), Log(tmp_path).parts())


def test_a_log_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path) -> None:
    """A file in the place of the folder is named with what to do."""
    (tmp_path / "media").touch()

    with pytest.raises(EnvironmentFaultError) as caught:
        seal(tmp_path, Page("media", [b"{}"]))

    why = "File exists; move away what stands in its place"
    assert f"cannot write the log {tmp_path / 'media' / DAY}: {why}" == str(caught.value)
