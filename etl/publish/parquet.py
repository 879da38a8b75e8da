"""A slice of a table as a Parquet file."""

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
"""Rows that are sorted at once: more, and DuckDB is out of memory before it makes use of the disk."""


def write_slice(connection: DuckDBPyConnection, table: Table, each: Slice, path: Path) -> None:
    """Write one slice as Parquet of the declared schema, in an order that lets readers skip row groups."""
    schema = table.arrow()
    columns = ", ".join(
        f"CAST({quote(name)} AS VARCHAR)" if column.type == "json" else quote(name)
        for name, column in table.columns.items()
    )
    # By time alone: to sort by the texts of a key as well takes longer than to write the file.
    order = [table.by_month] if table.by_month else table.key
    # Rows stand in the order in which they were loaded: a sort of all that one commit brought would
    # take more memory than there is.
    by = "" if order == [LINEAGE_TIME] else f"ORDER BY {', '.join(map(quote, order))}"
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in _pieces(connection, table, each):
            rows = connection.sql(
                f"SELECT {columns} FROM {table.qualified} WHERE {condition(table, piece)} {by}"
            )
            for batch in rows.to_arrow_reader(ROW_GROUP):
                writer.write_table(pa.Table.from_arrays(batch.columns, names=schema.names).cast(schema))


def _pieces(connection: DuckDBPyConnection, table: Table, each: Slice) -> Iterator[Slice]:
    """The slice, one stretch of time after the other, each with few enough rows to be sorted."""
    if each.rows == 0:
        return
    if each.start is None or each.end is None or each.rows <= SORTED:
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
