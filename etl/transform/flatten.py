"""Decoded records to one Arrow table for each declared table."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from etl.compute import pc
from etl.errors import RecordError
from etl.schema import Table
from etl.transform.columns import NOUGHT, TRUE, ValueMismatchError, array, hold_to_presence, integers
from etl.transform.nested_rows import NestedRows, RecordTree
from etl.transform.shape import INT64, ObjectSchema, attribute_of, beginning, name_of, paths_of

RECORD = "_record"
"""Name of the column that says which record of the batch a row was cut from; it never reaches a table."""

WHOLE = "_whole"
"""Name of the column that says whether a row comes with all its parts: the row of a file that could not be
read does not, and leaves the parts that are stored as they are."""

EXTRA = "_extra"

MANY = 3_000
"""Rows from which on Arrow tells sooner than a set of tuples whether their keys are distinct."""


class PlacedRecordError(Exception):
    """One record of a batch does not fit its tables: its place in the batch, and why."""

    def __init__(self, index: int, why: RecordError) -> None:
        super().__init__(why.reason)
        self.index = index
        self.why = why


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table that are about to be made."""

    ordinals: Sequence[int]
    """For each row the place of its record in the batch, or of its file."""
    own_key: Sequence[str]
    """The columns that tell the rows of one record apart."""
    values: Callable[[str], Sequence[Any]]
    """The values of a column as received."""
    arrow: Callable[[str], pa.Array]
    """The values of a column as its Arrow type; ValueMismatchError names the first that does not fit."""
    locate: Callable[[int, str], str]
    """Where the value stands that a path leads to from a row."""


def flatten(
    records: Sequence[Any], tables: Sequence[Table], root: ObjectSchema, first: int = 0
) -> dict[str, list[pa.Table]]:
    """Return the rows of each declared table, by its name, an Arrow table for each place they stand at.

    `first` is the place of the first record in its batch; PlacedRecordError names a record that does not fit.
    """
    return flatten_levels(RecordTree(records), tables, root, first)


def flatten_levels(
    levels: RecordTree, tables: Sequence[Table], root: ObjectSchema, first: int = 0
) -> dict[str, list[pa.Table]]:
    """Return the same of records whose places may hold columns that were set."""
    return {
        table.name: [_rows_at(levels, table, place, root, first) for place in table.declared.at]
        for table in tables
    }


def _rows_at(levels: RecordTree, table: Table, where: str, root: ObjectSchema, first: int) -> pa.Table:
    level, records = levels.at(where), levels.records
    paths = {name: paths_of(name, table.columns[name]) for name in table.content}
    extra = _with_hidden(level.undeclared(root.at(where)), level, paths, root.at(where))

    def values(name: str) -> Sequence[Any]:
        return extra if name == EXTRA else level.values(paths[name])

    def arrow(name: str) -> pa.Array:
        column = table.columns[name]
        return array(column, extra) if name == EXTRA else level.array(column, paths[name])

    def locate(row: int, path: str) -> str:
        if levels.are_set:
            # The objects do not hold what was set; who set it asks for no place.
            return "$"
        ordinal = level.ordinals[row]
        return _located(records[ordinal], where, row - level.ordinals.index(ordinal), path)

    own_key = [name for name in table.key if beginning(paths[name])[0] != "/"]
    return table_of(table, Rows(level.ordinals, own_key, values, arrow, locate), first)


OWN_FIELD = re.compile(r"[^/+.]+")
"""A path to a field of the object itself that is sent."""


