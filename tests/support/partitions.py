"""What tests of several files share with `test_partitions`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow.parquet as pq

from etl.cli import settings_for
from etl.config import Settings
from etl.declaration import Column, Declaration
from etl.publish.bi import query
from etl.publish.lake import Change, Lake
from etl.publish.limits import PublishLimits
from etl.schema import Table


def settings_of(home: Path, **more: str) -> Settings:
    """The settings of a warehouse in this folder, and no others."""
    return settings_for({"SIGHTGLASS_HOME": str(home), **more}, {}, Path(os.devnull))


Rows = list[tuple[Any, ...]]
KINDS = {"id": "integer", "seen_at": "timestamp", "also_at": "timestamp", "value": "integer"}
COLUMNS = msgspec.convert(
    {name: {"type": kind, "doc": "Made up.", "maintained": name != "id"} for name, kind in KINDS.items()},
    dict[str, Column],
)


def made_up(name: str, by_month: str = "seen_at", columns: dict[str, Column] = COLUMNS) -> Table:
    """A table of a few columns, cut by months unless told otherwise."""
    return Table("small", name, Declaration("Made up.", columns, key=("id",), by_month=by_month), columns)


SOON = PublishLimits(ahead=0.005)
"""A version is awaited for only a moment."""


class Small:
    """A few tables in memory, the lake they are published in, and a reader that keeps one connection open."""

    def __init__(self, folder: Path, *tables: Table, limits: PublishLimits = SOON) -> None:
        self.folder = folder
        self.lake = Lake(folder, limits)
        self.tables = {table.qualified: table for table in tables}
        self.connection, self.reader = duckdb.connect(), duckdb.connect()
        for each in (self.connection, self.reader):
            each.execute("SET TimeZone = 'UTC'; CREATE SCHEMA small")
        for table in tables:
            for statement in table.ddl():
                self.connection.execute(statement)

    def declare(self, table: Table) -> None:
        """Let a table be declared otherwise from now on."""
        self.tables[table.qualified] = table

    def limit(self, **limits: int) -> None:
        """Let it be published within these limits from now on."""
        self.lake = Lake(self.folder, replace(SOON, **limits))

    def execute(self, statement: str, *values: object) -> None:
        """Change the tables."""
        self.connection.execute(statement, values)

    def insert(self, first: str, count: int, start: int = 0) -> None:
        """Put so many rows into the first table, a minute from one to the next."""
        self.execute(EACH_MINUTE, count, start, first)

    def publish(self, grace: float = 600) -> Change:
        """Let readers see the tables as they are, as `publish` does; what had to be written for it."""
        damaged = self.lake.damaged()
        self.lake.clean(grace)
        change = self.lake.compare(self.connection, self.tables, damaged)
        self.lake.write(self.connection, self.tables, change)
        if change.files:
            self.lake.commit(self.tables, change, 0)
        self.lake.discard(damaged)
        self.lake.link()
        self.lake.clean(grace)
        return change

    def held(self, name: str) -> Rows:
        """The rows of a table, in order."""
        return in_order(self.connection, f"FROM {name}")

    def seen(self, name: str) -> Rows:
        """The rows that the reader sees, in order."""
        if not self.reader.execute("SELECT 1 FROM duckdb_views() WHERE NOT internal").fetchall():
            for table in self.tables.values():
                self.reader.execute(f"CREATE VIEW {table.qualified} AS {query(table, str(self.folder))}")
        return in_order(self.reader, f"FROM {name}")

    def linked(self, name: str) -> Rows:
        """The rows of the files in the lake, in order."""
        return in_order(self.reader, f"FROM '{self.folder}/lake/{name.replace('.', '/')}/*.parquet'")

    def cuts(self, name: str) -> dict[str, int]:
        """How many rows each partition of a table has."""
        paths = self.folder.joinpath("lake", *name.split(".")).glob("*.parquet")
        return {path.name.split(".")[0]: pq.read_metadata(path).num_rows for path in sorted(paths)}

    def close(self) -> None:
        """Let go of the memory."""
        self.connection.close()
        self.reader.close()


def in_order(connection: duckdb.DuckDBPyConnection, relation: str) -> Rows:
    """All rows, times as microseconds since 1970."""
    shown = "id, epoch_us(seen_at), epoch_us(also_at), value"
    return connection.execute(f"SELECT {shown} {relation} ORDER BY ALL").fetchall()


def agree(small: Small, name: str = "small.a") -> bool:
    """Whether the view, the files of the lake and the table hold the same rows."""
    return small.held(name) == small.seen(name) == small.linked(name)


EACH_MINUTE = """
    INSERT INTO small.a
    SELECT $2 + i, CAST($3 AS TIMESTAMPTZ) + i * INTERVAL 1 MINUTE, now(), i FROM range($1) t(i)"""


DELETE = "DELETE FROM small.a WHERE id = ?"
INSERT = "INSERT INTO small.a VALUES (?, ?, ?, ?)"
MARCH, APRIL = "2026-03-01 00:00:00+00", "2026-04-01 00:00:00+00"
