"""Which copy counts of a row that has no time of its own, and comes inside records of another table.

A full copy counts before an abridged one, then the one whose record is newest, then the one whose content
comes last in a fixed order: what is stored follows from what was sent, in whatever order it came. When each
row was carried is listed in a table of its own, whose newest time is that of the copy that is stored: to
keep it in the row would rewrite, and publish, rows that have not changed.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import pyarrow.compute as pc

from etl.load.batch import CARRIED, ROW, SAYS_SOMETHING, Batch
from etl.load.sql import among, equal, names
from etl.schema import Source, Table
from etl.transform.flatten import RECORD


def carried(source: Source, table: Table, rows: Any, tables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- pyarrow ships no types
    """The rows with the time of the record that each was carried by, where that says how new they are."""
    carrier = source.carrier_of(table)
    if carrier is None:
        return rows
    records = tables[carrier.name]
    places = pc.index_in(rows[RECORD], value_set=records[RECORD].combine_chunks())
    return rows.append_column(CARRIED, records[carrier.version].combine_chunks().take(places))


def content(table: Table, of: str) -> str:
    """What a copy holds, as a text that has an order; what changes by itself comes last in it."""
    compared = sorted([*table.content, "_extra"], key=lambda name: table.columns[name].volatile)
    return f"CAST(ROW({names(compared, of)}) AS VARCHAR)"


def order_of_copies(batch: Batch) -> str:
    """In what order the incoming rows of one key come, the one that counts last."""
    order = f"is_whole, {SAYS_SOMETHING}, {CARRIED} NULLS FIRST"
    if not batch.has_ties:
        return order
    # To look at the content of all would take longer than to store it.
    moment = names([*batch.table.key, CARRIED], "incoming")
    tied = f"SELECT ({moment}) FROM incoming_{batch.table.name} AS incoming GROUP BY ALL HAVING count(*) > 1"
    return f"{order}, CASE WHEN ({moment}) IN ({tied}) THEN {content(batch.table, 'incoming')} END"


def contest(batch: Batch, kept: Table) -> Iterator[str]:
    """The statements that keep a row in `outcome` from replacing what is stored and newer."""
    table = batch.table
    rivals = "outcome WHERE kind = 'rival'"
    yield f"""
        CREATE OR REPLACE TEMP TABLE losers AS
        WITH newest AS MATERIALIZED (
            SELECT {names(table.key)}, {kept.whole_by} AS is_whole, max({kept.version}) AS newest
            FROM {kept.qualified} AS stored
            WHERE {among(batch.telling, rivals)}
            GROUP BY ALL
        )
        SELECT rivals.{ROW}
        FROM (FROM {rivals}) AS rivals
        JOIN newest ON {equal(table.key, "newest", "rivals")} AND newest.is_whole = rivals.is_whole
        JOIN incoming_{table.name} AS incoming ON incoming.{ROW} = rivals.{ROW}
        JOIN {table.qualified} AS stored ON {equal(table.key, "stored", "rivals")}
        WHERE {among(batch.telling, rivals)}
            AND (
                rivals.version < newest
                OR (rivals.version = newest AND {content(table, "incoming")} <= {content(table, "stored")})
            )"""
    yield f"""
        CREATE OR REPLACE TEMP TABLE outcome AS
        SELECT * REPLACE (
            CASE
                WHEN kind <> 'rival' THEN kind
                WHEN {ROW} IN (FROM losers) THEN 'unchanged'
                ELSE 'changed'
            END AS kind
        )
        FROM outcome"""


def enter_copies(batch: Batch, kept: Table, kinds: AbstractSet[str]) -> str:
    """The statement that lists when the rows in `ranked` were carried, as far as it is not listed yet."""
    key = names(batch.table.key)
    listed = ""
    if kinds != {"inserted"}:
        listed = f"""AND ({key}, version, is_whole) NOT IN (
            SELECT ({key}, {kept.version}, {kept.whole_by})
            FROM {kept.qualified} AS stored WHERE {among(kept.version, "ranked", "version")}
        )"""
    return f"""
        INSERT INTO {kept.qualified} ({key}, {kept.version}, {kept.whole_by}, _run_id, _loaded_at)
        SELECT {"" if batch.is_plain else "DISTINCT"} {key}, version, is_whole, $run_id, $loaded_at
        FROM ranked
        WHERE {SAYS_SOMETHING} AND version IS NOT NULL {listed}"""
