"""A partition of a table as a Parquet file."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl import schema
from etl.compute import pc
from etl.load.database import cursor_on, database_of
from etl.load.relation import derived, relation, stored
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits
from etl.publish.partitions import condition
from etl.publish.state import Partition
from etl.schema import LINEAGE_TIME, Table, quote

GROUP_BYTES = 2**24
"""Bytes of a row group, which is held in memory: once it has so many, it gets no more rows."""
VECTOR = 2_048
"""Rows that are taken from DuckDB at a time: as many as it reads at a time itself."""
SORTED_BYTES = 6 * 2**20
"""Bytes of texts that are sorted at once where all texts are as wide as on average."""
REPEATING = 0.1
SAMPLE = 4_096
"""Share of different values in so many rows up to which a dictionary of them makes the file smaller."""
WIDE = 2**14
WIDEST = 2**16
WIDE_ON_AVERAGE = 2**13
"""Bytes of a text from which on it counts, and from which on a table is not sorted; bytes of all texts of a
row. DuckDB holds the texts of all rows of a vector that it reads, whatever its limit."""


class _Stored(NamedTuple):
    """One of the tables in which the rows of a table are stored, as DuckDB's statistics have it."""

    name: str
    relation: str
    """The rows of them, with the row ids that they have there."""
    rows: int
    """Rows of it, deleted ones included."""
    longest: int
    """Bytes of the longest text."""
    bytes: int
    """Bytes of all texts."""

    @property
    def average(self) -> float:
        """Bytes of all texts of a row."""
        return self.bytes / max(self.rows, 1)


class _TooMuchError(Exception):
    """Rows are more bytes than are to be held."""


class _Wide(NamedTuple):
    """Rows of a table among which there are wide texts, from the first to before the last."""

    first: int
    until: int
    longest: int
    """Bytes of the longest text."""
    bytes: int
    """Of all texts of the column."""


