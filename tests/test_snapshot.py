"""`sightglass snapshot`: one file that holds all that is published, and is never seen half made."""

import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Ran, Sightglass, serving
from support.kills import started
from support.partitions import settings_of
from support.readers import ANSWERS, VERSIONS, begun, result
from support.stops import answer_again, hang

from etl import schema, views
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.errors import EnvironmentFaultError
from etl.load.warehouse import open_for_writing
from etl.publish import moment_of, publish, snapshot
from etl.publish.lake import Lake

TABLES = [table for source in schema.sources() for table in source.tables.values()]
COLUMNS = """
    SELECT schema_name || '.' || table_name, column_name, data_type, is_nullable, comment
    FROM duckdb_columns() WHERE NOT internal AND schema_name NOT IN ('mart', 'staging')
    AND column_name <> '_is_version'
    ORDER BY table_name, column_index"""
COMMENTS = """
    SELECT schema_name || '.' || table_name, comment FROM duckdb_tables() ORDER BY ALL"""
KEYS = """
    SELECT schema_name || '.' || table_name, constraint_column_names
    FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY' ORDER BY ALL"""
VIEWS = """
    SELECT schema_name, view_name, comment FROM duckdb_views()
    WHERE schema_name IN ('mart', 'staging') ORDER BY ALL"""
VIEW_COLUMNS = """
    SELECT schema_name || '.' || table_name, column_name, comment
    FROM duckdb_columns() WHERE schema_name IN ('mart', 'staging')
    ORDER BY schema_name, table_name, column_index"""
AT_A_STATEMENT = """
import os, signal
import duckdb
from etl.publish import snapshot

class Watched:
    calls = 0
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def execute(self, *arguments):
        Watched.calls += 1
        if Watched.calls == 300:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.connection.execute(*arguments)

class Module:
    def __getattr__(self, name):
        return getattr(duckdb, name)
    def connect(self, *arguments):
        return Watched(duckdb.connect(*arguments))

snapshot.duckdb = Module()
from etl import cli
cli.main()
"""

CHANGING = """
import sys
import duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("DELETE FROM cogniac.detections")
print("changed", flush=True)
sys.stdin.read()
"""
ON_A_FULL_DISK = """
import resource
from etl import cli
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
cli.main()"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A warehouse with a little in it, published, and where that came from."""

    plant: Plant
    sightglass: Sightglass

    answers: Mapping[str, Any]
    """What `answers` finds in bi.duckdb."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A warehouse after one run."""
    cogniac = CogniacSimulator(1, CogniacSize(applications=2, records=30))
    with serving(cogniac, NeuronsSimulator(1, NeuronsSize(media=6, frames=(10, 12)))) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("loaded"), plant.settings)
        assert 0 == sightglass("run").code
        yield Loaded(plant, sightglass, answers(sightglass.home / "bi.duckdb"))


def told(path: Path | str, query: str) -> list[tuple[Any, ...]]:
    """The answer of a DuckDB file to a query."""
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(query).fetchall()


def answers(path: Path | str, which: str = "current") -> dict[str, Any]:
    """The columns and rows of all tables and marts in a DuckDB file."""
    found: dict[str, Any] = result(begun(which, ANSWERS, str(path)))["answers"]
    return found


@pytest.fixture(scope="module")
def made(loaded: Loaded) -> Ran:
    """What the command said that made a snapshot, called as people do."""
    return loaded.sightglass("snapshot", "one.duckdb", "--json")


@pytest.fixture
def one(loaded: Loaded, made: Ran) -> Path:
    """The snapshot."""
    assert 0 == made.code
    return loaded.sightglass.folder / "one.duckdb"


@pytest.mark.parametrize("which", VERSIONS)
def test_a_snapshot_holds_what_is_published(loaded: Loaded, one: Path, which: str) -> None:
    """In all DuckDBs its tables and marts have the columns and rows of bi.duckdb."""
    assert loaded.answers == answers(one, which)


