"""Write one batch of rows: new ones in, changed ones replaced with their parts, the others left alone.

The SQL is made from the declarations. Incoming rows carry `_record`, the number of the record in the batch
that they were cut from; `outcome` says for each row what becomes of it:

* inserted   the key is new
* changed    the row, or the set of its parts, differs from what is stored and is not older
* unchanged  the same as stored, or abridged: nothing but a key, or less than what is stored in full
* late       older than what is stored: the tables stay as they are, the history takes it in
* rival      differs from what is stored, and is to be compared with when that was carried
* compare    neither older nor newer: changed or unchanged, once it is compared with what is stored

There are no indexes: a look at the one key column that tells most finds what is stored of a batch. From then
on it is reached by its times, in the order of which tables nearly are; where nothing is stored, nothing more
is looked up. Rows are never joined by row id: with rows that the transaction itself has written and deleted,
DuckDB 2.0.0 filters them wrong, and crashes.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from etl.declaration import ROOT
from etl.load import history
from etl.load.batch import HAS_CONTENT, ROW, Batch, prepared
from etl.load.changes import Changes
from etl.load.copies import carried, contest, enter_copies
from etl.load.ranking import record_hash, rounds
from etl.load.relation import MARK, is_marked, time_of_whole
from etl.load.sql import among, equal, names, plain, same
from etl.schema import LINEAGE_TIME, Source, Table, quote
from etl.transform.flatten import RECORD, WHOLE


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the load stage writes into every row."""

    run_id: str
    loaded_at: Any
    """An aware datetime."""
    as_of: Any = None
    """An aware datetime: when the API sent rows that are loaded only now. Where they have no version of their
    own, rows that were written later are newer. None where they follow in the order of the log on all that is
    stored: then no clock is asked, for that of an earlier run may have been ahead."""


def save(
    connection: DuckDBPyConnection, source: Source, tables: Mapping[str, Any], lineage: Lineage
) -> Changes:
    """Write the rows of one stream, Arrow tables by table name, inside the transaction that is open."""
    batches = [
        Batch(source, table, prepared(table, carried(source, table, tables)))
        for table in (source.tables[name] for name in tables)
    ]
    for each in batches:
        connection.register(f"incoming_{each.table.name}", each.rows)
    connection.execute("CREATE OR REPLACE TEMP TABLE changes (record BIGINT, is_new BOOLEAN)")
    for each in batches:
        if len(each.rows) and not each.table.declared.part_of:
            _save_rows(connection, each, lineage)
    for name in tables:
        connection.unregister(f"incoming_{name}")
    changes = connection.sql(
        "SELECT record, bool_or(is_new) AS is_new FROM changes GROUP BY record"
    ).to_arrow_table()
    return Changes(*changes.columns)