class PartitionWriter:
    """Writes partitions as Parquet; asks once for what DuckDB knows of the texts of a table."""

    def __init__(self, limits: PublishLimits = PUBLISH_LIMITS) -> None:
        self._limits = limits
        self._stored: dict[str, list[_Stored]] = {}

    def __call__(
        self,
        connection: DuckDBPyConnection,
        tables: Sequence[Table],
        each: Partition,
        paths: Sequence[Path],
        unwanted: threading.Event,
    ) -> None:
        """Write one partition, of the declared schema, in an order that lets readers skip row groups.

        Of several tables, the first has all rows of it, and the others follow it (see `together`). A table
        with wide texts is written as it stands, which is nearly in order, few rows at a time: a sort holds
        all of them, and the whole vectors that they stand in. Once the partition is unwanted, only a part is
        written.
        """
        batches = self._rows(connection, tables, each)
        groups = map(pa.Table.from_batches, _groups(batches, self._limits.group_rows))
        first = next(groups, pa.table({}))
        repeating = _repeating(first)
        with ExitStack() as stack:
            writers = [
                (stack.enter_context(_writer(table, path, values, repeating)), [*values])
                for table, path, values in zip(tables, paths, _values(tables), strict=True)
            ]
            for group in chain([first] * bool(first), groups):
                for writer, columns in writers:
                    if unwanted.is_set():
                        return
                    rows = group.select(columns).rename_columns(writer.schema.names)
                    writer.write_table(rows.cast(writer.schema))

    def _rows(
        self, connection: DuckDBPyConnection, tables: Sequence[Table], each: Partition
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition, in order unless their texts are wide."""
        if not each.rows:
            # It may have been emptied because the table is cut otherwise now: what fits is elsewhere.
            return iter(())
        table = tables[0]
        # Two threads may ask for the same: that is cheaper than to let one wait.
        places = self._stored.get(table.qualified) or [
            _measured(connection, table, *place) for place in stored(table)
        ]
        self._stored[table.qualified] = places
        longest, average = max(one.longest for one in places), max(one.average for one in places)
        if average <= WIDE_ON_AVERAGE and longest <= WIDEST:
            return self._sorted(connection, tables, each, longest, average)
        return chain.from_iterable(self._as_they_stand(connection, tables, each, one) for one in places)

    def _sorted(
        self,
        connection: DuckDBPyConnection,
        tables: Sequence[Table],
        each: Partition,
        longest: int,
        average: float,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition in order."""
        table = tables[0]
        order, rows = _order(table, each), relation(table)
        if not order:
            yield from connection.sql(_select(tables, each, rows)).to_arrow_reader(VECTOR)
            return
        limits = self._limits
        at_once = max(VECTOR, min(limits.group_rows, GROUP_BYTES // max(longest, 1)))
        for piece in _pieces(connection, table, each, average, limits.sorted_rows):
            select = _select(tables, piece, rows)
            try:
                # Without a name, so that it is let go before the next piece is read.
                yield from _in_order(
                    _held(connection, select, at_once, limits.held_bytes), order, limits.group_rows
                )
            except _TooMuchError:
                by = ", ".join(map(quote, order))
                yield from connection.sql(f"{select} ORDER BY {by}").to_arrow_reader(VECTOR)

    def _as_they_stand(
        self, connection: DuckDBPyConnection, tables: Sequence[Table], each: Partition, place: _Stored
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition in the order in which they stand, as many at a time as fit."""
        texts = connection.execute(
            schema.statement("publish/wide_texts"), {"table": place.name, "longest": WIDE}
        ).fetchall()
        wide = [_Wide(0, place.rows, 0, place.bytes), *(_Wide(*row) for row in texts)]
        rows = f"FROM {place.relation} WHERE {condition(tables[0], each)}"
        ((begin, end),) = connection.execute(f"SELECT min(rowid), max(rowid) {rows}").fetchall()
        group_rows = self._limits.group_rows
        for first, until, step in _steps(begin, end + 1, wide, group_rows) if begin is not None else ():
            while first < until:
                last = min(first + step, until) - 1
                some = f"{_select(tables, each, place.relation)} AND rowid BETWEEN {first} AND {last}"
                try:
                    found = connection.sql(some).to_arrow_table()
                except OutOfMemoryException:
                    if step == 1:
                        raise
                    step //= 2  # noqa: PLW2901 -- from here on
                    continue
                yield from found.to_batches(VECTOR)
                first = last + 1  # noqa: PLW2901 -- the next rows


def _repeating(rows: pa.Table) -> set[str]:
    """Return the columns whose values repeat in the first rows.

    A dictionary of others is larger than they are.
    """
    first = rows.slice(0, SAMPLE)
    most = REPEATING * len(first)
    return {name for name in first.column_names if pc.count_distinct(first[name]).as_py() <= most}


def _measured(connection: DuckDBPyConnection, table: Table, place: Table, rows_of: str) -> _Stored:
    """One of the places where rows of a table are stored.

    Statistics are asked for with one row: without one there is no answer, of several all texts are read.
    """
    ((rows,),) = connection.execute(f"SELECT coalesce(max(rowid) + 1, 0) FROM {place.qualified}").fetchall()
    common = table.columns.keys() & place.columns.keys()
    names = [quote(name) for name in common if table.columns[name].sql in ("VARCHAR", "JSON")]
    known = ", ".join(f"stats({name})" for name in names) or "NULL"
    found = connection.execute(f"SELECT {known} FROM {place.qualified} WHERE rowid = {rows - 1}").fetchall()
    each = [one for kept in found for one in kept if isinstance(one, dict)]
    longest = max((one.get("max_string_length") or 0 for one in each), default=0)
    size = sum(one.get("total_string_length") or 0 for one in each)
    return _Stored(place.qualified, rows_of, rows, longest, size)


def _groups(batches: Iterable[pa.RecordBatch], group_rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Yield the batches in groups of neither too many rows nor too many bytes."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        size = sum(one.get_total_buffer_size() for one in group)
        if size >= GROUP_BYTES or sum(map(len, group)) >= group_rows:
            yield group
            group = []
    if group:
        yield group


def _held(connection: DuckDBPyConnection, select: str, at_once: int, most: int) -> pa.Table:
    """All rows of a query, so many read at a time; _TooMuchError where they are more bytes than `most`."""
    with closing(cursor_on(connection, database_of(connection))) as cursor:
        found, size = list[pa.RecordBatch](), 0
        rows = cursor.sql(select).to_arrow_reader(at_once)
        for batch in rows:
            found.append(batch)
            size += batch.nbytes
            if size > most:
                raise _TooMuchError
        return pa.Table.from_batches(found, rows.schema)


def _in_order(rows: pa.Table, order: Sequence[str], group_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order, a row group at a time: all of them at once would take the memory twice."""
    places = pc.sort_indices(rows, [(name, "ascending") for name in order])
    step = max(1, min(group_rows, len(rows) * GROUP_BYTES // max(rows.nbytes, 1)))
    for first in range(0, len(rows), step):
        yield from rows.take(places[first : first + step]).combine_chunks().to_batches()


def _steps(begin: int, end: int, wide: Sequence[_Wide], group_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield the rows from the first to before the last in ranges, each with how many to read at a time."""
    edges = {begin, end, *(place for each in wide for place in each[:2] if begin < place < end)}
    for first, until in pairwise(sorted(edges)):
        there = [each for each in wide if each.first <= first and until <= each.until]
        on_average = sum(each.bytes / (each.until - each.first) for each in there)
        at_most = sum(each.longest for each in there)
        fitting = min(GROUP_BYTES / max(on_average, 1), 4 * GROUP_BYTES / max(at_most, 1))
        yield first, until, max(1, min(group_rows, int(fitting)))


def _writer(table: Table, path: Path, values: Iterable[str], repeating: AbstractSet[str]) -> pq.ParquetWriter:
    """Of the file of a table, whose columns are called like these values in what is read."""
    named = zip(table.columns, values, strict=True)
    dictionaries = [name for name, value in named if value in repeating]
    return pq.ParquetWriter(path, table.arrow(), compression="zstd", use_dictionary=dictionaries)


def _values(tables: Sequence[Table]) -> Iterator[dict[str, str]]:
    """For each table its columns, from rows of the first, by names under which all can be read at once."""
    own = dict[str, str]()
    for table in tables:
        values = {name: f"CAST({quote(name)} AS {column.sql})" for name, column in table.columns.items()}
        if own:
            _, values = derived(schema.source(table.schema), table)
        values = {
            name: f"CAST({value} AS VARCHAR)" if table.columns[name].type == "json" else value
            for name, value in values.items()
        }
        own = own or values
        yield {
            name if own.get(name) == value else f"{table.name}.{name}": value
            for name, value in values.items()
        }


def _select(tables: Sequence[Table], each: Partition, rows: str) -> str:
    """Return the query for all columns of a partition, from a relation of rows; it ends with a condition."""
    values = dict(chain.from_iterable(found.items() for found in _values(tables)))
    columns = ", ".join(f"{value} AS {quote(name)}" for name, value in values.items())
    return f"SELECT {columns} FROM {rows} WHERE {condition(tables[0], each)}"


def _order(table: Table, each: Partition) -> Sequence[str]:
    """Return the columns by which the rows of a partition are ordered; none where they need no order."""
    # By time alone: to sort by the texts of a key as well takes longer than to write the file.
    order = [table.by_month] if table.by_month else table.key
    # Rows stand in the order in which they were loaded. Without a time there is nothing to go by.
    if order == [LINEAGE_TIME] or (table.by_month and each.start is None):
        return []
    return order


def _pieces(
    connection: DuckDBPyConnection, table: Table, each: Partition, average: float, sorted_rows: int
) -> Iterator[Partition]:
    """Yield the partition, one range of time after the other, each of as much as is sorted at once."""
    count = max((each.rows - 1) // sorted_rows, int(each.rows * average) // SORTED_BYTES) + 1
    if each.start is None or each.end is None or count == 1:
        yield each
        return
    shares = [place / count for place in range(1, count)]
    ((edges,),) = connection.execute(
        f"SELECT quantile_disc(epoch_us({quote(table.by_month)}), {shares}) "
        f"FROM {relation(table)} WHERE {condition(table, each)}"
    ).fetchall()
    for start, end in pairwise(sorted({each.start, *edges, each.end})):
        yield msgspec.structs.replace(each, start=start, end=end)
