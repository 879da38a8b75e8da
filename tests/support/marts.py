"""Databases with all tables and views, filled from the cases of the marts."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from etl import schema, views

ROOT = Path(__file__).parents[2]

CASES = ROOT / "tests" / "mart"

FOUND = {str(path.parent.relative_to(CASES)): path.parent for path in sorted(CASES.rglob("expected.csv"))}

VIEWS = {view.qualified: view for view in views.views()}

AS_WRITTEN = "HEADER, AUTO_DETECT false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', ALLOW_QUOTED_NULLS false"

FAR_AWAY = "Pacific/Auckland"
"""Where the day is another one than in UTC for half of the time: no answer may depend on the time zone."""

CLOCK = {"mart.pipeline_health": ("age_hours", "record_age_hours")}
"""The columns of views that are measured against the clock; a test of their own holds them."""


def zone_of(case: Path) -> str:
    """The time zone whose days a case expects."""
    named = case / "time_zone"
    return named.read_text(encoding="utf-8").strip() if named.exists() else views.UTC


@contextmanager
def made(zone: str = views.UTC) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with all tables, empty and with nothing required, and all views."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{FAR_AWAY}'")
        for source in schema.sources():
            connection.execute(f"CREATE SCHEMA {source.name}")
            for table in source.tables.values():
                columns = {name: column.sql for name, column in table.columns.items()}
                create(connection, table.qualified, columns)
        for statement in views.statements(zone):
            connection.execute(statement)
        yield connection


def create(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]) -> None:
    """Make a table of these columns and types."""
    types = ", ".join(f"{schema.quote(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE {table} ({types})")


def load(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Fill the columns of a table that a CSV file names."""
    names = ", ".join(schema.quote(name) for name in header(path))
    connection.execute(f"COPY {table} ({names}) FROM '{path}' ({AS_WRITTEN})")


def header(path: Path) -> list[str]:
    """The names in the first line of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))
