"""The objects at each place of the records: their fields as columns, with what stands above each object."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from msgspec import UNSET
from msgspec.structs import astuple

from etl.compute import pc
from etl.declaration import Column
from etl.transform.columns import ValueMismatchError, array, integers
from etl.transform.shape import ObjectSchema, attribute_of, attributes_of, beginning, name_of


class NestedRows:
    """The objects at one place; a value that stands above them is read once, and taken for each of them."""

    def __init__(
        self, items: Sequence[Any], above: "NestedRows | None" = None, parents: Sequence[int] = ()
    ) -> None:
        self.items = items
        self.above = above
        self.parents = parents
        """For each object the place of the one above it, in the level above."""
        self.ordinals = _ordinals(items, above, parents)
        """For each object the place of its record."""
        self._put: dict[str, Sequence[Any]] = {}
        self._arrays: dict[tuple[tuple[str, ...], str, tuple[str, ...]], pa.Array] = {}

    def below(self, segment: str) -> "NestedRows":
        """Return the objects that this segment of a place leads to."""
        found = self.field(name_of(segment))
        lists = found if segment.endswith("[]") else [None if each is None else (each,) for each in found]
        parents = [row for row, inner in enumerate(lists) if inner for _ in inner]
        return NestedRows([each for inner in lists if inner for each in inner], self, parents)

    @classmethod
    def of_columns(
        cls, columns: Mapping[str, Sequence[Any]], above: "NestedRows", parents: Sequence[int]
    ) -> "NestedRows":
        """Objects that are given as columns, under their paths."""
        made = cls([None] * len(parents), above, parents)
        made._put.update(columns)
        made._fields = {}
        return made

    def put(self, path: str, values: Sequence[Any]) -> None:
        """Set the values at a path; before any column is made."""
        self._put[path] = values

    @property
    def root(self) -> "NestedRows":
        """The level of the records themselves."""
        return self.above.root if self.above else self

    @cached_property
    def _fields(self) -> dict[str, Sequence[Any]]:
        """The values of each field.

        Objects decoded before an undeclared name was met lack it; such names come last and are left out.
        """
        if not self.items:
            return {}
        names = self.items[0].__struct_fields__
        return dict(zip(names, zip(*map(astuple, self.items), strict=False), strict=False))

    @cached_property
    def _rows(self) -> tuple[pa.Array, pa.Array]:
        """For each object the place of its record, and of the object above, to take values by."""
        ordinals = integers(self.ordinals)
        return ordinals, ordinals if self.parents is self.ordinals else integers(self.parents)

    def field(self, name: str) -> Sequence[Any]:
        """Return the values of a field as received; none where there are no objects."""
        return self._fields.get(attribute_of(name), ())

    def array(self, column: Column, paths: tuple[str, ...]) -> pa.Array:
        """Return the first value at these paths for each object.

        ValueMismatchError names the first misfit.
        """
        try:
            return self.shared(column, paths)
        except ValueMismatchError:
            # It can stand above, where it belongs to none of these objects.
            return array(column, self.values(paths))

    def shared(self, column: Column, paths: tuple[str, ...]) -> pa.Array:
        """Return the same, made once for all who ask.

        ValueMismatchError tells the row in which the value stands.
        """
        start, rest = beginning(paths)
        if start and self.above:
            above, rows = (self.root, self._rows[0]) if start == "/" else (self.above, self._rows[1])
            return pc.take(above.shared(column, rest), rows)
        key = (paths, column.type, column.forms)
        if key not in self._arrays:
            self._arrays[key] = array(column, self.values(paths))
        return self._arrays[key]

    def values(self, paths: Sequence[str]) -> Sequence[Any]:
        """Return the first value at these paths for each object; None where there is none."""
        first, *others = paths
        values = self._values(first)
        for path in others:
            if None not in values:
                break
            pairs = zip(values, self._values(path), strict=True)
            values = [second if value is None else value for value, second in pairs]
        return values

    def _values(self, path: str) -> Sequence[Any]:
        """Return the value at this path for each object; None where something on the way is absent."""
        if path in self._put:
            return self._put[path]
        start, (rest,) = beginning((path,))
        if start and self.above:
            above, rows = (self.root, self.ordinals) if start == "/" else (self.above, self.parents)
            found = above.values([rest])
            return [found[row] for row in rows]
        first, *way = attributes_of(rest)
        if first not in self._fields:
            return [None] * len(self.items)
        found = self._fields[first]
        for attribute in way:
            found = [None if item is None else getattr(item, attribute) for item in found]
        return found

    def undeclared(self, place: ObjectSchema) -> Sequence[Any]:
        """For each object its undeclared fields, or None."""
        columns = {name: self._undeclared(attribute) for name, attribute in place.undeclared.items()}
        met = {name: values for name, values in columns.items() if values.count(UNSET) < len(values)}
        if not met:
            return [None] * len(self.items)
        rows = zip(*met.values(), strict=True)
        return [
            {name: value for name, value in zip(met, row, strict=True) if value is not UNSET} or None
            for row in rows
        ]

    def _undeclared(self, attribute: str) -> Sequence[Any]:
        """Return the values of an undeclared field, of which some objects may know nothing."""
        if attribute in self._fields:
            return self._fields[attribute]
        return [getattr(item, attribute, UNSET) for item in self.items]


class RecordTree:
    """The places of some records, each made once."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records
        self.are_set = False
        """Whether columns are set that the objects themselves do not hold."""
        self._made = {"": NestedRows(records)}

    def at(self, where: str) -> NestedRows:
        """Return the level at a place."""
        if where not in self._made:
            above, _, segment = where.rpartition("/")
            self._made[where] = self.at(above).below(segment)
        return self._made[where]

    def put(self, where: str, level: NestedRows) -> None:
        """Set the level at a place; before anybody asks for it."""
        self._made[where] = level


def _ordinals(items: Sequence[Any], above: NestedRows | None, parents: Sequence[int]) -> Sequence[int]:
    """For each object the place of its record."""
    if above is None:
        return range(len(items))
    return parents if above.above is None else [above.ordinals[row] for row in parents]
