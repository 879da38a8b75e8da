"""One answer of a list, where it leads, and whether answers begin to come again."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from etl.errors import SourceError
from etl.values import UNREADABLE, canonical

MOST_EMPTY = 100
"""Pages that may come empty one after the other, each of which leads to the next."""

P = TypeVar("P")


@dataclass(slots=True)
class ListPage:
    """One answer of a list."""

    records: Sequence[bytes]
    keys: Sequence[Hashable] = ()
    """What tells each record from all others; the record itself where none are given."""
    next: Any = None
    """What leads to the page after it, as JSON has it: a cursor, a `last_key`, the parameters of a link. None
    or an empty text after the last."""
    total: int | None = None
    """How many records the list is said to hold."""
    limit: int | None = None
    """How many the page could have held, where the answer says so."""
    offset: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Give each record a key."""
        self.keys = list(self.keys) or [bytes(each) for each in self.records]

    @property
    def end(self) -> int:
        """The offset after its last record."""
        return self.offset + len(self.records)


class Circle:
    """Tells when pages begin to come again, however long the circle is and whatever the links say.

    One page is remembered, a later one each time twice as many have come (Brent's way): so the memory needed
    is that of one number.
    """

    def __init__(self) -> None:
        self._remembered: int | None = None
        self._count = 0
        self._until = 1

    def closes(self, page: Iterable[Hashable]) -> bool:
        """Whether this page, given by the names of what is on it, is the one that is remembered."""
        told = hash(frozenset(page))
        if told == self._remembered:
            return True
        self._count += 1
        if self._count == self._until:
            self._remembered, self._until = told, 2 * self._until
        return False


class Links(Generic[P]):
    """Follows where pages lead: to no place twice, and over so many empty pages at most."""

    def __init__(
        self,
        ask: Callable[[Any], P],
        lead: Callable[[P], Any],
        records: Callable[[P], Collection[bytes]],
        start: object,
        what: str,
    ) -> None:
        """`lead` gives the place a page leads to, None where it leads nowhere; `start` is where it began."""
        self._ask = ask
        self._lead = lead
        self._records = records
        self._followed = {canonical(start)}
        self._what = what

    def after(self, page: P) -> P | None:
        """Return the page that a page leads to, or the first after it that is not empty.

        None where it leads nowhere, or to where one before it has led.
        """
        found = self._next(page)
        return None if found is None else self.filled(found)

    def filled(self, page: P) -> P:
        """Return the page, or the first after it that is not empty, as far as there is a way."""
        for _ in range(MOST_EMPTY):
            found = None if self._records(page) else self._next(page)
            if found is None:
                return page
            page = found
        raise SourceError(f"{MOST_EMPTY} empty pages of {self._what} one after the other")

    def _next(self, page: P) -> P | None:
        place = self._lead(page)
        told = canonical(place)
        if place is None or told in self._followed:
            return None
        self._followed.add(told)
        return self._ask(place)


def query_of(link: str) -> dict[str, str]:
    """Return the parameters in a link to a page; none where it is no address."""
    with suppress(ValueError):
        return dict(parse_qsl(urlsplit(link).query))
    return {}


def keys_of(records: Iterable[bytes], *fields: str) -> list[bytes]:
    """Return for each record what it has in these fields, which tells it from others.

    All of a record that lacks one of them, or cannot be read.
    """
    return [_key_of(bytes(each), fields) for each in records]


def _key_of(record: bytes, fields: Sequence[str]) -> bytes:
    with suppress(*UNREADABLE, KeyError, TypeError):
        read = msgspec.json.decode(record)
        return canonical([read[name] for name in fields])
    return record


def fresh(page: ListPage, seen: set[Hashable]) -> Sequence[bytes]:
    """Return the records of a page that were not seen before, which they are from now on."""
    found = [each for each, key in zip(page.records, page.keys, strict=True) if key not in seen]
    seen.update(page.keys)
    return found
