"""The lake in an object store: whole versions alone, whatever is killed, slow, refused or lost."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Plant, Sightglass, serving, table
from support.kills import started
from support.publish_kills import copy, held, seen
from support.readers import duckdb_of
from support.s3 import SECRET, Store
from support.store import (
    CHANGE,
    RESULTS,
    SOON,
    UNDER,
    URL,
    changed,
    current,
    environment,
    files,
    holding,
    put,
    seen_in,
    served_store,
    store,
)

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.errors import TargetError
from etl.publish.lake import micros_now

__all__ = ["store"]

READER = """
import json, sys, time, threading
from pathlib import Path
import duckdb
import duckdb_extension_httpfs

(extension,) = Path(duckdb_extension_httpfs.__file__).parent.rglob("*.duckdb_extension")
connection = duckdb.connect()
connection.execute(f"LOAD '{extension}'")
connection.execute(
    "CREATE SECRET (TYPE s3, KEY_ID 'object-store-key', SECRET 'object-store-secret', REGION 'eu-central-1',"
    f" ENDPOINT '{sys.argv[1]}', URL_STYLE 'path', USE_SSL false)"
)
connection.execute(f"ATTACH '{sys.argv[2]}' AS warehouse (READ_ONLY)")
connection.execute("USE warehouse")
connection.execute("SET TimeZone = 'UTC'")
def answer(query):
    return connection.execute(query).fetchall()
"""
ALL = """
found = {}
for (name,) in answer("SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"):
    columns = [row[:2] for row in answer(f"DESCRIBE {name}") if not row[0].endswith("age_hours")]
    # Sums of fractions depend on their order, and so on which thread was first.
    shown = [f'round("{column}", 9)' if kind == "DOUBLE" else f'"{column}"' for column, kind in columns]
    rows = answer(f"SELECT CAST(({', '.join(shown)}) AS VARCHAR) FROM {name}")
    found[name] = sorted(row for (row,) in rows)
print(json.dumps(found))
"""
LOOP = """
told = threading.Thread(target=sys.stdin.read, daemon=True)
told.start()
print("ready", flush=True)
rounds, wrong, found = 0, [], set()
while told.is_alive() or not rounds:
    try:
        (row,) = answer(
            "FROM (SELECT min(detection_count), max(detection_count), count(*) FROM cogniac.results),"
            "     (SELECT min(exit_code), max(exit_code), count(*) FROM etl.runs)"
        )
        least, most, results, first, last, runs = row
        found.add(least)
        if not least == most == first == last or (results, runs) != (30, 3):
            wrong.append(str(row))
    except duckdb.Error as error:
        wrong.append(str(error))
    rounds += 1
print(json.dumps({"rounds": rounds, "versions": len(found), "wrong": wrong}))
"""
SMALL = "SELECT 'cogniac.results', count(*), sum(detection_count) FROM cogniac.results"
DYING = """
import os, signal, sys
from pathlib import Path
from support.store import DECLARED, put
from support.partitions import settings_of
from etl.publish.lake import Lake
from etl.publish.store.objects import Objects
from etl.publish.target import release_of

home, left = Path(sys.argv[1]), int(sys.argv[2])
def deadly(real):
    def call(*arguments):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments)
    return call
for name in ("read", "has", "put", "put_if", "copy", "copy_within", "sizes", "delete"):
    setattr(Objects, name, deadly(getattr(Objects, name)))
