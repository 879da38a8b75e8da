"""Which copy counts of a row that has no time of its own, and comes inside records of another table.

A full copy counts before an abridged one, then the one whose record is newest, then the one whose content
comes last in a fixed order: what is stored follows from what was sent, in whatever order it came. When each
row was carried is listed in a table of its own, whose newest time is that of the copy that is stored: to
keep it in the row would rewrite, and publish, rows that have not changed.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from etl.compute import pc
from etl.load.batch import CARRIED, HAS_CONTENT, ROW, Batch
from etl.load.sql import among, equal, names
from etl.schema import Source, Table
from etl.transform.flatten import RECORD

PLACE = "place_by_content"
"""Name of the column by which copies of one time are told apart."""


def carried(source: Source, table: Table, tables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- pyarrow ships no types
    """Return the rows with the time of the record that each was carried by, where that tells their age.

    They may have it already: where rows are spread, that record can be elsewhere.
    """
    rows, carrier = tables[table.name], source.carrier_of(table)
    if carrier is None or CARRIED in rows.column_names:
        return rows
    records = tables[carrier.name]
    places = pc.index_in(rows[RECORD], value_set=records[RECORD].combine_chunks())
    return rows.append_column(CARRIED, records[carrier.version].combine_chunks().take(places))


def content(table: Table, of: str) -> str:
    """Return what a copy holds, as a text that has an order; what changes by itself comes last in it."""
    compared = sorted([*table.content, "_extra"], key=lambda name: table.columns[name].volatile)
    return f"CAST(ROW({names(compared, of)}) AS VARCHAR)"


def tied_copies(batch: Batch) -> str:
    """Return the incoming rows that share key and time with others, and their places by contents.

    To look at the contents of all would take as long as to store them.
    """
    incoming = f"incoming_{batch.table.name} AS incoming"
    return f"""
        SELECT {ROW}, row_number() OVER (ORDER BY {content(batch.table, "incoming")}) AS {PLACE}
        FROM {incoming} SEMI JOIN (
            SELECT unnest(list({ROW})) AS {ROW}
            FROM {incoming}
            GROUP BY {names([*batch.table.key, CARRIED])}
            HAVING count(*) > 1
        ) AS tied USING ({ROW})"""


def contest(batch: Batch, kept: Table) -> str:
    """Return the statement that keeps a row in `outcome` from replacing what is stored and newer."""
    table = batch.table
    rivals = "outcome WHERE kind = 'rival'"
    return f"""
        CREATE OR REPLACE TEMP TABLE outcome AS
        WITH newest AS MATERIALIZED (
            SELECT {names(table.key)}, {kept.whole_by} AS is_whole, max({kept.version}) AS newest
            FROM {kept.qualified} AS stored
            WHERE {among(batch.most_selective, rivals)}
            GROUP BY ALL
        ), losers AS MATERIALIZED (
            SELECT rivals.{ROW}
            FROM (FROM {rivals}) AS rivals
            JOIN newest ON {equal(table.key, "newest", "rivals")} AND newest.is_whole = rivals.is_whole
            JOIN incoming_{table.name} AS incoming ON incoming.{ROW} = rivals.{ROW}
            JOIN {table.qualified} AS stored ON {equal(table.key, "stored", "rivals")}
            WHERE {among(batch.most_selective, rivals)}
                AND (
                    rivals.version < newest
                    OR (
                        rivals.version = newest
                        AND {content(table, "incoming")} <= {content(table, "stored")}
                    )
                )
        )
        SELECT * REPLACE (
            CASE
                WHEN kind <> 'rival' THEN kind
                WHEN {ROW} IN (FROM losers) THEN 'unchanged'
                ELSE 'changed'
            END AS kind
        )
        FROM outcome"""


def enter_copies(batch: Batch, kept: Table, kinds: AbstractSet[str]) -> str:
    """Return the statement that lists when the incoming rows were carried, as far as it is not listed yet."""
    key, incoming = names(batch.table.key), f"incoming_{batch.table.name}"
    listed = ""
    if kinds != {"inserted"}:
        listed = f"""AND ({key}, {CARRIED}, is_whole) NOT IN (
            SELECT ({key}, {kept.version}, {kept.whole_by})
            FROM {kept.qualified} AS stored WHERE {among(kept.version, incoming, CARRIED)}
        )"""
    return f"""
        INSERT INTO {kept.qualified} ({key}, {kept.version}, {kept.whole_by}, _run_id, _loaded_at)
        SELECT {"" if batch.is_plain else "DISTINCT"}
            {key}, {CARRIED}, {batch.is_whole} AS is_whole, $run_id, $loaded_at
        FROM {incoming}
        WHERE {HAS_CONTENT} AND {CARRIED} IS NOT NULL {listed}"""
