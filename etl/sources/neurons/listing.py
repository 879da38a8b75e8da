"""The list of media: what may be read of its elements, and its pages up to an end that is proven."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from etl.errors import ClientError, SourceError
from etl.extract.stream import RequestStats
from etl.values import UNREADABLE, micros

if TYPE_CHECKING:
    from etl.extract.http import Api

PAGE = 100
MOST_PAGES = 10_000_000
MOST_PASSES = 4
"""How often an odd list is walked while each walk brings something new."""
MOST_REPEATS = 3
"""Pages in a row that bring nothing new, after which a list is taken to go round in circles."""


class Listed(msgspec.Struct):
    """What must be known of a medium to decide which of its files to fetch."""

    media_id: str
    status: str | None = None
    aoi_status: str | None = None
    updated_at: Any = None
    created_at: Any = None
    created: Any = None
    results: dict[str, Any] | None = None
    metrics: dict[str, float | None] | None = None
    """Not looked at: a medium whose metrics are refused has no files to fetch."""


class Pagination(msgspec.Struct):
    """What an answer says of the whole list; no document of version 2 shows it, so it may be anything."""

    total: Any = None
    limit: Any = None


class Envelope(msgspec.Struct):
    """A page of the media list; version 1 wraps it like this, the shape of version 2 is not public."""

    media: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    pagination: Any = None


LISTED: Any = Envelope | list[msgspec.Raw]
"""A page of the list, with or without an envelope."""


@dataclass(slots=True)
class MediaPage:
    """One answer of the list."""

    offset: int
    media: Sequence[bytes]
    total: int | None = None
    """How many media the list is said to hold."""
    limit: int = PAGE
    """How many the page could have held: as many as were asked for, or fewer where the answer says so."""
    keys: list[str | bytes] = field(init=False)
    """The id of each medium; all of an element that names none."""

    def __post_init__(self) -> None:
        """Read the ids once."""
        self.keys = [medium.media_id if (medium := read_one(each)) else bytes(each) for each in self.media]

    @property
    def end(self) -> int:
        """The offset after its last element."""
        return self.offset + len(self.media)


class MediaList:
    """The list of all media of an account, oldest first."""

    def __init__(self, api: "Api") -> None:
        self._api = api

    def pages(self, first: int, seen: set[str | bytes], stats: RequestStats) -> Iterator[Sequence[bytes]]:
        """Yield what the list holds from an offset on, each medium once; `seen` gathers the ids.

        SourceError, after all that could be read, where it cannot be walked to a proven end.
        """
        walk, proven = Walk(self, first, seen, stats), False
        for _ in range(MOST_PASSES):
            before = len(seen)
            yield from walk.pages()
            proven |= walk.proven
            came = first + len(seen)
            if walk.proven and not walk.repeated and (walk.total is None or came >= walk.total):
                return
            if len(seen) == before or walk.total == first + len(seen):
                break
        if proven or walk.total == first + len(seen):
            return
        said = "it says nowhere how many there are" if walk.total is None else f"it says {walk.total:,}"
        raise SourceError(
            f"the media list has no end that could be proven: {first + len(seen):,} media came, {said}"
        )

    def page(self, offset: int, stats: RequestStats, number: int | None = None) -> MediaPage:
        """Return the media at this offset, or those of the page of this number."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        if number is not None:
            params |= {"page": str(number)}
        envelope = self._api.get(LISTED, "/predict/v2/media", stats, params)
        if isinstance(envelope, list):
            return MediaPage(offset, envelope)
        media = envelope.media if envelope.media is not None else envelope.data
        if media is None:
            raise SourceError("the media list has another shape than known: neither `media` nor `data` in it")
        said = envelope.pagination if isinstance(envelope.pagination, dict) else {}
        limit = _count(said.get("limit")) or PAGE
        return MediaPage(offset, media, _count(said.get("total")), min(limit, PAGE))