def test_a_snapshot_has_keys_and_comments(loaded: Loaded, one: Path) -> None:
    """Types, NOT NULL, primary keys and all comments are as declared; the umask says who may read it."""
    warehouse = loaded.sightglass.home / "warehouse.duckdb"
    expected = sorted(views.views(), key=lambda view: view.qualified)

    assert (told(warehouse, COLUMNS), told(warehouse, COMMENTS)) == (told(one, COLUMNS), told(one, COMMENTS))
    assert sorted((table.qualified, list(table.key)) for table in TABLES) == told(one, KEYS)
    assert [(view.schema, view.name, view.doc) for view in expected] == told(one, VIEWS)
    docs = [(view.qualified, name, doc) for view in expected for name, doc in view.columns.items()]
    assert docs == told(one, VIEW_COLUMNS)
    assert 0o644 == stat.S_IMODE(one.stat().st_mode)


def test_a_snapshot_tells_of_which_version_it_is(loaded: Loaded, one: Path, made: Ran) -> None:
    """`--json` names the file, absolute, and since when what it holds was to be read; no more is left."""
    since = moment_of(Lake(loaded.sightglass.home).newest())

    assert {"snapshot": str(one), "since": since} == made.report
    assert f"sightglass: wrote {one}, as published at {since}\n" == made.err
    assert ["home", "one.duckdb"] == sorted(path.name for path in one.parent.iterdir())


def test_a_snapshot_can_be_made_while_a_run_works(loaded: Loaded, tmp_path: Path) -> None:
    """It holds what was published before."""
    hanging = hang(loaded.plant, "list")
    with loaded.sightglass.start("run") as process:
        hanging.waits.wait(60)
        ran = loaded.sightglass("snapshot", str(tmp_path / "one.duckdb"))
        at_work = process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    answer_again(loaded.plant)

    assert (True, 0, loaded.answers) == (at_work, ran.code, answers(tmp_path / "one.duckdb"))


def test_a_file_is_replaced_only_by_a_whole_one(loaded: Loaded, tmp_path: Path) -> None:
    """A snapshot that is killed leaves the old file; the next one makes it good, and leaves nothing else."""
    path = tmp_path / "one.duckdb"
    path.write_text("old")
    with started(loaded.sightglass, AT_A_STATEMENT, "snapshot", str(path)) as process:
        process.communicate(timeout=60)
    left = path.read_text()
    again = loaded.sightglass("snapshot", str(path))

    assert (-signal.SIGKILL, "old", 0) == (process.returncode, left, again.code)
    assert loaded.answers == answers(path)
    assert ["one.duckdb"] == [path.name for path in tmp_path.iterdir()]


def test_who_has_the_old_file_open_keeps_it(loaded: Loaded, tmp_path: Path) -> None:
    """A new file comes in its place, and is seen by who opens it then."""
    path = tmp_path / "one.duckdb"
    with duckdb.connect(path) as old:
        old.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    with duckdb.connect(path, read_only=True) as reader:
        snapshot.write_snapshot(settings_of(loaded.sightglass.home), path)
        kept = reader.execute("FROM mine").fetchall()

    assert [(42,)] == kept
    assert {(table.qualified,) for table in TABLES} == {row[:1] for row in told(path, COMMENTS)}


def test_what_somebody_has_changed_in_the_old_file_is_not_in_the_new_one(
    loaded: Loaded, one: Path, tmp_path: Path
) -> None:
    """As long as such a process has it open, it is refused: later changes would be in the new one."""
    path = tmp_path / "one.duckdb"
    shutil.copy(one, path)
    with begun("current", CHANGING, str(path)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused = loaded.sightglass("snapshot", str(path))
        process.kill()
    left = sorted(each.name for each in tmp_path.iterdir())
    ran = loaded.sightglass("snapshot", str(path))

    who = f"process {process.pid} ({Path(sys.executable).name})"
    said = f"{who} has opened {path} for writing: end that, or name another FILE"
    assert Ran(2, "", f"sightglass: {said}\n") == refused
    assert (["one.duckdb", "one.duckdb.wal"], 0) == (left, ran.code)
    assert loaded.answers == answers(path)
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [20_000, 1_000_000])
def test_a_full_disk_leaves_nothing_half_made(loaded: Loaded, tmp_path: Path, size: int) -> None:
    """Neither the file nor its log is left, whichever of them is too large, and what to do is told."""
    with started(
        loaded.sightglass, ON_A_FULL_DISK.format(size=size), "snapshot", str(tmp_path / "one.duckdb")
    ) as process:
        _, said = process.communicate(timeout=60)

    assert (2, 1, [True, True]) == (
        process.returncode,
        said.count("\n"),
        [
            said.startswith(f"sightglass: cannot write {tmp_path / 'one.duckdb'}: "),
            said.endswith("File too large; make room\n"),
        ],
    ), said
    assert [] == list(tmp_path.iterdir())


