"""The declared tables of a warehouse: made where they are missing, brought up to date where they differ."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import duckdb

from etl import __version__, schema
from etl.errors import ConfigError
from etl.load.filling import fill
from etl.load.migrating import ADDED, MADE, Migration, enter
from etl.load.relation import MARK, MARK_DOC, is_marked
from etl.schema import SYSTEM, quote

Found = Mapping[str, Mapping[str, tuple[str, str, bool]]]
"""By qualified table and column, the type and the comment that are there, and whether NULL may be."""


def prepare(connection: duckdb.DuckDBPyConnection, *sources: schema.Source) -> list[Migration]:
    """Create the tables of these schema files, and bring those of an earlier version up to date.

    Returns what became of tables that were there before.

    All of it is done in one transaction, or nothing: hundreds of statements take half the time in one string.
    Raises ConfigError where rows cannot become as they are declared, and where a newer version has written.
    """

    def ask(name: str) -> list[tuple[Any, ...]]:
        return connection.execute(schema.statement(name)).fetchall()

    # In one query for all schemas.
    found = found_in(ask("load/columns"))
    refuse_newer(found, ask)
    migrations: list[Migration] = []
    retired = dict(ask("load/retired")) if f"{SYSTEM}.migrations" in found else {}
    statements = [each for source in sources for each in _missing(source, found, retired, migrations)]
    if not (statements or migrations):
        return []
    connection.begin()
    try:
        if statements:
            connection.execute(";\n".join(statements))
        for migration in migrations:
            migration.apply(connection)
        for migration in migrations:
            for each in migration.changes:
                if each.change in {MADE, ADDED}:
                    fill(connection, migration.table, each.column)
        if f"{SYSTEM}.runs" in found:
            enter(connection, migrations)
        connection.commit()
    except BaseException:
        # After a failed commit there is nothing left to roll back; why it failed says more.
        with suppress(duckdb.Error):
            connection.rollback()
        raise
    return [each for each in migrations if each.changes]


def refuse_newer(found: Found, ask: Callable[[str], list[tuple[Any, ...]]]) -> None:
    """Leave alone what a newer version has written: what it means by it is not known here.

    `ask` answers the statement of `sql/<name>.sql`.
    """
    for name in ("runs", "migrations"):
        told = ask(f"load/last_version_{name}") if f"{SYSTEM}.{name}" in found else []
        for (version,) in told:
            if _numbers(version) > _numbers(__version__):
                raise ConfigError(
                    f"the warehouse was written by Sightglass {version}, which is newer than this one "
                    f"({__version__}): run that version or a later one"
                )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def found_in(columns: Iterable[tuple[Any, ...]]) -> Found:
    """Return what is there, of the rows of `sql/load/columns.sql`."""
    found: dict[str, dict[str, tuple[str, str, bool]]] = {}
    for table, column, kind, comment, is_nullable in columns:
        short = "TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind
        found.setdefault(table, {})[column] = (short, comment, is_nullable)
    return found


def _missing(
    source: schema.Source, found: Found, retired: Mapping[str, list[str]], migrations: list[Migration]
) -> Iterator[str]:
    """Yield the statements that make what one schema file declares and is not there.

    What becomes of tables with other columns is added to the migrations.
    """
    statements: list[str] = []
    for table in source.tables.values():
        there = dict(found.get(table.qualified, {}))
        has_mark = there.pop(MARK, None) is not None
        if not there:
            statements += table.ddl()
            if table.declared.stream and any(each.qualified in found for each in source.tables.values()):
                migrations.append(Migration.made(source, table))
        elif _differs(table, there):
            statements += _loosened(table, there)
            kinds = {name: each[0] for name, each in there.items()}
            migrations.append(Migration.of(source, table, kinds, retired.get(table.qualified, ())))
        if is_marked(source, table) and not has_mark:
            statements += _marked(table)
    if statements:
        yield f"CREATE SCHEMA IF NOT EXISTS {source.name}"
        yield from statements


def _differs(table: schema.Table, found: Mapping[str, tuple[str, str, bool]]) -> bool:
    """Whether what is there is not what is declared: a column, a comment, or what may be NULL."""
    is_strict = any(not (found[name][2] or table.not_null(name)) for name in found if name in table.columns)
    said = {name: about[:2] for name, about in found.items()}
    return is_strict or said != {name: (each.sql, each.comment) for name, each in table.columns.items()}


def _marked(table: schema.Table) -> Iterator[str]:
    """Yield the statements that add the mark of rows that a version follows from."""
    yield f"ALTER TABLE {table.qualified} ADD COLUMN {quote(MARK)} BOOLEAN"
    yield f"COMMENT ON COLUMN {table.qualified}.{quote(MARK)} IS {schema.literal(MARK_DOC)}"


def _loosened(table: schema.Table, found: Mapping[str, tuple[str, str, bool]]) -> Iterator[str]:
    """Yield the statements that allow NULL where it is declared to be allowed now."""
    for name, (*_, is_nullable) in found.items():
        if not is_nullable and name in table.columns and not table.not_null(name):
            yield f"ALTER TABLE {table.qualified} ALTER COLUMN {quote(name)} DROP NOT NULL"
