"""What must hold of the tables by themselves: keys, parts, histories, counts of runs, cursors."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl import schema
from etl.load.differences import Difference
from etl.load.relation import LINEAGE, relation
from etl.load.sql import equal, names
from etl.schema import SYSTEM, Source, Table, literal, quote
from etl.transform.flatten import EXTRA

AT_ONCE = 1_000_000
"""Rows of a table that are grouped or joined at once."""
FEWEST = 10_000
"""Rows of which no fewer are looked at by themselves, however little memory there is."""

Sliced = Callable[[str], str]
"""Given a relation, the relation of those of its rows that are in one slice."""


def unsound(
    connection: DuckDBPyConnection, sources: list[Source], *, knows_newest: bool
) -> Iterator[Difference]:
    """Yield what does not hold of the tables of these sources, and of what is known of their runs."""
    wanted = [source.name for source in sources]
    for source in [*sources, schema.source(SYSTEM)]:
        for table in source.tables.values():
            yield from _duplicates(connection, source, table)
            yield from _orphans(connection, source, table)
            yield from _torn(connection, source, table)
    for source in sources:
        if knows_newest:
            yield from _ahead(connection, source)
        yield from _unnamed(connection, source)
    for run_id, *about in connection.execute(schema.statement("publish/unbalanced")).fetchall():
        if about[0] in wanted:
            named = dict(zip(("source", "stream", "partition"), about, strict=True))
            yield Difference(
                place="runs",
                what="what was fetched is not what was inserted, updated, unchanged and quarantined",
                table=f"{SYSTEM}.run_streams",
                key={"run_id": run_id, **named},
                **named,
            )


def shown(columns: tuple[str, ...] | list[str], of: str = "") -> str:
    """Return these columns as texts, to be selected."""
    at = f"{of}." if of else ""
    return ", ".join(f"CAST({at}{quote(name)} AS VARCHAR) AS {quote(name)}" for name in columns)


def _named(source: str, table: Table, what: str, row: tuple[str, ...]) -> Difference:
    key = dict(zip(table.key, map(str, row), strict=True))
    return Difference(place="tables", what=what, source=source, table=table.qualified, key=key)


def _whole(source: Source, table: Table) -> Table:
    """Return the table to whose rows those of this one belong; itself where they belong to none."""
    name = table.declared.history_of or table.declared.part_of
    return _whole(source, source.tables[name]) if name else table


def _found(
    connection: DuckDBPyConnection, source: Source, table: Table, query: Callable[[Sliced], str]
) -> list[tuple[Any, ...]]:
    """Return what a query finds, which is asked of a slice of all records at a time.

    To group or to join all rows of a large table at once, DuckDB needs memory for all of them. `query` is
    given what makes a relation one of the rows of the slice.
    """
    key = names(_whole(source, table).key)
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {relation(table)}").fetchall()
    slices = 1 + rows // AT_ONCE
    while True:
        found: list[tuple[Any, ...]] = []
        try:
            for number in range(slices):
                found += connection.execute(query(_slice(key, number, slices))).fetchall()
        except OutOfMemoryException:
            if slices * FEWEST > rows:
                raise
            slices *= 4
        else:
            return found


def _slice(key: str, number: int, slices: int) -> Sliced:
    """Return what makes a relation one of the rows whose keys fall into a slice."""
    if slices == 1:
        return lambda relation: relation
    return lambda relation: f"(FROM {relation} WHERE hash({key}) % {slices} = {number})"


def _duplicates(connection: DuckDBPyConnection, source: Source, table: Table) -> Iterator[Difference]:
    """Yield keys that stand for several rows."""
    for *key, count in _found(
        connection,
        source,
        table,
        lambda some: (
            f"SELECT {shown(table.key)}, count(*) FROM {some(relation(table))} "
            f"GROUP BY {names(table.key)} HAVING count(*) > 1 ORDER BY ALL"
        ),
    ):
        yield _named(table.schema, table, f"{count:,} rows of one key", tuple(key))


def _orphans(connection: DuckDBPyConnection, source: Source, table: Table) -> Iterator[Difference]:
    """Yield rows of a part without the row that they are part of."""
    whole = source.tables.get(table.declared.part_of)
    if whole is None:
        return
    for row in _found(
        connection,
        source,
        table,
        lambda some: (
            f"SELECT {shown(table.key)} FROM {some(table.qualified)} "
            f"ANTI JOIN {some(whole.qualified)} USING ({names(whole.key)}) ORDER BY ALL"
        ),
    ):
        yield _named(source.name, table, f"{whole.qualified} has no row that it belongs to", row)


def _torn(connection: DuckDBPyConnection, source: Source, kept: Table) -> Iterator[Difference]:
    """Yield rows of a history that overlap, leave holes, or begin or end at no version that is known."""
    part = source.tables.get(kept.declared.history_of)
    whole = part and source.tables.get(part.declared.part_of)
    versions = whole and source.versions_of(whole)
    if part is None or whole is None or versions is None:
        return
    for *key, what in _found(
        connection, source, kept, lambda some: _torn_query(whole, part, kept, versions, some)
    ):
        row = {name: str(value) for name, value in zip(kept.key, key, strict=True) if value is not None}
        yield Difference(place="tables", what=what, source=source.name, table=kept.qualified, key=row)


def _torn_query(whole: Table, part: Table, kept: Table, versions: Table, some: Sliced) -> str:
    """Return the query for rows of a history that are not as they must be."""
    times = f"SELECT ({names([*whole.key, whole.version])}) FROM {some(relation(versions))}"
    return f"""
        WITH held AS (
            SELECT
                {names(kept.key)}, valid_to,
                lead(valid_from) OVER (PARTITION BY {names(part.key)} ORDER BY valid_from, revision) AS next
            FROM {some(relation(kept))}
        ), judged AS (
            SELECT {shown(kept.key, "held")}, CASE
                WHEN valid_to < valid_from THEN 'it ends before it begins'
                WHEN valid_to > next OR (valid_to IS NULL AND next IS NOT NULL)
                    THEN 'it overlaps the version after it'
                WHEN ({names(whole.key, "held")}, valid_from) NOT IN ({times})
                    THEN 'it begins at no version that is known'
                WHEN valid_to IS NOT NULL AND ({names(whole.key, "held")}, valid_to) NOT IN ({times})
                    THEN 'it ends at no version that is known'
                WHEN valid_to IS NULL AND NOT EXISTS (
                    FROM {some(part.qualified)} AS part WHERE {equal(part.key, "part", "held")}
                ) THEN '{part.qualified} has no row of it, though it holds'
            END AS what
            FROM held
        )
        FROM judged WHERE what IS NOT NULL
        UNION ALL
        SELECT {shown(part.key, "part")}, NULL, NULL, 'the history has no version that holds now'
        FROM {some(part.qualified)} AS part
        WHERE NOT EXISTS (
            FROM {some(relation(kept))} AS held
            WHERE held.valid_to IS NULL AND {equal(part.key, "part", "held")}
        )
        ORDER BY ALL"""


def _ahead(connection: DuckDBPyConnection, source: Source) -> Iterator[Difference]:
    """Yield cursors that are beyond the data."""
    name = f"{source.name}/cursors_ahead"
    rows = connection.execute(schema.statement(name)).fetchall() if schema.has_statement(name) else []
    for stream, partition, cursor, newest in rows:
        yield Difference(
            place="tables",
            what=f"the cursor is {cursor}, beyond the newest data, {newest or 'of which there is none'}",
            source=source.name,
            stream=stream,
            partition=partition,
            table=f"{SYSTEM}.cursors",
            key={"source": source.name, "stream": stream, "partition": partition},
        )


def _unnamed(connection: DuckDBPyConnection, source: Source) -> Iterator[Difference]:
    """Yield files of records that are neither stored nor named as a gap."""
    name = f"{source.name}/unnamed_files"
    rows = connection.execute(schema.statement(name)).fetchall() if schema.has_statement(name) else []
    for stream, table, *key in rows:
        declared = source.tables[table]
        yield Difference(
            place="api",
            what="a file that is offered is neither stored nor named as a gap",
            source=source.name,
            stream=stream,
            table=declared.qualified,
            key=dict(zip(declared.key, key, strict=True)),
        )


def without_retired(columns: Sequence[str]) -> str:
    """Return the expression for `_extra` less these: what a migration put there is not as the API sent it."""
    patch = literal(json.dumps(dict.fromkeys(columns)))
    return f"nullif(CAST(json_merge_patch({EXTRA}, {patch}) AS VARCHAR), '{{}}')"


def content(table: Table) -> list[str]:
    """Return the columns in which two rows of one key must agree, whoever has written them and when."""
    columns = [*table.columns] if table.declared.is_derived else [*table.content, EXTRA]
    return [
        name
        for name in columns
        if name not in LINEAGE and name not in table.key and not table.columns[name].volatile
    ]
