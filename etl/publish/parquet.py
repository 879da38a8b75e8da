"""A slice of a table as a Parquet file."""

import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl.publish.slices import Slice, condition
from etl.schema import LINEAGE_TIME, Table, quote

ROW_GROUP = 16_384
GROUP_BYTES = 2**24
"""Bytes of a row group, which is held in memory: once it has so many, it gets no more rows."""
VECTOR = 2_048
"""Rows that are taken from DuckDB at a time: as many as it reads at a time itself."""
SORTED = 65_536
"""Rows that are sorted at once: two sorts of 130,000 detections each have found 150 MB too little."""
SORTED_BYTES = 2**24
"""Bytes of texts that are sorted at once: a sort holds them several times."""
WIDE = 2**13
"""Bytes of texts in a row from which on such rows are written as they stand, which is nearly in order: each
piece that is sorted would read again all the rows that stand among its own."""


def write_slice(  # noqa: PLR0913 -- what every writer of slices is given, and how
    connection: DuckDBPyConnection,
    table: Table,
    each: Slice,
    path: Path,
    unwanted: threading.Event,
    *,
    large: bool = False,
) -> None:
    """Write one slice as Parquet of the declared schema, in an order that lets readers skip row groups.

    Where its rows may be large, their size is looked at first, which would cost ordinary ones time. Once the
    slice is unwanted, only a part is written.
    """
    has_large = table.small != list(table.columns)
    rows = Rows(connection, table, large=large or has_large)
    size = rows.size(each) if large else 0
    # A table with a large column only grows: its rows stand in the order in which they were loaded.
    is_wide = has_large or (large and size >= WIDE * each.rows)
    by = "" if is_wide else _order(table, each)
    schema = table.arrow()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in _pieces(connection, table, each, size if by else None):
            for group in _groups(rows.batches(piece, by)):
                if unwanted.is_set():
                    return
                writer.write_table(pa.Table.from_batches(group).rename_columns(schema.names).cast(schema))


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The batches in groups of neither too many rows nor too many bytes."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        size = sum(one.get_total_buffer_size() for one in group)
        if size >= GROUP_BYTES or sum(map(len, group)) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


class Rows:
    """The rows of a table, as few of them at a time as fit into DuckDB's memory where they may be large."""

    def __init__(self, connection: DuckDBPyConnection, table: Table, *, large: bool) -> None:
        self._connection = connection
        self._table = table
        self._large = large

    def batches(self, each: Slice, by: str) -> Iterator[pa.RecordBatch]:
        """The rows of a slice in this order; without one as they stand, if they may be large."""
        columns = ", ".join(
            f"CAST({quote(name)} AS VARCHAR)" if column.type == "json" else quote(name)
            for name, column in self._table.columns.items()
        )
        if by or not self._large:
            query = f"SELECT {columns} FROM {self._table.qualified} WHERE {condition(self._table, each)} {by}"
            yield from self._connection.sql(query).to_arrow_reader(VECTOR)
        else:
            for some in self._in_steps(columns, each):
                yield from some.to_batches(VECTOR)

    def size(self, each: Slice) -> int:
        """The bytes of all texts in a slice."""
        kinds = {name: column.sql for name, column in self._table.columns.items()}
        texts = [quote(name) for name, kind in kinds.items() if kind in ("VARCHAR", "JSON")]
        sizes = " + ".join(["0", *(f"coalesce(sum(strlen({name})), 0)" for name in texts)])
        return sum(int(some.column(0)[0].as_py()) for some in self._in_steps(sizes, each))

    def _in_steps(self, what: str, each: Slice) -> Iterator[pa.Table]:
        """What is selected of the rows of a slice, a stretch of the table at a time."""
        where = f"FROM {self._table.qualified} WHERE {condition(self._table, each)}"
        ((first, last),) = self._connection.execute(f"SELECT min(rowid), max(rowid) {where}").fetchall()
        step = VECTOR
        while last is not None and first <= last:
            some = f"SELECT {what} {where} AND rowid BETWEEN {first} AND {first + step - 1}"
            try:
                found = self._connection.sql(some).to_arrow_table()
            except OutOfMemoryException:
                if step == 1:
                    raise
                step //= 2
                continue
            yield found
            first += step


def _order(table: Table, each: Slice) -> str:
    """The clause that orders the rows of a slice; empty where they need none."""
    # By time alone: to sort by the texts of a key as well takes longer than to write the file.
    order = [table.by_month] if table.by_month else table.key
    # Rows stand in the order in which they were loaded. Without a time there is nothing to go by.
    if order == [LINEAGE_TIME] or (table.by_month and each.start is None):
        return ""
    return f"ORDER BY {', '.join(map(quote, order))}"


def _pieces(connection: DuckDBPyConnection, table: Table, each: Slice, size: int | None) -> Iterator[Slice]:
    """The slice; to be sorted, one stretch of time after the other, each of few enough rows and bytes.

    Without a size it need not be sorted.
    """
    if not each.rows:
        return
    count = 1 if size is None else max((each.rows - 1) // SORTED, size // SORTED_BYTES) + 1
    if each.start is None or each.end is None or count == 1:
        yield each
        return
    shares = [place / count for place in range(1, count)]
    ((edges,),) = connection.execute(
        f"SELECT quantile_disc(epoch_us({quote(table.by_month)}), {shares}) "
        f"FROM {table.qualified} WHERE {condition(table, each)}"
    ).fetchall()
    for start, end in pairwise(sorted({each.start, *edges, each.end})):
        yield msgspec.structs.replace(each, start=start, end=end)
