"""Pages of Cogniac's lists: how one is asked for, where it says the next one is, what its records say."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from etl.errors import ClientError, SourceError
from etl.extract.list_page import Links, query_of
from etl.extract.order import goes_beyond
from etl.extract.stream import RequestStats
from etl.values import SECOND, UNREADABLE, canonical, micros, seconds

if TYPE_CHECKING:
    from etl.extract.http import Api

T = TypeVar("T")

PAGE = 100
"""Records a page: the most the detections endpoint gives, says the vendor's SDK."""
TRIES = 5
"""How often an empty page that leads nowhere is asked for before the scan gives up."""
ROUNDED = SECOND // 100
"""By how much a link may round a time that was asked for: the service prints two decimals."""

Params = dict[str, str]


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

    updated_at: Any = None
    timestamp: Any = None


class DetectionPage(NamedTuple):
    """A page of detections, with what is asked of it again and again."""

    data: Sequence[bytes]
    times: Sequence[int | None]
    """When each record last changed, in microseconds since 1970; None where that cannot be read."""
    next: str | None
    """Where the page after this one is; None after the last."""

    @property
    def known_times(self) -> list[int]:
        """The times of those records that have one."""
        return [time for time in self.times if time is not None]

    def in_place(self, time: int) -> list[bytes]:
        """Return the records that changed at this time, in their order."""
        return [bytes(record) for record, at in zip(self.data, self.times, strict=True) if at == time]

    def at(self, time: int) -> set[bytes]:
        """Return the records that changed at this time."""
        return set(self.in_place(time))

    def since(self, time: int) -> "Tail":
        """Return the records that changed at this time or later, and those whose time cannot be read."""
        pairs = [
            (bytes(record), at)
            for record, at in zip(self.data, self.times, strict=True)
            if at is None or at >= time
        ]
        return Tail(frozenset(record for record, _ in pairs), frozenset(at for _, at in pairs))

    def before(self, end: int) -> "DetectionPage":
        """Return the page without the records from a time on; all of it if it is out of order."""
        if self.known_times != sorted(self.known_times):
            # Who reads on from there asks by place, and one of these may have another.
            return self
        kept = [
            (record, at) for record, at in zip(self.data, self.times, strict=True) if at is None or at < end
        ]
        return self._replace(data=[record for record, _ in kept], times=[at for _, at in kept])

    def is_last(self, longest: int) -> bool:
        """Whether nothing follows: a page that is as long as those before it may have lost its `next`."""
        return not self.next and len(self.data) < min(PAGE, longest or PAGE)


class Tail(NamedTuple):
    """The records with which a page ends, as far as the next one may repeat them."""

    records: frozenset[bytes] = frozenset()
    times: frozenset[int | None] = frozenset()

    def without(self, page: DetectionPage) -> list[bytes]:
        """Return the records of the page that are not among these."""
        return [
            record
            for record, time in zip(page.data, page.times, strict=True)
            if time not in self.times or bytes(record) not in self.records
        ]

    def joins(self, page: DetectionPage, time: int) -> bool:
        """Whether a page repeats one of these that has this time."""
        there = page.at(time)
        if not self.records.isdisjoint(there):
            return True
        # What is signed anew for each answer makes other bytes of the same record.
        return not set(map(name_of, self.records)).isdisjoint(map(name_of, there))


NOTHING = Tail()


class Named(Timed):
    """What tells a record of an application from the others, besides."""

    media: Any = None
    media_id: Any = None
    focus: Any = None


class Usual(msgspec.Struct):
    """The same, as nearly all records have it."""

    updated_at: float


USUAL = msgspec.json.Decoder(Usual)
TIMED = msgspec.json.Decoder(Timed)
NAMED = msgspec.json.Decoder(Named)


class Window(NamedTuple):
    """What to ask for: records changed between two times, in microseconds since 1970, in either order."""

    start: int
    end: int
    newest_first: bool = False

    def params(self) -> Params:
        """Return the parameters of the request, every default spelt out: documents disagree."""
        return {
            "start": seconds(self.start),
            "end": seconds(self.end).removesuffix(".000000"),
            "limit": str(PAGE),
            "reverse": str(self.newest_first),
            "only_user": "False",
            "only_model": "False",
            "abridged_media": "False",
        }

    def linked(self, link: str) -> Params:
        """Return the parameters of the page that a link leads to.

        The link has forgotten `abridged_media` before, and reprints times with two decimals: what it does not
        move stays as it was asked for.
        """
        asked, found = self.params(), query_of(link)
        moved = {
            name: value
            for name, value in found.items()
            if name not in asked or (name in ("start", "end") and _is_moved(value, getattr(self, name)))
        }
        return {**asked, **moved}

    def position(self, link: str) -> int | None:
        """Return the time at which the page begins that a link leads to; None where the link names none."""
        params = self.linked(link)
        named = params.get("cursor")
        if named is None and params["start"] != self.params()["start"]:
            named = params["start"]
        return _time_in(named)


