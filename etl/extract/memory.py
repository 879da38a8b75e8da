"""How much memory the bodies of answers may take together, and which of them may take much of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etl.config import Settings
from etl.extract.deadline import left

MEGABYTE = 2**20

Grow = Callable[[int], None]
"""Told how many bytes a body has so far; TooLargeError where it may not have so many."""


class TooLargeError(Exception):
    """A body is larger than it may be; the text says how large that is, and what to raise."""


class BodyMemory:
    """What the settings allow: half of it in equal shares for all requests in flight, half for one page."""

    _turn = threading.Lock()
    """Held by the one page that may outgrow its share, of all sources; who holds it waits for no other."""

    def __init__(self, settings: Settings) -> None:
        whole = settings.body_memory * MEGABYTE
        self._share = whole // (2 * settings.concurrency)
        self._most = whole // 2

    @contextmanager
    def page(self) -> Iterator[Grow]:
        """Make room for a page: beyond its share it waits until no other page does, up to the deadline."""
        holds = False

        def grow(size: int) -> None:
            nonlocal holds
            if size > self._most:
                raise _too_large(self._most, "a page")
            if size > self._share and not holds:
                holds = self._turn.acquire(timeout=left())
                if not holds:
                    raise TimeoutError("other pages are so large that there was no room for this one in time")

        try:
            yield grow
        finally:
            if holds:
                self._turn.release()

    def grow_file(self, size: int) -> None:
        """Make room for a file: it may have its share alone, for others wait with it to be loaded."""
        if size > self._share:
            raise _too_large(self._share, "a file")


def _too_large(limit: int, what: str) -> TooLargeError:
    return TooLargeError(
        f"sent more than the {limit:,} bytes that SIGHTGLASS_BODY_MEMORY leaves for {what}: raise it"
    )
