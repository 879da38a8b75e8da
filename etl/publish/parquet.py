"""A slice of a table as a Parquet file."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from etl.publish.slices import Slice, condition
from etl.schema import LINEAGE_TIME, Table, quote

ROW_GROUP = 16_384


def write_slice(connection: DuckDBPyConnection, table: Table, each: Slice, path: Path) -> None:
    """Write one slice as Parquet of the declared schema, in an order that lets readers skip row groups."""
    schema = table.arrow()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer, ThreadPoolExecutor(1) as encoder:
        if each.rows:
            columns = (
                f"CAST({quote(name)} AS VARCHAR)" if column.type == "json" else quote(name)
                for name, column in table.columns.items()
            )
            # By time alone: to sort by the texts of a key as well takes longer than to write the file.
            order = [table.by_month] if table.by_month else table.key
            # Rows stand in the order in which they were loaded: a sort of all that one commit brought would
            # take more memory than there is.
            by = "" if order == [LINEAGE_TIME] else f"ORDER BY {', '.join(map(quote, order))}"
            rows = connection.sql(
                f"SELECT {', '.join(columns)} FROM {table.qualified} WHERE {condition(table, each)} {by}"
            )
            written: Future[None] | None = None
            for batch in rows.to_arrow_reader(ROW_GROUP):
                made = pa.Table.from_arrays(batch.columns, names=schema.names).cast(schema)
                # One is encoded while DuckDB brings the next.
                if written:
                    written.result()
                written = encoder.submit(writer.write_table, made)
            if written:
                written.result()
