"""Things that are large, several copies of one thing, and readers who come too early."""

import base64
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from subprocess import Popen

import duckdb
import pytest
from conftest import ROOT, Ran, Row, rows, table
from hostile import DETECTIONS, Placed, T, cogniac, of_cogniac, record, serving
from support.kills import started
from support.partitions import settings_of

from etl.load.database import SPILL
from etl.load.duckdb_errors import MEMORY, is_out_of_memory
from etl.load.run_store import quarantine_entries, received
from etl.load.warehouse import open_for_writing
from etl.publish import publish
from etl.transform.batch import KEPT
from etl.transform.pages import LARGEST_RECORD

PATCHED = "{}\nfrom etl import cli\ncli.main()"
LITTLE = """
from etl.load import duckdb_errors, warehouse
warehouse.MEMORY = 32
warehouse.most_memory = duckdb_errors.most_memory = lambda: 32"""
WATCHED = """
import sys
from etl.publish.lake import Lake
real = Lake.write
def write(lake, *rest):
    print((lake._at.home / "bi.duckdb").exists(), file=sys.stderr)
    real(lake, *rest)
Lake.write = write"""
"""Tells whether there is a `bi.duckdb` while files are written."""
NOISE = base64.b64encode(random.Random(1).randbytes(1_500_000)).decode()  # noqa: S311 -- no secret
LARGE_TOGETHER = (
    """
    INSERT INTO cogniac.detections BY NAME
    SELECT
        'a' AS application_id, 'm' || i AS media_id, '' AS focus_key, 'd' || i AS detection_id,
        's' AS subject_uid, '"' || md5(CAST(i AS VARCHAR)) || repeat(md5('of ' || i), 52) || '"' AS app_data,
        make_timestamptz(CAST(1772600000000000 + hash(i) % 7000000000 AS BIGINT)) AS updated_at,
        'r' AS _run_id, make_timestamptz(1772600000000000 + i) AS _loaded_at
    FROM range(45000) AS made(i)""",
    """
    INSERT INTO cogniac.detection_history BY NAME
    SELECT * EXCLUDE (_is_version), updated_at AS valid_from, 0 AS revision FROM cogniac.detections""",
)
"""Statements that make rows of two kilobytes, in no order of time."""
REFUSED = """
    INSERT INTO etl.quarantine BY NAME
    SELECT
        'q' || lpad($number::VARCHAR, 3, '0') AS quarantine_id, 'r' AS run_id, 'file' AS kind,
        'neurons' AS source, 'assets' AS stream, '' AS partition, 'unreadable' AS reason, '$' AS path,
        $record AS record, 'base64' AS encoding, '{}' AS context, 'open' AS state,
        make_timestamptz(1772600000000000 + $number) AS seen_at"""
WIDE_TOGETHER = """
    INSERT INTO neurons.media BY NAME
    SELECT
        'm' || i AS media_id, false AS is_complete, 'r' AS _run_id, make_timestamptz(0) AS _loaded_at,
        CASE WHEN i < 40000 THEN 'n' ELSE repeat(CAST(i % 10 AS VARCHAR), 1000000) END AS name
    FROM range(40300) AS made(i)"""
"""A statement that makes many narrow rows, and some of a megabyte behind them."""
GROWN = """
import resource, sys
from pathlib import Path
from etl.cli import settings_for
from etl.load.warehouse import open_for_writing
from etl.publish import publish
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
warehouse = open_for_writing(Path(sys.argv[1]))
before = peak()
publish(warehouse, settings_for({"SIGHTGLASS_HOME": sys.argv[1]}, {}, None), force=True)
print(peak() - before, warehouse.memory)"""
"""Tells by how many megabytes a process grows that publishes, and how many DuckDB was given."""
VIEWS = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"


