"""What the streams of all archives do alike: look what is lost, and fetch until a limit ends it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from etl.archive.archive import Archive
from etl.archive.limits import ArchiveFaultError
from etl.errors import SourceError
from etl.extract.stream import Action, Bundle, Delivery, Query

MEDIA_AT_ONCE = 500
"""Media that are asked of the tables at once."""
FILES_AT_ONCE = 5_000
"""Archived files that are looked for at once."""
FIRST = (2**62, "")
"""A time, in microseconds since 1970, that comes after those of all media; and an id."""
BATCH = 16
"""Media that are fetched side by side: those of the next batch wait for the slowest of these."""


class Medium(NamedTuple):
    """A medium that is not archived as it should be."""

    media_id: str
    wanted: Any
    """What is wanted of it, as the query of its source says."""


class Outcome(NamedTuple):
    """What became of what is wanted of a medium."""

    deliveries: Sequence[Delivery]
    ended: SourceError | None = None
    """Why nothing more can be archived, by this run."""


def lost(archive: Archive, ask: Query, query: str) -> Iterator[Bundle]:
    """Yield which files are not in the archive any more, though the tables say so."""
    after = ""
    while found := ask(query, after=after, most=FILES_AT_ONCE):
        gone = [path for path, size in found if not archive.has(path, size)]
        if gone:
            yield [Action("mark_lost", {"paths": gone})]
        after = found[-1][0]


def newest_first(ask: Query, query: str, **parameters: object) -> Iterator[Sequence[Medium]]:
    """Yield the media that a query of a source names, a few at a time."""
    before_us, before_id = FIRST
    while found := ask(query, **parameters, before_us=before_us, before_id=before_id, most=MEDIA_AT_ONCE):
        media = [Medium(media_id, wanted) for _, media_id, wanted in found]
        for first in range(0, len(media), BATCH):
            yield media[first : first + BATCH]
        before_us, before_id, _ = found[-1]


def fetched(
    archive: Archive, pool: Executor, media: Iterator[Sequence[Medium]], fetch: Callable[[Medium], Outcome]
) -> Generator[Bundle, None, SourceError | None]:
    """Yield what became of media, until there are no more, or nothing more can be archived: why that is.

    ArchiveFaultError is raised, after all that could be archived.
    """
    if archive.fault:
        # Of two streams of one name, this one says how it went.
        raise archive.fault
    ended: SourceError | None = None
    for some in media:
        for outcome in pool.map(fetch, some):
            ended = ended or outcome.ended
            if outcome.deliveries:
                yield list(outcome.deliveries)
        if ended:
            break
    if isinstance(ended, ArchiveFaultError):
        raise ended
    return ended
