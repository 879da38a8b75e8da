"""The warehouse file: opened by one process, its tables as declared."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import duckdb

from etl import schema
from etl.disk import reason, remedy
from etl.errors import BusyError, OutOfMemory, SettingsError, SightglassError

NAME = "warehouse.duckdb"
SPILL = "spill"
"""Folder for what DuckDB cannot hold in memory; it is there only while there is any."""
MEMORY = 128
"""Megabytes that DuckDB may hold in memory: enough for a batch of ordinary records and what it is compared
with. Where many large ones are compared at once it is given more."""
MEMORY_SHARE = 0.5
"""What part of the memory that DuckDB would take by itself it is given at most."""
LOG = "256MB"
"""How large the log of what was committed may grow. Whenever it is worked into the tables, the last part of
each is written anew: done often, that takes longer than all the rest."""

LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": f"{MEMORY}MB",
    "checkpoint_threshold": LOG,
    # Of texts that are compressed so, which are those of more than 4 kB, DuckDB reads none without the 2,047
    # that stand beside it. Those that are not are read one by one, however large they are.
    "disabled_compression_methods": "zstd",
}
"""Set before anything is read: after a kill, the log is worked in when the file is opened."""

UNITS = {"bytes": 1e-6, "KiB": 1024e-6, "MiB": 1024**2 / 1e6, "GiB": 1024**3 / 1e6, "TiB": 1024**4 / 1e6}
"""Megabytes in the units in which DuckDB tells its settings."""

RECOVERY = "readers keep what is published; docs/recovery.md says how to begin anew"

DAMAGED = (
    *("Corrupt", "checksum", "Could not read enough bytes", "Failure while replaying WAL"),
    *("database has been invalidated", "Failed to load metadata", "Serialization Error"),
)
"""What DuckDB says of a file that does not hold what it wrote, by whatever type of error."""

FULL = ("No space left", "File too large", "quota", "max_temp_directory_size")
"""What DuckDB says where the disk is full, in the words of the system or its own."""

GROWING = Lock()
"""Held while more memory is given: `ask` is called from any thread."""

T = TypeVar("T")


class Warehouse:
    """An open warehouse; all SQL of the project goes through here."""

    memory = MEMORY
    """Megabytes that DuckDB may hold."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def with_memory(self, work: Callable[[], T]) -> T:
        """Do the work, again from its beginning with twice the memory as long as DuckDB had too little.

        Raises OutOfMemory where the machine has no more to give. What is given is kept until the end.
        """
        while True:
            given = self.memory
            try:
                return work()
            except (OutOfMemory, duckdb.OutOfMemoryException) as error:
                if self._grow(given):
                    continue
                if isinstance(error, duckdb.Error):
                    raise _unwritable(error) from error
                raise

    def give_back(self) -> None:
        """Let DuckDB hold as much as at first again: what comes next may need no more."""
        with GROWING, suppress(duckdb.OutOfMemoryException), closing(self.connection.cursor()) as cursor:
            cursor.execute(f"SET memory_limit = '{MEMORY}MB'")
            self.memory = MEMORY

    def _grow(self, given: int) -> bool:
        """Let DuckDB hold twice as much as this, unless it may already; whether it may now."""
        with GROWING:
            if self.memory == given:
                if 2 * given > _most():
                    return False
                self.memory = 2 * given
                with closing(self.connection.cursor()) as cursor:
                    cursor.execute(f"SET memory_limit = '{self.memory}MB'")
        return True

    def ask(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of `sql/<name>.sql`; safe to call from any thread, sees what is committed."""

        def rows() -> list[tuple[Any, ...]]:
            with closing(self.connection.cursor()) as cursor:
                return cursor.execute(schema.statement(name), parameters or None).fetchall()

        return self.with_memory(rows)

    def run(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of `sql/<name>.sql`, within the open transaction; it need not use all parameters."""
        text = schema.statement(name)
        named = {key: value for key, value in parameters.items() if f"${key}" in text}
        return self.connection.execute(text, named or None).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is done, or nothing of it."""
        try:
            self.connection.begin()
            yield
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            self._roll_back()
            raise _unwritable(error) from error
        except BaseException:
            self._roll_back()
            raise
        try:
            self.connection.commit()
        except duckdb.Error as error:
            self._roll_back()
            raise _unwritable(error) from error

    def _roll_back(self) -> None:
        # After a failed write there may be nothing left to roll back, or nobody to ask.
        with suppress(duckdb.Error):
            self.connection.rollback()

    def interrupt(self) -> None:
        """Let what it works on fail."""
        self.connection.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def _unwritable(error: duckdb.Error) -> SettingsError:
    if is_out_of_memory(error):
        return OutOfMemory(
            f"DuckDB needs more memory than the {_most():,} MB that it is given at most on this machine: "
            "some records are very large; what was loaded is kept: give it more memory, then run again"
        )
    if is_damage(error):
        return SettingsError(f"the warehouse is damaged: {_first_line(error)}; {RECOVERY}")
    what = "make room" if any(each in str(error) for each in FULL) else "see to the disk"
    return SettingsError(f"the warehouse cannot be written: {_first_line(error)}; {what}, then run again")


def is_damage(error: duckdb.Error) -> bool:
    """Whether DuckDB found that a file does not hold what it wrote, or can make nothing of it."""
    given_up = duckdb.FatalException | duckdb.InternalException | duckdb.SerializationException
    return isinstance(error, given_up) or any(each in str(error) for each in DAMAGED)


def is_out_of_memory(error: duckdb.Error) -> bool:
    """Whether DuckDB ran out of memory, and not of the disk that it spills to."""
    text = str(error)
    if "max_temp_directory_size" in text:
        return False
    # A commit tells what ended it in its text alone.
    words = ("failed to pin block", "allocate block", "failed to allocate data", "Out of Memory")
    return isinstance(error, duckdb.OutOfMemoryException) or (
        isinstance(error, duckdb.TransactionException) and any(each in text for each in words)
    )


@cache
def _most() -> int:
    """Megabytes that DuckDB is given at most; by itself it takes 80 % of what machine or container have."""
    with closing(duckdb.connect()) as connection:
        ((told,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = told.split()
    return max(MEMORY, round(float(number) * UNITS[unit] * MEMORY_SHARE))


def open_for_writing(home: Path) -> Warehouse:
    """The warehouse of this folder, made if need be, with every declared table in it."""
    path = home / NAME
    _begin(path)
    warehouse = _connect(path, read_only=False)
    _clear(home / SPILL)
    try:
        warehouse.connection.execute("SET TimeZone = 'UTC'")
        for source in schema.sources():
            prepare(warehouse.connection, source)
    except duckdb.Error as error:
        warehouse.close()
        raise _reason(path, error) from error
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def open_for_reading(home: Path) -> Warehouse:
    """The warehouse of this folder, which must be there; nothing can be changed through it."""
    path = home / NAME
    if not path.exists():
        raise SettingsError(
            f"there is no warehouse in {home} yet: run `sightglass run`, or name another --home"
        )
    warehouse = _connect(path, read_only=True)
    warehouse.connection.execute("SET TimeZone = 'UTC'")
    # Read-only is the database alone: COPY could still write over any file, the warehouse included.
    warehouse.connection.execute("SET enable_external_access = false")
    return warehouse


@contextmanager
def opened(home: Path, how: Callable[[Path], Warehouse] = open_for_writing) -> Iterator[Warehouse]:
    """The warehouse of this folder, until the block ends; SettingsError where it turns out to be damaged.

    DuckDB looks at the checksum of a block when it reads it: damage shows at any time.
    """
    warehouse = how(home)
    try:
        yield warehouse
    except duckdb.Error as error:
        if is_damage(error):
            raise _unwritable(error) from error
        raise
    finally:
        # What it would still write is in its log.
        with suppress(duckdb.Error):
            warehouse.close()


@cache
def umask() -> int:
    """The umask that this process was started with: what is published follows it."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def make_folder(path: Path) -> None:
    """The folder, made if need be; SettingsError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"cannot use the folder {path}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error


def _begin(path: Path) -> None:
    """Make an empty database aside and bring it in by rename: one half made could never be opened again."""
    if path.is_symlink() and not path.exists():
        raise SettingsError(f"{path} is a link that leads nowhere: bring back what it leads to, or remove it")
    if path.exists() or not path.parent.is_dir():
        return
    aside = path.with_name(path.name + ".part")
    try:
        aside.unlink(missing_ok=True)
        _connect(aside, read_only=False).close()
        aside.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write in {path.parent}: {reason(error)}; {remedy(error)}") from error


def _connect(path: Path, *, read_only: bool) -> Warehouse:
    """Open the file; after a kill its log is worked in at once, which can take much memory as well."""
    # What is spilled is for the owner alone too.
    umask()
    os.umask(0o077)
    memory = MEMORY
    while True:
        own = {"memory_limit": f"{memory}MB", "temp_directory": str(path.parent / SPILL)}
        try:
            warehouse = Warehouse(duckdb.connect(path, read_only=read_only, config={**LIMITS, **own}))
        except duckdb.Error as error:
            if not is_out_of_memory(error):
                raise _reason(path, error) from error
            if 2 * memory > _most():
                raise _unwritable(error) from error
            memory *= 2
        else:
            warehouse.memory = memory
            return warehouse


def _clear(spill: Path) -> None:
    """Remove what a process that was killed has left there; what this one has there bears its number."""
    with suppress(OSError):
        for path in spill.iterdir():
            if f"_{os.getpid()}_" not in path.name:
                path.unlink()
        spill.rmdir()


def _reason(path: Path, error: duckdb.Error) -> SightglassError:
    text = str(error)
    if "Could not set lock" in text:
        return BusyError(f"another process has {path} open; wait for it to end")
    if "not a valid DuckDB database file" in text:
        return SettingsError(
            f"{path} is no DuckDB file; move it away, or set SIGHTGLASS_HOME to another folder"
        )
    if "version number" in text:
        return SettingsError(
            f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade duckdb"
        )
    if is_damage(error):
        return SettingsError(f"{path} is damaged: {_first_line(error)}; {RECOVERY}")
    return SettingsError(f"{path} cannot be opened: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def prepare(connection: duckdb.DuckDBPyConnection, source: schema.Source) -> None:
    """Bring the tables of one schema file into being; new columns are added, other differences refused."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {source.name}")
    found = _columns(connection, source.name)
    for table in source.tables.values():
        if table.name not in found:
            for statement in table.ddl():
                connection.execute(statement)
        elif found[table.name] != {name: (each.sql, each.comment) for name, each in table.columns.items()}:
            _alter(connection, table, {name: kind for name, (kind, _) in found[table.name].items()})


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, dict[str, tuple[str, str]]]:
    """By table and column, the type and the comment that are there."""
    rows = connection.execute(schema.statement("load/columns"), {"schema": name}).fetchall()
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for table, column, kind, comment in rows:
        short = "TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind
        found.setdefault(table, {})[column] = (short, comment)
    return found


def _alter(connection: duckdb.DuckDBPyConnection, table: schema.Table, found: dict[str, str]) -> None:
    for name, kind in found.items():
        declared = table.columns.get(name)
        if declared is None or declared.sql != kind:
            raise SettingsError(
                f"the warehouse has {table.qualified}.{name} as {kind}, this version declares "
                f"{declared.sql if declared else 'no such column'}; load into a new SIGHTGLASS_HOME"
            )
    for name, column in table.columns.items():
        if name not in found:
            if table.not_null(name):
                raise SettingsError(
                    f"the warehouse lacks the mandatory column {table.qualified}.{name}; "
                    "load into a new SIGHTGLASS_HOME"
                )
            connection.execute(f"ALTER TABLE {table.qualified} ADD COLUMN {schema.quote(name)} {column.sql}")
    for statement in table.comments():
        connection.execute(statement)
