"""`sightglass run` against both simulators: a first load, a run right after it, and an increment."""

import json
import os
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from conftest import ROOT, Plant, Row, Sightglass, Story, Truth, all_rows, in_order, rows, table

from etl import __version__

COGNIAC = (
    *("applications", "application_thresholds", "subjects"),
    *("media", "results", "detections", "detection_boxes"),
)
COUNTS = ("fetched", "inserted", "updated", "unchanged", "quarantined")
OF_A_REPORT = {"run_id", "status", "started_at", "finished_at", "streams", "published", "gaps"}
OF_A_STREAM = {
    *("source", "stream", "partition", *COUNTS),
    *("requests", "retries", "bytes", "cursor", "status", "error"),
}
STEPS = ("first", "again", "increment")


def test_the_first_load_equals_what_cogniac_says(story: Story) -> None:
    """Every row and value of all active applications is in the tables, and nothing else."""
    expected = {name: in_order(found) for name, found in story.first.truth.rows().items()}

    assert expected == {name: in_order(rows(story.first.home, f"cogniac.{name}")) for name in COGNIAC}
    assert {"user", "model", "capture"} == {row["asserted_by"] for row in expected["detections"]}
    assert any("other_media" in row for row in expected["results"])


def test_an_increment_makes_the_tables_equal_again(story: Story) -> None:
    """After new records and corrections, every row and value is again what the API says."""
    expected = {name: in_order(found) for name, found in story.increment.truth.rows().items()}

    assert expected != {name: in_order(found) for name, found in story.first.truth.rows().items()}
    assert expected == {name: in_order(rows(story.increment.home, f"cogniac.{name}")) for name in COGNIAC}


def test_a_second_run_changes_no_row(story: Story) -> None:
    """Running again with nothing new leaves every row of every API as it was, its lineage included."""
    assert loaded(story.first.home) == loaded(story.again.home)
    assert story.again.ran.err.splitlines()[-1].endswith(", nothing changed")
    assert story.again.ran.code == 0


def loaded(home: Path) -> dict[str, list[Row]]:
    """Every row of every API, with its lineage."""
    return {name: found for name, found in all_rows(home).items() if not name.startswith("etl.")}


def test_history_keeps_what_corrections_replaced(story: Story) -> None:
    """Every version is there: what a correction replaced ends when it was made, all else is still current."""
    before, after = (step.truth.rows()["detections"] for step in (story.first, story.increment))

    expected = list(versions(before, after))
    assert {True, False} == {"valid_to" in version for version in expected}
    assert in_order(expected) == in_order(rows(story.increment.home, "cogniac.detection_history"))


def versions(before: list[Row], after: list[Row]) -> Iterator[Row]:
    """Two states of all assertions as one history: what is repeated goes on, what is not ends or begins."""

    def said(row: Row) -> Row:
        return {name: value for name, value in row.items() if name != "updated_at"}

    def record(row: Row) -> tuple[str, ...]:
        return row["application_id"], row["media_id"], row["focus_key"]

    changed = {record(row): row["updated_at"] for row in after}
    then, now = [said(row) for row in before], [said(row) for row in after]
    for row in before:
        end = {} if said(row) in now else {"valid_to": changed[record(row)]}
        yield {**row, "valid_from": row["updated_at"], "revision": 0, **end}
    for row in after:
        if said(row) not in then:
            yield {**row, "valid_from": row["updated_at"], "revision": 0}


def test_what_is_counted_is_what_happened(story: Story) -> None:
    """New records count as inserted, corrected ones as updated, and what the overlap repeats as unchanged."""
    expected = {}
    for application_id, after in story.increment.truth.records.items():
        before = {key(record): record["updated_at"] for record in story.first.truth.records[application_id]}
        inserted = sum(key(record) not in before for record in after)
        updated = sum(
            before.get(key(record), record["updated_at"]) != record["updated_at"] for record in after
        )
        overlap = max(before.values()) - 3600
        unchanged = sum(before.get(key(one)) == one["updated_at"] >= overlap for one in after)
        counts = (inserted + updated + unchanged, inserted, updated, unchanged, 0)
        expected["cogniac", "detections", application_id] = counts

    found = {
        (one["source"], one["stream"], one["partition"]): tuple(one[name] for name in COUNTS)
        for one in story.increment.ran.report["streams"]
    }
    assert expected == {name: counts for name, counts in found.items() if name[1] == "detections"}


