"""Columns that a source read from files to one Arrow table for each declared table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from math import inf, prod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl.compute import pc
from etl.declaration import Column
from etl.errors import RecordError
from etl.extract.stream import DictionaryColumn, FileRows
from etl.schema import Table
from etl.transform.columns import ValueMismatchError, array
from etl.transform.flatten import EXTRA, RECORD, PlacedRecordError, Rows, table_of
from etl.transform.shape import INT64

if TYPE_CHECKING:
    import polars as pl

Columns = Mapping[str, Sequence[Any]]
"""The values of columns as received, by name."""


def flatten_files(read: Sequence[tuple[int, Columns]], table: Table, own_key: Sequence[str]) -> pa.Table:
    """Return the rows of a table in several files, each given by its place in the batch and its columns.

    `own_key` are the columns that tell the rows of one file apart; PlacedRecordError names a file that does
    not fit.
    """
    sizes = [len(next(iter(columns.values()), ())) for _, columns in read]
    ordinals = list(chain.from_iterable(map(repeat, (ordinal for ordinal, _ in read), sizes)))
    names = {name: None for _, columns in read for name in columns}
    joint = {
        name: list(
            chain.from_iterable(
                columns.get(name, repeat(None, size)) for (_, columns), size in zip(read, sizes, strict=True)
            )
        )
        for name in names
    }
    return _flatten(joint, ordinals, table, own_key, _packed)


def flatten_columns(columns: Columns, ordinals: Sequence[int], table: Table) -> pa.Table:
    """Return the Arrow table of rows that stand for files at these places; absent columns are NULL."""
    return _flatten(columns, ordinals, table, (), array)


class DoubtfulError(Exception):
    """Some of several files that were read together may not fit: each is to be looked at by itself."""


def flatten_alike(rows: FileRows, table: Table, own_key: Sequence[str]) -> pa.Table:
    """Return the rows of a table in files that were read together, as `flatten_files` gives them.

    DoubtfulError where a value does not fit its column, or two rows of one file share a key.
    """
    _hold_to_declared(rows.columns, table)
    arrays = {RECORD: rows.files.to_arrow()}
    for name in (*table.content, EXTRA):
        column = table.columns[name]
        try:
            made = _whole(column, rows.columns.get(name), len(rows.files))
        except (ValueMismatchError, pa.ArrowException) as error:
            raise DoubtfulError from error
        if table.not_null(name) and made.null_count:
            raise DoubtfulError
        if not _is_within(column, made):
            raise DoubtfulError
        arrays[name] = made
    if not _are_distinct([arrays[name] for name in (RECORD, *own_key)]):
        raise DoubtfulError
    arrays[RECORD] = arrays[RECORD].cast(pa.int64())
    return pa.table(arrays)


def _whole(column: Column, given: "DictionaryColumn | pl.Series | None", size: int) -> pa.Array:
    """All values of a column as an Arrow array of its type, texts as a dictionary."""
    form = pa.dictionary(pa.int32(), pa.string()) if column.type == "text" else column.arrow
    if given is None:
        return pa.nulls(size, form)
    if isinstance(given, DictionaryColumn):
        return _packed(column, given.values).take(given.places.to_arrow())
    made = given.to_arrow()
    return made.dictionary_encode().cast(form) if column.type == "text" else made.cast(form)


def _is_within(column: Column, made: pa.Array) -> bool:
    """Whether all values are within the declared limits."""
    low, high = _limits(column)
    if (low, high) == (-inf, inf):
        return True
    least, most = pc.min_max(made).values()
    return not least.is_valid or low <= least.as_py() <= most.as_py() <= high


def _are_distinct(keys: Sequence[pa.Array]) -> bool:
    """Whether no two rows are the same in all of these columns, none of which lacks a value."""
    import polars as pl  # noqa: PLC0415 -- slow to import, and only files need it

    columns = [each.indices if pa.types.is_dictionary(each.type) else each for each in keys]
    sizes = list(map(_below, columns))
    if not 0 < prod(map(float, sizes)) < INT64 or min(sizes) <= 0:
        rows = pl.DataFrame([pl.Series(str(place), each) for place, each in enumerate(columns)])
        return rows.n_unique() == len(rows)
    # One number tells the rows apart, and most often these come in order.
    joint = pl.Series([0], dtype=pl.Int64)
    for column, size in zip(columns, sizes, strict=True):
        joint = joint * size + pl.Series(column)
    return bool((joint.diff(null_behavior="drop") > 0).all()) or joint.n_unique() == len(joint)


def _below(column: pa.Array) -> int:
    """Return the least number above all in a column of whole numbers.

    0 where some are below 0, or are none.
    """
    if not pa.types.is_integer(column.type) or not len(column):
        return 0
    least, most = (each.as_py() for each in pc.min_max(column).values())
    return 0 if least < 0 else most + 1


def _hold_to_declared(names: Iterable[str], table: Table) -> None:
    """Refuse a source that fills columns which are not declared."""
    unknown = set(names) - set(table.content) - {EXTRA}
    if unknown:
        raise LookupError(f"{table.qualified} has no column {min(unknown)}")


def _flatten(
    columns: Columns,
    ordinals: Sequence[int],
    table: Table,
    own_key: Sequence[str],
    make: Callable[[Column, Sequence[Any]], pa.Array],
) -> pa.Table:
    _hold_to_declared(columns, table)
    absent = [None] * len(ordinals)

    def values(name: str) -> Sequence[Any]:
        return columns.get(name, absent)

    def arrow(name: str) -> pa.Array:
        return make(table.columns[name], values(name))

    for name, some in columns.items():
        _hold_to_limits(name, table.columns[name], some, ordinals)
    return table_of(table, Rows(ordinals, own_key, values, arrow, lambda _row, path: f"$.{path}"))


def _packed(column: Column, values: Sequence[Any]) -> pa.Array:
    """Return the values as an Arrow array; texts as a dictionary, since in rows of files they repeat."""
    made = array(column, values)
    return made.dictionary_encode() if column.type == "text" else made


def _limits(column: Column) -> tuple[float, float]:
    return (-inf if column.min is None else column.min), (inf if column.max is None else column.max)


def _hold_to_limits(name: str, column: Column, values: Sequence[Any], ordinals: Sequence[int]) -> None:
    """Refuse values outside the declared limits; records are held to theirs when they are decoded."""
    low, high = _limits(column)
    if (low, high) == (-inf, inf):
        return
    for row, value in enumerate(values):
        if value is not None and not low <= value <= high:
            why = RecordError(f"{value} is not within {low:g} to {high:g}", f"$.{name}")
            raise PlacedRecordError(ordinals[row], why)