class Walk:
    """A walk along the list, page by page; what it met before is not yielded again.

    A medium deleted meanwhile moves all later ones to lower offsets. So each page is asked for one place
    before the end of the page before it: where it shows nothing of that page, some have slipped through, and
    the offset goes back until the pages meet.
    """

    def __init__(self, listed: MediaList, first: int, seen: set[str | bytes], stats: RequestStats) -> None:
        self._list = listed
        self._first = first
        self._seen = seen
        self._stats = stats
        self._asked = 0
        self._longest = 0
        self._lied = False
        self._reached = first
        self._last: str | bytes | None = None
        self.total: int | None = None
        """How many media the list says it has; None where it does not say, or said fewer than came."""
        self.proven = False
        """Whether the last walk came to an end behind which there is nothing."""
        self.repeated = False
        """Whether a page with new media showed others again, besides the last one of the page before."""
        self.in_place = True
        """Whether each of its pages began where the one before ended, and was no longer than asked for."""

    def pages(self) -> Iterator[Sequence[bytes]]:
        """Yield what the list holds and was not seen before."""
        self._reached, self._last, self.in_place, self.proven = self._first, None, True, False
        self.repeated = False
        page, repeats = self._next(self._first), 0
        opening = page.keys
        while repeats < MOST_REPEATS:
            fresh = self._fresh(page)
            if fresh:
                yield fresh
            repeats = 0 if fresh else repeats + 1
            self._arrive(page)
            if self._ends(page, brought=bool(fresh)):
                return
            page = self._next(max(self._reached - 1, page.offset + 1))
            if page.media and page.keys == opening:
                yield from self._by_number()
                return

    def _arrive(self, page: MediaPage) -> None:
        """Note how far the walk has come."""
        if page.media:
            overlaps = page.offset == self._reached - 1 and page.keys[0] == self._last
            is_next = overlaps or page.offset == self._reached
            self.in_place = self.in_place and is_next and len(page.media) <= PAGE
            self._reached, self._last = page.end, page.keys[-1]

    def _ends(self, page: MediaPage, *, brought: bool) -> bool:
        """Whether to stop after this page, and whether that is where the list ends."""
        came = len(self._seen) + self._first
        if self.total is not None and came > self.total < self._reached:
            self._lied, self.total = True, None
        if self.total is None:
            self.proven = (not brought and len(page.media) < self._longest) or not self._longest
            return self.proven
        if self._reached < self.total:
            return not page.media
        # As many as a page can hold: what is called the total may be the length of the page.
        if brought and self._reached == self.total and len(page.media) >= page.limit:
            return False
        self.proven = self.in_place or came >= self.total
        return self.proven or not brought

    def _next(self, offset: int) -> MediaPage:
        """Return the page that goes on from what was seen.

        At the offset, before it, or beyond what is missing.
        """
        page = self._ask(offset)
        if not page.media and self._expected(offset):
            page = self._ask(offset)
        if self._goes_on(page):
            return page
        at, back = offset, 1
        while at > self._first:
            at, back = max(self._first, at - back), 2 * back
            before = self._ask(at)
            if self._goes_on(before):
                if not self._seen.issuperset(before.keys):
                    return before
                break
        ahead = 1
        while not page.media and self._expected(offset, ahead):
            page, ahead = self._ask(offset + ahead), 2 * ahead
        return page

    def _goes_on(self, page: MediaPage) -> bool:
        """Whether nothing can have slipped between the page and what was seen."""
        if page.offset >= self._reached:
            return bool(page.media) or not self._expected(page.offset)
        return not self._seen.isdisjoint(page.keys)

    def _expected(self, offset: int, ahead: int = 0) -> bool:
        """Whether there should be media so far ahead; where nobody says so, within the length of a page."""
        if self.total is None:
            return offset + ahead < self._reached or 0 < ahead < PAGE
        return offset + ahead < self.total

    def _by_number(self) -> Iterator[Sequence[bytes]]:
        """Yield what pages by their numbers bring.

        The list begins anew at each offset, which it does not know.
        """
        last, numbered = self._longest, False
        for number in range(1, MOST_PAGES):
            try:
                page = self._ask(self._first, number)
            except ClientError:
                break
            fresh = self._fresh(page)
            if fresh:
                yield fresh
                last, numbered = len(page.media), True
            elif number > 1:
                last = last if page.media else 0
                break
        if self.total is not None:
            self.proven = self._first + len(self._seen) >= self.total
        else:
            # Where it knows no numbers either, each answer is the whole list, unless it is cut off at a page.
            self.proven = last < self._longest if numbered else last != PAGE

    def _ask(self, offset: int, number: int | None = None) -> MediaPage:
        self._asked += 1
        if self._asked > MOST_PAGES:
            raise SourceError("the media list has no end")
        page = self._list.page(offset, self._stats, number)
        self.total = None if self._lied else page.total
        self._longest = max(self._longest, len(page.media))
        return page

    def _fresh(self, page: MediaPage) -> Sequence[bytes]:
        """Return the media of a page that were not seen before, which they are from now on."""
        keys = page.keys
        fresh = [each for each, key in zip(page.media, keys, strict=True) if key not in self._seen]
        # One place of overlap with the page before is asked for; more than that has moved meanwhile.
        self.repeated |= len(keys) - len(fresh) > 1 and bool(fresh)
        self._seen.update(keys)
        return fresh


def _count(said: object) -> int | None:
    """Return a count, where what was said is one."""
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None


def read_one(record: bytes) -> Listed | None:
    """Return what must be known of a medium.

    None where that cannot be read: the decoder refuses it by name.
    """
    with suppress(*UNREADABLE):
        return msgspec.json.decode(record, type=Listed)
    return None


def readable(page: Iterable[bytes]) -> Iterator[Listed]:
    """Yield the readable media of a page."""
    return (medium for each in page if (medium := read_one(each)) is not None)


def changed_at(medium: Listed) -> int | None:
    """When the medium changed, by the same choices as its declared column; None where that cannot be read."""
    said = medium.updated_at or medium.created_at or medium.created
    with suppress(ValueError):
        return None if said is None else micros(said)
    return None
