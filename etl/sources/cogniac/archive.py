"""The media that are to be archived, by size: their links are tried as they are stored, then asked for anew.

What is archived is asked of the tables, so that a run goes on where the one before it has ended. No
credentials go along, wherever a link leads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from etl.archive.archive import API, Archive
from etl.archive.limits import ArchiveFaultError, ArchiveLimitError
from etl.archive.streams import Medium, Outcome, fetched, lost, newest_first
from etl.errors import ClientError, ConfigError, SourceError
from etl.event import hearing
from etl.extract.stream import Action, Bundle, Checkpoint, Page, RequestStats, SourceContext, Stream
from etl.values import UNREADABLE, micros_of

if TYPE_CHECKING:
    from etl.extract.http import Api

STREAM = "media_files"
ORIGINAL = "original"
EXPIRED = frozenset({401, 403, 404, 410})
"""How a file server may say that a link has expired, or wants a login; no document does."""

Links = Mapping[str, Any]
"""The address of each size of a medium."""


def wanted_sizes(setting: Sequence[str]) -> list[str]:
    """Return the sizes that are to be archived; ConfigError where one is none."""
    for size in setting:
        is_number = size.isascii() and size.isdigit() and not size.startswith("0")
        if size != ORIGINAL and not is_number:
            raise ConfigError(
                f"SIGHTGLASS_COGNIAC_ARCHIVE: {size[:60]} is no size; give pixels, such as 454, or {ORIGINAL}"
            )
    return sorted(set(setting))


class MediaFields(msgspec.Struct):
    """The links of a medium; the Python SDK calls one otherwise than the samples."""

    media_id: Any = None
    media_url: Any = None
    resize_urls: Any = None
    media_resize_urls: Any = None

    def links(self) -> Links:
        """Return the address of each size."""
        maps = [each for each in (self.media_resize_urls, self.resize_urls) if isinstance(each, dict)]
        found = {size: link for each in maps for size, link in each.items()}
        found[ORIGINAL] = self.media_url
        return {size: link for size, link in found.items() if isinstance(link, str) and link}


class MediaArchive:
    """What is archived of one tenant."""

    def __init__(
        self,
        archive: Archive | None,
        sizes: Sequence[str],
        medium: Callable[[str, RequestStats], bytes],
        files: "Api",
        at_once: int,
    ) -> None:
        """`medium` asks for a medium as it is now; without an archive, nothing is asked."""
        self._archive = archive
        self._sizes = list(sizes)
        self._medium = medium
        self._files = files
        self._pool = ThreadPoolExecutor(at_once, "cogniac-archive", hearing())

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._files.close()

    def streams(self, context: SourceContext) -> Iterator[Stream]:
        """Yield what is to be read one after the other; nothing where nothing is wanted, or ever was."""
        if self._archive is None:
            if context.ask("cogniac/has_unarchived"):
                yield Stream(STREAM, self._forget)
            return
        archive, query = self._archive, "cogniac/archived"
        if archive.is_watched:
            yield Stream(STREAM, lambda _checkpoint, _stats: lost(archive, context.ask, query))
        yield Stream(STREAM, partial(self._fetch, archive, context))

    def _forget(self, _checkpoint: Checkpoint, _stats: RequestStats) -> Iterator[Bundle]:
        """Yield that nothing is missing that nobody wants any more."""
        yield [Action("forget_unarchived", {}), Action("forget_unwanted", {"sizes": self._sizes})]

    def _fetch(
        self, archive: Archive, context: SourceContext, _checkpoint: Checkpoint, stats: RequestStats
    ) -> Iterator[Bundle]:
        """Yield what was archived, the newest media first, until a limit ends it."""
        about = {"sizes": self._sizes}
        now_us = micros_of(context.started)
        media = newest_first(context.ask, "cogniac/unarchived", **about, now_us=now_us)
        ended = yield from fetched(
            archive, self._pool, media, partial(self._of_medium, archive, context, stats)
        )
        if ended:
            yield [Action("list_unarchived", {**about, "error": str(ended)})]
        elif context.ask("cogniac/has_unarchived"):
            yield [Action("forget_unarchived", {}), Action("forget_unwanted", about)]

    def _of_medium(
        self, archive: Archive, context: SourceContext, stats: RequestStats, medium: Medium
    ) -> Outcome:
        """Return what became of the sizes of a medium."""
        ask = partial(self._medium, medium.media_id, stats)
        links = _MediumLinks(medium, partial(archive.asked, API, ask))
        rows: list[bytes] = []
        ended: SourceError | None = None
        for each in medium.wanted:
            try:
                row = links.fetched(each["size"], lambda link: archive.fetch(self._files, link, stats).row())
            except (ArchiveLimitError, ArchiveFaultError) as error:
                ended = error
                break
            except SourceError as error:
                row = {"state": "missing", "error": str(error)}
            about = {"media_id": medium.media_id, "rendition": each["size"]}
            rows.append(msgspec.json.encode({**about, "fetched_at": context.now().timestamp(), **row}))
        return Outcome([Page(STREAM, rows)] if rows else [], ended)


class _MediumLinks:
    """The links of one medium: those that are stored, and those that it has now, asked for once."""

    def __init__(self, medium: Medium, ask: Callable[[], bytes]) -> None:
        self._media_id = medium.media_id
        self._links: Links = {each["size"]: each["link"] for each in medium.wanted if each["link"]}
        self._ask = ask
        self._is_asked = False

    def fetched(self, size: str, fetch: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Return what the tables say of a size: what was fetched, or that there is no such size."""
        link = self._links.get(size)
        try:
            if link is not None:
                return {"state": "archived", **fetch(link)}
        except ClientError as refused:
            if refused.status not in EXPIRED or self._newer(size) == link:
                raise
        newer = self._newer(size)
        if newer is None:
            return {"state": "absent"}
        return {"state": "archived", **fetch(newer)}

    def _newer(self, size: str) -> str | None:
        """Return the link that a size has now; None where the medium, or the size of it, is not there."""
        if not self._is_asked:
            self._links = self._asked()
            self._is_asked = True
        return self._links.get(size)

    def _asked(self) -> Links:
        try:
            answer = self._ask()
        except ClientError as refused:
            if refused.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return {}
            raise
        with suppress(*UNREADABLE):
            found = msgspec.json.decode(answer, type=MediaFields)
            if found.media_id == self._media_id:
                return found.links()
        raise SourceError(f"who asks for the medium {self._media_id} is answered with another, or with none")