class DetectionPages:
    """The pages of the detections of one application, none of them believed to be the last without reason."""

    def __init__(self, api: "Api", application_id: str, stats: RequestStats) -> None:
        self._api = api
        self._application_id = application_id
        self._path = f"/1/applications/{quote(application_id, safe='')}/detections"
        self._stats = stats

    def first(self, window: Window) -> DetectionPage:
        """Return the first page of the window that is not empty, or the last.

        An empty page may have a `next`.
        """
        for _ in range(TRIES):
            page = self.links(window).filled(self._got(window.params()))
            if page.data or not page.next:
                return page
        raise SourceError(f"paging loop: an empty page of {self._application_id} leads to itself")

    def links(self, window: Window) -> Links[DetectionPage]:
        """Return what follows `next` from the first page of a window on, by its parameters alone.

        It may name another host.
        """
        return Links(
            lambda params: self._got(params, whole=True),
            lambda page: window.linked(page.next) if page.next else None,
            lambda page: page.data,
            window.params(),
            self._application_id,
        )

    def _got(self, params: Params, *, whole: bool = False) -> DetectionPage:
        """Return the page with these parameters; with media in full also where they came abridged."""
        found = self._api.get(Records, self._path, self._stats, params)
        data = [self._whole(record) for record in found.data] if whole else found.data
        return DetectionPage(data, list(map(time_of, data)), following(found))

    def _whole(self, record: bytes) -> bytes:
        """Return the record with its medium in full, asked for by its id where a page came abridged."""
        with suppress(*UNREADABLE, ClientError):
            read = msgspec.json.decode(record)
            medium = read.get("media") if isinstance(read, dict) else None
            if isinstance(medium, dict) and medium.keys() == {"media_id"}:
                media_id = quote(str(medium["media_id"]), safe="")
                whole = bytes(self._api.get(msgspec.Raw, f"/1/media/{media_id}", self._stats))
                if _media_id_of(whole) == medium["media_id"]:
                    read["media"] = msgspec.Raw(whole)
                return msgspec.json.encode(read)
        return record

    def other_end(self, time: int, end: int) -> DetectionPage:
        """Return the newest records up to a time, be the bound inclusive, strict, or of whole seconds."""
        for bound in (time, time + 1, time + SECOND):
            page = self.first(Window(time - 1, min(bound, end), newest_first=True))
            if page.at(time):
                break
        return page

    def beyond(self, time: int, end: int) -> tuple[Window, DetectionPage] | None:
        """Return the page after all records of a time, and the window that led to it, or None."""
        # A whole second is left out only where nothing can be between two of them.
        for start in (time, time + 1, *[time + SECOND] * (time % SECOND == 0)):
            window = Window(start, end)
            page = self.first(window)
            if not page.data:
                return None
            if goes_beyond(page.known_times, time) or not page.next:
                return window, page
        return window, page


def following(page: Records) -> str | None:
    """Where the page after this one is; None after the last."""
    return (page.paging.next or None) if page.paging else None


def linked(page: Records) -> Params | None:
    """Return the parameters of the page after one of a list by name, as `last_key` or `next` gives them.

    None after the last.
    """
    link = following(page)
    if page.last_key in (None, "") and not link:
        return None
    found = query_of(link) if link else {}
    return found if page.last_key in (None, "") else {**found, "last_key": str(page.last_key)}


def time_of(record: bytes) -> int | None:
    """When a record last changed, in microseconds since 1970; None where that cannot be read."""
    try:
        return micros(USUAL.decode(record).updated_at)
    except (*UNREADABLE, ValueError):
        pass
    try:
        return _changed(TIMED.decode(record))
    except UNREADABLE:
        return None


def name_of(record: bytes) -> bytes:
    """Return what is the same of a record however often it is sent: its medium, focus and time.

    Else all of it.
    """
    try:
        read = NAMED.decode(record)
        media_id = read.media.get("media_id") if isinstance(read.media, dict) else read.media_id
        return canonical([media_id, read.focus, _changed(read)])
    except UNREADABLE:
        return bytes(record)


def readable(records: Iterable[bytes], kind: type[T]) -> Iterator[T]:
    """Yield the records as this type, without those that are not.

    The tables' decoder refuses them by name.
    """
    for record in records:
        with suppress(*UNREADABLE):
            yield msgspec.json.decode(record, type=kind)


def _changed(said: Timed) -> int | None:
    time = said.timestamp if said.updated_at is None else said.updated_at
    with suppress(ValueError):
        return None if time is None else micros(time)
    return None


def _media_id_of(record: bytes) -> object:
    """Whose medium an answer is; None where that cannot be read."""
    read = msgspec.json.decode(record)
    return read.get("media_id") if isinstance(read, dict) else None


def _time_in(text: str | None) -> int | None:
    """Return the time that a parameter names in seconds; None where it is something else."""
    try:
        return None if text is None else micros(float(text))
    except (ValueError, OverflowError):
        return None


def _is_moved(value: str, asked: int) -> bool:
    time = _time_in(value)
    return time is not None and abs(time - asked) > ROUNDED
