"""A block of records as columns: what a source reads of them, and adds to them all at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from etl.declaration import Column
from etl.errors import RecordError
from etl.transform.decode import Decoder
from etl.transform.nested_rows import NestedRows, RecordTree
from etl.transform.shape import ObjectSchema, name_of

NONE = type(None)
KINDS: Mapping[str, frozenset[type]] = {
    "text": frozenset({str, NONE}),
    "integer": frozenset({int, NONE}),
    "number": frozenset({int, float, NONE}),
    "boolean": frozenset({bool, NONE}),
    "date": frozenset({str, NONE}),
    "timestamp": frozenset({int, float, str, NONE}),
}
"""The types of values that a source may add, by the type word of their column; a bool is no number."""


class RecordBlock:
    """Records of one context; a `Block` for the source, and `levels` for whoever makes rows of them.

    Raises, when made, what msgspec raises of a record that does not fit; RecordError where a source adds what
    is not of the declared type. Neither says of which record: that is for whoever looks at each alone.
    """

    def __init__(self, raws: Sequence[bytes], context: Mapping[str, str], decoder: Decoder) -> None:
        self.context = context
        self.levels = RecordTree(decoder.typed(raws))
        self._decoder = decoder
        if decoder.enrich and decoder.enrich.columns and raws:
            self.levels.are_set = True
            decoder.enrich.columns(self)

    def values(self, place: str, name: str) -> Sequence[Any]:
        """Return the values of one field of the objects at a place; None where it is absent."""
        return self.levels.at(place).field(name)

    def sizes(self, place: str) -> Sequence[int]:
        """How many objects stand at a place below each object above."""
        above, _, segment = place.rpartition("/")
        return [len(each) if each else 0 for each in self.values(above, name_of(segment))]

    def put(self, place: str, path: str, values: Sequence[Any]) -> None:
        """Set a column of the objects at a place, under the path that is declared for it."""
        above, _, name = path.rpartition("/")
        _hold(values, self._place(place).at(above).columns[name])
        self.levels.at(place).put(path, values)

    def add_rows(self, place: str, parents: Sequence[int], columns: Mapping[str, Sequence[Any]]) -> None:
        """Add objects as columns; `parents` says for each, in ascending order, the object above it."""
        for name, declared in self._place(place).columns.items():
            if name in columns:
                _hold(columns[name], declared)
        above, _, _ = place.rpartition("/")
        self.levels.put(place, NestedRows.of_columns(columns, self.levels.at(above), parents))

    def add_objects(self, place: str, lists: Sequence[Sequence[Any] | None]) -> None:
        """Add a list of JSON objects to each object above, or None."""
        given = [(row, list(each)) for row, each in enumerate(lists) if each]
        typed = self._decoder.typed_additions(self._place(place), [each for _, each in given])
        parents = [row for row, each in given for _ in each]
        above, _, _ = place.rpartition("/")
        items = [item for each in typed for item in each]
        self.levels.put(place, NestedRows(items, self.levels.at(above), parents))

    def _place(self, place: str) -> ObjectSchema:
        return self._decoder.root.at(place)


def _hold(values: Sequence[Any], declared: tuple[Column, bool]) -> None:
    """Hold what a source adds to its declared type and limits; RecordError where it is not of them."""
    column, is_required = declared
    if column.type == "json":
        return
    kinds = set(map(type, values))
    if not kinds <= KINDS[column.type] or (is_required and NONE in kinds):
        raise RecordError(f"what the source adds is no {column.type}")
    if column.min is None and column.max is None:
        return
    given = [each for each in values if each is not None] if NONE in kinds else values
    if given and not (
        (column.min is None or column.min <= min(given)) and (column.max is None or max(given) <= column.max)
    ):
        raise RecordError("what the source adds is out of bounds")
