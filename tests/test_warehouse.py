"""The warehouse file: opened by one process, its tables as declared, its batches whole or not at all."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast

import duckdb
import pytest
from support.inbox import largest_file
from support.warehouse import NOW, OPENED, Opener, message_of

from etl.errors import BusyError, EnvironmentFaultError
from etl.load import holder, lock
from etl.load.database import LARGE, connected
from etl.load.duckdb_errors import MEMORY
from etl.load.warehouse import NAME, Warehouse, open_for_reading, open_for_writing

pytestmark = pytest.mark.usefixtures("usual_umask")
WIDE = """
    INSERT INTO neurons.media BY NAME
    SELECT
        'w' || i AS media_id, repeat(CAST(i AS VARCHAR), 500000) AS name, false AS is_complete,
        'r' AS _run_id, make_timestamptz(0) AS _loaded_at
    FROM range(40) AS made(i)"""
MEDIUM = "INSERT INTO neurons.media (media_id, _run_id) VALUES ('m1', 'r1')"
UNEVEN = """
    INSERT INTO neurons.media (media_id, name, _run_id)
    SELECT 'm' || i, md5(CAST(i AS VARCHAR)), 'r1' FROM range(2, 9_002) AS made(i)"""
COLUMN = """
    SELECT data_type, is_nullable, comment
    FROM duckdb_columns()
    WHERE schema_name = 'cogniac' AND table_name = 'subjects' AND column_name = 'expires_in'"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a warehouse that has been opened once."""
    open_for_writing(tmp_path).close()
    return tmp_path


@contextmanager
def another_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has run the code, and lives until the block ends."""
    program = f"import sys; {code}; print('ready', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield process
        process.stdin.close()


def altered(home: Path, change: str) -> None:
    """Make a table as another version of Sightglass would have made it."""
    with duckdb.connect(home / NAME) as connection:
        connection.execute(f"ALTER TABLE cogniac.subjects {change}")


def tables(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Every column of every table with its type and comment."""
    query = """
        SELECT schema_name, table_name, column_name, data_type, is_nullable, comment
        FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"""
    return warehouse.connection.execute(query).fetchall()


def test_a_warehouse_that_is_opened_again_is_as_it_was_left(tmp_path: Path) -> None:
    """Rows and tables outlive the process, and opening changes nothing."""
    first = open_for_writing(tmp_path)
    declared = tables(first)
    first.connection.execute(MEDIUM)
    first.close()
    second = open_for_writing(tmp_path)

    assert declared == tables(second)
    assert [(1,)] == second.ask("neurons/count")
    second.close()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """The database and its log have mode 0600, whatever the umask was."""
    warehouse = open_for_writing(tmp_path)
    warehouse.connection.execute(MEDIUM)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    warehouse.close()

    assert {NAME: 0o600, f"{NAME}.wal": 0o600} == modes


def test_a_warehouse_opened_for_reading_cannot_be_changed(home: Path) -> None:
    """Who reads, reads only."""
    warehouse = open_for_reading(home)

    with pytest.raises(duckdb.InvalidInputException):
        warehouse.connection.execute(MEDIUM)

    assert [(0,)] == warehouse.ask("neurons/count")
    warehouse.close()


def test_reading_where_there_is_no_warehouse_says_how_to_make_one(tmp_path: Path) -> None:
    """Nothing is made by looking."""
    said = message_of(EnvironmentFaultError, lambda: open_for_reading(tmp_path))

    assert f"there is no warehouse in {tmp_path} yet: run `sightglass run`, or name another --home" == said
    assert [] == list(tmp_path.iterdir())


@OPENED
def test_a_database_that_another_process_has_open_is_busy(home: Path, opener: Opener) -> None:
    """It is for waiting, not for settings."""
    with another_process("import duckdb; held = duckdb.connect(sys.argv[1])", home / NAME):
        said = message_of(BusyError, lambda: opener(home))

    assert f"another process has {home / NAME} open; wait for it to end" == said
    opener(home).close()


def test_a_column_that_is_new_is_added_with_its_comment(home: Path) -> None:
    """A warehouse made before a column was declared gets it, and is then like a new one."""
    before = open_for_reading(home)
    declared = tables(before), before.connection.execute(COLUMN).fetchall()
    before.close()
    altered(home, "DROP expires_in")
    after = open_for_writing(home)

    assert declared == (tables(after), after.connection.execute(COLUMN).fetchall())
    assert [("DOUBLE", True)] == [row[:2] for row in declared[1]]
    after.close()


def test_a_column_that_need_not_be_filled_any_more_is_let_be_null(home: Path) -> None:
    """Cursors of earlier versions were times without exception."""
    altered(home, "ALTER COLUMN description SET NOT NULL")
    open_for_writing(home).close()

    with duckdb.connect(home / NAME) as connection:
        connection.execute("INSERT INTO cogniac.subjects (subject_uid) VALUES ('s')")
        assert [("s", None)] == connection.execute(
            "SELECT subject_uid, description FROM cogniac.subjects"
        ).fetchall()


