"""Write one batch of rows: new ones in, changed ones replaced with their parts, the others left alone.

The SQL is made from the declarations. Incoming rows carry `_record`, the number of the record in the batch
that they were cut from; `outcome` says for each row what becomes of it:

* inserted   the key is new
* changed    the row, or the set of its parts, differs from what is stored and is not older
* unchanged  the same as stored, or abridged: nothing but a key, or less than what is stored in full
* late       older than what is stored: the tables stay as they are, the history takes it in
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from etl.load import history
from etl.load.sql import equal, names, plain, select
from etl.schema import Source, Table
from etl.transform.flatten import RECORD, WHOLE

ROW = "_row"
"""Numbers the incoming rows of one table."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the load stage writes into every row."""

    run_id: str
    loaded_at: Any
    """An aware datetime."""
    as_of: Any = None
    """An aware datetime, by default `loaded_at`: when the API sent the rows. Where they have no version of
    their own, rows that were written later are newer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many records of a batch changed the tables, and how."""

    inserted: int
    updated: int


def save(connection: DuckDBPyConnection, source: Source, tables: Mapping[str, Any], stamp: Stamp) -> Outcome:
    """Write the rows of one stream, Arrow tables by table name, inside the transaction that is open."""
    for name, rows in tables.items():
        connection.register(f"incoming_{name}", rows)
    connection.execute("CREATE OR REPLACE TEMP TABLE changes (record BIGINT, is_new BOOLEAN)")
    for name in tables:
        table = source.tables[name]
        if not table.declared.part_of:
            _save_rows(connection, source, table, stamp)
    for name in tables:
        connection.unregister(f"incoming_{name}")
    counts = connection.execute(
        "SELECT count(*) FILTER (is_new), count(*) "
        "FROM (SELECT bool_or(is_new) AS is_new FROM changes GROUP BY record)"
    ).fetchall()
    new, touched = counts[0]
    return Outcome(new, touched - new)


def _save_rows(connection: DuckDBPyConnection, source: Source, table: Table, stamp: Stamp) -> None:
    """Write the rows of one table with their parts: every version where a history is kept, else the last."""
    versions = source.versions_of(table)
    statements = list(_statements(source, table, versions))
    parameters = {"run_id": stamp.run_id, "loaded_at": stamp.loaded_at}
    connection.execute(_rank_versions(table))
    ((rounds,),) = connection.execute("SELECT coalesce(max(version_number), 0) FROM versions").fetchall()
    for number in range(1, rounds + 1) if versions else ["version_count"]:
        connection.execute(
            _outcome(table, f"version_number = {number}"),
            None if table.version else {"as_of": stamp.as_of or stamp.loaded_at},
        )
        for statement in statements:
            connection.execute(statement, parameters if "$run_id" in statement else None)


def _statements(source: Source, table: Table, versions: Table | None) -> Iterator[str]:
    """What is done with the rows in `outcome`, one after the other."""
    parts = source.parts_of(table)
    yield _leave_unchanged(table, parts)
    if versions is not None:
        yield history.enter_versions(table, versions)
        for part in parts:
            if (kept := source.history_of(part)) is not None:
                yield from history.statements(table, part, kept, versions)
    yield from _replace(table, parts)
    # Whether a record is new is for the row it stands for to say, not for what comes along with it. Where
    # only the last of several rows is written, the first of the records they came with has changed it.
    yield f"""
        INSERT INTO changes
        SELECT
            {RECORD if versions else "first_record"},
            {"kind = 'inserted'" if _stands_for(table) else "false"}
        FROM outcome WHERE kind IN ('inserted', 'changed') AND {WHOLE}"""


def _stands_for(table: Table) -> bool:
    """Whether a row of the table stands for a whole record."""
    return table.declared.at == ("",)


def _rank_versions(table: Table) -> str:
    """Number the rows of each key from the oldest version on; a row that says nothing counts as oldest."""
    version = f"{table.version} NULLS FIRST, " if table.version else ""
    whole = f"{table.whole_by} IS NOT NULL, " if table.whole_by else ""
    return f"""
        CREATE OR REPLACE TEMP TABLE versions AS
        SELECT
            *,
            row_number() OVER () AS {ROW},
            {_says_something(table)} AS says_something,
            row_number() OVER (
                PARTITION BY {names(table.key)}
                ORDER BY {version}{whole}says_something, {RECORD}
            ) AS version_number,
            count(*) OVER (PARTITION BY {names(table.key)}) AS version_count,
            min({RECORD}) OVER (PARTITION BY {names(table.key)}) AS first_record
        FROM incoming_{table.name}
    """


