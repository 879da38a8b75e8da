"""A slice of a table as a Parquet file."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from etl.publish.slices import Slice, condition
from etl.schema import LINEAGE_TIME, Table, quote

ROW_GROUP = 16_384
SORTED = 65_536
"""Rows that are sorted at once: two sorts of 130,000 detections each have found 150 MB too little."""


def write_slice(
    connection: DuckDBPyConnection, table: Table, each: Slice, path: Path, unwanted: threading.Event
) -> None:
    """Write one slice as Parquet of the declared schema, in an order that lets readers skip row groups.

    Once it is unwanted, only a part is written.
    """
    schema = table.arrow()
    columns = ", ".join(
        f"CAST({quote(name)} AS VARCHAR)" if column.type == "json" else quote(name)
        for name, column in table.columns.items()
    )
    by = _order(table, each)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in _pieces(connection, table, each, in_order=bool(by)):
            rows = connection.sql(
                f"SELECT {columns} FROM {table.qualified} WHERE {condition(table, piece)} {by}"
            )
            for batch in rows.to_arrow_reader(ROW_GROUP):
                if unwanted.is_set():
                    return
                writer.write_table(pa.Table.from_arrays(batch.columns, names=schema.names).cast(schema))


def _order(table: Table, each: Slice) -> str:
    """The clause that orders the rows of a slice; empty where they need none."""
    # By time alone: to sort by the texts of a key as well takes longer than to write the file.
    order = [table.by_month] if table.by_month else table.key
    # Rows stand in the order in which they were loaded. Without a time there is nothing to go by.
    if order == [LINEAGE_TIME] or (table.by_month and each.start is None):
        return ""
    return f"ORDER BY {', '.join(map(quote, order))}"


def _pieces(connection: DuckDBPyConnection, table: Table, each: Slice, *, in_order: bool) -> Iterator[Slice]:
    """The slice; to be sorted, one stretch of time after the other, each of few enough rows."""
    if not each.rows:
        return
    if not in_order or each.start is None or each.end is None or each.rows <= SORTED:
        yield each
        return
    count = each.rows // SORTED + 1
    shares = [place / count for place in range(1, count)]
    ((edges,),) = connection.execute(
        f"SELECT quantile_disc(epoch_us({quote(table.by_month)}), {shares}) "
        f"FROM {table.qualified} WHERE {condition(table, each)}"
    ).fetchall()
    for start, end in pairwise(sorted({each.start, *edges, each.end})):
        yield msgspec.structs.replace(each, start=start, end=end)