def test_other_threads_see_what_is_committed(tmp_path: Path) -> None:
    """A question from another thread is answered as if the transaction that is open were not there."""
    warehouse = open_for_writing(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        with warehouse.transaction():
            warehouse.connection.execute(MEDIUM)
            during = thread.submit(warehouse.ask, "neurons/count").result()
            own = warehouse.run("neurons/count")
        after = thread.submit(warehouse.ask, "neurons/count").result()
    warehouse.close()

    assert ([(0,)], [(1,)], [(1,)]) == (during, own, after)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """All that was written in it is gone, the error comes through, and the next transaction works."""
    warehouse = open_for_writing(tmp_path)

    def broken() -> None:
        with warehouse.transaction():
            warehouse.connection.execute(MEDIUM)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert [(0,)] == warehouse.ask("neurons/count")
    with warehouse.transaction():
        warehouse.connection.execute(MEDIUM)
    assert [(1,)] == warehouse.ask("neurons/count")
    warehouse.close()


HOLD = """from datetime import datetime; from pathlib import Path; from etl.load import lock
held = lock.hold(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])); held.__enter__()"""


def busy(home: Path, pid: int) -> str:
    """What a run is told while this process holds the warehouse."""
    holder = f"another run (process {pid}, since {NOW.isoformat()})"
    return f"{holder} holds the warehouse {home}; its work goes on, this run did nothing"


def test_a_second_run_is_told_who_holds_the_warehouse(tmp_path: Path) -> None:
    """The lock keeps out runs of this and of other processes, until it is given back."""
    with lock.hold(tmp_path, NOW):
        here = message_of(BusyError, lambda: lock.hold(tmp_path, NOW).__enter__())
    with another_process(HOLD, tmp_path, NOW) as process:
        there = message_of(BusyError, lambda: lock.hold(tmp_path, NOW).__enter__())

    assert [busy(tmp_path, os.getpid()), busy(tmp_path, process.pid)] == [here, there]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"7", b'{"pid": 1}'])
