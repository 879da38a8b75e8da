"""The pictures and films that are to be archived: after the media, each by a link that was minted just then.

What is archived is asked of the tables, so that a run goes on where the one before it has ended.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from etl.archive.archive import API, Archive
from etl.archive.limits import ArchiveFaultError, ArchiveLimitError
from etl.archive.streams import Medium, Outcome, fetched, lost, newest_first
from etl.errors import SourceError
from etl.extract.stream import Action, Bundle, Checkpoint, File, RequestStats, SourceContext, Stream
from etl.sources.neurons.pictures import ALL
from etl.sources.neurons.signed_links import SignedLinks
from etl.values import micros_of

if TYPE_CHECKING:
    from etl.extract.http import Api

STREAM = "assets"
PARTITION = "archive"


class PictureArchive:
    """What is archived of one account."""

    def __init__(
        self,
        archive: Archive | None,
        wanted: frozenset[str],
        files: "Api",
        links: Callable[[str, RequestStats], Mapping[str, Any]],
    ) -> None:
        """`links` mints the links of a medium; without an archive, nothing of the API is asked."""
        self._archive = archive
        self._wanted = {"wanted": sorted(wanted), "all_wanted": ALL in wanted}
        self._files = files
        self._links = links

    def streams(self, context: SourceContext, pool: Executor) -> Iterator[Stream]:
        """Yield what is to be read one after the other; nothing where nothing is wanted, or ever was."""
        if self._archive is None:
            if context.ask("neurons/has_unarchived"):
                yield Stream(STREAM, self._forget, PARTITION)
            return
        archive, query = self._archive, "neurons/archived"
        if archive.is_watched:
            yield Stream(STREAM, lambda _checkpoint, _stats: lost(archive, context.ask, query), PARTITION)
        yield Stream(STREAM, partial(self._fetch, archive, context, pool), PARTITION)

    def _forget(self, _checkpoint: Checkpoint, _stats: RequestStats) -> Iterator[Bundle]:
        """Yield that nothing is missing that nobody wants any more."""
        yield [Action("forget_unarchived", {}), Action("forget_unwanted", self._wanted)]

    def _fetch(
        self,
        archive: Archive,
        context: SourceContext,
        pool: Executor,
        _checkpoint: Checkpoint,
        stats: RequestStats,
    ) -> Iterator[Bundle]:
        """Yield what was archived, the newest media first, until a limit ends it."""
        now_us = micros_of(context.started)
        media = newest_first(context.ask, "neurons/unarchived", **self._wanted, now_us=now_us)
        ended = yield from fetched(archive, pool, media, partial(self._of_medium, archive, context, stats))
        if ended:
            yield [Action("list_unarchived", {**self._wanted, "error": str(ended)})]
        elif context.ask("neurons/has_unarchived"):
            yield [Action("forget_unarchived", {}), Action("forget_unwanted", self._wanted)]

    def _of_medium(
        self, archive: Archive, context: SourceContext, stats: RequestStats, medium: Medium
    ) -> Outcome:
        """Return what became of the files of a medium."""
        media_id = medium.media_id
        files: list[File] = []
        renew = partial(archive.asked, API, partial(self._links, media_id, stats))
        minted = context.now()
        try:
            signed_links = SignedLinks(renew(), minted, renew)
        except ArchiveLimitError as error:
            return Outcome([], error)
        except SourceError as error:
            return Outcome([_file(media_id, name, {"error": str(error)}) for name in medium.wanted])
        for name in medium.wanted:
            try:
                kept = signed_links.fetched(
                    name, context.now, lambda link: archive.fetch(self._files, link, stats)
                )
            except (ArchiveLimitError, ArchiveFaultError) as error:
                return Outcome(files, error)
            except SourceError as error:
                files.append(_file(media_id, name, {"error": str(error)}))
                continue
            at = {"state": "archived", "fetched_at": context.now().timestamp()}
            files.append(_file(media_id, name, {**kept.row(), **at}))
        return Outcome(files)


def _file(media_id: str, name: str, about: Mapping[str, Any]) -> File:
    """Return a file with its row; one that could not be had is skipped as before, with the reason."""
    path = f"{quote(media_id, safe='')}/{quote(name, safe='')}"
    row = {"media_id": media_id, "asset": name, "state": "skipped", "fetched_at": None}
    return File(STREAM, path, {**row, **about})
