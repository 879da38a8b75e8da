"""Every run ends with what readers see: checked, whole, and rewritten only where something has changed."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import Plant, Ran, Sightglass, as_read, serving, table
from support.lake import plain
from support.publish_kills import copy, held, seen
from support.stops import answer_again, hang

from etl import schema
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.publish import moment_of

TABLES = {table.qualified: table for source in schema.sources() for table in source.tables.values()}
Content = dict[str, list[str]]
COLUMNS = """
    SELECT schema_name || '.' || table_name, column_name, data_type, comment
    FROM duckdb_columns() WHERE NOT internal AND schema_name NOT IN ('mart', 'staging')
    AND column_name <> '_is_version'
    ORDER BY schema_name, table_name, column_index"""
DOCS = """
    SELECT schema_name, {kind}_name, comment FROM duckdb_{kind}s()
    WHERE NOT internal AND schema_name NOT IN ('mart', 'staging') ORDER BY ALL"""


def by_duckdb(path: Path, relation: Callable[[str], str]) -> Content:
    """The rows of all tables in a DuckDB file."""
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return read(lambda name: connection.sql(f"FROM {relation(name)}").to_arrow_table())


def by_pyarrow(lake: Path) -> Content:
    """The rows of all tables in the lake."""
    return read(lambda name: ds.dataset(lake.joinpath(*name.split("."))).to_table())


def by_polars(lake: Path) -> Content:
    """The same, as another engine finds them."""
    return read(lambda name: pl.read_parquet(lake.joinpath(*name.split("."), "*.parquet")).to_arrow())


def read(rows: Callable[[str], pa.Table]) -> Content:
    """The rows of all tables, as they print, by whatever finds those of one."""
    return {name: plain(rows(name).cast(each.arrow())) for name, each in TABLES.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """What a run said, and all that could be read after it, by who read it."""

    ran: Ran
    content: dict[str, Content]
    written: dict[str, Any]
    """What the names of the files tell, as the run should have reported it."""


@dataclass(frozen=True, slots=True)
class Published:
    """A first load, and a run after more has happened."""

    plant: Plant
    sightglass: Sightglass
    steps: list[Step]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Two runs of both sources."""
    cogniac = CogniacSimulator(1, CogniacSize(applications=3, records=60))
    with serving(cogniac, NeuronsSimulator(1, NeuronsSize(media=8, frames=(10, 12)))) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("published"), plant.settings)
        made = Published(plant, sightglass, [step(sightglass)])
        cogniac.advance(records=20, corrections=10)
        plant.neurons.advance(media=2)
        made.steps.append(step(sightglass))
        yield made


def step(sightglass: Sightglass) -> Step:
    """A run, and what is there after it."""
    ran, home = sightglass("run", "--json"), sightglass.home
    lake = home / "lake"
    since = max(path.stem for path in home.glob("versions/*.commit"))
    files = list(home.glob(f"versions/*/*/*.{since}.parquet"))
    return Step(
        ran,
        {
            "warehouse": by_duckdb(home / "warehouse.duckdb", as_read),
            "bi.duckdb": by_duckdb(home / "bi.duckdb", str),
            "pyarrow": by_pyarrow(lake),
            "polars": by_polars(lake),
        },
        {
            "since": moment_of(since),
            "tables": len({path.parent for path in files}),
            "files": len(files),
            "rows": sum(pq.read_metadata(path).num_rows for path in files),
            "mended": [],
            "failed": {},
        },
    )


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("reader", ["bi.duckdb", "pyarrow", "polars"])
def test_every_reader_finds_the_rows_of_the_warehouse(published: Published, number: int, reader: str) -> None:
    """After a first load and after an increment, all tables are the same wherever one looks."""
    content = published.steps[number].content

    assert content["warehouse"] == content[reader]
    assert 10 < sum(map(bool, content["warehouse"].values()))


def test_the_views_have_the_types_and_comments_of_the_tables(published: Published) -> None:
    """bi.duckdb says of each column what the warehouse says."""
    warehouse, bi = (published.sightglass.home / f"{name}.duckdb" for name in ("warehouse", "bi"))
    with duckdb.connect(warehouse, read_only=True) as ours, duckdb.connect(bi, read_only=True) as theirs:
        assert ours.execute(COLUMNS).fetchall() == theirs.execute(COLUMNS).fetchall()
        tables, views = DOCS.format(kind="table"), DOCS.format(kind="view")
        assert ours.execute(tables).fetchall() == theirs.execute(views).fetchall()


def test_a_run_reports_what_it_published(published: Published) -> None:
    """`run --json` counts the files that were written, their tables and rows."""
    first, second = published.steps

    assert [first.written, second.written] == [each.ran.report["published"] for each in published.steps]
    assert (len(TABLES), sum(map(len, first.content["warehouse"].values()))) == (
        first.written["tables"],
        first.written["rows"],
    )
    assert 0 < second.written["tables"] < first.written["tables"]


def test_sql_answers_while_a_run_works(published: Published) -> None:
    """It sees what the run before has published."""
    hanging = hang(published.plant, "list")
    with published.sightglass.start("run") as process:
        hanging.waits.wait(60)
        ran = published.sightglass("sql", "SELECT count(*) FROM cogniac.results")
        at_work = process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    answer_again(published.plant)

    count = len(published.steps[1].content["warehouse"]["cogniac.results"])
    assert (True, Ran(0, f"count_star()\n{count}\n", "")) == (at_work, ran)