lake = Lake(home)
put(release_of(lake, DECLARED, lake.newest(), settings_of(home)))
"""

ON_A_FULL_DISK = """
import resource
from etl import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
cli.main()"""


def endpoint_of(variables: dict[str, str]) -> str:
    """Host and port of a store."""
    return variables["AWS_ENDPOINT"].partition("//")[2]


def answers(program: str, *arguments: str) -> object:
    """What DuckDB's own reader of object stores finds, by the JSON that it prints."""
    command = [sys.executable, "-c", READER + program, *arguments]
    ran = subprocess.run(command, env=duckdb_of("floor"), capture_output=True, text=True, check=False)
    assert not ran.returncode, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Both simulators with very little in them."""
    cogniac = CogniacSimulator(1, CogniacSize(applications=2, records=30))
    with serving(cogniac, NeuronsSimulator(1, NeuronsSize(media=2, frames=(5, 6)))) as served:
        yield served


def test_duckdb_reads_from_the_store_what_readers_here_see(plant: Plant, tmp_path: Path) -> None:
    """After a first run and after more has happened: every view, by the `bi.duckdb` there."""
    with served_store() as (served, variables):
        sightglass = Sightglass(tmp_path, {**plant.settings, **variables})
        found = []
        for _ in range(2):
            ran = sightglass("run")
            there = answers(ALL, endpoint_of(variables), f"{URL}/bi.duckdb")
            here = answers(ALL, endpoint_of(variables), str(sightglass.home / "bi.duckdb"))
            found.append((ran.code, ran.err.count("s3:"), there == here))
            plant.cogniac.advance(records=20, corrections=10)
        asked = len(served.requests)
        again = sightglass("publish")
        more = served.requests[asked:]

    assert [(0, 0, True)] * 2 == found
    assert (0, ["GET bucket/lake/writer.json"]) == (again.code, more)
    assert {True} == set(served.authorized)
    assert not any(SECRET in each for each in (ran.out, ran.err, str(served.objects)))


def test_changes_alone_are_put(store: Store, tmp_path: Path) -> None:
    """Of many partitions the changed ones, each once, to a name that is copied; readers see what is here."""
    put(changed(tmp_path, RESULTS))
    first = seen_in(store, tmp_path / "first")
    sent_first = len(store.puts())
    release = changed(tmp_path, f"{CHANGE} WHERE media_id = 'm1'")
    put(release)
    sent = [each for each in store.puts()[sent_first:] if ".aside" in each and each.endswith(".parquet")]
    second, asked = seen_in(store, tmp_path / "second"), len(store.requests)
    put(release)

    assert first != second == seen(tmp_path) == held(tmp_path)
    assert [f"{UNDER}.aside/cogniac.results.2025-02.parquet"] == sent
    assert ["GET bucket/lake/writer.json"] == store.requests[asked:]


def test_a_version_costs_requests_for_what_changed_alone(store: Store, tmp_path: Path) -> None:
    """Two writes for each partition that changed, beside the few of every version."""
    put(changed(tmp_path, RESULTS))
    found = []
    for media in ("'m1'", "'m1', 'm2', 'm3'"):
        release = changed(tmp_path, f"{CHANGE} WHERE media_id IN ({media})")
        asked = len(store.requests)
        put(release)
        found.append(Counter(each.partition(" ")[0] for each in store.requests[asked:]))

    assert [{"GET": 5, "PUT": 7, "POST": 1}, {"GET": 5, "PUT": 11, "POST": 1}] == found


def test_a_new_partition_begins_empty(store: Store, tmp_path: Path) -> None:
    """Who reads as of a moment before it finds no rows there, and no error."""
    put(changed(tmp_path, RESULTS))
    put(changed(tmp_path, f"{RESULTS.replace('2025', '2026')} WHERE i < 3".replace("'m'", "'n'")))

    firsts = [path for path in files(store) if f"{0:016}" in path]
    months = [f"versions/cogniac/results/2026-0{month}.{0:016}.parquet" for month in (1, 2, 3)]
    assert [f"versions/{0:016}.commit", *months] == firsts
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_what_was_replaced_stays_for_the_grace_period(store: Store, tmp_path: Path) -> None:
    """It goes with what else is old enough, and commits that let nothing count go after it."""
    releases = [changed(tmp_path, RESULTS)]
    put(releases[0])
    before = files(store)
    releases.append(changed(tmp_path, CHANGE))
    put(releases[1])
    kept = set(before) <= set(files(store))
    later = micros_now() + 1_201_000_000
    put(releases[1], now=lambda: later)

    assert (True, True) == (kept, current(store, releases[1]))
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_nothing_of_what_was_replaced_remains_without_grace(store: Store, tmp_path: Path) -> None:
    """Nor of a version that never counted; and where that was not finished, the next publish does it."""
    release = changed(tmp_path, RESULTS)
    put(release)
    stray = f"{UNDER}versions/cogniac/results/2025-01.{micros_now():016}.parquet"
    store.objects |= {stray: b"PAR1", f"{UNDER}.aside/cogniac.results.2025-01.parquet": b"PAR1"}
    release = changed(tmp_path, CHANGE)
    put(replace(release, grace=0))

    assert current(store, release)
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_forgetting_and_rebuilding_reach_the_store(plant: Plant, tmp_path: Path) -> None:
    """A medium that is forgotten stands in no object any more; tables made anew are those of here."""
    with served_store() as (served, variables):
        sightglass = Sightglass(tmp_path, {**plant.settings, **variables})
        assert sightglass("run").code == 0
        ((media_id,),) = table(sightglass.home, "SELECT min(media_id) FROM neurons.media")
        forgot = sightglass("forget", "--media", media_id)
        found = [seen_in(served, tmp_path / "seen") == seen(sightglass.home)]
        rebuilt = sightglass("rebuild")
        found.append(seen_in(served, tmp_path / "rebuilt") == seen(sightglass.home))

    assert (0, 0) == (forgot.code, rebuilt.code), forgot.err + rebuilt.err
    assert [True, True] == found
    assert [] == [path for path in holding(served, tmp_path / "objects", media_id) if "/etl/" not in path]


def test_a_partition_that_is_no_more_is_empty_then_gone(store: Store, tmp_path: Path) -> None:
    """Its rows go with the version, its objects after the grace period."""
    release = changed(tmp_path, RESULTS)
    put(release)
    rest = {part: each for part, each in release.partitions["cogniac.results"].items() if part != "2025-02"}
    less = replace(
        release,
        version=f"{int(release.version) + 1}",
        partitions={**release.partitions, "cogniac.results": rest},
    )
    put(less)
    rows = {name: count for name, count, _ in seen_in(store, tmp_path / "seen")}
    for seconds in (1_201, 2_402):
        moment = micros_now() + seconds * 1_000_000
        put(less, now=lambda moment=moment: moment)

    assert 20 == rows["cogniac.results"]
    assert [] == [path for path in files(store) if "results/2025-02" in path]
    assert 20 == {name: count for name, count, _ in seen_in(store, tmp_path / "later")}["cogniac.results"]


def test_a_table_of_another_shape_is_put_anew(store: Store, tmp_path: Path) -> None:
    """All its partitions, whatever is known of them."""
    release = changed(tmp_path, RESULTS)
    put(release)
    asked = len(store.puts())
    put(
        replace(
            release, version=f"{int(release.version) + 1}", shapes={**release.shapes, "cogniac.results": "o"}
        )
    )
    sent = [each for each in store.puts()[asked:] if ".aside" in each and each.endswith(".parquet")]

    assert [f"{UNDER}.aside/cogniac.results.2025-0{month}.parquet" for month in (1, 2, 3)] == sorted(sent)


def test_what_is_lost_in_the_store_is_put_again(store: Store, tmp_path: Path) -> None:
    """Objects that somebody deleted or cut, with the next version; the whole register, at once."""
    put(changed(tmp_path, RESULTS))
    lost, cut = [path for path in sorted(store.objects) if "/results/" in path][:2]
    del store.objects[lost]
    store.objects[cut] = b"PAR1"
    put(changed(tmp_path, f"{CHANGE} WHERE media_id = 'm2'"))
    mended = seen(tmp_path) == seen_in(store, tmp_path / "mended")
    del store.objects[f"{UNDER}writer.json"]
    put(changed(tmp_path, "SELECT 1"))

    assert mended
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_another_warehouse_is_refused(store: Store, tmp_path: Path) -> None:
    """By name; one that was moved or restored goes on."""
    home, other, moved = (tmp_path / name for name in ("home", "other", "moved"))
    home.mkdir()
    other.mkdir()
    put(changed(home, RESULTS))
    copy(home, moved)
    put(changed(home, CHANGE))
    objects = dict(store.objects)
    with pytest.raises(TargetError) as refused:
        put(changed(other, RESULTS))
    untouched = objects == store.objects
    put(changed(moved, f"{CHANGE} WHERE media_id = 'm7'"))

    assert str(refused.value).startswith(f"the warehouse {home} on ")
    assert untouched
    assert seen(moved) == seen_in(store, tmp_path / "seen")


def test_a_writer_elsewhere_is_left_to_finish(store: Store, tmp_path: Path) -> None:
    """As long as it gives signs of life; after that, its place is taken, and it notices."""
    release = changed(tmp_path, RESULTS)
    put(release)
    register = f"{UNDER}writer.json"
    busy = {**json.loads(store.objects[register]), "writer": "/there on elsewhere", "busy": micros_now()}
    store.objects[register] = json.dumps(busy).encode()
    release = changed(tmp_path, CHANGE)
    with pytest.raises(TargetError) as waits:
        put(release)
    put(release, now=lambda: micros_now() + 601_000_000)

    assert "at work there as /there on elsewhere, which is taken for dead after 600 seconds" in str(
        waits.value
    )
    assert "" != store.objects[register].decode()
    assert json.loads(store.objects[register])["busy"] == 0


def test_a_version_that_is_late_gets_a_later_name(store: Store, tmp_path: Path) -> None:
    """A commit that hangs is revoked: when it comes at last, it does nothing."""
    put(changed(tmp_path, RESULTS))
    store.slow_commits = [1.5]
    release = changed(tmp_path, CHANGE)
    put(release)
    tried = [each for each in store.puts() if "versions/" in each and each.endswith(".commit")][-2:]
    there = [path for path in tried if path in store.objects]

    assert tried[1:] == there
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_a_kill_at_any_request_leaves_a_whole_version(store: Store, tmp_path: Path) -> None:
    """The old or the new one; the next publish brings the new one, and cleans up."""
    home, variables = tmp_path / "home", {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    home.mkdir()
    release = changed(home, RESULTS)
    put(release)
    wrong: list[object] = []
    number, code, after = 0, -9, seen(home, SMALL)
    step = 1 if "TEST_LONG" in os.environ else 9
    while code and number < 40:
        before = after
        release = changed(home, CHANGE)
        command = [sys.executable, "-c", DYING, str(home), str(number)]
        code = subprocess.run(command, env=environment(variables), check=False).returncode
        killed = seen_in(store, tmp_path / f"killed-{number}", SMALL)
        put(replace(release, grace=0))
        here = seen(home, SMALL)
        if killed not in (before, here) or not current(store, release) or code not in (0, -9):
            wrong.append((number, code))
        after = seen_in(store, tmp_path / f"next-{number}", SMALL)
        if after != here:
            wrong.append((number, "next"))
        number += step

    assert ([], 0) == (wrong, code)
    assert 9 < number


@pytest.mark.usefixtures("store")
def test_readers_see_whole_versions_alone(tmp_path: Path) -> None:
    """DuckDB in a loop beside ten of them, seen without connecting anew: none is mixed, no query fails."""
    runs = "INSERT INTO etl.runs BY NAME SELECT 'r' || i AS run_id, now() AS started_at, 'ok' AS status, "
    both = (
        "UPDATE cogniac.results SET detection_count = {0}, _loaded_at = now();"
        "UPDATE etl.runs SET exit_code = {0}"
    )
    put(changed(tmp_path, RESULTS, f"{runs} '0.0' AS version FROM range(3) t(i)", both.format(0)))
    arguments = [environment({})["AWS_ENDPOINT"].partition("//")[2], f"{URL}/bi.duckdb"]
    with subprocess.Popen(
        [sys.executable, "-c", READER + LOOP, *arguments],
        env=duckdb_of("floor"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for version in range(1, 11):
            put(changed(tmp_path, both.format(version)))
        out, _ = reader.communicate(timeout=100)
    told = json.loads(out.splitlines()[-1])

    assert [] == told["wrong"]
    assert 3 < told["versions"] <= told["rounds"]


def test_a_clock_that_was_set_back_hides_nothing(store: Store, tmp_path: Path) -> None:
    """What was put with a time that is far to come gives way at once, and never comes."""
    put(changed(tmp_path, RESULTS), now=lambda: micros_now() + 100_000_000)
    hidden = seen_in(store, tmp_path / "hidden", SMALL)
    put(changed(tmp_path, CHANGE))
    found = seen_in(store, tmp_path / "seen")
    commits = [path for path in files(store) if path.endswith(".commit")]

    assert hidden == [("cogniac.results", 30, None)]
    assert seen(tmp_path) == found
    assert len(commits) == 2


def test_a_commit_that_is_lost_is_made_good(store: Store, tmp_path: Path) -> None:
    """Partitions that it let count are put again with the next version."""
    put(changed(tmp_path, RESULTS))
    for path in [path for path in store.objects if path.endswith(".commit") and f"{0:016}" not in path]:
        del store.objects[path]
    put(changed(tmp_path, f"{CHANGE} WHERE media_id = 'm1'"))

    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


def test_deletes_that_come_late_harm_nobody(store: Store, tmp_path: Path) -> None:
    """Objects that are still there after they were deleted are of no version, and are deleted again."""
    put(changed(tmp_path, RESULTS))
    store.forgets = False
    put(replace(changed(tmp_path, CHANGE), grace=0))
    meanwhile = seen(tmp_path) == seen_in(store, tmp_path / "meanwhile")
    store.forgets = True
    release = changed(tmp_path, CHANGE)
    put(replace(release, grace=0))

    assert meanwhile
    assert current(store, release)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (500, "it cannot be reached, or fails: "),
        (403, "give this login the rights to read, list, write and delete"),
    ],
)
def test_a_store_that_fails_does_so_alone(plant: Plant, tmp_path: Path, status: int, says: str) -> None:
    """One line names it, without any secret; all else is published, and the next run catches up."""
    with served_store() as (served, variables):
        sightglass = Sightglass(tmp_path, {**plant.cogniac_login, **variables})
        served.status = status
        bad = sightglass("run")
        nothing, here = dict(served.objects), bool(seen(sightglass.home))
        served.status = 200
        good = sightglass("publish")
        found = seen_in(served, tmp_path / "seen")

    lines = [line for line in bad.err.splitlines() if URL in line]
    assert (4, 1, {}, True, 0) == (bad.code, len(lines), nothing, here, good.code)
    assert f"{URL} keeps the version that it has, the next run tries again: {says}" in lines[0]
    assert not any(each in bad.err for each in (SECRET, "Traceback", "Signature", "Debug"))
    assert seen(sightglass.home) == found


def test_a_full_disk_here_leaves_nothing_half_made(plant: Plant, tmp_path: Path) -> None:
    """Neither the `bi.duckdb` that is made for the store nor its log; the next publish puts it."""
    with served_store() as (served, variables):
        sightglass = Sightglass(tmp_path, plant.cogniac_login)
        assert 0 == sightglass("run").code
        before = sorted(path.name for path in sightglass.home.iterdir())
        there = Sightglass(tmp_path, {**plant.cogniac_login, **variables})
        with started(there, ON_A_FULL_DISK, "publish") as process:
            _, said = process.communicate(timeout=100)
        left = sorted(path.name for path in sightglass.home.iterdir())
        again = there("publish")

    assert (4, True) == (process.returncode, f"{URL} keeps the version that it has" in said)
    assert sorted([*before, "warehouse.id"]) == left
    assert (0, True) == (again.code, f"{UNDER}bi.duckdb" in served.objects)


def test_a_store_that_is_slow_fails_in_time(store: Store, tmp_path: Path) -> None:
    """Each request has its time limit."""
    store.pause = 2
    with pytest.raises(TargetError) as slow:
        put(changed(tmp_path, RESULTS), replace(SOON, timeout=0.2, retry=0.5))

    assert str(slow.value).startswith("it cannot be reached, or fails: ")


WRONG = {
    "uncopied": ("/results/2025-02", "it has said that it holds versions/cogniac/results/2025-02."),
    "loses": (1, "it has said that it holds .aside/cogniac."),
    "has_tags": (False, "it gives no ETag that tells one content of an object from another, which is needed"),
    "repeats": (True, "its list of what is below versions has no end: it names the same again"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_store_that_answers_wrongly_is_found_out(store: Store, tmp_path: Path, name: str) -> None:
    """Before a version counts there that lacks something; who reads keeps the one before, whole."""
    put(changed(tmp_path, RESULTS))
    before = seen(tmp_path)
    release = changed(tmp_path, CHANGE)
    value, says = WRONG[name]
    store.loses_of = ".parquet"
    right = getattr(store, name)
    setattr(store, name, value)
    with pytest.raises(TargetError) as wrong:
        put(release)
    meanwhile = seen_in(store, tmp_path / "meanwhile")
    setattr(store, name, right)
    put(release)

    assert str(wrong.value).startswith(says)
    assert before == meanwhile
    assert seen(tmp_path) == seen_in(store, tmp_path / "seen")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/srv/lake", "must be an address such as s3://bucket/prefix, gs:// or az://"),
        ("s3://key:secret@bucket/prefix", "must hold no credentials and no query"),
    ],
)
def test_an_address_of_no_store_is_refused(plant: Plant, sightglass: Sightglass, url: str, says: str) -> None:
    """Before any API is asked, and without a word of what may be a secret."""
    ran = sightglass("run", SIGHTGLASS_LAKE_STORE=url)

    assert (2, 0) == (ran.code, len(plant.cogniac.requests))
    assert f"SIGHTGLASS_LAKE_STORE {says}" in ran.err
    assert "secret@" not in ran.err


def test_a_store_needs_its_extra(plant: Plant, sightglass: Sightglass, tmp_path: Path) -> None:
    """Where it is missing, one line says how to get it before any API is asked."""
    (tmp_path / "obstore.py").write_text("raise ImportError('No module named obstore')", encoding="utf-8")
    ran = sightglass("run", SIGHTGLASS_LAKE_STORE=URL)

    said = "sightglass: SIGHTGLASS_LAKE_STORE names an object store: pip install 'sightglass-etl[store]' "
    assert (2, 0, True) == (ran.code, len(plant.cogniac.requests), ran.err.startswith(said))
