"""Columns that a source read from files to one Arrow table for each declared table."""

from array import array as packed
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from math import inf
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl.errors import Unfit
from etl.extract.stream import Picked
from etl.schema import Column, Table
from etl.transform.columns import Misfit, array
from etl.transform.flatten import EXTRA, BadRecord, Rows, table_of

Columns = Mapping[str, Sequence[Any]]
"""The values of columns as received, by name."""


def flatten_files(read: Sequence[tuple[int, Columns]], table: Table, own_key: Sequence[str]) -> pa.Table:
    """The rows of a table in several files, each given by its place in the batch and its columns.

    `own_key` are the columns that tell the rows of one file apart; BadRecord names a file that does not fit.
    """
    sizes = [len(next(iter(columns.values()), ())) for _, columns in read]
    ordinals = list(chain.from_iterable(map(repeat, (ordinal for ordinal, _ in read), sizes)))
    absent = [Picked.same(None, size) for size in sizes]
    pieces = {
        name: [columns.get(name, none) for (_, columns), none in zip(read, absent, strict=True)]
        for name in {name: None for _, columns in read for name in columns}
    }
    return _flatten(pieces, ordinals, table, own_key, _packed)


def flatten_columns(columns: Columns, ordinals: Sequence[int], table: Table) -> pa.Table:
    """The Arrow table of rows that stand for files at these places; absent columns are NULL."""
    return _flatten({name: [values] for name, values in columns.items()}, ordinals, table, (), array)


def _flatten(
    pieces: Mapping[str, Sequence[Sequence[Any]]],
    ordinals: Sequence[int],
    table: Table,
    own_key: Sequence[str],
    make: Callable[[Column, Sequence[Any]], pa.Array],
) -> pa.Table:
    unknown = set(pieces) - set(table.content) - {EXTRA}
    if unknown:
        message = f"{table.qualified} has no column {min(unknown)}"
        raise LookupError(message)
    absent = [Picked.same(None, len(ordinals))]

    def values(name: str) -> Sequence[Any]:
        return list(chain.from_iterable(pieces.get(name, absent)))

    def arrow(name: str) -> pa.Array:
        return _joined(table.columns[name], pieces.get(name, absent), make)

    for name, some in pieces.items():
        _hold_to_limits(name, table.columns[name], some, ordinals)
    return table_of(table, Rows(ordinals, own_key, values, arrow, lambda _row, path: f"$.{path}"))


def _joined(
    column: Column, pieces: Sequence[Sequence[Any]], make: Callable[[Column, Sequence[Any]], pa.Array]
) -> pa.Array:
    """A column that comes in pieces as one Arrow array; Misfit names the first row that does not fit."""
    if not any(isinstance(piece, Picked) for piece in pieces):
        return make(column, list(chain.from_iterable(pieces)))
    values: list[Any] = []
    places = []
    for piece in pieces:
        picked = piece if isinstance(piece, Picked) else Picked(piece, packed("i", range(len(piece))))
        own = pa.Array.from_buffers(pa.int32(), len(picked), [None, pa.py_buffer(picked.places)])
        places.append(pc.add(own, pa.array([len(values)], pa.int32())[0]))
        values += picked.values
    rows = pa.concat_arrays(places)
    try:
        return make(column, values).take(rows)
    except Misfit as misfit:
        raise Misfit(rows.index(misfit.index).as_py(), misfit.reason) from misfit


def _packed(column: Column, values: Sequence[Any]) -> pa.Array:
    """The values as an Arrow array; texts as a dictionary, since in rows of files they repeat."""
    made = array(column, values)
    return made.dictionary_encode() if column.type == "text" else made


def _hold_to_limits(
    name: str, column: Column, pieces: Sequence[Sequence[Any]], ordinals: Sequence[int]
) -> None:
    """Refuse values outside the declared limits; records are held to theirs when they are decoded."""
    if column.min is None and column.max is None:
        return
    low, high = (-inf if column.min is None else column.min), (inf if column.max is None else column.max)
    row = 0
    for piece in pieces:
        found = piece.values if isinstance(piece, Picked) else piece
        if found and None not in found and low <= min(found) <= max(found) <= high:
            row += len(piece)
            continue
        for index, value in enumerate(found):
            if value is not None and not low <= value <= high:
                why = Unfit(f"{value} is not within {low:g} to {high:g}", f"$.{name}")
                raise BadRecord(ordinals[row + _row(piece, index)], why)
        row += len(piece)


def _row(piece: Sequence[Any], index: int) -> int:
    """The first row of a piece that holds the value at this place among its values."""
    return piece.places.index(index) if isinstance(piece, Picked) else index
