"""Files half written, disks that are full, folders that are none: nothing is torn, the next run recovers."""

import pytest
from conftest import Ran, Sightglass, table
from support.kills import (
    SMALL_BATCHES,
    Moment,
    Tables,
    at_a_call,
    content,
    died,
    started,
    torn,
)

IN_ITS_PLACE = "move away what stands in its place"
LIMITED = """
import resource
from etl import cli
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
cli.main()"""
LIMITED_LOG = """
import resource
from etl import cli
from etl.extract.log_writer import LogWriter
calls, write = 0, LogWriter.seal
def limited(*arguments, **named):
    global calls
    calls += 1
    if calls < {number}:
        return write(*arguments, **named)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
    try:
        return write(*arguments, **named)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
LogWriter.seal = limited
cli.main()"""

IN_THE_FIRST_BLOCK = """
import os, resource, signal
import duckdb
real = duckdb.connect

class Attaching:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def execute(self, statement, *arguments):
        if statement.startswith("ATTACH"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
        try:
            return self.connection.execute(statement, *arguments)
        finally:
            if statement.startswith("ATTACH"):
                os.kill(os.getpid(), signal.SIGKILL)

duckdb.connect = lambda *arguments, **named: Attaching(real(*arguments, **named))
"""

SEALING = (
    ("make_private", 1, "after"),
    ("sync", 1, "before"),
    ("sync", 3, "before"),
    ("sync", 4, "after"),
    ("_write_records", 4, "after"),
    ("_write_file", 1, "after"),
)


def ran(sightglass: Sightglass, program: str, *command: str) -> Ran:
    """How a command ends, a run by default, that is this program."""
    with started(sightglass, program, *(command or ("run",))) as process:
        _, said = process.communicate(timeout=100)
    return Ran(process.returncode, "", said)


def recovered(sightglass: Sightglass) -> tuple[str, Tables | None, list[str]]:
    """What a run says that has room again where it does not end well, and what is there then."""
    again = sightglass("run")
    if again.code:
        return again.err, None, torn(sightglass.home)
    return "", content(sightglass.home), torn(sightglass.home)


# The database is begun with 12,288 bytes, the declared tables take some 90,000 in its log, the data 200,000.
@pytest.mark.parametrize("limit", [0, 1_000, 12_500, 40_000, 100_000, 200_000])
def test_no_room_for_the_warehouse(placed: Sightglass, expected: Tables, limit: int) -> None:
    """Wherever the room ends, the exit code is 2, one line says so, and with room all is loaded."""
    full = ran(placed, SMALL_BATCHES + LIMITED.format(limit=limit))
    unfinished = torn(placed.home)

    assert (2, 1, True) == (full.code, full.err.count("\n"), full.err.startswith("sightglass: ")), full.err
    assert "File too large" in full.err
    assert [] == unfinished
    assert ("", expected, []) == recovered(placed)


def test_a_kill_while_the_database_is_begun(placed: Sightglass, expected: Tables) -> None:
    """Of a database whose first bytes alone were written, the next run makes a whole one."""
    killed = died(placed, Moment(IN_THE_FIRST_BLOCK, 1))

    assert (True, "", expected, []) == (killed, *recovered(placed))


@pytest.mark.parametrize("death", SEALING, ids=str)
def test_a_kill_while_a_part_is_sealed(
    placed: Sightglass, expected: Tables, death: tuple[str, int, str]
) -> None:
    """What was begun of a file in the log is gone after the next run, and nothing is missing."""
    name, number, side = death
    killed = died(placed, Moment(at_a_call("etl.extract.log_writer", "owner", name), number, side))

    assert (True, "", expected, []) == (killed, *recovered(placed))


@pytest.mark.parametrize(("number", "limit"), [(1, 0), (3, 100), (6, 100)])
def test_no_room_for_the_log(placed: Sightglass, expected: Tables, number: int, limit: int) -> None:
    """What cannot be sealed is not loaded either; the file begun is gone; with room all is loaded."""
    full = ran(placed, SMALL_BATCHES + LIMITED_LOG.format(number=number, limit=limit))
    kept = [path for path in (placed.home / "raw").rglob("*") if path.is_file()]
    unfinished = torn(placed.home)

    assert (2, 1) == (full.code, full.err.count("\n")), full.err
    assert full.err.startswith(f"sightglass: cannot write the log {placed.home / 'raw'}/")
    assert full.err.endswith("File too large; make room\n")
    # One part can fill several files.
    assert (True, []) == (number - 1 <= len(kept), unfinished)
    assert ("", expected, []) == recovered(placed)