def _save_rows(connection: DuckDBPyConnection, batch: Batch, lineage: Lineage) -> None:
    """Write the rows of one table with their parts: every version where a history is kept, else the last."""
    parameters = {
        "run_id": lineage.run_id,
        "loaded_at": lineage.loaded_at,
        "as_of": lineage.as_of,
    }

    def run(statements: Iterable[str]) -> None:
        for statement in statements:
            named = {name: value for name, value in parameters.items() if f"${name}" in statement}
            connection.execute(statement, named or None)

    def kinds() -> set[str]:
        return {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM outcome").fetchall()}

    for some in rounds(connection, batch, lineage.run_id):
        run([_outcome(batch, some)])
        found = kinds()
        if "compare" in found:
            run([_judge(batch)])
            found = kinds()
        if batch.copies is not None:
            if "rival" in found:
                run([contest(batch, batch.copies)])
                found = kinds()
            run([enter_copies(batch, batch.copies, found)])
        if found & {"inserted", "changed", "late"}:
            run(_statements(batch, found))


def _statements(batch: Batch, kinds: set[str]) -> Iterator[str]:
    """Yield what is done with the rows in `outcome`, one after the other."""
    all_new = kinds == {"inserted"} and batch.is_plain
    if batch.versions is not None:
        if "inserted" in kinds:
            yield from history.begin_again(batch.source, batch.table, batch.most_selective)
        yield from history.enter_versions(batch.source, batch.table, batch.most_selective, kinds)
        for part in batch.parts:
            yield from history.statements(batch.source, batch.table, part, kinds)
    yield from (_append(batch) if all_new else _replace(batch, kinds))
    # Whether a record is new is for the row it stands for to say, not for what comes along with it. Where
    # only the last of several rows is written, the first of the records they came with has changed it.
    yield f"""
        INSERT INTO changes
        SELECT
            {RECORD if batch.versions else "first_record"},
            {"kind = 'inserted'" if _stands_for(batch) else "false"}
        FROM outcome WHERE kind IN ('inserted', 'changed') AND {WHOLE}"""


def _stands_for(batch: Batch) -> bool:
    """Whether a row of the table stands for a whole record; where no table has such rows, each does."""
    own = batch.source.of_stream(batch.table.declared.stream)
    whole = [table for table in own if table.declared.at == ROOT]
    return batch.table in whole or not whole


def _outcome(batch: Batch, some: str) -> str:
    """Where the rows are stored, and what becomes of them as far as that can be told by their versions."""
    table = batch.table
    # Without a time nothing is older: NULL says so.
    older = "ranked.version < stored_version" if table.version else "stored_at > CAST($as_of AS TIMESTAMPTZ)"
    newer = "false"
    if batch.copies:
        older, newer = "false", "is_whole AND NOT stored_whole"
    if table.version and not table.columns[table.version].volatile:
        newer = "ranked.version > stored_version"
    return f"""
        CREATE OR REPLACE TEMP TABLE outcome AS
        WITH ranked AS MATERIALIZED ({some})
        SELECT
            ranked.*,
            stored_version,
            coalesce(was_of_run, stored_run = $run_id, false) AS is_contested,
            CASE
                WHEN is_stored IS NULL THEN 'inserted'
                WHEN is_outdone AND tied_hash = stored_hash THEN 'unchanged'
                WHEN NOT {HAS_CONTENT} OR (stored_whole AND NOT is_whole) THEN 'unchanged'
                WHEN {older} THEN 'late'
                WHEN {newer} THEN 'changed'
                ELSE 'compare'
            END AS kind
        FROM ranked
        LEFT JOIN ({_stored(batch)}) AS stored ON {equal(table.key, "ranked", "stored")}
    """


def _stored(batch: Batch) -> str:
    """Return what is to be known of the rows that are stored of the keys in `ranked`."""
    table = batch.table
    return f"""
        SELECT
            {names(table.key, "stored")},
            true AS is_stored,
            {f"stored.{table.version}" if table.version else "NULL"} AS stored_version,
            {f"stored.{table.whole_by} IS NOT NULL" if table.whole_by else "false"} AS stored_whole,
            stored._run_id AS stored_run,
            {record_hash(table, "stored")} AS stored_hash,
            {LINEAGE_TIME} AS stored_at
        FROM {table.qualified} AS stored
        WHERE {among(batch.most_selective, "ranked")}"""


def _near(batch: Batch, each: Table, which: str) -> str:
    """Return the condition that a stored row may belong to one of these in `outcome`.

    Of others little is read.
    """
    time = time_of_whole(batch.table, each)
    return among(
        time or batch.most_selective,
        f"outcome WHERE {which}",
        "stored_version" if time else batch.most_selective,
    )


def _judge(batch: Batch) -> str:
    """Call a row changed when it differs from what is stored, or the set of its parts does."""
    table = batch.table
    differing = [
        f"""
        SELECT outcome.{ROW}
        FROM outcome
        JOIN incoming_{table.name} AS incoming USING ({ROW})
        JOIN {table.qualified} AS stored ON {equal(table.key, "stored", "outcome")}
        WHERE kind = 'compare' AND {_near(batch, table, "kind = 'compare'")}
            AND NOT ({same(_compared(table), "incoming", "stored")})"""
    ]
    differing += [_differing(batch, part) for part in batch.parts]
    if table.declared.record_hash and not batch.versions:
        # Written once more, it will be recognized.
        differing.append(f"""
        SELECT outcome.{ROW}
        FROM outcome
        JOIN {table.qualified} AS stored ON {equal(table.key, "stored", "outcome")}
        WHERE kind = 'compare' AND {_near(batch, table, "kind = 'compare'")}
            AND stored.{quote(table.declared.record_hash)} IS NULL""")
    return f"""
        CREATE OR REPLACE TEMP TABLE outcome AS
        WITH differing AS MATERIALIZED ({" UNION ALL ".join(differing)})
        SELECT * REPLACE (
            CASE
                WHEN kind <> 'compare' THEN kind
                WHEN {ROW} IN (FROM differing) THEN '{"rival" if batch.copies else "changed"}'
                ELSE 'unchanged'
            END AS kind
        )
        FROM outcome"""


def _differing(batch: Batch, part: Table) -> str:
    """Return the rows in `outcome` that have a part that differs from what is stored, or lack one."""
    own_key = [name for name in part.key if name not in batch.table.key]
    return f"""
        SELECT {ROW}
        FROM outcome
        LEFT JOIN (
            SELECT {RECORD}, count(*) AS parts FROM incoming_{part.name} GROUP BY {RECORD}
        ) AS sent USING ({RECORD})
        LEFT JOIN (
            -- By itself, so that DuckDB filters while it scans: joined at once, it has read whole tables.
            WITH near AS MATERIALIZED (
                FROM {part.qualified} AS stored WHERE {_near(batch, part, "kind = 'compare'")}
            )
            SELECT outcome.{ROW}, count(*) AS parts, count(incoming.{RECORD}) AS alike
            FROM near AS stored
            JOIN outcome ON {equal(batch.table.key, "stored", "outcome")}
            LEFT JOIN incoming_{part.name} AS incoming
                ON incoming.{RECORD} = outcome.{RECORD}
                AND {equal(own_key, "incoming", "stored")}
                AND {same(_compared(part), "incoming", "stored")}
            WHERE kind = 'compare'
            GROUP BY outcome.{ROW}
        ) AS stored USING ({ROW})
        WHERE kind = 'compare' AND {WHOLE}
            AND (
                coalesce(sent.parts, 0) <> coalesce(stored.parts, 0)
                OR coalesce(stored.parts, 0) <> coalesce(alike, 0)
            )"""


def _compared(table: Table) -> dict[str, bool]:
    """Return the columns in which a difference is a change, each with whether it is compared as text."""
    return plain([*(name for name in table.content if not table.columns[name].volatile), "_extra"], table)


def _append(batch: Batch) -> Iterator[str]:
    """Yield the statements that bring row and parts of records into their tables that are all of them new."""
    for each in (batch.table, *batch.parts):
        columns = names([*each.written, "_extra"])
        marked, mark = _marked(batch, each, {"inserted"})
        yield f"""
            INSERT INTO {each.qualified} ({columns}, _run_id, _loaded_at{marked})
            SELECT {columns}, $run_id, $loaded_at{mark} FROM incoming_{each.name}"""


def _replace(batch: Batch, kinds: set[str]) -> Iterator[str]:
    """Yield the statements that bring row and parts of the new and changed records into their tables."""
    for each in (batch.table, *batch.parts):
        # A record can hold several rows, but the parts of only one.
        link, whole = (ROW, "") if each is batch.table else (RECORD, f" AND outcome.{WHOLE}")
        if "changed" in kinds:
            yield f"""
                DELETE FROM {each.qualified} AS stored USING outcome
                WHERE kind = 'changed'{whole} AND {equal(batch.table.key, "stored", "outcome")}
                    AND {_near(batch, each, "kind = 'changed'")}"""
        columns = [*each.content, "_extra"]
        marked, mark = _marked(batch, each, kinds)
        hashed, value = _hashed(each)
        yield f"""
            INSERT INTO {each.qualified} ({names(columns)}, _run_id, _loaded_at{hashed}{marked})
            SELECT {names(columns, "incoming")}, $run_id, $loaded_at{value}{mark}
            FROM incoming_{each.name} AS incoming JOIN outcome USING ({link})
            WHERE kind IN ('inserted', 'changed'){whole}"""


def _hashed(each: Table) -> tuple[str, str]:
    """Where a table holds the hash of its records, that column and its value, to be appended.

    A row that several batches of one run have written has none: which record it was made of last is for the
    next run to find out again, and for that it must look at all of them.
    """
    if not each.declared.record_hash:
        return "", ""
    return (
        f", {quote(each.declared.record_hash)}",
        ", CASE WHEN NOT (is_contested OR is_outdone) THEN tied_hash END",
    )


def _marked(batch: Batch, each: Table, kinds: AbstractSet[str]) -> tuple[str, str]:
    """Where a table marks the rows that versions follow from, that column and its value, to be appended."""
    if not is_marked(batch.source, each):
        return "", ""
    return f", {MARK}", f", {history.mark(batch.table, each, kinds)}"
