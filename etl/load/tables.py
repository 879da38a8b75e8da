"""The declared tables of a warehouse: made where they are missing, refused where they are others."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

import duckdb

from etl import __version__, schema
from etl.errors import ConfigError
from etl.load.relation import MARK, MARK_DOC, is_marked
from etl.schema import quote

Found = Mapping[str, Mapping[str, tuple[str, str, bool]]]
"""By qualified table and column, the type and the comment that are there, and whether NULL may be."""


def prepare(connection: duckdb.DuckDBPyConnection, *sources: schema.Source) -> None:
    """Create the tables of these schema files, and add new columns.

    All of it is done in one transaction, or nothing: hundreds of statements take half the time in one string.
    Raises ConfigError for any other difference, and where a newer version has written there.
    """
    found = _found(connection)
    if "version" in found.get("etl.runs", {}):
        for (version,) in connection.execute(schema.statement("load/last_version")).fetchall():
            _refuse_newer(version)
    statements = [each for source in sources for each in _missing(source, found)]
    if not statements:
        return
    connection.begin()
    try:
        connection.execute(";\n".join(statements))
        connection.commit()
    except BaseException:
        # After a failed commit there is nothing left to roll back; why it failed says more.
        with suppress(duckdb.Error):
            connection.rollback()
        raise


def _refuse_newer(version: str) -> None:
    """Leave alone what a newer version has written: what it means by it is not known here."""
    if _numbers(version) > _numbers(__version__):
        raise ConfigError(
            f"the warehouse was written by Sightglass {version}, which is newer than this one "
            f"({__version__}): run that version or a later one"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _found(connection: duckdb.DuckDBPyConnection) -> Found:
    """Return what is there, in one query for all schemas."""
    found: dict[str, dict[str, tuple[str, str, bool]]] = {}
    for table, column, kind, *about in connection.execute(schema.statement("load/columns")).fetchall():
        short = "TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind
        found.setdefault(table, {})[column] = (short, *about)
    return found


def _missing(source: schema.Source, found: Found) -> Iterator[str]:
    """Yield the statements that bring what is there to what one schema file declares."""
    statements: list[str] = []
    for table in source.tables.values():
        there = dict(found.get(table.qualified, {}))
        has_mark = there.pop(MARK, None) is not None
        if not there:
            statements += table.ddl()
        elif _differs(table, there):
            statements += _altered(table, there)
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


def _altered(table: schema.Table, found: Mapping[str, tuple[str, str, bool]]) -> Iterator[str]:
    """Yield the statements that add new columns, allow NULL where declared, and update all comments."""
    for name, (kind, _, is_nullable) in found.items():
        declared = table.columns.get(name)
        if declared is None or declared.sql != kind:
            raise ConfigError(
                f"the warehouse has {table.qualified}.{name} as {kind}, this version declares "
                f"{declared.sql if declared else 'no such column'}; load into a new SIGHTGLASS_HOME"
            )
        if not is_nullable and not table.not_null(name):
            yield f"ALTER TABLE {table.qualified} ALTER COLUMN {quote(name)} DROP NOT NULL"
    for name, column in table.columns.items():
        if name not in found:
            if table.not_null(name):
                raise ConfigError(
                    f"the warehouse lacks the mandatory column {table.qualified}.{name}; "
                    "load into a new SIGHTGLASS_HOME"
                )
            yield f"ALTER TABLE {table.qualified} ADD COLUMN {quote(name)} {column.sql}"
    yield from table.comments()
