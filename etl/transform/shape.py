"""The tree of a record, as the columns of its tables describe it; compiled into msgspec types."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

import msgspec

from etl.declaration import Column
from etl.errors import ConfigError, RecordError
from etl.schema import Table

ADDED = "+"
"""Marks what the source module adds to a record, in paths and in the encoded names of fields."""

INT64 = 2**63 - 1
ODD = re.compile(r'[\\"\x00-\x1f]|^$|^\+')
"""Names that msgspec reads under no field: those it refuses, and those that stand for what a source adds."""
MOST_UNDECLARED = 200
"""Undeclared names one object type may gather; beyond it the names are data, and the declaration is wrong."""


class TooManyNamesError(RecordError):
    """A record has one undeclared name too many, with those that came before it: alone it may do."""


class ObjectSchema:
    """One object of the record tree: its declared fields, the objects in it, the names nobody declared."""

    def __init__(self, *, many: bool = False) -> None:
        self.many = many
        self.required = False
        self.columns: dict[str, tuple[Column, bool]] = {}
        self.places: dict[str, ObjectSchema] = {}
        self.undeclared: dict[str, str] = {}
        """Encoded name to attribute, in the order met."""
        self.hidden: set[str] = set()
        """Declared names that were met where another name of the same column says otherwise."""

    def add(self, segments: list[str], column: Column, *, required: bool, above: int = 0) -> None:
        """Note that a column takes the value at these segments below this place.

        The first `above` of them lead to the rows of the column's table, which need not be there.
        """
        head, *rest = segments
        if rest:
            place = self.places.setdefault(name_of(head), ObjectSchema(many=head.endswith("[]")))
            place.required |= required and not place.many and above <= 0
            place.add(rest, column, required=required, above=above - 1)
            return
        known, was_required = self.columns.get(head, (column, False))
        if known.type != column.type:
            message = f"{head} is declared as {known.type} and as {column.type}"
            raise ConfigError(message)
        self.columns[head] = (column, required or was_required)

    def need(self, segments: list[str]) -> None:
        """Note that the object or list at these segments must be there."""
        head, *rest = segments
        place = self.places.setdefault(name_of(head), ObjectSchema(many=head.endswith("[]")))
        place.required = True
        if rest:
            place.need(rest)

    def at(self, where: str) -> "ObjectSchema":
        """Return the place below this one that these segments lead to."""
        place = self
        for segment in where.split("/") if where else []:
            place = place.places[name_of(segment)]
        return place

    def learn(self, name: str, path: str) -> None:
        """Take a name nobody declared into the type, so that the fast path reads it from now on."""
        if name in self.undeclared:
            return
        if len(self.undeclared) >= MOST_UNDECLARED:
            raise TooManyNamesError(
                f"more than {MOST_UNDECLARED} undeclared fields, this one: {name[:80]}", path
            )
        self.undeclared[name] = f"undeclared_{len(self.undeclared)}"

    def learned(self, *above: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
        """Yield the names at each place below this one whose values no column takes."""
        if self.undeclared or self.hidden:
            yield above, [*self.undeclared, *self.hidden]
        for name, inner in self.places.items():
            yield from inner.learned(*above, name)

    def type(self) -> Any:  # noqa: ANN401 -- a type made at run time
        """Return the msgspec type of the objects at this place."""
        fields: list[tuple[str, Any, Any]] = []
        encoded = {}
        for name, kind, required in self._fields():
            attribute = attribute_of(name)
            if attribute in encoded:
                message = f"two fields of one object are called {attribute}"
                raise ConfigError(message)
            encoded[attribute] = name
            if required:
                fields.append((attribute, kind, msgspec.NODEFAULT))
            else:
                fields.append((attribute, kind if kind is NEVER else kind | None, None))
        for name, attribute in self.undeclared.items():
            odd = is_odd(name)
            encoded[attribute] = ADDED + attribute if odd else name
            fields.append((attribute, NEVER if odd else Any, msgspec.UNSET))
        return msgspec.defstruct(
            "Object", fields, kw_only=True, forbid_unknown_fields=True, gc=False, rename=encoded
        )

    def _fields(self) -> Iterator[tuple[str, Any, bool]]:
        for name, (column, required) in self.columns.items():
            if name in self.places:
                message = f"{name} is declared as a value and as an object"
                raise ConfigError(message)
            if name.startswith(ADDED):
                yield name, NEVER, False
            else:
                yield name, scalar(column), required
        for name, place in self.places.items():
            if name.startswith(ADDED):
                yield name, NEVER, False
            else:
                yield name, list[place.type()] if place.many else place.type(), place.required  # type: ignore[misc]


NEVER = msgspec.UnsetType
"""The type of what is set and never sent: no JSON is of it, so a name that is sent all the same is seen."""


def is_odd(name: str) -> bool:
    """Whether a field of this name must be set, since it cannot be read."""
    return ODD.search(name) is not None


def scalar(column: Column) -> Any:  # noqa: ANN401 -- a type made at run time
    """Return the msgspec type that accepts exactly what the column may hold."""
    if column.type == "integer":
        low, high = (-INT64 - 1 if column.min is None else int(column.min)), column.max
        return Annotated[int, msgspec.Meta(ge=low, le=INT64 if high is None else int(high))]
    if column.type == "number":
        return Annotated[float, msgspec.Meta(ge=column.min, le=column.max)]
    kinds: dict[str, Any] = {"text": str, "boolean": bool, "timestamp": float | str, "date": str, "json": Any}
    return kinds[column.type]


def tree(tables: list[Table]) -> ObjectSchema:
    """Return the record tree of one stream, from all tables that are cut from its records."""
    root = ObjectSchema()
    for table in tables:
        for place in table.declared.at:
            if table.declared.part_of and ADDED not in place:
                # Absent is not empty: without the list there is nothing to replace the set with.
                root.need(place.split("/"))
            for name in table.content:
                column = table.columns[name]
                paths = paths_of(name, column)
                for path in paths:
                    required = table.not_null(name) and len(paths) == 1
                    root.add(
                        absolute(place, path), column, required=required, above=len(absolute(place, "")) - 1
                    )
        for name in table.declared.reads:
            root.add([name], Column(type="json", doc="read by the source"), required=False)
    return root


def paths_of(name: str, column: Column) -> tuple[str, ...]:
    """Return the paths of a column's value, first choice first; its own name where none is declared."""
    if isinstance(column.path, str):
        return (column.path,)
    return column.path or (name,)


@cache
def beginning(paths: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Where paths begin, and the rest of each: "/" the record, "../" the object above, "" here, or mixed."""
    for start in ("/", "../"):
        if all(path.startswith(start) for path in paths):
            return start, tuple(path.removeprefix(start) for path in paths)
    return "", paths


@cache
def attributes_of(path: str) -> list[str]:
    """Return the Python attributes that lead from an object to the value at a path below it."""
    return [attribute_of(segment) for segment in path.split("/")]


def absolute(place: str, path: str) -> list[str]:
    """Return the segments from the record's root to the value that `path` names in a row at `place`."""
    if path.startswith("/"):
        return path[1:].split("/")
    base = place.split("/") if place else []
    while path.startswith("../"):
        base, path = base[:-1], path[3:]
    return [*base, *path.split("/")]


def name_of(segment: str) -> str:
    """Return the field's name in a path segment."""
    return segment.removesuffix("[]")


@cache
def attribute_of(name: str) -> str:
    """Return the Python attribute that holds the field."""
    return re.sub(r"\W", "_", name.replace(ADDED, "added_", 1) if name.startswith(ADDED) else name)