def _second_choices(paths: Mapping[str, tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    """By field that no column takes first: of each column that can take it, the paths that come before."""
    first = {each[0] for each in paths.values()}
    found: dict[str, list[tuple[str, ...]]] = {}
    for each in paths.values():
        for place, path in enumerate(each):
            if path not in first and OWN_FIELD.fullmatch(path):
                found.setdefault(path, []).append(each[:place])
    return found


def _with_hidden(
    extra: Sequence[Any], level: NestedRows, paths: Mapping[str, tuple[str, ...]], place: ObjectSchema
) -> Sequence[Any]:
    """For each object its undeclared fields, and those that no column takes since others say otherwise."""
    for name, before in _second_choices(paths).items():
        said = level.values([name])
        if said.count(None) == len(said):
            # Nearly always: few send two spellings of one field.
            continue
        taken = zip(*(level.values(each) for each in before), strict=True)
        hidden = {
            row: value
            for row, (value, others) in enumerate(zip(said, taken, strict=True))
            if value is not None and None not in others and value not in others
        }
        if hidden:
            place.hidden.add(name)
            extra = [
                {**(each or {}), name: hidden[row]} if row in hidden else each
                for row, each in enumerate(extra)
            ]
    return extra


def _located(record: object, where: str, row: int, path: str) -> str:
    """Return the path from the record's root to a value of one of its rows, with the places in lists."""
    found: list[tuple[str, Any]] = [("$", record)]
    for segment in where.split("/") if where else []:
        name, many = name_of(segment), segment.endswith("[]")
        within = [(f"{above}.{name}", getattr(item, attribute_of(name))) for above, item in found]
        found = [
            (f"{place}[{index}]" if many else place, each)
            for place, inner in within
            if inner is not None
            for index, each in enumerate(inner if many else [inner])
        ]
    start = found[row][0]
    if path.startswith("/"):
        start, path = "$", path[1:]
    while path.startswith("../"):
        start, path = start.rpartition(".")[0], path[3:]
    return f"{start}.{path.replace('/', '.')}"


def table_of(table: Table, rows: Rows, first: int = 0) -> pa.Table:
    """Return the Arrow table of these rows; PlacedRecordError names the first that does not fit."""
    ordinals = integers(rows.ordinals)
    arrays = {RECORD: pc.add(ordinals, first) if first else ordinals}
    for name in [*table.content, EXTRA]:
        try:
            arrays[name] = rows.arrow(name)
            if table.not_null(name):
                hold_to_presence(arrays[name])
        except ValueMismatchError as mismatch:
            path = rows.locate(mismatch.index, paths_of(name, table.columns[name])[0])
            raise PlacedRecordError(
                rows.ordinals[mismatch.index], RecordError(mismatch.reason, path)
            ) from mismatch
    if table.declared.part_of:
        return _distinct(table, pa.table(arrays), rows)
    arrays[WHOLE] = pa.repeat(TRUE, len(rows.ordinals))
    return pa.table(arrays)


def _distinct(table: Table, made: pa.Table, rows: Rows) -> pa.Table:
    """Return the rows without repeats of the same row; two different rows with one key do not fit."""
    if made.num_rows >= MANY and _are_distinct(made, rows.own_key):
        return made
    own = [rows.values(name) for name in rows.own_key]
    if any(len(set(values)) == made.num_rows for values in own):
        return made
    if len(set(zip(rows.ordinals, *own, strict=True))) == made.num_rows:
        return made
    keys = [rows.values(name) for name in table.content if name in table.key]
    firsts: dict[Any, int] = {}
    again = {}
    for row, key in enumerate(zip(rows.ordinals, *keys, strict=True)):
        first = firsts.setdefault(key, row)
        if first != row:
            again[row] = first
    for row in _differing(made, again):
        shown = ", ".join(str(values[row]) for values in keys)
        reason = f"two different rows of {table.name} with one key: {shown}"
        raise PlacedRecordError(rows.ordinals[row], RecordError(reason))
    return made.take([row for row in range(made.num_rows) if row not in again])


def _differing(made: pa.Table, again: Mapping[int, int]) -> list[int]:
    """Return the rows, in order, that differ from those before them that have the same key.

    As they will be stored: of what was received `true` is equal to 1, and too deep to compare may be read.
    """
    ones, others = made.take(list(again)), made.take(list(again.values()))
    pairs = [
        zip(again, ones[name].to_pylist(), others[name].to_pylist(), strict=True)
        for name in made.column_names
    ]
    return sorted({row for each in pairs for row, one, other in each if one != other})


def _are_distinct(made: pa.Table, key: Sequence[str]) -> bool:
    """Whether no two rows share record and key; False too where one number cannot tell."""
    numbers, size = pa.repeat(NOUGHT, len(made)), 1
    for name in [RECORD, *key]:
        column = made[name].combine_chunks()
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
        if pa.types.is_dictionary(column.type):
            column = column.indices
        if not pa.types.is_integer(column.type):
            return False
        least, most = (each.as_py() or 0 for each in pc.min_max(column).values())
        size *= most - least + 1
        if size > INT64:
            return False
        numbers = pc.add(pc.multiply(numbers, most - least + 1), pc.subtract(column, least))
    # Most often they come in order.
    in_order = pc.all(pc.less(numbers[:-1], numbers[1:]), min_count=0).as_py()
    return bool(in_order) or pc.count_distinct(numbers).as_py() == len(made)
