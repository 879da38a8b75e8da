"""The tables of one published version, read from its files: neither `bi.duckdb` nor the warehouse is opened.

Columns that a version was published without, by an earlier release, are NULL, and so are whole tables empty.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from errno import ENOENT
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from etl import schema, views
from etl.errors import EnvironmentFaultError, NotPublishedError
from etl.load.duckdb_errors import first_line
from etl.process import interruptible
from etl.publish.layout import Layout
from etl.publish.state import State, decode
from etl.schema import Table, literal, quote

TRIES = 3
"""How often a version is looked for: a run may replace it, and with a grace of 0 remove its files at once."""
MEMORY_MB = 512

T = TypeVar("T")


class Version:
    """A published version whose tables can be asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, since: int, state: State, lake: Path) -> None:
        self.since = since
        """Since when it is to be read, in microseconds since 1970."""
        self.state = state
        self._connection = connection
        self._at = Layout(lake)

    def show(self, table: Table, start: int | None = None) -> None:
        """Make a view of a table; of one that is cut by time without the files that end before a moment."""
        held = self.state.tables.get(table.qualified, {})
        files = [
            literal(str(self._at.version(table.qualified, part, each.since)))
            for part, each in held.items()
            if start is None or each.partition.end is None or each.partition.end > start
        ]
        none = table.no_rows
        rows = f"FROM read_parquet([{', '.join(files)}], union_by_name = true, hive_partitioning = false)"
        query = f"{none} UNION ALL BY NAME {rows}" if files else none
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
        self._connection.execute(f"CREATE OR REPLACE VIEW {table.qualified} AS {query}")

    def hold(self, table: Table) -> None:
        """Make a table of one in memory, its rows in the order of their time: some queries go by `rowid`."""
        self.show(table)
        name, order = table.qualified, quote(table.by_month or table.key[0])
        self._connection.execute(f"CREATE TEMP TABLE held AS FROM {name} ORDER BY {order}")
        self._connection.execute(f"DROP VIEW {name}; CREATE TABLE {name} AS FROM held; DROP TABLE held")

    def show_mart(self, name: str) -> None:
        """Make a mart over tables that are shown, and what it reads besides."""
        for view in views.with_read(schema.folder("sql") / "mart" / f"{name}.sql"):
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {view.schema}")
            self._connection.execute(next(view.ddl()))

    def ask(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the answer to `sql/<name>.sql`."""
        return self.query(schema.statement(name), **parameters)

    def query(self, text: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the answer to a query."""
        return self._connection.execute(text, parameters or None).fetchall()


def is_published(home: Path) -> bool:
    """Whether anything is published in this folder."""
    return bool(Layout(home).newest())


def of_newest(home: Path, names: Collection[str], look: Callable[[Version], T]) -> T:
    """Return what is seen in the newest published version, with views of these tables.

    EnvironmentFaultError where nothing is published, or it cannot be read.
    """
    for since in _newest(home):
        try:
            return _looked(home, names, since, look)
        except (duckdb.IOException, FileNotFoundError) as error:
            failed = EnvironmentFaultError(
                f"what is published in {home} cannot be read: {first_line(error)}; `sightglass publish` "
                "writes anew what is damaged"
            )
            failed.__cause__ = error
        except duckdb.Error as error:
            raise EnvironmentFaultError(
                f"what is published in {home} cannot be read: {first_line(error)}; `sightglass publish` "
                "writes anew what is damaged"
            ) from error
    raise failed


def _newest(home: Path) -> Iterator[str]:
    """Yield the newest version, and again whenever it could not be read and there is another one by now."""
    before = ""
    for _ in range(TRIES):
        try:
            since = Layout(home).newest()
        except OSError as error:
            raise EnvironmentFaultError(f"cannot read {home}: {error.strerror}") from error
        if not since:
            raise NotPublishedError(
                f"nothing is published in {home} yet: run `sightglass run`, or name another --home"
            )
        if since == before:
            return
        yield since
        before = since


def _looked(home: Path, names: Collection[str], since: str, look: Callable[[Version], T]) -> T:
    path = Layout(home).commit(since)
    try:
        state = decode(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EnvironmentFaultError(f"cannot read {path}: {error.strerror}") from error
    if state is None and Layout(home).newest() != since:
        raise FileNotFoundError(
            ENOENT, os.strerror(ENOENT), str(path)
        )  # its list is gone: another one counts
    if state is None or not state.tables:
        raise EnvironmentFaultError(f"{path} is damaged: `sightglass publish` makes it anew")
    with closing(duckdb.connect()) as connection, interruptible(connection):
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{MEMORY_MB}MB'; SET threads = 2")
        connection.execute("SET temp_directory = ''")  # nothing is written anywhere
        version = Version(connection, int(since), state, home)
        for name in names:
            source, _, table = name.partition(".")
            version.show(schema.source(source).tables[table])
        return look(version)