def test_a_file_in_the_place_of_the_log(placed: Sightglass, expected: Tables) -> None:
    """It is named and left alone; without it all is loaded."""
    placed.home.mkdir()
    in_the_way = placed.home / "raw"
    in_the_way.write_text("not ours")
    refused = placed("run")
    kept = in_the_way.read_text()
    in_the_way.unlink()

    assert (2, "", 1) == (refused.code, refused.out, refused.err.count("\n"))
    assert refused.err.startswith(f"sightglass: cannot read the log {in_the_way}/cogniac")
    assert refused.err.endswith(f"; {IN_ITS_PLACE}\n")
    assert "not ours" == kept
    assert ("", expected, []) == recovered(placed)


def test_a_home_below_a_file(placed: Sightglass, expected: Tables) -> None:
    """It is named and left alone; without it all is loaded."""
    placed.home.write_text("not ours")
    home = placed.home / "deep"
    refused = placed("run", "--home", str(home))
    kept = placed.home.read_text()
    placed.home.unlink()

    said = f"cannot use the folder {home}: Not a directory; {IN_ITS_PLACE}, or set SIGHTGLASS_HOME"
    assert (Ran(2, "", f"sightglass: {said}\n"), "not ours") == (refused, kept)
    assert ("", expected, []) == recovered(placed)


@pytest.mark.parametrize("command", ["rebuild", "undo", "forget"])
def test_no_room_for_tables_made_aside(copied: Sightglass, command: str) -> None:
    """Where the room ends while they are brought to disk, one line says so; with room it is done."""
    ((run_id, media_id),) = table(
        copied.home,
        "SELECT (SELECT max(run_id) FROM etl.runs), (SELECT min(media_id) FROM cogniac.media)",
    )
    words = {"rebuild": ["rebuild"], "undo": ["undo", run_id], "forget": ["forget", "--media", media_id]}
    half = (copied.home / "warehouse.duckdb").stat().st_size // 2
    full = ran(copied, LIMITED.format(limit=half), *words[command])
    again = copied(*words[command])

    assert (2, 1) == (full.code, full.err.count("\n")), full.err
    assert full.err.startswith("sightglass: the warehouse cannot be written: IO Error: Checkpoint failed")
    assert full.err.endswith("File too large; make room, then run again\n")
    assert (0, False) == (again.code, (copied.home / "rebuild").exists()), again.err


@pytest.mark.parametrize("limit", [20_000, 400_000])
def test_no_room_for_the_views(copied: Sightglass, limit: int) -> None:
    """Where `bi.duckdb` cannot be written, one line says so and nothing is left; with room it is."""
    (copied.home / "bi.duckdb").unlink()
    full = ran(copied, LIMITED.format(limit=limit), "publish")
    unfinished = torn(copied.home)
    again = copied("publish")

    assert (2, 1, []) == (full.code, full.err.count("\n"), unfinished), full.err
    assert full.err.startswith(f"sightglass: cannot write {copied.home}/bi.duckdb: ")
    assert full.err.endswith("File too large; make room\n")
    assert (0, True) == (again.code, (copied.home / "bi.duckdb").exists()), again.err


def test_no_room_for_a_snapshot(copied: Sightglass) -> None:
    """Wherever the room ends, the line says that it is the room."""
    path = copied.folder / "snapshot.duckdb"
    assert 0 == copied("snapshot", str(path)).code
    size = path.stat().st_size
    path.unlink()
    said = [ran(copied, LIMITED.format(limit=size * n // 8), "snapshot", str(path)) for n in (1, 4, 7)]

    assert [2] * 3 == [each.code for each in said]
    assert [True] * 3 == ["File too large" in each.err and each.err.count("\n") == 1 for each in said], said
    assert not path.exists()
