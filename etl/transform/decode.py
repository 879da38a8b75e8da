"""Records as received to typed objects; what does not fit is refused alone, with path and reason."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from etl.errors import Unfit
from etl.extract.stream import Complete
from etl.schema import Table
from etl.transform.shape import ADDED, Place, attribute_of, tree


def unfit(error: msgspec.MsgspecError, below: str = "$") -> Unfit:
    """What msgspec complains of, with reason and path apart."""
    reason, _, path = str(error).partition(" - at `")
    return Unfit(reason, below + path.rstrip("`").removeprefix("$"))


class Decoder:
    """Decodes the records of one stream, and remembers the undeclared fields it met."""

    def __init__(self, tables: list[Table], complete: Complete | None) -> None:
        self.root = tree(tables)
        self.complete = complete
        self.undeclared: set[str] = set()
        """Places and names of undeclared fields, such as `media/new_field`."""
        self._compile()

    def decode(self, raw: bytes, context: Mapping[str, str]) -> Any:  # noqa: ANN401 -- a type made at run time
        """The record as an object with the fields the source adds; Unfit says what is wrong with it."""
        try:
            record = self._typed(raw)
            if self.complete:
                self.complete(record, context)
        except msgspec.MsgspecError as error:
            raise unfit(error) from error
        except UnicodeDecodeError as error:
            raise Unfit("is not UTF-8 text") from error
        except RecursionError as error:
            raise Unfit("nested too deeply") from error
        self._convert(record, self.root, "$")
        return record

    def _typed(self, raw: bytes) -> Any:  # noqa: ANN401 -- a type made at run time
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError:
            if not self._learned(msgspec.json.decode(raw), self.root, "$"):
                raise
            return self._decoder.decode(raw)

    def _compile(self) -> None:
        self._decoder = msgspec.json.Decoder(self.root.type())
        self._added = {id(place): place.type() for place in _added(self.root)}

    def _learned(self, value: object, place: Place, path: str) -> bool:
        """Take in every undeclared name found below this place; True when there was one."""
        found = False
        try:
            for where, inner, name in list(_undeclared(value, place, path)):
                inner.learn(name, where)
                place_name = re.sub(r"\[\d+\]", "", f"{where}.{name}").removeprefix("$.")
                self.undeclared.add(place_name.replace(".", "/"))
                found = True
        finally:
            if found:
                self._compile()
        return found

    def _convert(self, item: Any, place: Place, path: str) -> None:  # noqa: ANN401 -- a type made at run time
        """Hold what the source added to its declared type too."""
        for name, inner in place.places.items():
            attribute = attribute_of(name)
            value = getattr(item, attribute)
            if value is None:
                continue
            if name.startswith(ADDED):
                setattr(item, attribute, self._typed_addition(value, inner, f"{path}.{name}"))
            elif inner.places:
                for each in value if inner.many else [value]:
                    self._convert(each, inner, f"{path}.{name}")

    def _typed_addition(self, value: object, place: Place, path: str) -> object:
        kind = self._added[id(place)]
        try:
            return msgspec.convert(value, list[kind] if place.many else kind)  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            if not self._learned(value, place, path):
                raise unfit(error, path) from error
            return self._typed_addition(value, place, path)


def _undeclared(value: object, place: Place, path: str) -> Iterator[tuple[str, Place, str]]:
    """Each name that nobody declared below this place: the path and the place of its object, and itself."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _undeclared(item, place, f"{path}[{index}]")
        return
    for name, inner in value.items() if isinstance(value, dict) else ():
        if name in place.places and not name.startswith(ADDED):
            yield from _undeclared(inner, place.places[name], f"{path}.{name}")
        elif name not in place.columns and name not in place.undeclared:
            yield path, place, name


def _added(place: Place) -> Iterator[Place]:
    """The places whose objects the source adds."""
    for name, inner in place.places.items():
        if name.startswith(ADDED):
            yield inner
        yield from _added(inner)
