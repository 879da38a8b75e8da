"""A slice of a table as a Parquet file."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl import schema
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
WIDE = 2**14
WIDEST = 2**16
WIDE_ON_AVERAGE = 2**13
"""Bytes of a text from which on it counts, and from which on a table is not sorted; bytes of all texts of a
row. DuckDB holds the texts of all rows of a vector that it reads, whatever its limit."""


class _Wide(NamedTuple):
    """Rows of a table among which there are wide texts, from the first to before the last."""

    first: int
    until: int
    longest: int
    """Bytes of the longest text."""
    bytes: int
    """Of all texts of the column."""


def write_slice(
    connection: DuckDBPyConnection, table: Table, each: Slice, path: Path, unwanted: threading.Event
) -> None:
    """Write one slice as Parquet of the declared schema, in an order that lets readers skip row groups.

    A table with wide texts is written as it stands, which is nearly in order, few rows at a time: a sort
    holds them several times, and the whole vectors that they stand in. Once the slice is unwanted, only a
    part is written.
    """
    ((rows,),) = connection.execute(f"SELECT coalesce(max(rowid) + 1, 0) FROM {table.qualified}").fetchall()
    longest, size = _texts(connection, table, rows - 1)
    average = size / max(rows, 1)
    if average > WIDE_ON_AVERAGE or longest > WIDEST:
        found = connection.execute(
            schema.statement("publish/wide_texts"), {"table": table.qualified, "longest": WIDE}
        ).fetchall()
        wide = [_Wide(0, rows, 0, size), *(_Wide(*row) for row in found)]
        batches = _as_they_stand(connection, table, each, wide)
    else:
        batches = _sorted(connection, table, each, average)
    declared = table.arrow()
    with pq.ParquetWriter(path, declared, compression="zstd") as writer:
        for group in _groups(batches):
            if unwanted.is_set():
                return
            writer.write_table(pa.Table.from_batches(group).rename_columns(declared.names).cast(declared))


def _texts(connection: DuckDBPyConnection, table: Table, row: int) -> tuple[int, int]:
    """The bytes of the longest text in a table, and of all, as DuckDB's statistics have them.

    They are asked for along with one row: without one there is no answer, of several all texts are read.
    """
    names = [quote(name) for name, column in table.columns.items() if column.sql in ("VARCHAR", "JSON")]
    known = ", ".join(f"stats({name})" for name in names) or "NULL"
    found = connection.execute(f"SELECT {known} FROM {table.qualified} WHERE rowid = {row}").fetchall()
    each = [one for kept in found for one in kept if isinstance(one, dict)]
    longest = max((one.get("max_string_length") or 0 for one in each), default=0)
    return longest, sum(one.get("total_string_length") or 0 for one in each)


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


def _sorted(
    connection: DuckDBPyConnection, table: Table, each: Slice, average: float
) -> Iterator[pa.RecordBatch]:
    """The rows of a slice in order; on average their texts have so many bytes."""
    by = _order(table, each)
    for piece in _pieces(connection, table, each, average) if by else [each] * bool(each.rows):
        yield from connection.sql(f"{_select(table, piece)} {by}").to_arrow_reader(VECTOR)


def _as_they_stand(
    connection: DuckDBPyConnection, table: Table, each: Slice, wide: Sequence[_Wide]
) -> Iterator[pa.RecordBatch]:
    """The rows of a slice in the order in which they stand, as few at a time as fit into the memory."""
    rows = f"FROM {table.qualified} WHERE {condition(table, each)}"
    ((begin, end),) = connection.execute(f"SELECT min(rowid), max(rowid) {rows}").fetchall()
    for first, until, step in _steps(begin, end + 1, wide) if begin is not None else ():
        while first < until:
            last = min(first + step, until) - 1
            some = f"{_select(table, each)} AND rowid BETWEEN {first} AND {last}"
            try:
                found = connection.sql(some).to_arrow_table()
            except OutOfMemoryException:
                if step == 1:
                    raise
                step //= 2  # noqa: PLW2901 -- from here on
                continue
            yield from found.to_batches(VECTOR)
            first = last + 1  # noqa: PLW2901 -- the next rows


def _steps(begin: int, end: int, wide: Sequence[_Wide]) -> Iterator[tuple[int, int, int]]:
    """The rows from the first to before the last in stretches, each with how many of it to read at a time."""
    edges = {begin, end, *(place for each in wide for place in each[:2] if begin < place < end)}
    for first, until in pairwise(sorted(edges)):
        there = [each for each in wide if each.first <= first and until <= each.until]
        on_average = sum(each.bytes / (each.until - each.first) for each in there)
        at_most = sum(each.longest for each in there)
        fitting = min(GROUP_BYTES / max(on_average, 1), 4 * GROUP_BYTES / max(at_most, 1))
        yield first, until, max(1, min(ROW_GROUP, int(fitting)))


def _select(table: Table, each: Slice) -> str:
    """The query for all columns of a slice; it ends with a condition."""
    columns = ", ".join(
        f"CAST({quote(name)} AS VARCHAR)" if column.type == "json" else quote(name)
        for name, column in table.columns.items()
    )
    return f"SELECT {columns} FROM {table.qualified} WHERE {condition(table, each)}"


def _order(table: Table, each: Slice) -> str:
    """The clause that orders the rows of a slice; empty where they need none."""
    # By time alone: to sort by the texts of a key as well takes longer than to write the file.
    order = [table.by_month] if table.by_month else table.key
    # Rows stand in the order in which they were loaded. Without a time there is nothing to go by.
    if order == [LINEAGE_TIME] or (table.by_month and each.start is None):
        return ""
    return f"ORDER BY {', '.join(map(quote, order))}"


def _pieces(connection: DuckDBPyConnection, table: Table, each: Slice, average: float) -> Iterator[Slice]:
    """The slice, one stretch of time after the other, each of so few rows and bytes as are sorted at once."""
    if not each.rows:
        return
    count = max((each.rows - 1) // SORTED, int(each.rows * average) // SORTED_BYTES) + 1
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
