"""The detections of one application, oldest change first, whatever the API's paging turns out to do.

No document settles how its paging treats records that share one time. So `next` is followed only where it
must be: after each page the next is asked for anew, from the newest time that came. That repeats the few
records of that time, and skips none.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from etl.errors import SourceError
from etl.extract.http import Api
from etl.extract.stream import Bundle, Effect, Meter, Page, Position
from etl.extract.stretches import Stretch
from etl.values import LATEST_EPOCH, micros, seconds

T = TypeVar("T")

PAGE = 100
"""Records a page: the most the detections endpoint gives, says the vendor's SDK."""
MOST_PAGES = 10_000_000
MARK = 50
"""Pages after which it is entered how far a stretch was read: what a run that is broken off costs at most."""
TRIES = 5
"""How often an empty page that leads nowhere is asked for before the scan gives up."""
SECOND = 1_000_000


class Paging(msgspec.Struct):
    """Where the next page is."""

    next: str | None = None


class Records(msgspec.Struct):
    """A page of any list of this API."""

    data: list[msgspec.Raw]
    paging: Paging | None = None
    last_key: Any = None


class Timed(msgspec.Struct):
    """When a record last changed; documents disagree about the name."""

    updated_at: float | None = None
    timestamp: float | None = None


TIMED = msgspec.json.Decoder(Timed)


class Window(NamedTuple):
    """What to ask for: records changed between two times, in microseconds since 1970, in either order."""

    start: int
    end: int
    newest_first: bool = False

    def params(self) -> dict[str, str]:
        """The parameters of the request, every default spelt out, for documents disagree about them."""
        return {
            "start": seconds(self.start),
            "end": seconds(self.end).removesuffix(".000000"),
            "limit": str(PAGE),
            "reverse": str(self.newest_first),
            "only_user": "False",
            "only_model": "False",
            "abridged_media": "False",
        }


