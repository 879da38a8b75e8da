"""The tables of a bucket as Parquet."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from etl import schema
from etl.load.relation import relation
from etl.schema import SYSTEM, Table, quote

REFUSED = schema.source(SYSTEM).tables["quarantine"]
"""What was refused."""
WHY = ("reason", "path")
"""Its columns that may quote what is secret: what was refused itself is kept without secrets."""
ROWS = 20_000
"""Rows that are held at a time."""
COMPRESSION = "zstd"


def has_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether a table has any rows, as readers see it."""
    return bool(connection.execute(f"SELECT true FROM {relation(table)} LIMIT 1").fetchall())  # noqa: S608


def write(connection: duckdb.DuckDBPyConnection, table: Table, path: Path) -> int:
    """Write the rows of a table as readers see them, in the order of their keys; how many there are."""
    columns = ", ".join(
        f"CAST({quote(name)} AS {'VARCHAR' if column.type == 'json' else column.sql}) AS {quote(name)}"
        for name, column in table.columns.items()
    )
    order, rows, declared = ", ".join(map(quote, table.key)), 0, table.arrow()
    query = f"SELECT {columns} FROM {relation(table)} ORDER BY {order}"  # noqa: S608 -- declared names
    with pq.ParquetWriter(path, declared, compression=COMPRESSION) as writer:
        for batch in connection.sql(query).to_arrow_reader(ROWS):
            writer.write_table(pa.Table.from_batches([batch]).cast(declared))
            rows += len(batch)
    return rows


def hide(path: Path, into: Path, redact: Callable[[str], str]) -> bool:
    """Copy a file of what was refused without the secrets in its reasons; whether there were any."""
    is_changed = False
    with (
        pq.ParquetFile(path) as file,
        pq.ParquetWriter(into, file.schema_arrow, compression=COMPRESSION) as writer,
    ):
        for batch in file.iter_batches(ROWS):
            rows = pa.Table.from_batches([batch])
            for name in WHY:
                texts = rows[name].to_pylist()
                shown = [redact(each) for each in texts]
                is_changed = is_changed or shown != texts
                place = rows.schema.get_field_index(name)
                rows = rows.set_column(place, rows.schema.field(place), pa.array(shown, pa.string()))
            writer.write_table(rows)
    return is_changed
