"""Media that the API lists and cannot show: a few are in the way of no other, and named in the end."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from etl.errors import SourceError
from etl.extract.stream import Bundle, Checkpoint, RequestStats

MOST = 3
"""Media in a row that a stream does without: where more fail, it is the API that does, and is let be."""
SHOWN = 10
"""Media that are named one by one."""

T = TypeVar("T")


class Unread:
    """The media that one stream could not read; safe to use from any thread."""

    def __init__(self) -> None:
        self._errors: dict[str, SourceError] = {}
        self._in_a_row = 0
        self._lock = threading.Lock()

    def __contains__(self, media_id: str) -> bool:
        """Whether it could not be read."""
        return media_id in self._errors

    def read(self, media_id: str, ask: Callable[[str], T]) -> T | None:
        """Return what is asked for; None where that fails, which is noted. Raises what fails too often."""
        try:
            found = ask(media_id)
        except SourceError as error:
            with self._lock:
                self._errors[media_id] = error
                self._in_a_row += 1
                if self._in_a_row > MOST:
                    raise
            return None
        self._in_a_row = 0
        return found

    def named(
        self, read: Callable[[RequestStats], Iterator[Bundle]]
    ) -> Callable[[Checkpoint, RequestStats], Iterator[Bundle]]:
        """Return the reader of a stream, which ends with SourceError where a medium could not be read."""

        def reader(_checkpoint: Checkpoint, stats: RequestStats) -> Iterator[Bundle]:
            yield from read(stats)
            told = [f"{media_id[:40]} ({error})" for media_id, error in sorted(self._errors.items())]
            if told:
                more = f" and {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
                raise SourceError(f"media that cannot be read: {', '.join(told[:SHOWN])}{more}")

        return reader
