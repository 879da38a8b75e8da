"""The warehouse file: opened by one process, its tables as declared."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock, RLock
from typing import Any, TypeVar

import duckdb

from etl import schema
from etl.errors import EnvironmentFaultError, OutOfMemoryError, SightglassError
from etl.files import reason, remedy
from etl.load.database import SPILL, connected, cursor_on, database_of, size_of_file
from etl.load.duckdb_errors import (
    MEMORY,
    is_damage,
    is_full,
    is_out_of_memory,
    most_memory,
    unopenable,
    unwritable,
)
from etl.load.migrating import Migration
from etl.load.tables import prepare

NAME = "warehouse.duckdb"
LOG_BYTES = 128_000_000
"""How large the log of what was committed may grow. Whenever it is worked into the tables, the last part of
each is written anew: done often, that takes longer than all the rest."""
UNREAD_LOG_BYTES = 32_000_000
"""How large it may be when the tables are read as a whole: what of it does not fit into the memory would be
spilled, and read from there again and again."""

GROWING = Lock()
"""Held while more memory is given: `ask` is called from any thread."""

T = TypeVar("T")


class Warehouse:
    """An open warehouse; all SQL of the project goes through here."""

    memory = MEMORY
    """Megabytes that DuckDB may hold."""
    migrated: Sequence[Migration] = ()
    """What became of its tables when it was opened, for this version declares others than the one before."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path | None = None) -> None:
        """`path` is the file of the warehouse; None where it has none."""
        self.connection = connection
        self._path = path
        self._database = database_of(connection)
        self._asking = RLock()
        """Held by who asks from another thread, and while the connection is another."""

    def with_memory(self, work: Callable[[], T]) -> T:
        """Do the work, again from its beginning with twice the memory as long as DuckDB had too little.

        Raises OutOfMemoryError where the machine has no more to give. What is given is kept until the end.
        """
        while True:
            given = self.memory
            try:
                return work()
            except (OutOfMemoryError, duckdb.OutOfMemoryException) as error:
                if self._grow(given):
                    continue
                if isinstance(error, duckdb.Error):
                    raise unwritable(error) from error
                raise

    def give_back(self) -> None:
        """Let DuckDB hold as much as at first again: what comes next may need no more."""
        with GROWING, suppress(duckdb.OutOfMemoryException):
            self._limit(MEMORY)
            self.memory = MEMORY

    @contextmanager
    def all_memory(self) -> Iterator[None]:
        """Let DuckDB hold as much as it is ever given, for what compares whole tables."""
        with GROWING:
            self.memory = most_memory()
            self._limit(self.memory)
        try:
            yield
        finally:
            self.give_back()

    def _grow(self, given: int) -> bool:
        """Let DuckDB hold twice as much as this, unless it may already; whether it may now."""
        with GROWING:
            if self.memory == given:
                if given >= most_memory():
                    return False
                self.memory = min(2 * given, most_memory())
                self._limit(self.memory)
        return True

    def _limit(self, megabytes: int) -> None:
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(f"SET memory_limit = '{megabytes}MB'")

    def _open_anew(self) -> None:
        """Open the file again, as it was before the commit or the checkpoint that has failed.

        What DuckDB holds in memory may then be half of it: tried again there, rows were doubled and mixed up
        (DuckDB 2.0.0), and it must not reach the file.
        """
        if self._path is None:
            return
        with self._asking:
            with suppress(duckdb.Error):
                self.connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            self.connection.close()
            self.connection, self.memory = connected(self._path, self.memory, read_only=False)
            # As while records are loaded.
            self.connection.execute("SET threads = 1")

    def work_in_log(self, most: int) -> None:
        """Bring what was committed from the log into the tables, where it is more than so many bytes.

        Raises EnvironmentFaultError where that cannot be; what was committed is kept.
        """
        # Nobody asks meanwhile: a lack of memory leaves the connection of no use to anybody.
        with self._asking:
            while self._path and size_of_file(self._path.with_name(f"{self._path.name}.wal")) > most:
                given = self.memory
                try:
                    self.connection.execute("CHECKPOINT")
                except duckdb.Error as error:
                    if not is_out_of_memory(error):
                        raise unwritable(error) from error
                    self._open_anew()
                    if not self._grow(given):
                        raise unwritable(error) from error

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Bring all of it from the log into the tables meanwhile: who closes the file would wait for that.

        What goes wrong with it costs nothing: it stays in the log.
        """

        def settle() -> None:
            try:
                self.work_in_log(0)
            except EnvironmentFaultError:
                # On a connection on which that has failed nothing can be done any more.
                with suppress(duckdb.Error, SightglassError):
                    self._open_anew()

        with ThreadPoolExecutor(1, "settle") as pool:
            pool.submit(settle)
            yield

    def ask(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of `sql/<name>.sql`; safe to call from any thread, sees what is committed."""

        def rows() -> list[tuple[Any, ...]]:
            try:
                with self._asking, closing(cursor_on(self.connection, self._database)) as cursor:
                    return cursor.execute(schema.statement(name), parameters or None).fetchall()
            except duckdb.ConnectionException as error:
                # It could not be opened anew: the run ends.
                raise unwritable(error) from error

        return self.with_memory(rows)

    def run(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of `sql/<name>.sql`, within the open transaction.

        It need not use all parameters.
        """
        return self.execute(schema.statement(name), **parameters)

    def execute(self, statement: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, likewise."""
        named = {key: value for key, value in parameters.items() if f"${key}" in statement}
        return self.connection.execute(statement, named or None).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is done, or nothing of it."""
        connection = self.connection
        try:
            connection.begin()
            yield
        except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.ConnectionException) as error:
            _roll_back(connection)
            raise unwritable(error) from error
        except BaseException:
            _roll_back(connection)
            raise
        try:
            connection.commit()
        except duckdb.Error as error:
            # Where that cannot be either, why the commit failed says more.
            with suppress(SightglassError):
                self._open_anew()
            raise unwritable(error) from error

    def roll_back(self) -> None:
        """Give up a transaction that is still open, as one is whose end was interrupted."""
        _roll_back(self.connection)

    def interrupt(self) -> None:
        """Let what it works on fail."""
        self.connection.interrupt()

    def close(self) -> None:
        """Let go of the file, once nobody works on it: who was interrupted may not have waited for that."""
        with self._asking:
            # Who still waits to work on it does not open it anew.
            self._path = None
            self.connection.close()


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    # After a failed write there may be nothing left to roll back, or nobody to ask.
    with suppress(duckdb.Error):
        connection.rollback()


def open_for_writing(home: Path) -> Warehouse:
    """Return the warehouse of this folder, made if need be, with every declared table in it."""
    path = home / NAME
    _begin(path)
    warehouse = _connect(path, read_only=False)
    _clear(home / SPILL)
    try:
        declared = schema.sources(home)
        warehouse.migrated = warehouse.with_memory(lambda: prepare(warehouse.connection, *declared))
    except duckdb.Error as error:
        warehouse.close()
        raise unopenable(path, error) from error
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def open_for_reading(home: Path) -> Warehouse:
    """Return the warehouse of this folder, which must be there; nothing can be changed through it."""
    path = home / NAME
    if not path.exists():
        raise EnvironmentFaultError(
            f"there is no warehouse in {home} yet: run `sightglass run`, or name another --home"
        )
    warehouse = _connect(path, read_only=True)
    # Read-only is the database alone: COPY could still write over any file, the warehouse included.
    warehouse.connection.execute("SET enable_external_access = false")
    return warehouse


@contextmanager
def opened(home: Path, how: Callable[[Path], Warehouse] = open_for_writing) -> Iterator[Warehouse]:
    """Provide the warehouse of this folder, until the block ends; EnvironmentFaultError where it is damaged.

    DuckDB looks at the checksum of a block when it reads it: damage shows at any time. So does a lack of
    memory, outside of `with_memory`, and a full disk, outside of a transaction.
    """
    warehouse = how(home)
    try:
        yield warehouse
    except duckdb.Error as error:
        if is_damage(error) or is_out_of_memory(error) or is_full(error):
            raise unwritable(error) from error
        raise
    finally:
        # What it would still write is in its log.
        with suppress(duckdb.Error):
            warehouse.close()


@cache
def umask() -> int:
    """Return the umask that this process was started with: what is published follows it."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def make_folder(path: Path) -> None:
    """Make the folder if need be; EnvironmentFaultError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot use the folder {path}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error


def _begin(path: Path) -> None:
    """Make an empty database aside and bring it in by rename: one half made could never be opened again."""
    if path.is_symlink() and not path.exists():
        raise EnvironmentFaultError(
            f"{path} is a link that leads nowhere: bring back what it leads to, or remove it"
        )
    if path.exists() or not path.parent.is_dir():
        return
    aside = path.with_name(path.name + ".part")
    try:
        aside.unlink(missing_ok=True)
        _connect(aside, read_only=False).close()
        aside.replace(path)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write in {path.parent}: {reason(error)}; {remedy(error)}"
        ) from error


def _connect(path: Path, *, read_only: bool) -> Warehouse:
    """Open the file."""
    for each in (path, path.with_name(f"{path.name}.wal")):
        # To open a pipe would wait for who writes into it; of a folder DuckDB tells itself.
        if each.exists() and not each.is_file() and not each.is_dir():
            raise EnvironmentFaultError(f"{each} is no file; move away what stands in its place")
    # What is spilled is for the owner alone too.
    umask()
    os.umask(0o077)
    connection, memory = connected(path, MEMORY, read_only=read_only)
    warehouse = Warehouse(connection, path)
    warehouse.memory = memory
    return warehouse


def _clear(spill: Path) -> None:
    """Remove what a process that was killed has left there; what this one has there bears its number."""
    with suppress(OSError):
        for path in spill.iterdir():
            if f"_{os.getpid()}_" not in path.name:
                path.unlink()
        spill.rmdir()
