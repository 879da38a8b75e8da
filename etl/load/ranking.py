"""The rows of each key in a batch, numbered from the oldest version on: so many are written one by one.

Rows of one key and one version are tied: the last to come holds. What is written of them knows them all by
one hash, so that they are recognized when all of them come again; each for itself would be taken for a
correction of the last.
"""

from collections.abc import Iterator

from duckdb import DuckDBPyConnection

from etl.load.batch import CARRIED, HAS_CONTENT, ROW, Batch
from etl.load.copies import PLACE, tied_copies
from etl.load.sql import among, names
from etl.schema import Table, quote
from etl.transform.flatten import RECORD, WHOLE


def rounds(connection: DuckDBPyConnection, batch: Batch, run_id: str) -> Iterator[str]:
    """Yield the versions of the rows that are written one after the other.

    Of each key at most one at a time.
    """
    if not batch.versions or batch.is_plain:
        yield f"FROM ({_ranked(batch)}) WHERE version_number = version_count"
        return
    table = batch.table
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE ranked AS
        SELECT ranked.* REPLACE (coalesce(was_stored.was_of_run, false) AS was_of_run)
        FROM ({_ranked(batch)}) AS ranked
        LEFT JOIN (
            SELECT {names(table.key, "stored")}, stored._run_id = $run_id AS was_of_run
            FROM {table.qualified} AS stored
            WHERE {among(batch.most_selective, f"incoming_{table.name}")}
        ) AS was_stored USING ({names(table.key)})""",
        {"run_id": run_id},
    )
    ((number,),) = connection.execute("SELECT max(version_number) FROM ranked").fetchall()
    yield from (f"FROM ranked WHERE version_number = {each}" for each in range(1, number + 1))


def record_hash(table: Table, of: str) -> str:
    """Return the expression for the hash of the record that a row is made of; NULL where none is kept."""
    name = table.declared.record_hash
    return f"{of}.{quote(name)}" if name else "CAST(NULL AS BIGINT)"


def _ranked(batch: Batch) -> str:
    """Return the rows of each key, numbered from the oldest version on.

    One that says nothing counts as oldest.
    """
    table = batch.table
    version = CARRIED if batch.copies else table.version
    order = f"{version} NULLS FIRST, " if version else ""
    order += f"is_whole, {HAS_CONTENT}, {RECORD}"
    number, count, first, tied = "1", "1", RECORD, ""
    hashed, is_outdone = record_hash(table, f"incoming_{table.name}"), "false"
    if not batch.is_plain:
        if batch.copies:
            order = f"is_whole, {HAS_CONTENT}, {CARRIED} NULLS FIRST, {PLACE}"
            tied = f"LEFT JOIN ({tied_copies(batch)}) USING ({ROW})"
        of_key = f"PARTITION BY {names(table.key)}"
        number = f"row_number() OVER ({of_key} ORDER BY {order})"
        count, first = f"count(*) OVER ({of_key})", f"min({RECORD}) OVER ({of_key})"
        if table.declared.record_hash:
            of_version = of_key + (f", {version}" if batch.versions and version else "")
            window = f"{of_version} ORDER BY {order}"
            hashed, is_outdone = _tied_hash(hashed, window), _is_outdone(hashed, window)
    return f"""
        SELECT
            {ROW},
            {RECORD},
            {WHOLE},
            {names(table.key)},
            {version or "NULL"} AS version,
            {batch.is_whole} AS is_whole,
            {HAS_CONTENT},
            {number} AS version_number,
            {count} AS version_count,
            {first} AS first_record,
            {hashed} AS tied_hash,
            {is_outdone} AS is_outdone,
            CAST(NULL AS BOOLEAN) AS was_of_run
        FROM incoming_{table.name} {tied}"""


def _tied_hash(each: str, window: str) -> str:
    """Return the expression for one hash of all rows of a window; of rows that are the same, theirs."""
    tied = f"OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    joint = f"CAST(md5_number_lower(array_to_string(list({each}) {tied}, ' ')) >> 1 AS BIGINT)"
    return (
        f"CASE WHEN min({each}) {tied} IS NOT DISTINCT FROM max({each}) {tied} THEN {each} ELSE {joint} END"
    )


def _is_outdone(each: str, window: str) -> str:
    """Return the expression for whether another row of a window comes later and says something else."""
    later = f"OVER ({window} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
    return f"coalesce(min({each}) {later} <> max({each}) {later}, false)"
