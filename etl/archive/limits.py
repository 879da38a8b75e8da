"""How much an archive may take, how fast, and for how long in one run."""

import time
from collections.abc import Callable
from threading import Lock

from etl.errors import SourceError
from etl.extract.deadline import postpone

MEGABYTE = 1_000_000


class ArchiveLimitError(SourceError):
    """Nothing more may be archived in this run; the text names the setting."""


class ArchiveFaultError(SourceError):
    """The archive cannot be written; the text says why, and what to do."""


class Room:
    """What a place may still take in; safe to use from any thread."""

    def __init__(self, megabytes: float, used: Callable[[], int]) -> None:
        """Have `used` count the bytes that are there, once, before the first are taken."""
        self._megabytes = megabytes
        self._count = used
        self._used: int | None = None
        self._lock = Lock()

    def take(self, size: int) -> None:
        """Take so many bytes; ArchiveLimitError where they are not left."""
        with self._lock:
            if self._used is None:
                self._used = self._count() if self._megabytes else 0
            if self._megabytes and self._used + size > self._megabytes * MEGABYTE:
                raise ArchiveLimitError(
                    f"the archive is full: SIGHTGLASS_ARCHIVE_DISK allows {self._megabytes:,.12g} MB"
                )
            self._used += size

    def give_back(self, size: int) -> None:
        """Give back what was taken and is not used."""
        with self._lock:
            if self._used is not None:
                self._used -= size


class Pace:
    """How fast bytes may come, all downloads taken together; safe to use from any thread."""

    def __init__(
        self,
        megabytes: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`megabytes` may come in a second; 0: as many as do."""
        self._rate = megabytes * MEGABYTE
        self._now = now
        self._sleep = sleep
        self._free_at = 0.0
        self._lock = Lock()

    def spend(self, size: int) -> None:
        """Wait until so many bytes more may have come; the deadline of the request moves along."""
        if not self._rate:
            return
        with self._lock:
            begins = max(self._now(), self._free_at)
            self._free_at = begins + size / self._rate
            wait = self._free_at - self._now()
        if wait > 0:
            self._sleep(wait)
            postpone(wait)


class TimeLimit:
    """How long one run may archive."""

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        """0 minutes: for as long as there is something to archive."""
        self._minutes = minutes
        self._now = now
        self._since: float | None = None

    def check(self) -> None:
        """Raise ArchiveLimitError where the time is over; it begins with the first question."""
        if self._since is None:
            self._since = self._now()
        if self._minutes and self._now() - self._since >= 60 * self._minutes:
            raise ArchiveLimitError(
                f"SIGHTGLASS_ARCHIVE_MINUTES allows a run {self._minutes:g} minutes for one source"
            )