@pytest.mark.parametrize(
    ("query", "kind"), [("COPY (SELECT 1) TO '{lake}/one.parquet'", "COPY"), ("SET threads = 1", "SET")]
)
def test_sql_changes_nothing(published: Published, query: str, kind: str) -> None:
    """Not even in the folder that it may read: exit code 2, with what is wrong."""
    ran = published.sightglass("sql", query.format(lake=published.sightglass.home / "lake"))

    said = f"sightglass: the query failed: {kind} changes something; only reading is allowed\n"
    assert Ran(2, "", said) == ran
    assert not (published.sightglass.home / "lake" / "one.parquet").exists()


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}'",
        "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{path}'",
        "EXPLAIN/**/ANALYZE/**/COPY (SELECT 1) TO '{path}'",
        "WITH one AS (COPY (SELECT 1) TO '{path}') SELECT 1",
    ],
)
def test_sql_writes_no_file_by_a_detour(published: Published, query: str) -> None:
    """What would write is refused also inside of something that only reads."""
    path = published.sightglass.home / "lake" / "one.parquet"
    ran = published.sightglass("sql", query.format(path=path))
    written = path.exists()
    path.unlink(missing_ok=True)

    assert (2, False) == (ran.code, written)


WITHOUT_MARKS = """
    CREATE TEMP TABLE everything AS FROM {relation};
    TRUNCATE {name};
    INSERT INTO {name} BY NAME FROM everything;
    DROP TABLE everything"""


def test_versions_are_published_alike_wherever_they_are_stored(published: Published, tmp_path: Path) -> None:
    """Of a warehouse in which every version stands in a table, as before there were marks, nothing is new."""
    sightglass, home = published.sightglass, published.sightglass.home
    copy(home, tmp_path / "before")
    # A run that was stopped may have left something.
    sightglass("publish")
    content = by_duckdb(home / "bi.duckdb", str)
    with duckdb.connect(home / "warehouse.duckdb") as warehouse:
        for name in ("cogniac.detection_history", "cogniac.result_versions"):
            warehouse.execute(WITHOUT_MARKS.format(name=name, relation=as_read(name)))
        for name in ("cogniac.detections", "cogniac.results"):
            warehouse.execute(f"ALTER TABLE {name} DROP COLUMN _is_version")
    ran = sightglass("publish")
    found = by_duckdb(home / "warehouse.duckdb", as_read)
    copy(tmp_path / "before", home)

    assert (0, True, content) == (ran.code, "nothing changed" in ran.err, found), ran.err


HINT = "where that is as it should be, `sightglass publish --force` publishes it"
UNSOUND = {
    "the counts of a run do not add up for {0} cogniac applications": (
        "SELECT max(run_id) FROM etl.run_streams WHERE stream = 'applications'",
        """
        UPDATE etl.run_streams SET fetched = fetched + 1 WHERE stream = 'applications'
        AND run_id = (SELECT max(run_id) FROM etl.run_streams WHERE stream = 'applications')""",
    ),
    "cogniac.detection_history has 0 rows, fewer than {0:,}": (
        f"SELECT count(*) FROM {as_read('cogniac.detection_history')}",  # noqa: S608
        "DELETE FROM cogniac.detection_history; UPDATE cogniac.detections SET _is_version = NULL",
    ),
    "cogniac.applications has two rows of the key ('{0}',)": (
        "SELECT application_id FROM cogniac.applications ORDER BY ALL LIMIT 1",
        """
        INSERT INTO cogniac.applications SELECT * REPLACE (now() AS _loaded_at) FROM cogniac.applications
        ORDER BY application_id LIMIT 1""",
    ),
    "cogniac.detection_boxes has the row {0}, but cogniac.detections none that it belongs to": (
        """
        SELECT (application_id, 'nowhere', focus_key, detection_id, subject_uid, box_index)
        FROM cogniac.detection_boxes ORDER BY ALL LIMIT 1""",
        """
        INSERT INTO cogniac.detection_boxes
        SELECT * REPLACE ('nowhere' AS media_id, now() AS _loaded_at) FROM cogniac.detection_boxes
        ORDER BY application_id, media_id, focus_key, detection_id, subject_uid, box_index LIMIT 1""",
    ),
}
"""What is said, what is named in it, and how it comes about."""


def test_what_is_unsound_is_held_back(published: Published, tmp_path: Path) -> None:
    """The run ends with 4 and says all of it, readers keep what they had; --force publishes it anyway."""
    sightglass, home = published.sightglass, published.sightglass.home
    copy(home, tmp_path / "sound")
    problems = [said.format(*table(home, asked)[0]) for said, (asked, _) in UNSOUND.items()]
    with duckdb.connect(home / "warehouse.duckdb") as warehouse:
        for _, done in UNSOUND.values():
            warehouse.execute(done)
    before = seen(home)
    ran = sightglass("run", "--json")
    kept = seen(home)
    entered = table(home, "SELECT status, exit_code FROM etl.runs ORDER BY started_at DESC LIMIT 1")
    refused, forced = sightglass("publish"), sightglass("publish", "--force")
    found = seen(home) == held(home)
    copy(tmp_path / "sound", home)

    said = f"sightglass: not published, readers keep the version they have: {'; '.join(problems)}; {HINT}"
    assert (4, "partial", None) == (ran.code, ran.report["status"], ran.report["published"])
    assert said in ran.err.splitlines()
    assert ([("partial", 4)], before) == (entered, kept)
    assert (Ran(4, "", f"{said}\n"), 0, True) == (refused, forced.code, found)
