"""The objects at each place of the records: their fields as columns, with what stands above each object."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET
from msgspec.structs import astuple

from etl.schema import Column
from etl.transform.columns import Misfit, array
from etl.transform.shape import Place, attribute_of, attributes_of, beginning, name_of


class Level:
    """The objects at one place; a value that stands above them is read once, and taken for each of them."""

    def __init__(
        self, items: Sequence[Any], above: "Level | None" = None, parents: Sequence[int] = ()
    ) -> None:
        self.items = items
        self.above = above
        self.parents = parents
        """For each object the place of the one above it, in the level above."""
        self.ordinals: list[int] = [above.ordinals[row] for row in parents] if above else [*range(len(items))]
        """For each object the place of its record."""
        self._arrays: dict[tuple[tuple[str, ...], str, tuple[str, ...]], pa.Array] = {}

    def below(self, segment: str) -> "Level":
        """The objects that this segment of a place leads to."""
        found = self._fields.get(attribute_of(name_of(segment)), ())
        lists = found if segment.endswith("[]") else [None if each is None else (each,) for each in found]
        parents = [row for row, inner in enumerate(lists) if inner for _ in inner]
        return Level([each for inner in lists if inner for each in inner], self, parents)

    @property
    def root(self) -> "Level":
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
        return pa.array(self.ordinals, pa.int64()), pa.array(self.parents, pa.int64())

    def array(self, column: Column, paths: tuple[str, ...]) -> pa.Array:
        """The first value at these paths for each object; Misfit names the first that does not fit."""
        try:
            return self.shared(column, paths)
        except Misfit:
            # It can stand above, where it belongs to none of these objects.
            return array(column, self.values(paths))

    def shared(self, column: Column, paths: tuple[str, ...]) -> pa.Array:
        """The same, made once for all who ask; Misfit tells the place in the level where the value stands."""
        start, rest = beginning(paths)
        if start and self.above:
            above, rows = (self.root, self._rows[0]) if start == "/" else (self.above, self._rows[1])
            return pc.take(above.shared(column, rest), rows)
        key = (paths, column.type, column.forms)
        if key not in self._arrays:
            self._arrays[key] = array(column, self.values(paths))
        return self._arrays[key]

    def values(self, paths: Sequence[str]) -> Sequence[Any]:
        """The first value at these paths for each object; None where there is none."""
        first, *others = paths
        values = self._values(first)
        for path in others:
            if None not in values:
                break
            pairs = zip(values, self._values(path), strict=True)
            values = [second if value is None else value for value, second in pairs]
        return values

    def _values(self, path: str) -> Sequence[Any]:
        """The value at this path for each object; None where something on the way is absent."""
        start, (rest,) = beginning((path,))
        if start and self.above:
            above, rows = (self.root, self.ordinals) if start == "/" else (self.above, self.parents)
            found = above.values([rest])
            return [found[row] for row in rows]
        first, *way = attributes_of(rest)
        found = self._fields.get(first, ())
        for attribute in way:
            found = [None if item is None else getattr(item, attribute) for item in found]
        return found

    def undeclared(self, place: Place) -> Sequence[Any]:
        """For each object its undeclared fields, or None."""
        met = [
            (name, attribute)
            for name, attribute in place.undeclared.items()
            if any(getattr(item, attribute, UNSET) is not UNSET for item in self.items)
        ]
        if not met:
            return [None] * len(self.items)
        return [
            {
                name: value
                for name, attribute in met
                if (value := getattr(item, attribute, UNSET)) is not UNSET
            }
            or None
            for item in self.items
        ]