UNWRITABLE = {
    "no/one.duckdb": "No such file or directory",
    "file/one.duckdb": "Not a directory",
}


@pytest.mark.parametrize(("name", "reason"), UNWRITABLE.items())
def test_a_path_that_cannot_be_written_is_named(
    loaded: Loaded, tmp_path: Path, name: str, reason: str
) -> None:
    """Exit code 2 and why, and nothing is made."""
    (tmp_path / "file").touch()
    path = tmp_path / name
    ran = loaded.sightglass("snapshot", str(path))

    answer = loaded.sightglass("sql", "--parquet", str(path), "SELECT 1")

    said = f"sightglass: cannot write {path}: {reason}"
    assert Ran(2, "", f"{said}\n") == ran
    assert Ran(2, "", f"{said}; name another FILE\n") == answer
    assert ["file"] == [path.name for path in tmp_path.iterdir()]


def told_not_to(home: Path, path: Path) -> str:
    """Why a snapshot is not made."""
    with pytest.raises(EnvironmentFaultError) as caught:
        snapshot.write_snapshot(settings_of(home), path)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["warehouse.duckdb", "bi.duckdb", "lake/one.duckdb", "run.lock", "link/warehouse.duckdb"]
)
def test_a_snapshot_replaces_no_file_of_its_own_source(loaded: Loaded, tmp_path: Path, name: str) -> None:
    """Nothing in the folder of the warehouse can be overwritten by mistake, by whatever path."""
    home = loaded.sightglass.home
    (tmp_path / "link").symlink_to(home)
    path = (tmp_path if name.startswith("link") else home) / name
    before = {each: each.stat().st_ino for each in home.rglob("*")}
    said = told_not_to(home, path)

    assert f"{path} is where Sightglass keeps its own files; name another" == said
    assert before == {each: each.stat().st_ino for each in home.rglob("*")}


def test_a_snapshot_is_never_mixed_of_two_versions(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what it began with was replaced and has gone before its end, there is none, and the reason."""
    home = tmp_path / "home"
    shutil.copytree(loaded.sightglass.home, home)
    umask = os.umask(0o022)

    def publish_meanwhile(zone: str) -> Iterator[str]:
        with closing(open_for_writing(home)) as warehouse:
            warehouse.connection.execute("UPDATE etl.cursors SET run_id = 'another'")
            publish(warehouse, settings_of(home, SIGHTGLASS_LAKE_GRACE="0"))
        yield from views.statements(zone)

    monkeypatch.setattr("etl.publish.snapshot.statements", publish_meanwhile)
    said = told_not_to(home, tmp_path / "one.duckdb")
    os.umask(umask)

    reason = "this took longer than replaced files stay; raise SIGHTGLASS_LAKE_GRACE"
    assert f"cannot write {tmp_path / 'one.duckdb'}: {reason}" == said
    assert [home] == list(tmp_path.iterdir())


def test_there_must_be_something_published(tmp_path: Path) -> None:
    """Before the first run the message says what to do, and so it does where the first was killed early."""
    sightglass = Sightglass(tmp_path)
    said = (
        f"sightglass: nothing is published in {sightglass.home} yet: run `sightglass run`, "
        "or name another --home\n"
    )

    never = sightglass("snapshot", "one.duckdb")
    versions = sightglass.home / "versions"
    versions.mkdir(parents=True)
    (versions / "0000000000000000.commit").touch()
    assert [Ran(2, "", said)] * 2 == [never, sightglass("snapshot", "one.duckdb")]
    assert ["home"] == [path.name for path in tmp_path.iterdir()]
