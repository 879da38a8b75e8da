"""The warehouse as it is stored, which is only looked at, beside scratch tables of the same declarations."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from etl import schema
from etl.errors import ConfigError, EnvironmentFaultError
from etl.load.database import LIMITS, SPILL, cursor_on
from etl.load.duckdb_errors import beyond_limit, is_damage, is_out_of_memory, unopenable, unwritable
from etl.load.tables import found_in, prepare, refuse_newer
from etl.load.warehouse import NAME
from etl.schema import literal

STORED = "stored"
"""Name under which the warehouse is attached."""


class Stored:
    """A warehouse that is only looked at; `connection` works on it unless another database is named."""

    def __init__(self, memory: duckdb.DuckDBPyConnection) -> None:
        self._memory = memory
        self.connection = self._cursor()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = cursor_on(self._memory, STORED)
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    def scratch(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to empty tables, in memory, which sees the warehouse under its name."""
        cursor = self._memory.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    def ask(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of `sql/<name>.sql`; safe to call from any thread."""
        with closing(self._cursor()) as cursor:
            return cursor.execute(schema.statement(name), parameters or None).fetchall()

    def interrupt(self) -> None:
        """Let what it works on fail."""
        self.connection.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
        self._memory.close()


@contextmanager
def stored(home: Path, aside: Path, megabytes: int) -> Iterator[Stored]:
    """Provide the warehouse of this folder; `aside` is a folder for what does not fit into so much memory.

    Raises EnvironmentFaultError where there is none, it is damaged, or more memory is needed, and ConfigError
    where it is of a version that declares other tables.
    """
    path = home / NAME
    if not path.exists():
        raise EnvironmentFaultError(f"there is no warehouse in {home} yet: run `sightglass run`")
    own = {"memory_limit": f"{megabytes}MB", "temp_directory": str(aside / SPILL)}
    memory = duckdb.connect(config={**LIMITS, **own})
    try:
        prepare(memory, *schema.sources())
        memory.execute(f"ATTACH {literal(str(path))} AS {STORED} (READ_ONLY)")
        found = Stored(memory)
    except duckdb.Error as error:
        memory.close()
        raise unopenable(path, error) from error
    try:
        _refuse_others(found, home)
        yield found
    except duckdb.Error as error:
        if is_out_of_memory(error):
            raise beyond_limit(megabytes) from error
        if is_damage(error):
            raise unwritable(error) from error
        raise
    finally:
        found.close()


def _refuse_others(found: Stored, home: Path) -> None:
    """Raise ConfigError where a newer version has written, or a declared column is not there as declared."""
    there = found_in(found.ask("load/columns"))
    refuse_newer(there, found.ask)
    other = [
        f"{table.qualified}.{name}"
        for source in schema.sources()
        for table in source.tables.values()
        for name, column in table.columns.items()
        if there.get(table.qualified, {}).get(name, ("",))[0] != column.sql
    ]
    if other:
        raise ConfigError(
            f"the warehouse in {home} is of another version, which has no {min(other)} as this one declares "
            "it: run `sightglass run` first"
        )