class Scan:
    """One pass over the detections of an application, up to the end of a position."""

    def __init__(self, api: Api, application_id: str, position: Position, meter: Meter) -> None:
        self._api = api
        self._application_id = application_id
        self._path = f"/1/applications/{quote(application_id, safe='')}/detections"
        self._end = position.end // SECOND * SECOND
        self._settled = position.settled
        self._about = {"source": "cogniac", "stream": "detections", "partition": application_id}
        self._meter = meter

    def bundles(self, stretch: Stretch) -> Iterator[Bundle]:
        """The pages of records changed within a stretch of time, and of those whose time cannot be read."""
        since = max(0, stretch.start - 1)
        page = self._filled(Window(since, self._end))
        known: set[bytes] = set()
        for number in range(1, MOST_PAGES):
            times = [time_of(record) for record in page.data]
            readable_times = [time for time in times if time is not None]
            newest = max(readable_times, default=0)
            stretch.reached(min(readable_times, default=0), newest)
            end = stretch.end
            yield [self._within(self._page(page), known, stretch, end)]
            if not following(page) or newest >= end:
                break
            if number % MARK == 0:
                yield self._mark(stretch, newest, newest)
            if newest - 1 > since:
                known = {bytes(page.data[place]) for place, time in enumerate(times) if time == newest}
                since = newest - 1
                page = self._filled(Window(since, self._end))
                continue
            yield from self._rest_of(newest, page)
            beyond = self._beyond(newest)
            if beyond is None:
                break
            since, page = beyond
        else:
            raise SourceError(f"the detections of {self._application_id} have no end")
        if stretch.shared:
            yield self._mark(stretch, stretch.end, newest)

    def _page(self, page: Records) -> Page:
        return Page("detections", page.data, {"application_id": self._application_id})

    def _within(self, page: Page, known: AbstractSet[bytes], stretch: Stretch, end: int) -> Page:
        """The page without what the one before it ended with, and without what others read."""
        records = page.records
        if known:
            records = [record for record in records if bytes(record) not in known]
        if stretch.shared and max(times_of(records[-1:]), default=end) >= end:
            records = [each for each in records if (time_of(each) or 0) < end]
        return replace(page, records=records, in_order=not stretch.shared)

    def _mark(self, stretch: Stretch, until: int, newest: int) -> Bundle:
        """What tells a later run how far the stretch was read, should this one be broken off."""
        until = min(until, self._settled)
        if until <= stretch.start:
            return []
        about = {"start_us": stretch.start, "end_us": until, "newest_us": newest or None}
        return [Effect("etl/stretch_read", {**self._about, **about})]

    def _filled(self, window: Window) -> Records:
        """The first page of the window that is not empty, or the last: an empty page may have a `next`."""
        for _ in range(TRIES):
            page = self._api.get(Records, self._path, self._meter, window.params())
            followed: set[str] = set()
            while not page.data and (link := following(page)) and link not in followed:
                followed.add(link)
                page = self._followed(link, window)
            if page.data or not following(page):
                return page
        raise SourceError(f"paging loop: an empty page of {self._application_id} leads to itself")

    def _followed(self, link: str, window: Window) -> Records:
        """The page that `next` leads to.

        Only what the link adds to the parameters asked with is taken from it, such as the cursor: it may
        name another host, has forgotten `abridged_media` before, and reprints times with two decimals. Media
        that come abridged all the same are asked for by their ids.
        """
        params = {**dict(parse_qsl(urlsplit(link).query)), **window.params()}
        page = self._api.get(Records, self._path, self._meter, params)
        return Records([self._whole(record) for record in page.data], page.paging)

    def _whole(self, record: msgspec.Raw) -> msgspec.Raw:
        """The record with its medium in full, asked for by its id where it is abridged."""
        with suppress(msgspec.MsgspecError, SourceError):
            read = msgspec.json.decode(record)
            medium = read.get("media") if isinstance(read, dict) else None
            if isinstance(medium, dict) and medium.keys() == {"media_id"}:
                media_id = quote(str(medium["media_id"]), safe="")
                read["media"] = self._api.get(msgspec.Raw, f"/1/media/{media_id}", self._meter)
                return msgspec.Raw(msgspec.json.encode(read))
        return record

    def _rest_of(self, time: int, page: Records) -> Iterator[Bundle]:
        """The other records of a time at which a page ends: what `next` adds, or the other end of them.

        When the two ends do not meet, records in the middle may be missing, which can be read by no means the
        API documents: they are a gap.
        """
        known = at(time, page)
        for more in self._linked(time, page):
            yield [self._page(more)]
            found = at(time, more)
            known |= found
            if len(found) < len(more.data) or not following(more):
                return
        other = self._other_end(time)
        found = at(time, other)
        yield [self._page(other)]
        if not found or not (found & known or len(found) < len(other.data)):
            yield [Effect("cogniac/skipped", {"application_id": self._application_id, "microseconds": time})]

    def _linked(self, time: int, page: Records) -> Iterator[Records]:
        """The pages that `next` leads to, while each holds records of this time that the last one did not."""
        window = Window(time - 1, self._end)
        followed: set[str] = set()
        while (link := following(page)) and link not in followed:
            followed.add(link)
            before, page = page, self._followed(link, window)
            if page.data:
                if not at(time, page) - at(time, before):
                    return
                yield page

    def _other_end(self, time: int) -> Records:
        """The newest records up to a time, be the bound inclusive, strict, or compared in whole seconds."""
        page = Records([])
        for end in (time, time + 1, time + SECOND):
            page = self._filled(Window(time - 1, end, newest_first=True))
            if at(time, page):
                break
        return page

    def _beyond(self, time: int) -> tuple[int, Records] | None:
        """The page after all records of a time, and the start that led to it; None where there is none."""
        for start in (time, time + 1, time + SECOND):
            page = self._filled(Window(start, self._end))
            if not page.data:
                return None
            if max(times_of(page.data), default=0) > time or not following(page):
                return start, page
        raise SourceError(f"the detections of {self._application_id} do not go on after {seconds(time)}")


def following(page: Records) -> str | None:
    """Where the page after this one is; None after the last."""
    return page.paging.next if page.paging else None


def at(time: int, page: Records) -> set[bytes]:
    """The records of a page that changed at this time."""
    return {bytes(record) for record in page.data if time_of(record) == time}


def times_of(records: Iterable[bytes]) -> list[int]:
    """The times of those records that have one, in microseconds since 1970."""
    return [time for time in map(time_of, records) if time is not None]


def time_of(record: bytes) -> int | None:
    """When a record last changed, in microseconds since 1970; None where that cannot be read."""
    try:
        said = TIMED.decode(record)
    except msgspec.MsgspecError:
        return None
    time = said.updated_at or said.timestamp
    return micros(time) if time is not None and abs(time) <= LATEST_EPOCH else None


def readable(records: Iterable[bytes], kind: type[T]) -> Iterator[T]:
    """The records as this type, without those that are not: the tables' decoder refuses them by name."""
    for record in records:
        with suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(record, type=kind)
