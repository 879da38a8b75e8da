"""Where tables differ from those that their log was replayed into, beside which the former are attached."""

from collections.abc import Iterator, Sequence

from duckdb import DuckDBPyConnection

from etl import schema
from etl.load.completing import BY_SOURCE, FORMER, columns_of
from etl.load.differences import Difference
from etl.load.soundness import content, shown, without_retired
from etl.load.sql import names
from etl.schema import SYSTEM, Source, Table, literal, quote
from etl.transform.flatten import EXTRA

UNLOGGED, LOST, FEWER = (
    "the log does not hold it",
    "the log has it, the table has not",
    "the log has other numbers of rows",
)


def differing(connection: DuckDBPyConnection, source: Source, *, is_whole: bool) -> Iterator[Difference]:
    """Yield where the tables of a source, and what is known of its streams, differ from the replayed ones.

    Unless the log `is_whole`, it does not prove which run has written a row.
    """
    retired = dict(connection.execute(schema.statement("load/retired")).fetchall())
    for table in source.tables.values():
        # The hash of a record changes with what is declared, and then says no more than that the record is to
        # be looked at when it comes again.
        every = columns_of(source, table, without=table.declared.record_hash)
        columns = every if is_whole else names([*table.key, *content(table)])
        gone = retired.get(table.qualified)
        read = f"SELECT * REPLACE (CAST({without_retired(gone)} AS JSON) AS {EXTRA}) FROM " if gone else ""
        rows = (f"({read}{each})" if read else each for each in _both(table.qualified))
        yield from _of_table(connection, source, table, columns, tuple(rows))
    for name in (*BY_SOURCE, "quarantine"):
        table = schema.source(SYSTEM).tables[name]
        rows = (f"{each} WHERE source = {literal(source.name)}" for each in _both(table.qualified))
        yield from _of_table(connection, source, table, names(table.columns), tuple(rows))


def _both(name: str) -> tuple[str, str]:
    """Return the name of a table of those that were made of the log, and of that which is kept."""
    return name, f"{FORMER}.{name}"


def _of_table(
    connection: DuckDBPyConnection, source: Source, table: Table, columns: str, rows: Sequence[str]
) -> Iterator[Difference]:
    made, kept = rows
    measure = f"SELECT count(*), sum(CAST(hash({columns}) AS HUGEINT)) FROM"
    measured = [connection.execute(f"{measure} {each}").fetchall() for each in (made, kept)]
    if measured[0] == measured[1]:
        return
    for *key, is_logged, is_kept, other in connection.execute(_query(table, columns, made, kept)).fetchall():
        what = LOST if is_logged else UNLOGGED
        if is_logged and is_kept:
            what = f"the log says otherwise in {', '.join(other)}" if other else FEWER
        yield Difference(
            place="tables",
            what=what,
            source=source.name,
            table=table.qualified,
            key=dict(zip(table.key, map(str, key), strict=True)),
        )


def _query(table: Table, columns: str, made: str, kept: str) -> str:
    """Return the query for the keys of which two relations hold other rows."""
    key, first, every = names(table.key), quote(table.key[0]), columns.split(", ")
    # JSON has no equality of its own.
    json = {quote(column) for column, declared in table.columns.items() if declared.type == "json"}
    values = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" if name in json else name for name in every)
    told = ", ".join(
        f"CASE WHEN made.{name} IS DISTINCT FROM kept.{name} THEN {literal(name.strip(chr(34)))} END"
        for name in every
    )
    return f"""
        WITH made AS MATERIALIZED (SELECT {values} FROM {made}),
        kept AS MATERIALIZED (SELECT {values} FROM {kept}),
        odd AS (
            SELECT DISTINCT {key}
            FROM ((FROM made EXCEPT ALL FROM kept) UNION ALL (FROM kept EXCEPT ALL FROM made))
        )
        SELECT
            {shown(table.key)},
            count(made.{first}) OVER each > 0 AS is_logged,
            count(kept.{first}) OVER each > 0 AS is_kept,
            list_filter([{told}], lambda name: name IS NOT NULL) AS other
        FROM odd
        LEFT JOIN made USING ({key})
        LEFT JOIN kept USING ({key})
        WINDOW each AS (PARTITION BY {key})
        QUALIFY row_number() OVER each = 1
        ORDER BY ALL"""