def _says_something(table: Table) -> str:
    """Whether a row holds more than its key: an abridged object must not wipe what is known."""
    others = [name for name in [*table.content, "_extra"] if name not in table.key]
    return f"coalesce({', '.join(f'CAST({name} AS VARCHAR)' for name in others)}) IS NOT NULL"


def _outcome(table: Table, which: str) -> str:
    older = (
        f"incoming.{table.version} < stored.{table.version}"
        if table.version
        else "stored._loaded_at > $as_of"
    )
    abridged = ""
    if table.whole_by:
        abridged = f" OR (incoming.{table.whole_by} IS NULL AND stored.{table.whole_by} IS NOT NULL)"
    stored_version = f"stored.{table.version}" if table.version else "NULL"
    return f"""
        CREATE OR REPLACE TEMP TABLE outcome AS
        SELECT
            incoming.{ROW},
            incoming.{RECORD},
            incoming.{WHOLE},
            incoming.first_record,
            {names(table.key, "incoming")},
            {f"incoming.{table.version}" if table.version else "NULL"} AS version,
            {stored_version} AS stored_version,
            CASE
                WHEN stored.{table.key[0]} IS NULL THEN 'inserted'
                WHEN NOT says_something{abridged} THEN 'unchanged'
                WHEN {older} THEN 'late'
                ELSE 'changed'
            END AS kind
        FROM (FROM versions WHERE {which}) AS incoming
        LEFT JOIN {table.qualified} AS stored ON {equal(table.key, "incoming", "stored")}
    """


def _leave_unchanged(table: Table, parts: Iterable[Table]) -> str:
    """Call a record unchanged when neither its row nor a set of its parts differs from what is stored."""
    differing = [_difference(table, table, "versions")]
    differing += [_difference(table, part, f"incoming_{part.name}") for part in parts]
    return f"""
        UPDATE outcome SET kind = 'unchanged'
        WHERE kind = 'changed' AND {ROW} NOT IN ({" UNION ALL ".join(differing)})
    """


def _difference(table: Table, part: Table, incoming: str) -> str:
    """The rows in `outcome` that have a row here that is not stored, or lack one that is."""
    columns = plain([*(name for name in part.content if not part.columns[name].volatile), "_extra"], part)
    judged = f"kind = 'changed'{'' if part is table else f' AND outcome.{WHOLE}'}"
    sent = f"""
        SELECT outcome.{ROW}, {select(columns, "incoming")}
        FROM {incoming} AS incoming JOIN outcome USING ({_link(table, part)}) WHERE {judged}"""
    stored = f"""
        SELECT outcome.{ROW}, {select(columns, "stored")}
        FROM {part.qualified} AS stored JOIN outcome ON {equal(table.key, "stored", "outcome")}
        WHERE {judged}"""
    return f"""
        SELECT {ROW} FROM (({sent} EXCEPT {stored}) UNION ALL ({stored} EXCEPT {sent}))"""


def _link(table: Table, part: Table) -> str:
    """What links incoming rows to `outcome`: a record can hold several rows, but the parts of only one."""
    return ROW if part is table else RECORD


def _replace(table: Table, parts: Iterable[Table]) -> Iterable[str]:
    """The statements that bring row and parts of the new and changed records into their tables."""
    for each, incoming in [(table, "versions"), *((part, f"incoming_{part.name}") for part in parts)]:
        whole = f" AND outcome.{WHOLE}" if each is not table else ""
        yield f"""
            DELETE FROM {each.qualified} AS stored USING outcome
            WHERE kind = 'changed'{whole} AND {equal(table.key, "stored", "outcome")}"""
        columns = [*each.content, "_extra"]
        yield f"""
            INSERT INTO {each.qualified} ({names(columns)}, _run_id, _loaded_at)
            SELECT {names(columns, "incoming")}, $run_id, $loaded_at
            FROM {incoming} AS incoming JOIN outcome USING ({_link(table, each)})
            WHERE kind IN ('inserted', 'changed'){whole}"""
