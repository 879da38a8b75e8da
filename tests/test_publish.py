"""Every run ends with what readers see: checked, whole, and rewritten only where something has changed."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Plant, Ran, Sightglass, as_read, serving, table
from support.lake import plain
from support.partitions import settings_of
from support.publish_kills import copy, held, seen
from support.readers import ANSWERS, begun, result
from support.stops import answer_again, hang

from etl import schema
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.load.warehouse import open_for_writing
from etl.publish import moment_of, publish
from etl.publish.bi import open_bi

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
    since = max(path.stem for path in lake.glob(".versions/*.commit"))
    files = list(lake.glob(f".versions/*/*/*.{since}.parquet"))
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


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A warehouse that holds results of many months, published."""
    umask = os.umask(0o022)
    changed(
        tmp_path,
        """
        INSERT INTO cogniac.results BY NAME
        SELECT
            'a' AS application_id, 'm' || i AS media_id, '' AS focus_key, 'r' AS _run_id, now() AS _loaded_at,
            TIMESTAMPTZ '2025-01-15' + to_months(CAST(i % 12 AS INTEGER)) AS updated_at
        FROM range(120) t(i)""",
    )
    yield tmp_path
    os.umask(umask)


def changed(home: Path, statement: str, **more: str) -> int:
    """How many files were written after a change to the warehouse."""
    with closing(open_for_writing(home)) as warehouse:
        warehouse.connection.execute(statement)
        return publish(warehouse, settings_of(home, **more)).files


def stats(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file that has a clean name, so that one written anew is seen."""
    paths = [path for path in folder.rglob("*.*") if path.is_file() and ".versions" not in path.parts]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_small_change_rewrites_only_what_it_touched(home: Path) -> None:
    """Of tables with many partitions, one row more is one file more to write; all others stay."""
    before = stats(home)
    files = changed(
        home, "UPDATE cogniac.results SET detection_count = 1, _loaded_at = now() WHERE media_id = 'm3'"
    )
    after = stats(home)

    different = {name for name in after if before.get(name) != after[name]} - {"warehouse.duckdb"}
    assert ({"lake/cogniac/results/2025-04.parquet"}, 1) == (different, files)
    assert 12 == len([name for name in after if name.startswith("lake/cogniac/results/2025-")])


def test_bi_is_rewritten_only_for_new_definitions(home: Path) -> None:
    """However much the rows change it stays the same file; one that is lost or damaged is made again."""
    bi, insert = home / "bi.duckdb", "INSERT INTO etl.runs (run_id, started_at, status, version) VALUES "
    elsewhere = {"SIGHTGLASS_LAKE_URI": f"file://{home}/lake"}
    found = [bi.stat().st_ino]
    for number, more in enumerate(({}, {}, elsewhere, elsewhere, {})):
        changed(home, f"{insert} ('r{number}', now(), 'ok', '1')", **more)
        found.append(bi.stat().st_ino)
    kept = [one == other for one, other in pairwise(found)]
    made = []
    for damage in (b"", bi.read_bytes()[:5000], None):
        bi.unlink() if damage is None else bi.write_bytes(damage)
        changed(home, "SELECT 1")
        made.append(seen(home) == held(home))

    assert [True, True, False, True, False] == kept
    assert [True] * 3 == made


TWICE = """
import os, sys
from pathlib import Path
from etl.cli import settings_for
from etl.load.warehouse import open_for_writing
from etl.publish import publish

settings = settings_for({"SIGHTGLASS_HOME": sys.argv[1]}, {}, Path(os.devnull))
warehouse = open_for_writing(settings.home)
for month in (1, 2):
    warehouse.connection.execute(
        "INSERT INTO etl.runs VALUES ($1, make_timestamptz($1), NULL, 'ok', 0, '1', NULL)",
        [month * 5_000_000_000_000],
    )
    publish(warehouse, settings)
warehouse.close()
"""


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640)])
def test_the_umask_says_who_may_read_what_is_published(
    tmp_path: Path, umask: int, folder: int, file: int
) -> None:
    """The lake and bi.duckdb follow it in every folder and file; the warehouse is its owner's alone."""
    command = [sys.executable, "-c", TWICE, str(tmp_path)]
    subprocess.run(command, check=True, umask=umask, env={**os.environ, "PYTHONPATH": str(ROOT)})
    paths = [tmp_path / "bi.duckdb", tmp_path / "lake", *(tmp_path / "lake").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}

    assert {(True, folder), (False, file)} == modes
    assert 0o600 == stat.S_IMODE((tmp_path / "warehouse.duckdb").stat().st_mode)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_readers_elsewhere_see_the_lake_under_another_name(home: Path, scheme: str) -> None:
    """The views name the place that only readers have, while `sightglass sql` looks where the lake is."""
    place = home / "mounted" / "there"
    changed(home, "SELECT 1", SIGHTGLASS_LAKE_URI=f"{scheme}{place}/")
    query = "SELECT count(*) FROM cogniac.results"
    with open_bi(settings_of(home, SIGHTGLASS_LAKE_URI=f"{scheme}{place}/")) as connection:
        local = connection.execute(query).fetchall()
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        views = reader.execute(
            "SELECT sql FROM duckdb_views() WHERE schema_name IN ('cogniac', 'etl')"
        ).fetchall()
    place.parent.mkdir()
    place.symlink_to(home / "lake")
    found = {which: result(begun(which, ANSWERS, str(home / "bi.duckdb"))) for which in ("current", "reader")}

    assert [(120,)] == local
    assert [] == [
        sql for (sql,) in views if f"'file://{place}/.versions/" not in sql or str(home / "lake") in sql
    ]
    assert held(home) == seen(home)
    assert found["current"]["answers"] == found["reader"]["answers"]
    assert 120 == len(found["reader"]["answers"]["cogniac.results"][1])


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


OUTSIDE = (
    "FROM read_text('/etc/passwd')",
    "FROM read_text('{home}/lake/../run.lock')",
    "FROM read_blob('{home}/warehouse.duckdb')",
    "FROM glob('{home}/*')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM '{home}/raw/**/*.zst'",
    "ATTACH '{home}/warehouse.duckdb' AS ours",
    "COPY (SELECT 1) TO '{home}/one.csv'",
    "INSERT INTO etl.cursors FROM etl.cursors",
    "INSTALL httpfs",
    "SET allowed_directories = ['/']",
    "SET enable_external_access = true",
)


def test_what_is_published_is_all_that_can_be_read(home: Path) -> None:
    """The connection behind `sightglass sql` reaches no other file, and no setting that would let it."""
    refused = []
    with open_bi(settings_of(home)) as connection:
        for query in OUTSIDE:
            with pytest.raises(duckdb.Error):
                connection.execute(query.format(home=home)).fetchall()
            refused.append(query)
        inside = connection.sql(f"FROM '{home}/lake/cogniac/results/*.parquet'").count("*").fetchall()

    assert (list(OUTSIDE), [(120,)]) == (refused, inside)


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
