"""The warehouse file: opened by one process, its tables as declared."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from etl import schema
from etl.errors import BusyError, SettingsError, SightglassError

NAME = "warehouse.duckdb"
MEMORY = "128MB"
"""What DuckDB may hold in memory: enough for a batch and what it is compared with."""
LOG = "256MB"
"""How large the log of what was committed may grow. Whenever it is worked into the tables, the last part of
each is written anew: done often, that takes longer than all the rest."""

LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY,
    "checkpoint_threshold": LOG,
}
"""Set before anything is read: after a kill, the log is worked in when the file is opened."""


class Warehouse:
    """An open warehouse; all SQL of the project goes through here."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def ask(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of `sql/<name>.sql`; safe to call from any thread, sees what is committed."""
        cursor = self.connection.cursor()
        try:
            return cursor.execute(schema.statement(name), parameters or None).fetchall()
        finally:
            cursor.close()

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
        except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException) as error:
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

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def _unwritable(error: duckdb.Error) -> SettingsError:
    return SettingsError(f"the warehouse cannot be written: {_first_line(error)}; make room, then run again")


def open_for_writing(home: Path) -> Warehouse:
    """The warehouse of this folder, made if need be, with every declared table in it."""
    path = home / NAME
    # DuckDB makes the file, its log and its spill files by the umask; nobody else is to read them.
    umask()
    os.umask(0o077)
    _begin(path)
    warehouse = Warehouse(_connect(path, read_only=False))
    try:
        warehouse.connection.execute("SET TimeZone = 'UTC'")
        for source in schema.sources():
            prepare(warehouse.connection, source)
    except duckdb.Error as error:
        warehouse.close()
        raise SettingsError(f"{path} cannot be used: {_first_line(error)}") from error
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
    warehouse = Warehouse(_connect(path, read_only=True))
    warehouse.connection.execute("SET TimeZone = 'UTC'")
    # Read-only is the database alone: COPY could still write over any file, the warehouse included.
    warehouse.connection.execute("SET enable_external_access = false")
    return warehouse


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
            f"cannot use the folder {path}: {error.strerror}; make it writable, or set SIGHTGLASS_HOME"
        ) from error


def _begin(path: Path) -> None:
    """Make an empty database aside and bring it in by rename: one half made could never be opened again."""
    if path.exists() or not path.parent.is_dir():
        return
    aside = path.with_name(path.name + ".part")
    try:
        aside.unlink(missing_ok=True)
        _connect(aside, read_only=False).close()
        aside.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write in {path.parent}: {error.strerror}; make it writable") from error


def _connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only=read_only, config=LIMITS)
    except duckdb.IOException as error:
        raise _reason(path, error) from error
    except duckdb.Error as error:
        raise SettingsError(f"{path} cannot be opened: {_first_line(error)}") from error


def _reason(path: Path, error: duckdb.IOException) -> SightglassError:
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
