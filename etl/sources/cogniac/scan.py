"""The detections of one application, oldest change first, whatever the API's paging turns out to do.

No document settles how its paging treats records that share one time. So `next` is followed only where it
must be: after each page the next is asked for anew, from the newest time that came. That repeats the few
records of that time, and skips none.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from etl.errors import SourceError
from etl.extract.http import Api
from etl.extract.stream import Bundle, Effect, Meter, Page
from etl.values import LATEST_EPOCH, micros, seconds

T = TypeVar("T")

PAGE = 100
"""Records a page: the most the detections endpoint gives, says the vendor's SDK."""
MOST_PAGES = 10_000_000
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
    """One pass over the detections of an application up to a time, in microseconds since 1970."""

    def __init__(self, api: Api, application_id: str, end: int, meter: Meter) -> None:
        self._api = api
        self._application_id = application_id
        self._path = f"/1/applications/{quote(application_id, safe='')}/detections"
        self._end = end // SECOND * SECOND
        self._meter = meter

    def bundles(self, start: int) -> Iterator[Bundle]:
        """The pages of records changed at or after a time."""
        since = max(0, start - 1)
        page = self._filled(Window(since, self._end))
        for _ in range(MOST_PAGES):
            yield [self._page(page)]
            if not following(page):
                return
            newest = max(times_of(page.data), default=0)
            if newest - 1 > since:
                since = newest - 1
                page = self._filled(Window(since, self._end))
                continue
            yield from self._rest_of(newest, page)
            beyond = self._beyond(newest)
            if beyond is None:
                return
            since, page = beyond
        raise SourceError(f"the detections of {self._application_id} have no end")

    def _page(self, page: Records) -> Page:
        return Page("detections", page.data, {"application_id": self._application_id})

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
    return {bytes(record) for record in page.data if times_of([record]) == [time]}


def times_of(records: Iterable[bytes]) -> list[int]:
    """The times of the records of a page that have one."""
    said = (each.updated_at or each.timestamp for each in readable(records, Timed))
    return [micros(time) for time in said if time is not None and abs(time) <= LATEST_EPOCH]


def readable(records: Iterable[bytes], kind: type[T]) -> Iterator[T]:
    """The records as this type, without those that are not: the tables' decoder refuses them by name."""
    for record in records:
        with suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(record, type=kind)
