"""What is wrong with a declaration: seen when its file is read, before anything is asked or stored."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl.declaration import ROOT
from etl.errors import ConfigError
from etl.values import VERSION_TYPES

if TYPE_CHECKING:
    from etl.schema import Source, Table


def check(made: "Source", table: "Table") -> None:
    """Refuse a declaration that could not be loaded, with the name of the table."""
    whole = made.tables.get(table.declared.part_of)
    problems = [f"key column {name} is not declared" for name in table.key if name not in table.columns]
    if table.declared.part_of and whole is None:
        problems.append(f"part_of names no table: {table.declared.part_of}")
    problems += _wrong_order(made, table)
    if whole is not None:
        problems += [f"lacks {name}, key of {whole.name}" for name in whole.key if name not in table.key]
    if table.declared.carried_by and not (made.carrier_of(table) and made.copies_of(table)):
        problems.append("carried_by names no table, or none lists the copies")
    problems += _wrong_cursor(made, table)
    if not problems:
        problems += _wrong_bucket(made, table)
    if table.declared.record_hash:
        problems += _wrong_hash(table)
    problems += [
        f"{what} column {name} is not declared"
        for what, name in (
            ("version", table.version),
            ("whole_by", table.whole_by),
            ("by_month", table.by_month),
        )
        if name and name not in table.columns
    ]
    month = table.columns.get(table.by_month)
    if month is not None and month.type != "timestamp":
        problems.append(f"by_month column {table.by_month} is of type {month.type}, which has no months")
    if problems:
        raise ConfigError(f"schemas/{made.name}.toml: [{table.name}] {problems[0]}")


def _wrong_order(made: "Source", table: "Table") -> Iterator[str]:
    """Yield why a table cannot follow the one that it names."""
    followed = made.tables.get(table.declared.follows)
    if table.declared.follows and followed is None:
        yield f"follows names no table: {table.declared.follows}"
    if followed is not None and table.key[: len(followed.key)] != followed.key:
        yield f"its key does not begin with that of {followed.name}, which it follows"


def _wrong_cursor(made: "Source", table: "Table") -> Iterator[str]:
    """Yield why the cursor of its stream cannot be what it is declared as."""
    declared, kind = table.declared, table.declared.cursor
    is_whole = declared.at == ROOT and table in made.of_stream(declared.stream) and not declared.part_of
    if kind != "time" and not (declared.stream and is_whole):
        yield f"cursor is declared as {kind}, but its rows do not stand for whole records of a stream"
    column = table.columns.get(table.version)
    if column is None or not is_whole or not declared.stream:
        return
    if kind != made.cursor_of(declared.stream):
        yield f"its stream {declared.stream} has another cursor than {kind}"
    if column.type != VERSION_TYPES[kind]:
        yield f"the version {table.version} is of type {column.type}, the cursor is declared as {kind}"
    keeps = [made.versions_of(table), made.copies_of(table), *map(made.history_of, made.parts_of(table))]
    if kind != "time" and any(keeps):
        yield f"history is kept by times, and its versions are of type {column.type}"


def _wrong_bucket(made: "Source", table: "Table") -> Iterator[str]:
    """Yield why the rows cannot be spread as it is declared."""
    name, declared = made.bucket_of(table), table.declared
    if not name:
        return
    if name not in table.columns:
        yield (
            f"lacks {name}, the bucket of its table"
            if not declared.bucket
            else (f"bucket column {name} is not declared")
        )
    elif not table.not_null(name):
        yield f"bucket column {name} is neither of the key nor required"
    others = {made.bucket_of(each) for each in made.of_stream(declared.stream)} - {name}
    if declared.stream and others:
        yield f"its stream {declared.stream} is spread by {min(others) or 'nothing'} as well as by {name}"


def _wrong_hash(table: "Table") -> Iterator[str]:
    """Yield what is wrong with the column for the hash of a record; rows that share a record have none."""
    column = table.columns.get(table.declared.record_hash)
    if column is None or not column.maintained or column.type != "integer":
        yield f"record_hash names no maintained integer column: {table.declared.record_hash}"
    if table.declared.at != ROOT:
        yield "record_hash is declared, but its rows do not stand for whole records"