def test_a_holder_that_is_not_named_is_another_run(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file that names it, the lock alone decides."""
    with lock.hold(tmp_path, NOW):
        (tmp_path / holder.HOLDER).write_bytes(content)
        said = message_of(BusyError, lambda: lock.hold(tmp_path, NOW).__enter__())

    assert f"another run holds the warehouse {tmp_path}; its work goes on, this run did nothing" == said


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    """Nobody need clean up after a run that was killed."""
    with another_process(HOLD, tmp_path, NOW) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        with lock.hold(tmp_path, NOW):
            told = json.loads((tmp_path / holder.HOLDER).read_text())

    assert (-signal.SIGKILL, os.getpid()) == (process.returncode, told["pid"])


def test_a_log_that_does_not_fit_into_the_memory_is_worked_in_with_more(home: Path) -> None:
    """DuckDB gives its connection up then: the file is opened anew, for who asks from other threads too."""
    opened_anew, over = [], Event()
    with closing(open_for_writing(home)) as opened_once:
        opened_once.connection.execute("SET memory_limit = '1GB'")
        with opened_once.transaction():
            opened_once.connection.execute(WIDE)
        opened_once.connection.execute("SET memory_limit = '16MB'")
        opened_once.memory, first = 16, opened_once.connection
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(lambda: asking(opened_once, over))
            opened_once.work_in_log(0)
            opened_anew.append(opened_once.connection is not first)
            over.set()
        answers = asked.result()
        with opened_once.transaction():
            opened_once.connection.execute(MEDIUM)
        after = opened_once.ask("neurons/count")

    assert ([True], {((40,),)}, [(41,)]) == (opened_anew, {tuple(each) for each in answers}, after)


class Connection:
    """A connection that does what a real one does, but for what is said otherwise."""

    def __init__(self, real: duckdb.DuckDBPyConnection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as the real one has it
        return getattr(self._real, name)


class Failing(Connection):
    """A connection whose commits find too little memory; what they would have committed stays in it."""

    def commit(self) -> None:
        """Fail as DuckDB does."""
        raise duckdb.TransactionException("Failed to commit: could not allocate block of size 1.4 MiB")


def test_a_commit_that_found_too_little_memory_is_made_again_from_the_file(home: Path) -> None:
    """DuckDB mixes rows up that are committed again in its memory: what it holds there is given up."""
    with closing(open_for_writing(home)) as opened_once:
        first = opened_once.connection
        opened_once.connection = failing = cast("Any", Failing(first))

        def write() -> None:
            with opened_once.transaction():
                opened_once.connection.execute(MEDIUM)

        opened_once.with_memory(write)
        is_another = opened_once.connection not in (first, failing)
        with pytest.raises(duckdb.ConnectionException):
            first.execute("SELECT 1")
        found = opened_once.ask("neurons/count"), opened_once.memory

    assert (True, ([(1,)], 2 * MEMORY)) == (is_another, found)
    with closing(open_for_reading(home)) as read:
        assert [(1,)] == read.ask("neurons/count")


class Full(Connection):
    """A connection to a file for which the disk has no room."""

    def execute(self, query: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
        """Execute all but what writes into the file."""
        if query == "CHECKPOINT":
            raise duckdb.IOException("Could not write to file: No space left on device")
        return self._real.execute(query, parameters)


@pytest.mark.parametrize("is_full", [False, True])
def test_what_was_committed_is_brought_in_meanwhile_or_stays_in_the_log(home: Path, *, is_full: bool) -> None:
    """Nobody waits for it to close the file, and nobody loses anything by it."""
    log = home / "warehouse.duckdb.wal"
    with closing(open_for_writing(home)) as opened_once:
        if is_full:
            opened_once.connection = cast("Any", Full(opened_once.connection))
        with opened_once.transaction():
            opened_once.connection.execute(MEDIUM)
        before = log.stat().st_size > 0
        with opened_once.settling():
            body = "is done"
        after = log.exists() and log.stat().st_size > 0
        found = opened_once.ask("neurons/count")

    assert (True, "is done", is_full, [(1,)]) == (before, body, after, found)
    with closing(open_for_reading(home)) as read:
        assert [(1,)] == read.ask("neurons/count")


def test_a_warehouse_that_could_not_be_settled_is_written_and_read_as_before(home: Path) -> None:
    """DuckDB gives a database up whose checkpoint found no room; how a run ended is entered all the same."""
    with closing(open_for_writing(home)) as opened_once:
        with opened_once.transaction():
            opened_once.connection.execute(UNEVEN)
        with largest_file((home / NAME).stat().st_size), opened_once.settling():
            pass
        with opened_once.transaction():
            opened_once.connection.execute(MEDIUM)
        found = opened_once.ask("neurons/count")

    assert [(9_001,)] == found
    with closing(open_for_reading(home)) as read:
        assert [(9_001,)] == read.ask("neurons/count")


class Slow(Connection):
    """A connection whose checkpoint takes until somebody closes it, or a while."""

    def __init__(self, real: duckdb.DuckDBPyConnection, done: list[str]) -> None:
        super().__init__(real)
        self._done = done
        self.begun, self._is_closed = Event(), Event()

    def execute(self, query: str) -> duckdb.DuckDBPyConnection:
        """Work the log in."""
        self.begun.set()
        self._is_closed.wait(0.2)
        found = self._real.execute(query)
        self._done.append(query)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._done.append("closed")
        self._is_closed.set()
        self._real.close()


def test_the_file_is_let_go_of_once_nobody_works_on_it(home: Path) -> None:
    """Who is interrupted while it settles does not wait for that; the next one could not open the file."""
    done: list[str] = []
    opened_once = open_for_writing(home)
    with opened_once.transaction():
        opened_once.connection.execute(MEDIUM)
    slow = Slow(opened_once.connection, done)
    opened_once.connection = cast("Any", slow)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(opened_once.work_in_log, 0)
        slow.begun.wait()
        opened_once.close()
        with closing(open_for_writing(home)) as again:
            found = again.ask("neurons/count")

    assert (["CHECKPOINT", "closed"], [(1,)]) == (done, found)


def test_what_was_closed_is_not_opened_anew(home: Path) -> None:
    """Who comes too late to bring in what was committed leaves the file to others."""
    opened_once = open_for_writing(home)
    with opened_once.transaction():
        opened_once.connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        opened_once.connection.execute(MEDIUM)
    opened_once.close()
    with opened_once.settling():
        pass

    with closing(open_for_reading(home)) as read:
        assert [(1,)] == read.ask("neurons/count")


def asking(asked: Warehouse, over: Event) -> list[list[tuple[int]]]:
    """What is answered to the same question until it is over."""
    found = []
    while not over.is_set():
        found.append(asked.ask("neurons/count"))
    return found


@pytest.mark.parametrize(("size", "row_groups"), [(0, 3), (LARGE, 1)])
def test_a_large_warehouse_gets_large_row_groups(tmp_path: Path, size: int, row_groups: int) -> None:
    """Small ones are written in less time, and a table of many is looked through in more."""
    path = tmp_path / "warehouse.duckdb"
    with closing(connected(path, MEMORY, read_only=False)[0]) as connection:
        connection.execute("CREATE TABLE numbers (number BIGINT)")
    os.truncate(path, max(size, path.stat().st_size))
    with closing(connected(path, MEMORY, read_only=False)[0]) as connection:
        connection.execute("INSERT INTO numbers FROM range(30_000); CHECKPOINT")
        found = connection.execute(
            "SELECT (SELECT sum(number) FROM numbers), count(DISTINCT row_group_id) "
            "FROM pragma_storage_info('numbers')"
        ).fetchall()

    assert [(449_985_000, row_groups)] == found


def test_a_description_that_changed_reaches_the_database(home: Path) -> None:
    """The comment of a column is what is declared now, also in a warehouse that an older version made."""
    with closing(open_for_writing(home)) as warehouse:
        warehouse.connection.execute("COMMENT ON COLUMN etl.runs.version IS 'Outdated.'")
    with closing(open_for_writing(home)) as warehouse:
        found = warehouse.connection.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'runs' AND column_name = 'version'"
        ).fetchall()

    assert [("Version of Sightglass that ran.",)] == found
