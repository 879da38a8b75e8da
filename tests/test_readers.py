"""Who reads bi.duckdb is never disturbed: not by runs, not by new columns, with none of three DuckDBs."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import duckdb
import pytest
from conftest import ROOT, Ran, Sightglass, serving
from support.partitions import Small, made_up
from support.readers import ANSWERS, VERSIONS, begun, result

from etl import schema
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.load.relation import relation

RUNS = 20
NEW_COLUMNS = {7: ("cogniac", "results"), 13: ("cogniac", "applications")}
"""Before which run a column is declared, and for which table."""
TABLES = [table for source in schema.sources() for table in source.tables.values()]
GROWING = [table.qualified for table in TABLES if table.floor == 1]
"""The tables in which no row is ever removed."""

PAUSES = {"current": 2, "floor": 5, "reader": 5}
"""How long each reader rests between two rounds, in times of a round, so that runs get on as well."""

LOOP = """
import json, sys, threading, time
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
def answer(query):
    return connection.execute(query).fetchall()

views = answer("SELECT schema_name, schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal")
tables = sorted(name for schema, name in views if schema not in ("mart", "staging"))
marts = [name for schema, name in views if schema == "mart"]
said = {name: f"(SELECT count(*) FROM {name})" for name in tables} | {
    "runs with streams": "(SELECT count(DISTINCT run_id) FROM etl.run_streams)",
    "detections": "(SELECT coalesce(sum(detection_count), 0) FROM cogniac.results)",
}
question = "SELECT " + ", ".join(said.values())
found, wrong, rounds = {}, [], 0
told = threading.Thread(target=sys.stdin.read, daemon=True)
told.start()
print("ready", flush=True)
last = False
while not last:
    last, before, rounds, since = not told.is_alive(), found, rounds + 1, time.monotonic()
    try:
        found = dict(zip(said, answer(question)[0]))
        wrong += [f"{name} shrank" for name in sys.argv[2].split() if found[name] < before.get(name, 0)]
        if found["etl.runs"] != found["runs with streams"]:
            wrong.append("the runs are of two versions")
        if found["cogniac.detections"] != found["detections"]:
            wrong.append("results and detections are of two versions")
        if rounds % 4 == 1:
            for name in marts:
                answer(f"SELECT count(hash(one)) FROM {name} AS one")
    except duckdb.Error as error:
        wrong.append(str(error))
    time.sleep(float(sys.argv[3]) * (time.monotonic() - since))  # leaves the cores to the runs
counts = {name: found[name] for name in tables}
print(json.dumps({"version": duckdb.__version__, "rounds": rounds, "wrong": wrong, "counts": counts}))
"""


PUBLISHING = """
import sys
from pathlib import Path
from support.partitions import INSERT, MARCH, Small, made_up
from etl.publish.limits import PublishLimits

small = Small(Path(sys.argv[1]), made_up("a"), made_up("b", ""), limits=PublishLimits(ahead=0.01))
for version in range(int(sys.argv[2])):
    for name in small.tables:
        small.execute("UPDATE " + name + " SET value = ?", version)
        at = f"2026-0{version % 3 + 1}-01 00:00:00+00"
        small.execute(INSERT.replace("small.a", name), version, at, None, version)
    small.publish()
    print(version, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Twenty:
    """What twenty runs said, and what was seen meanwhile by readers that never closed their connections."""

    home: Path
    runs: list[Ran]
    seen: Mapping[str, Any]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twenty]:
    """Twenty runs, of which two find a new column declared, each with more to load than the one before."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("etl", "schemas", "sql"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    cogniac = CogniacSimulator(1, CogniacSize(applications=3, records=60))
    with serving(cogniac, NeuronsSimulator(1, NeuronsSize(media=6, frames=(10, 12)))) as plant:
        sightglass = Sightglass(checkout, {**plant.settings, "PYTHONPATH": str(checkout)})
        runs = [sightglass("run")]
        bi = str(sightglass.home / "bi.duckdb")
        readers = {which: begun(which, LOOP, bi, " ".join(GROWING), str(PAUSES[which])) for which in VERSIONS}
        for reader in readers.values():
            assert reader.stdout is not None
            assert "ready\n" == reader.stdout.readline()
        for number in range(2, RUNS + 1):
            if number in NEW_COLUMNS:
                declare_another(checkout, *NEW_COLUMNS[number])
            cogniac.advance(records=5, corrections=3)
            runs.append(sightglass("run", "cogniac"))
        yield Twenty(sightglass.home, runs, {which: result(reader) for which, reader in readers.items()})


def declare_another(checkout: Path, source: str, table: str) -> None:
    """Declare one more column of a table, which the API does not send yet."""
    path, head = checkout / "schemas" / f"{source}.toml", f"[{table}.columns]\n"
    column = 'of_tomorrow = { type = "text", doc = "What the API will send one day." }\n'
    path.write_text(path.read_text().replace(head, head + column))


def test_every_run_goes_well(twenty: Twenty) -> None:
    """No run is held up by readers."""
    assert [(0, "")] * RUNS == [(ran.code, ran.out) for ran in twenty.runs]


@pytest.mark.parametrize("which", VERSIONS)
def test_readers_are_never_disturbed(twenty: Twenty, which: str) -> None:
    """Through one connection every query is answered, as of one version, and the last is the newest."""
    with duckdb.connect(twenty.home / "warehouse.duckdb", read_only=True) as warehouse:
        counts = {
            table.qualified: warehouse.sql(f"FROM {relation(table)}").count("*").fetchall()[0][0]
            for table in TABLES
        }
        new = warehouse.execute("SELECT count(*) FROM duckdb_columns() WHERE column_name = 'of_tomorrow'")
        columns = new.fetchall()
    seen = twenty.seen[which]

    assert ([(len(NEW_COLUMNS),)], RUNS) == (columns, counts["etl.runs"])
    assert (VERSIONS[which], [], counts) == (seen["version"], seen["wrong"], seen["counts"])
    assert seen["rounds"] > 5


def test_every_version_reads_the_same(twenty: Twenty) -> None:
    """Each view of a table and each mart gives the same columns and rows in all three DuckDBs."""
    bi = str(twenty.home / "bi.duckdb")
    found = {which: result(begun(which, ANSWERS, bi)) for which in VERSIONS}
    current = found["current"]["answers"]

    assert current == found["floor"]["answers"]
    assert current == found["reader"]["answers"]
    assert VERSIONS == {which: each["version"] for which, each in found.items()}
    assert {table.qualified for table in TABLES} <= current.keys()
    assert any(["of_tomorrow", "VARCHAR"] in columns for columns, _ in current.values())


def test_a_hundred_versions_in_a_row_are_never_mixed(tmp_path: Path) -> None:
    """Whenever a query comes, it finds both tables of one version, though many more are still there."""
    small, wrong, versions = Small(tmp_path / "lake", made_up("a"), made_up("b", "")), [], set()
    with begun("current", PUBLISHING, str(small.folder), "100") as publishing:
        assert publishing.stdout is not None
        publishing.stdout.readline()
        small.seen("small.a")
        question = "SELECT list(DISTINCT value), count(*) FROM {}"
        both = " UNION ALL ".join(question.format(name) for name in small.tables)
        while publishing.poll() is None:
            a, b = small.reader.execute(both).fetchall()
            if a != b or [a[1] - 1] != a[0]:
                wrong.append((a, b))
            versions.add(a[1])
            sleep(0.02)

    assert ([], 0) == (wrong, publishing.returncode)
    assert len(versions) > 10
    small.close()
