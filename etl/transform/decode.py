"""Records as received to typed objects; what does not fit is refused alone, with path and reason."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from etl.errors import RecordError
from etl.extract.stream import Enrich
from etl.schema import Table
from etl.transform.shape import ADDED, ObjectSchema, attribute_of, is_odd, tree


def record_error(error: msgspec.MsgspecError, below: str = "$") -> RecordError:
    """Return what msgspec complains of, with reason and path apart."""
    reason, _, path = str(error).partition(" - at `")
    return RecordError(reason, below + path.rstrip("`").removeprefix("$"))


class Decoder:
    """Decodes the records of one stream, and remembers the undeclared fields it met."""

    def __init__(self, tables: list[Table], enrich: Enrich | None) -> None:
        self.root = tree(tables)
        self.enrich = enrich
        self._compile()

    @property
    def undeclared(self) -> set[str]:
        """Places and names of the undeclared fields met, such as `media/new_field`."""
        return {"/".join([*place, name]) for place, names in self.root.learned() for name in names}

    def typed(self, raws: Iterable[bytes]) -> list[Any]:
        """Return the records as objects without what the source adds.

        Raises what msgspec raises of a record that does not fit, or has a field that is not known yet.
        """
        return list(map(self._decoder.decode, raws))

    def typed_additions(self, place: ObjectSchema, lists: list[list[Any]]) -> list[list[Any]]:
        """Return lists of added objects at a place, as objects of its type; raises as `typed` does."""
        return cast("list[list[Any]]", msgspec.convert(lists, self._lists_of_added[id(place)]))

    def decode_all(self, raws: Iterable[bytes], context: Mapping[str, str]) -> list[Any] | None:
        """Return the records as `decode` gives them.

        None where one does not fit, and each must be tried alone.
        """
        try:
            records = list(map(self._decoder.decode, raws))
            if self.enrich:
                for record in records:
                    self.enrich.record(record, context)
            self._convert(records, self.root, "$")
        except (RecordError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return records

    def decode(self, raw: bytes, context: Mapping[str, str]) -> Any:  # noqa: ANN401 -- a type made at run time
        """Return the record as an object with the fields the source adds.

        RecordError says what is wrong with it.
        """
        try:
            record = self._typed(raw)
            if self.enrich:
                self.enrich.record(record, context)
            self._convert([record], self.root, "$")
        except msgspec.MsgspecError as error:
            raise record_error(error) from error
        except UnicodeDecodeError as error:
            raise RecordError("is not UTF-8 text") from error
        except RecursionError as error:
            raise RecordError("nested too deeply") from error
        return record

    def _typed(self, raw: bytes) -> Any:  # noqa: ANN401 -- a type made at run time
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError:
            value = msgspec.json.decode(raw)
            learned = self._learned(value, self.root, "$")
            if any(_odd(value, self.root)):
                return _with_odd(value, self.root, self._type)
            if not learned:
                raise
            return self._decoder.decode(raw)

    def _compile(self) -> None:
        self._type = self.root.type()
        self._decoder = msgspec.json.Decoder(self._type)
        self._added = {
            id(place): list[place.type()] if place.many else place.type()  # type: ignore[misc]
            for place in _added(self.root)
        }
        self._lists_of_added = {place: list[kind] for place, kind in self._added.items()}  # type: ignore[valid-type]

    def _learned(self, value: object, place: ObjectSchema, path: str) -> bool:
        """Take in every undeclared name found below this place; True when there was one."""
        found = False
        try:
            for where, inner, name in list(_undeclared(value, place, path)):
                inner.learn(name, where)
                found = True
        finally:
            if found:
                self._compile()
        return found

    def _convert(self, items: Sequence[Any], place: ObjectSchema, path: str) -> None:
        """Hold what the source added to its declared type too."""
        for name, inner in place.places.items():
            attribute = attribute_of(name)
            given = [(item, value) for item in items if (value := getattr(item, attribute)) is not None]
            values = [value for _, value in given]
            if name.startswith(ADDED):
                typed = self._typed_additions(values, inner, f"{path}.{name}")
                for (item, _), value in zip(given, typed, strict=True):
                    setattr(item, attribute, value)
            elif any(_added(inner)):
                below = [each for value in values for each in value] if inner.many else values
                self._convert(below, inner, f"{path}.{name}")

    def _typed_additions(self, values: list[Any], place: ObjectSchema, path: str) -> list[Any]:
        try:
            return cast("list[Any]", msgspec.convert(values, self._lists_of_added[id(place)]))
        except msgspec.ValidationError as error:
            # All of them, and not only until the first: each would be another type to compile.
            learned = [self._learned(value, place, path) for value in values]
            if not any(learned) and not any(_odd(values, place)):
                why = record_error(error)
                raise RecordError(why.reason, path + re.sub(r"^\$\[\d+\]", "", why.path)) from error
        if any(_odd(values, place)):
            return [self._typed_addition(value, place, path) for value in values]
        return self._typed_additions(values, place, path)

    def _typed_addition(self, value: object, place: ObjectSchema, path: str) -> Any:  # noqa: ANN401 -- a type made at run time
        try:
            return _with_odd(value, place, self._added[id(place)])
        except msgspec.ValidationError as error:
            raise record_error(error, path) from error


def _undeclared(value: object, place: ObjectSchema, path: str) -> Iterator[tuple[str, ObjectSchema, str]]:
    """Each name that nobody declared below this place: the path and the place of its object, and itself."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _undeclared(item, place, f"{path}[{index}]")
        return
    for name, inner in value.items() if isinstance(value, dict) else ():
        if name in place.places and not name.startswith(ADDED):
            yield from _undeclared(inner, place.places[name], f"{path}.{name}")
        elif name not in place.undeclared and (is_odd(name) or name not in place.columns):
            yield path, place, name


def _odd(value: object, place: ObjectSchema) -> Iterator[bool]:
    """Yield True for each name below this place that msgspec cannot read."""
    if isinstance(value, list):
        for item in value:
            yield from _odd(item, place)
    for name, inner in value.items() if isinstance(value, dict) else ():
        if is_odd(name):
            yield True
        elif name in place.places:
            yield from _odd(inner, place.places[name])


def _with_odd(value: object, place: ObjectSchema, kind: Any) -> Any:  # noqa: ANN401 -- a type made at run time
    """Return the value as a type of this place, with what stands under odd names set in it."""
    typed = msgspec.convert(_without_odd(value, place), kind)
    _set_odd(typed, value, place)
    return typed


def _without_odd(value: object, place: ObjectSchema) -> object:
    if isinstance(value, list):
        return [_without_odd(item, place) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: inner for name, inner in value.items() if not is_odd(name)}
    return {
        name: _without_odd(inner, place.places[name]) if name in place.places else inner
        for name, inner in plain.items()
    }


def _set_odd(typed: Any, value: object, place: ObjectSchema) -> None:  # noqa: ANN401 -- a type made at run time
    if isinstance(value, list):
        for each, item in zip(typed, value, strict=True):
            _set_odd(each, item, place)
    for name, inner in value.items() if isinstance(value, dict) else ():
        if is_odd(name):
            setattr(typed, place.undeclared[name], inner)
        elif name in place.places:
            _set_odd(getattr(typed, attribute_of(name)), inner, place.places[name])


def _added(place: ObjectSchema) -> Iterator[ObjectSchema]:
    """Yield the places whose objects the source adds."""
    for name, inner in place.places.items():
        if name.startswith(ADDED):
            yield inner
        yield from _added(inner)