def noise(number: int, size: int) -> str:
    """A text of this many bytes that cannot be made much smaller, another one for each number."""
    return (f"{number} " + NOISE[7 * number :] + NOISE * (size // len(NOISE)))[:size]


def large(number: int, size: int, **more: object) -> Row:
    """A record whose only assertion carries a text of this many bytes."""
    made = record(number)
    mask = {"app_data_type": "mask", "app_data": {"area_mask_png": noise(number, size)}}
    made["detections"][0] |= {**mask, **more}
    return made


def placed(records: Iterable[Row]) -> Placed:
    """The records, each at its own time."""
    return Placed([(one["updated_at"], one) for one in records])


def nothing_published(home: Path) -> str:
    """What `sightglass sql` says before the first publish."""
    return f"sightglass: nothing is published in {home} yet: run `sightglass run`, or name another --home\n"


def counts(ran: Ran) -> list[int]:
    """Fetched, inserted, updated, unchanged, quarantined of the detections."""
    (one,) = (each for each in ran.report["streams"] if each["stream"] == "detections")
    return [one[name] for name in ("fetched", "inserted", "updated", "unchanged", "quarantined")]


def test_records_that_are_larger_than_the_usual_memory(tmp_path: Path) -> None:
    """They are loaded and published whole, counted once, and nothing that was spilled stays."""
    number, size = 40, 1_000_000
    with serving(cogniac({DETECTIONS: placed(large(one, size) for one in range(number))})) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run", "--json")
        asked = "SELECT media_id, md5(app_data ->> 'area_mask_png') AS digest FROM cogniac.detections"
        found = json.loads(sightglass("sql", "--json", asked).out)["rows"]

    digests = {f"m{one}": hashlib.md5(noise(one, size).encode()).hexdigest() for one in range(number)}  # noqa: S324
    assert (0, [number, number, 0, 0, 0]) == (ran.code, counts(ran))
    assert digests == {one["media_id"]: one["digest"] for one in found}
    assert not (sightglass.home / SPILL).exists()


def test_wide_texts_beside_narrow_ones_need_no_more_than_usual_memory(tmp_path: Path) -> None:
    """Few rows with texts of megabytes, however many stand together: they are read a few at a time."""
    with closing(open_for_writing(tmp_path)) as warehouse:
        warehouse.connection.execute("SET memory_limit = '2GB'")  # for so many at once
        warehouse.connection.execute(WIDE_TOGETHER)
        warehouse.connection.execute("CHECKPOINT")
    grown = subprocess.run(
        [sys.executable, "-c", GROWN, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    )

    with duckdb.connect(tmp_path / "bi.duckdb", read_only=True) as reader:
        found = reader.execute("SELECT count(*), sum(strlen(name)) FROM neurons.media").fetchall()
    megabytes, memory = map(int, grown.stdout.split())
    assert (MEMORY, [(40_300, 40_000 + 300_000_000)]) == (memory, found)
    assert megabytes < 300


def test_much_that_is_large_in_quarantine(tmp_path: Path) -> None:
    """Sixty refused records of a megabyte are stored, published, and listed as received."""
    refused = [large(one, 1_000_000, probability=5) for one in range(60)]
    with serving(cogniac({DETECTIONS: placed([*refused, record(60)])})) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run", "--json")
        listed = sightglass("quarantine", "--json")
        published = sightglass("sql", "--json", "SELECT record FROM etl.quarantine").report["rows"]

    assert (4, [61, 1, 0, 0, 60]) == (ran.code, counts(ran))
    assert (0, 60) == (listed.code, len(listed.report["quarantine"]))
    received = [json.loads(each["record"]) for each in published]
    assert refused == sorted(received, key=lambda one: float(one["updated_at"]))


def test_a_large_quarantine_needs_no_more_than_usual_memory(tmp_path: Path) -> None:
    """A hundred files of a megabyte are published, listed and read one by one in what DuckDB has anyway."""
    with closing(open_for_writing(tmp_path)) as unlimited:
        unlimited.connection.execute("SET memory_limit = '2GB'")
        for number in range(100):
            unlimited.connection.execute(REFUSED, {"number": number, "record": noise(number, 1_400_000)})
    with closing(open_for_writing(tmp_path)) as warehouse:
        publish(warehouse, settings_of(tmp_path), force=True)
        found = [received(warehouse, entry).record for entry in quarantine_entries(warehouse)]
        assert (MEMORY, 0) == (warehouse.memory, publish(warehouse, settings_of(tmp_path), force=True).files)

    asked = "SELECT list(md5(record) ORDER BY quarantine_id) FROM etl.quarantine"
    with duckdb.connect(tmp_path / "bi.duckdb", read_only=True) as reader:
        ((published,),) = reader.execute(asked).fetchall()
    assert found == [noise(number, 1_400_000) for number in range(100)]
    assert published == [hashlib.md5(each.encode()).hexdigest() for each in found]  # noqa: S324


def test_many_rows_that_are_large_together(tmp_path: Path) -> None:
    """Publishing sorts no more at once than DuckDB holds, and needs no more than usual memory."""
    with closing(open_for_writing(tmp_path)) as warehouse:
        for statement in LARGE_TOGETHER:
            warehouse.connection.execute(statement)
        publish(warehouse, settings_of(tmp_path), force=True)
        assert MEMORY == warehouse.memory

    asked = "SELECT count(*), sum(strlen(CAST(app_data AS VARCHAR))) FROM cogniac."
    with duckdb.connect(tmp_path / "bi.duckdb", read_only=True) as reader:
        found = [reader.execute(asked + name).fetchall() for name in ("detections", "detection_history")]
    assert [[(45_000, 45_000 * (2 + 53 * 32))]] * 2 == found


def test_memory_that_cannot_be_had_is_told_as_such(tmp_path: Path) -> None:
    """Where the machine has no more to give, it is said so, not that the disk is full; no row is lost."""
    with serving(cogniac({DETECTIONS: placed(large(one, 15_000_000) for one in range(4))})) as server:
        sightglass = of_cogniac(tmp_path, server)
        with started(sightglass, PATCHED.format(LITTLE), "run") as process:
            _, said = process.communicate(timeout=100)
        after = sightglass("run", "--json")

    told = (
        "sightglass: DuckDB needs more memory than the 32 MB that it is given at most on this machine: some "
        "records are very large; what was loaded is kept: give it more memory, then run again"
    )
    assert (2, told) == (process.returncode, said.splitlines()[-1])
    # What the first run has sealed is loaded on its behalf.
    assert (0, [4, 0, 0, 4, 0]) == (after.code, counts(after))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block of size 256.0 KiB"), True),
        (duckdb.TransactionException("Failed to commit: failed to pin block of size 1004.0 KiB"), True),
        (duckdb.OutOfMemoryException("limit was set by the 'max_temp_directory_size' setting"), False),
        (duckdb.IOException('Could not write file "spill/duckdb_temp": No space left on device'), False),
        (
            duckdb.TransactionException("Failed to commit: Could not write file: No space left on device"),
            False,
        ),
    ],
)
def test_a_lack_of_memory_is_no_lack_of_disk(error: duckdb.Error, expected: bool) -> None:  # noqa: FBT001
    """Room on the disk that DuckDB spills to is asked for as such."""
    assert expected == is_out_of_memory(error)


def test_what_a_killed_run_has_spilled_is_removed(tmp_path: Path) -> None:
    """The next one takes away what nobody else can, and the folder with it."""
    (tmp_path / SPILL).mkdir()
    (tmp_path / SPILL / "duckdb_temp_1_0_storage_DEFAULT-0.tmp").write_bytes(b"of another")
    open_for_writing(tmp_path).close()

    assert ["warehouse.duckdb"] == [path.name for path in tmp_path.iterdir()]


def test_a_record_that_is_too_large_is_refused_alone(tmp_path: Path) -> None:
    """Its beginning is in quarantine with the reason, its neighbours are loaded, no replay takes it in."""
    whole = large(1, LARGEST_RECORD)
    size = len(json.dumps(whole))
    with serving(cogniac({DETECTIONS: placed([record(0), whole, record(2)])})) as server:
        sightglass = of_cogniac(tmp_path, server)
        first, second = sightglass("run", "--json"), sightglass("run", "--json")
        replay = sightglass("quarantine", "replay")

    reason = f"record of {size:,} bytes is larger than {LARGEST_RECORD:,}, only its beginning is kept"
    (shown,) = rows(sightglass.home, "etl.quarantine")
    assert [(4, [3, 2, 0, 0, 1]), (0, [3, 0, 0, 2, 1])] == [
        (ran.code, counts(ran)) for ran in (first, second)
    ]
    assert [(reason, "$", "beginning", "open", json.dumps(whole)[:KEPT])] == [
        tuple(shown[name] for name in ("reason", "path", "encoding", "state", "record"))
    ]
    assert ["m0", "m2"] == sorted(one["media_id"] for one in rows(sightglass.home, "cogniac.results"))
    assert (4, "sightglass: replayed 0, still refused 1") == (replay.code, replay.err.splitlines()[-1])


def test_an_older_copy_that_comes_late_does_not_count(tmp_path: Path) -> None:
    """Of two results that disagree about a medium the newer one counts, whichever came first."""
    said = {"media_id": "m1", "created_at": T}
    newer = record(1, T + 20, media={**said, "title": "new"})
    older = record(2, T + 10, media={**said, "title": "old"}, focus={"frame": 1})
    beside = record(3, T + 5, other_media=[{**said, "title": "oldest"}])
    served = placed([newer])
    with serving(cogniac({DETECTIONS: served})) as server:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        served.records += [(one["updated_at"], one) for one in (older, beside)]
        assert 0 == sightglass("run").code

    titles = table(sightglass.home, "SELECT media_id, title FROM cogniac.media ORDER BY media_id")
    assert [("m1", "new"), ("m3", None)] == titles


def test_readers_who_come_too_early(tmp_path: Path) -> None:
    """From the beginning of the first run on, there is either nothing to open or all of it can be read."""
    wrong: list[str] = []
    opened = threading.Event()

    def read(home: Path, run: Popen[str]) -> None:
        while run.poll() is None or not opened.is_set():
            with suppress(duckdb.IOException):
                if not (home / "bi.duckdb").exists():
                    continue
                with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
                    opened.set()
                    for (name,) in reader.execute(VIEWS).fetchall():
                        try:
                            reader.execute(f"SELECT count(*) FROM {name}").fetchall()  # noqa: S608 -- our own
                        except duckdb.Error as error:
                            wrong.append(f"{name}: {error}")

    with serving(cogniac({DETECTIONS: placed(map(record, range(300)))})) as server:
        sightglass = of_cogniac(tmp_path, server)
        with sightglass.start("run") as run:
            reading = threading.Thread(target=read, args=(sightglass.home, run))
            reading.start()
            said = []
            while run.poll() is None:
                said.append(sightglass("sql", "SELECT count(*) > 0 FROM etl.runs"))
            reading.join()

    early = [ran.err for ran in said if ran.code]
    assert (0, []) == (run.returncode, wrong)
    assert {nothing_published(sightglass.home)} == set(early)


@pytest.mark.parametrize("elsewhere", ["", "file:///nowhere"])
@pytest.mark.parametrize("before", ["Lake.commit", "write_bi"])
def test_a_first_publish_that_is_killed(tmp_path: Path, before: str, elsewhere: str) -> None:
    """Wherever it ends there is nothing to open, `sightglass sql` says so, and the next run publishes all."""
    program = (
        "import os, signal\nfrom etl.publish import publishing as publish\n"
        f"def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\npublish.{before} = kill"
    )
    with serving(cogniac({DETECTIONS: placed(map(record, range(3)))})) as server:
        sightglass = of_cogniac(tmp_path, server)
        with started(sightglass, PATCHED.format(program), "run") as process:
            process.communicate(timeout=100)
        was_there = (sightglass.home / "bi.duckdb").exists()
        told = sightglass("sql", "SELECT 1", SIGHTGLASS_LAKE_URI=elsewhere)
        after = sightglass("run")
        answer = sightglass("sql", "SELECT count(*) FROM cogniac.results")

    assert (-9, False) == (process.returncode, was_there)
    if before == "Lake.commit" or not elsewhere:
        assert nothing_published(sightglass.home) == told.err
    assert (0, "count_star()\n3\n") == (after.code, answer.out)


def test_a_lake_that_was_emptied(tmp_path: Path) -> None:
    """It is told as nothing published, and until all is published again there is no `bi.duckdb`."""
    with serving(cogniac({DETECTIONS: placed(map(record, range(3)))})) as server:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        shutil.rmtree(sightglass.home / "versions")
        told = sightglass("sql", "SELECT 1")
        with started(sightglass, PATCHED.format(WATCHED), "publish") as process:
            _, said = process.communicate(timeout=100)
        answer = sightglass("sql", "SELECT count(*) FROM cogniac.results")

    assert (2, nothing_published(sightglass.home)) == (told.code, told.err)
    assert (0, "False") == (process.returncode, said.splitlines()[0])
    assert "count_star()\n3\n" == answer.out
