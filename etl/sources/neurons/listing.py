"""The list of media: what may be read of its elements, and its pages up to an end that is proven."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from etl.errors import SourceError
from etl.extract.list_page import query_of
from etl.extract.paging import ListPage, by_offset
from etl.extract.stream import RequestStats
from etl.values import UNREADABLE, micros

if TYPE_CHECKING:
    from etl.extract.http import Api

PAGE = 100
LEADS = (
    *(
        "next",
        "next_url",
        "next_link",
        "next_href",
        "next_page",
        "next_page_url",
        "next_cursor",
        "next_token",
    ),
    *("next_page_token", "next_offset", "has_more", "has_next", "has_next_page", "more"),
)
"""Names under which lists say that they go on; no document shows one."""


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
    """Only looked for: a medium whose metrics are refused has no files to fetch."""


class Pagination(msgspec.Struct):
    """What an answer says of the whole list; no document of version 2 shows it, so it may be anything."""

    total: Any = None
    limit: Any = None


Envelope: Any = msgspec.defstruct(
    "Envelope",
    [
        *((name, list[msgspec.Raw] | None, None) for name in ("media", "data")),
        *((name, Any, None) for name in ("pagination", "paging", "links", "meta", *LEADS)),
    ],
)
"""A page of the media list; version 1 wraps it like this, the shape of version 2 is not public."""


LISTED: Any = Envelope | list[msgspec.Raw]
"""A page of the list, with or without an envelope."""


class MediaList:
    """The list of all media of an account, oldest first."""

    def __init__(self, api: "Api") -> None:
        self._api = api

    def pages(self, first: int, seen: set[Hashable], stats: RequestStats) -> Iterator[Sequence[bytes]]:
        """Yield what the list holds from an offset on, each medium once; `seen` gathers the ids.

        SourceError, after all that could be read, where it cannot be walked to a proven end.
        """
        yield from by_offset(
            lambda offset: self.page(offset, stats),
            "media",
            PAGE,
            first=first,
            seen=seen,
            ask_number=lambda number: self.page(first, stats, number),
            ask_next=lambda linked: self._got({"limit": str(PAGE), **linked}, stats),
        )

    def page(self, offset: int, stats: RequestStats, number: int | None = None) -> ListPage:
        """Return the media at this offset, or those of the page of this number."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        if number is not None:
            params |= {"page": str(number)}
        return self._got(params, stats)

    def _got(self, params: dict[str, str], stats: RequestStats) -> ListPage:
        """Return the page with these parameters."""
        envelope = self._api.get(LISTED, "/predict/v2/media", stats, params)
        if isinstance(envelope, list):
            return ListPage(envelope, _keys(envelope))
        if envelope.media is None and envelope.data is None:
            raise SourceError("the media list has another shape than known: neither `media` nor `data` in it")
        media = [*(envelope.media or ()), *(envelope.data or ())]
        said = envelope.pagination if isinstance(envelope.pagination, dict) else {}
        total, limit = _count(said.get("total")), _count(said.get("limit"))
        return ListPage(media, _keys(media), total=total, limit=limit, next=_lead(envelope))


def _lead(envelope: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Return the parameters of a link to the page that follows, or what else says that one does.

    None where nothing does.
    """
    said = msgspec.structs.asdict(envelope)
    parts = [said, *(said[name] for name in ("pagination", "paging", "links", "meta"))]
    for value in (part.get(name) for part in parts if isinstance(part, dict) for name in LEADS):
        link = value.get("href") if isinstance(value, dict) else value
        if isinstance(link, str) and (params := query_of(link)):
            return params
        if link:
            return link
    return None


def _keys(media: Sequence[bytes]) -> list[str | bytes]:
    """Return the id of each medium; all of an element that names none."""
    return [medium.media_id if (medium := read_one(each)) else bytes(each) for each in media]


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


def may_have_changed(record: bytes, start: int, end: int) -> bool:
    """Whether the medium changed between two times, in microseconds since 1970.

    True where its time cannot be read: the decoder refuses it by name, or it has none.
    """
    medium = read_one(record)
    at = None if medium is None else changed_at(medium)
    return at is None or start <= at < end
