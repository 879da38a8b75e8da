"""The list of media: what may be read of its elements, and its pages under every reading of its paging."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from etl.errors import SourceError
from etl.extract.http import Api
from etl.extract.stream import Meter
from etl.values import micros

PAGE = 100
MOST_PAGES = 10_000_000


class Listed(msgspec.Struct):
    """What must be known of a medium to decide which of its files to fetch."""

    media_id: str
    status: str | None = None
    aoi_status: str | None = None
    updated_at: str | None = None
    created_at: str | None = None
    created: str | None = None
    results: dict[str, Any] | None = None
    metrics: dict[str, float | None] | None = None
    """Not looked at: a medium whose metrics are refused has no files to fetch."""


class Pagination(msgspec.Struct):
    """How long the list is, where the answer says so."""

    total: int | None = None


class Envelope(msgspec.Struct):
    """A page of the media list; version 1 wraps it like this, the shape of version 2 is not public."""

    media: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    pagination: Pagination | None = None


class MediaList:
    """The list of all media of an account, oldest first."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def pages(self, first: int, seen: set[str], meter: Meter) -> Iterator[Sequence[bytes]]:
        """What the list holds from an offset on, each medium once; `seen` gathers the ids.

        A medium deleted while the list is read moves all later ones to lower offsets. So each page is asked
        for one place before the end of the page before it: where it holds nothing of that page, some have
        slipped through, and the offset goes back until the pages meet.
        """
        offset, back, end = first, 0, sys.maxsize
        for _ in range(MOST_PAGES):
            page, total = self.page(offset, meter)
            ids = [medium.media_id if (medium := read_one(each)) else "" for each in page]
            if not page:
                end = min(end, offset)
            if offset > first and seen.isdisjoint(ids):
                back = max(1, 2 * back)
                offset = max(first, offset - back)
                continue
            fresh = [record for record, media_id in zip(page, ids, strict=True) if media_id not in seen]
            seen.update(ids)
            seen.discard("")
            if fresh:
                yield fresh
            reached = offset + len(page)
            if reached >= (end if total is None else min(end, total)) or not (fresh or back):
                return
            offset, back = max(reached - 1, offset + 1), 0
        raise SourceError("the media list has no end")

    def page(self, offset: int, meter: Meter) -> tuple[Sequence[bytes], int | None]:
        """The media at this offset, and how many there are in all where the answer says so."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        body = self._api.get(msgspec.Raw, "/predict/v2/media", meter, params)
        try:
            if bytes(body).lstrip()[:1] == b"[":
                return msgspec.json.decode(body, type=list[msgspec.Raw]), None
            envelope = msgspec.json.decode(body, type=Envelope)
        except msgspec.ValidationError as error:
            raise SourceError(f"the media list has another shape than known: {error}") from error
        media = envelope.media if envelope.media is not None else envelope.data
        if media is None:
            raise SourceError("the media list has another shape than known: neither `media` nor `data` in it")
        return media, envelope.pagination.total if envelope.pagination else None


def read_one(record: bytes) -> Listed | None:
    """What must be known of a medium; None where that cannot be read: the decoder refuses it by name."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(record, type=Listed)
    return None


def readable(page: Iterable[bytes]) -> Iterator[Listed]:
    """The readable media of a page."""
    return (medium for each in page if (medium := read_one(each)) is not None)


def changed_at(medium: Listed) -> int | None:
    """When the medium changed, by the same choices as its declared column; None where that cannot be read."""
    said = medium.updated_at or medium.created_at or medium.created
    with suppress(ValueError):
        return None if said is None else micros(said)
    return None
