"""Decoded records, or columns read from a file, to one Arrow table for each declared table."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import Any

import pyarrow as pa
from msgspec import UNSET

from etl.errors import Unfit
from etl.schema import Column, Table
from etl.transform.columns import Misfit, array
from etl.transform.shape import Place, attribute_of, name_of, paths_of

RECORD = "_record"
"""Name of the column that says which record of the batch a row was cut from; it never reaches a table."""

WHOLE = "_whole"
"""Name of the column that says whether a row comes with all its parts: the row of a file that could not be
read does not, and leaves the parts that are stored as they are."""

EXTRA = "_extra"


Given = list[tuple[str, Column, Sequence[Any]]]
"""The columns of a table with their values, one for each row."""


class BadRecord(Exception):
    """One record of a batch does not fit its tables: its place in the batch, and why."""

    def __init__(self, index: int, why: Unfit) -> None:
        super().__init__(why.reason)
        self.index = index
        self.why = why


class Rows:
    """The rows of one table that stand at one place of the records, with the objects above each."""

    def __init__(self, records: Sequence[Any], place: str) -> None:
        self.ordinals: list[int] = list(range(len(records)))
        self.levels: list[list[Any]] = [list(records)]
        for segment in place.split("/") if place else []:
            self._descend(attribute_of(name_of(segment)), many=segment.endswith("[]"))

    def _descend(self, attribute: str, *, many: bool) -> None:
        pairs: list[tuple[int, Any]] = []
        for row, parent in enumerate(self.levels[-1]):
            inner = getattr(parent, attribute)
            if inner is not None:
                pairs += [(row, each) for each in (inner if many else [inner])]
        kept = [row for row, _ in pairs]
        self.ordinals = [self.ordinals[row] for row in kept]
        self.levels = [[level[row] for row in kept] for level in self.levels]
        self.levels.append([each for _, each in pairs])

    def values(self, path: str) -> list[Any]:
        """The value at this path for each row; None where something on the way is absent."""
        level = len(self.levels) - 1
        if path.startswith("/"):
            level, path = 0, path[1:]
        while path.startswith("../"):
            level, path = level - 1, path[3:]
        items = self.levels[level]
        *way, last = (attribute_of(segment) for segment in path.split("/"))
        for attribute in way:
            items = [None if item is None else getattr(item, attribute) for item in items]
        if not way:
            return list(map(attrgetter(last), items))
        return [None if item is None else getattr(item, last) for item in items]

    def undeclared(self, place: Place) -> list[Any]:
        """For each row its undeclared fields, or None; objects decoded before a name was met lack it."""
        names = place.undeclared.items()
        return [
            {
                name: value
                for name, attribute in names
                if (value := getattr(item, attribute, UNSET)) is not UNSET
            }
            or None
            for item in self.levels[-1]
        ]


def flatten(records: Sequence[Any], tables: Sequence[Table], root: Place) -> dict[str, Any]:
    """One Arrow table for each declared table, keyed by name; BadRecord names a record that does not fit."""
    made = {}
    for table in tables:
        parts = [_cut(records, table, place, root) for place in table.declared.at]
        made[table.name] = pa.concat_tables(parts)
    return made


def flatten_columns(columns: Mapping[str, Sequence[Any]], ordinals: Sequence[int], table: Table) -> pa.Table:
    """The Arrow table of columns that a source read from files; absent columns are NULL."""
    size = len(ordinals)
    unknown = set(columns) - set(table.content) - {EXTRA}
    if unknown:
        message = f"{table.qualified} has no column {min(unknown)}"
        raise LookupError(message)
    given: Given = [(name, table.columns[name], columns.get(name) or [None] * size) for name in table.content]
    for name, column, values in given:
        _hold_to_limits(name, column, values, ordinals)
    return _table(table, given, list(ordinals), columns.get(EXTRA), lambda _row, path: f"$.{path}")


def _hold_to_limits(name: str, column: Column, values: Sequence[Any], ordinals: Sequence[int]) -> None:
    """Refuse values outside the declared limits; records are held to theirs when they are decoded."""
    if column.min is None and column.max is None:
        return
    low, high = (-inf if column.min is None else column.min), (inf if column.max is None else column.max)
    for index, value in enumerate(values):
        if value is not None and not low <= value <= high:
            raise BadRecord(ordinals[index], Unfit(f"{value} is not within {low:g} to {high:g}", f"$.{name}"))


def _cut(records: Sequence[Any], table: Table, where: str, root: Place) -> pa.Table:
    rows = Rows(records, where)
    place = root
    for segment in where.split("/") if where else []:
        place = place.places[name_of(segment)]
    given: Given = [
        (name, table.columns[name], _values(rows, name, table.columns[name])) for name in table.content
    ]
    extra = rows.undeclared(place) if place.undeclared else None

    def locate(row: int, path: str) -> str:
        ordinal = rows.ordinals[row]
        return _located(records[ordinal], where, row - rows.ordinals.index(ordinal), path)

    return _table(table, given, rows.ordinals, extra, locate)


def _located(record: object, where: str, row: int, path: str) -> str:
    """The path from the record's root to a value of one of its rows, with the places in lists."""
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


def _values(rows: Rows, name: str, column: Column) -> list[Any]:
    first, *others = paths_of(name, column)
    values = rows.values(first)
    for path in others:
        if None not in values:
            break
        values = [
            second if value is None else value
            for value, second in zip(values, rows.values(path), strict=True)
        ]
    return values


def _table(
    table: Table,
    given: Given,
    ordinals: list[int],
    extra: Sequence[Any] | None,
    locate: Callable[[int, str], str],
) -> pa.Table:
    arrays = {RECORD: pa.array(ordinals, pa.int64())}
    given = [*given, (EXTRA, table.columns[EXTRA], extra or [None] * len(ordinals))]
    for name, column, values in given:
        try:
            arrays[name] = array(column, values, required=table.not_null(name))
        except Misfit as misfit:
            path = locate(misfit.index, paths_of(name, column)[0])
            raise BadRecord(ordinals[misfit.index], Unfit(misfit.reason, path)) from misfit
    if table.declared.part_of:
        return _distinct(table, pa.table(arrays), ordinals, given)
    arrays[WHOLE] = pa.repeat(pa.scalar(value=True), len(ordinals))
    return pa.table(arrays)


def _distinct(table: Table, made: pa.Table, ordinals: list[int], given: Given) -> pa.Table:
    """The rows without repeats of the same row; two different rows with one key do not fit."""
    keys = [values for name, _, values in given if name in table.key]
    seen: dict[Any, int] = {}
    repeated = []
    for row, key in enumerate(zip(ordinals, *keys, strict=True)):
        first = seen.setdefault(key, row)
        if first != row:
            if any(values[first] != values[row] for _, _, values in given):
                reason = f"two different rows of {table.name} with one key: {', '.join(map(str, key[1:]))}"
                raise BadRecord(ordinals[row], Unfit(reason))
            repeated.append(row)
    if not repeated:
        return made
    return made.take(sorted(set(range(len(ordinals))) - set(repeated)))