def key(record: Row) -> tuple[str, str]:
    """What makes a record the same record."""
    return record["media"]["media_id"], json.dumps(record["focus"], sort_keys=True)


@pytest.mark.parametrize("name", STEPS)
def test_the_counts_of_a_run_add_up(story: Story, name: str) -> None:
    """Of each stream, fetched is the sum of the rest, and `etl.run_streams` holds the numbers reported."""
    step = getattr(story, name)
    report = step.ran.report
    of_run = {"run_id": report["run_id"], "started_at": micros(report["started_at"])}
    streams = [{**of_run, **one} for one in report["streams"]]

    assert [one["fetched"] for one in streams] == [sum(one[name] for name in COUNTS[1:]) for one in streams]
    kept = [row for row in rows(step.home, "etl.run_streams") if row["run_id"] == report["run_id"]]
    for one in streams:
        one["cursor"] = one["cursor"] and micros(one["cursor"])
    assert by_name({k: v for k, v in one.items() if v is not None} for one in streams) == by_name(kept)


def by_name(streams: Any) -> list[Row]:  # noqa: ANN401 -- rows from anywhere
    """Streams in the order of their names."""
    return sorted(streams, key=lambda one: (one["source"], one["stream"], one["partition"]))


def micros(text: str) -> int:
    """Microseconds since 1970 of a time in ISO 8601."""
    at = datetime.fromisoformat(text)
    return round(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


@pytest.mark.parametrize("name", STEPS)
def test_standard_output_is_one_json_object(story: Story, name: str) -> None:
    """`--json` prints one line: an object with all promised fields, and every stream with all of its own."""
    ran = getattr(story, name).ran

    report = ran.report
    lacking = set().union(
        OF_A_REPORT - report.keys(), *(OF_A_STREAM - one.keys() for one in report["streams"])
    )
    assert [report] == [json.loads(line) for line in ran.out.splitlines()]
    assert (set(), "ok") == (lacking, report["status"])


def test_standard_error_holds_sentences_and_no_progress_display(story: Story) -> None:
    """Where standard error is no terminal, it gets the summary and nothing that moves."""
    report = story.again.ran.report
    fetched = sum(stream["fetched"] for stream in report["streams"])

    assert story.again.ran.err == (
        "sightglass: gaps, listed in etl.gaps: 2\n"
        f"sightglass: run {report['run_id']} ok: {fetched:,} fetched, 0 inserted, 0 updated, "
        f"{fetched:,} unchanged, 0 quarantined, nothing changed\n"
    )


@pytest.mark.parametrize("name", STEPS)
def test_cursors_are_the_newest_times_of_the_data(story: Story, name: str) -> None:
    """Each application, and the list of Neurons media, stands at its newest time, to the microsecond."""
    step = getattr(story, name)
    expected = {
        ("cogniac", "detections", application_id): round(records[-1]["updated_at"] * 1_000_000)
        for application_id, records in step.truth.records.items()
    }
    expected["neurons", "media", ""] = max(micros(medium["updated_at"]) for medium in step.truth.media)

    kept = rows(step.home, "etl.cursors")
    assert expected == {(row["source"], row["stream"], row["partition"]): row["cursor_at"] for row in kept}


def test_media_that_are_not_finished_are_gaps_until_they_are(story: Story) -> None:
    """`etl.gaps` names exactly the media whose prediction has only started, and the report counts them."""
    for step in (story.first, story.increment):
        expected = {one["media_id"] for one in step.truth.media if one["status"] == "started"}
        assert expected == {row["key"] for row in rows(step.home, "etl.gaps")}
        assert len(expected) == step.ran.report["gaps"]

    assert (2, 0) == (story.first.ran.report["gaps"], story.increment.ran.report["gaps"])


@pytest.mark.parametrize("name", ["first", "increment"])
def test_files_are_entered_with_size_and_hash(story: Story, name: str) -> None:
    """Each file that holds rows is loaded, and its size, kind and hash are those of its bytes."""
    step = getattr(story, name)
    expected = [
        {
            "media_id": media_id,
            "asset": asset,
            "state": "loaded",
            "bytes": len(body),
            "sha256": sha256(body).hexdigest(),
            "content_type": "text/csv" if asset == "aoi_scores" else "application/json",
        }
        for (media_id, asset), body in step.truth.files.items()
    ]

    stored = [row for row in rows(step.home, "neurons.assets") if row["state"] != "skipped"]
    assert in_order(expected) == in_order(stored)


def test_every_run_is_entered(story: Story) -> None:
    """`etl.runs` tells of each run when it began and ended, how, and by which version."""
    expected = []
    for name in STEPS:
        ran = getattr(story, name).ran
        times = {each: micros(ran.report[each]) for each in ("started_at", "finished_at")}
        ended = {"status": "ok", "exit_code": ran.code, "version": __version__, "unknown": []}
        expected.append({"run_id": ran.report["run_id"], **times, **ended, "command": "run"})

    assert expected == sorted(rows(story.home, "etl.runs"), key=lambda row: row["started_at"])


def test_the_raw_archive_holds_everything_received(story: Story) -> None:
    """Records stand in it as they came, each with the application it was asked from; files byte for byte."""
    truth = story.first.truth
    kept: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    files: dict[str, bytes] = {}
    for path in sorted((story.home / "raw").glob(f"*/*/*/*-{story.first.ran.report['run_id']}.*")):
        if path.parts[-3] == "log":
            continue
        with pa.input_stream(str(path), compression="zstd") as stream:
            if path.name.endswith(".tar.zst"):
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    files |= {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
                continue
            for line in map(json.loads, stream.read().splitlines()):
                partition = line["context"].get("application_id", "")
                found = kept[path.parts[-4], path.parts[-3], partition]
                # The newest records of a page come again on the next.
                found += [line["record"]] if line["record"] not in found[-5:] else []
    for medium in kept["neurons", "media", ""]:
        medium["results"] = list(medium["results"])

    detections = {("cogniac", "detections", each): found for each, found in truth.records.items()}
    lists = {"applications": truth.applications, "subjects": truth.subjects}
    others = {("cogniac", name, ""): found for name, found in lists.items()}
    assert detections | others | {("neurons", "media", ""): truth.media} == kept
    assert {f"{media_id}/{asset}": body for (media_id, asset), body in truth.files.items()} == files


def test_no_raw_archive_is_kept_for_zero_days(plant: Plant, sightglass: Sightglass) -> None:
    """With SIGHTGLASS_RAW_DAYS=0 all is loaded and nothing is archived."""
    ran = sightglass("run", SIGHTGLASS_RAW_DAYS="0")

    expected = in_order(Truth.now(plant).rows()["results"])
    assert (0, expected) == (ran.code, in_order(rows(sightglass.home, "cogniac.results")))
    assert [] == [path for path in sightglass.home.glob("raw/**/*") if path.is_file()]


def test_only_the_owner_may_read_warehouse_and_archive(story: Story) -> None:
    """Whatever the umask, files have mode 0600 and the folders of the archive 0700."""
    archive = story.home / "raw"
    paths = [story.home / "warehouse.duckdb", archive, *archive.rglob("*")]

    modes = Counter((path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in paths)
    assert {(True, "0o700"), (False, "0o600")} == modes.keys()


def test_json_columns_hold_canonical_text(story: Story) -> None:
    """Every JSON column is text with sorted keys and without spaces, so that equal values are equal texts."""
    columns = table(
        story.home,
        "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns() WHERE data_type = 'JSON'",
    )
    asked = [f"SELECT DISTINCT {column} FROM {name}" for name, column in columns]  # noqa: S608 -- own names
    texts = {text for query in asked for (text,) in table(story.home, query) if text is not None}

    canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
    assert {canonical(json.loads(text)) for text in texts} == texts


def test_the_oldest_supported_duckdb_loads_the_same_rows(plant: Plant, tmp_path: Path) -> None:
    """With the version of DuckDB that is the floor, every table of the APIs gets the same rows."""
    floor = Path(os.environ.get("TEST_DUCKDB_FLOOR", Path(sys.prefix, "duckdb-floor")))
    if not (floor / "duckdb").is_dir():
        pytest.fail(f"{floor} holds no DuckDB; `make setup` does this, or set TEST_DUCKDB_FLOOR")
    older = plant.settings | {"PYTHONPATH": f"{floor}{os.pathsep}{ROOT}"}
    places = [Sightglass(tmp_path / "oldest", older), Sightglass(tmp_path / "current", plant.settings)]
    for place in places:
        place.folder.mkdir()
        assert place("run").code == 0

    oldest, current = ({n: in_order(f) for n, f in loaded(place.home).items()} for place in places)
    assert places[0]("sql", "SELECT version() AS v").out != f"v\nv{duckdb.__version__}\n"
    assert oldest == current
