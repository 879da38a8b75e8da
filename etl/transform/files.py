"""Columns that a source read from files to one Arrow table for each declared table."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from math import inf
from typing import Any

import pyarrow as pa

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
        name: _merged([columns.get(name, none) for (_, columns), none in zip(read, absent, strict=True)])
        for name in {name: None for _, columns in read for name in columns}
    }
    return flatten_columns(pieces, ordinals, table, own_key)


def _merged(pieces: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The pieces as one where they are all lists: it takes Arrow less than many."""
    if any(isinstance(piece, Picked) for piece in pieces):
        return pieces
    return [list(chain.from_iterable(pieces))]


def flatten_columns(
    pieces: Mapping[str, Sequence[Sequence[Any]]],
    ordinals: Sequence[int],
    table: Table,
    own_key: Sequence[str] = (),
) -> pa.Table:
    """The Arrow table of columns in pieces; `ordinals` are the files of the rows. Absent columns are NULL."""
    unknown = set(pieces) - set(table.content) - {EXTRA}
    if unknown:
        message = f"{table.qualified} has no column {min(unknown)}"
        raise LookupError(message)

    def values(name: str) -> Sequence[Any]:
        return list(chain.from_iterable(pieces[name])) if name in pieces else [None] * len(ordinals)

    def arrow(name: str) -> pa.Array:
        column = table.columns[name]
        if not pieces.get(name):
            return pa.nulls(len(ordinals), column.arrow)
        return pa.chunked_array(list(_arrays(column, pieces[name])))

    for name, some in pieces.items():
        _hold_to_limits(name, table.columns[name], some, ordinals)
    return table_of(table, Rows(ordinals, own_key, values, arrow, lambda _row, path: f"$.{path}"))


def _arrays(column: Column, pieces: Sequence[Sequence[Any]]) -> Iterator[pa.Array]:
    """Each piece of a column as an Arrow array; Misfit names the first row that does not fit."""
    row = 0
    for piece in pieces:
        try:
            if isinstance(piece, Picked):
                places = pa.Array.from_buffers(pa.int32(), len(piece), [None, pa.py_buffer(piece.places)])
                yield array(column, piece.values).take(places)
            else:
                yield array(column, piece)
        except Misfit as misfit:
            raise Misfit(row + _row(piece, misfit.index), misfit.reason) from misfit
        row += len(piece)


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
