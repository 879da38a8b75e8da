"""A long range of time read by several readers side by side.

A reader that has come to its end takes over the later half of what the busiest of the others has left: so
records that are uneven in time keep all of them busy. How much is left of a range is judged by how much
time its latest page covered.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from etl.errors import SourceError
from etl.event import heard
from etl.extract.bounded_queue import BoundedQueue
from etl.extract.stream import Bundle, Page, size_of
from etl.values import SECOND

WORTH = 3
"""Pages that must seem to be left of a range before it is shared."""
FIRST = 4
"""Pages that one reader reads before the rest is shared: small increments are read by one alone."""
PRICE = 2
"""Pages that must have come for each range that is taken over. How much is left is a guess: changes come in
bursts, and where nothing is left, a request was for nothing."""
WIDE = 2 * 86_400 * SECOND
"""Microseconds from which on a range is no usual increment, but a backfill, a first load or what was missed
in days. It is shared by all readers once a page of it has brought what was not known: that costs each of them
a request for nothing, at most."""


@dataclass(slots=True, eq=False)
class TimeRange:
    """Times to read, in microseconds since 1970: from `start` up to, without it, `end`.

    Both `at` and `end` move while it is read: the one by its reader, the other when somebody takes the rest.
    """

    start: int
    end: int
    at: int
    """Everything before it has come."""
    pace: float = 0.0
    """Time that its latest page covered; before its first, 0 or what is guessed."""
    shared: bool = False
    """Whether others read what comes before or after it."""

    def reached(self, oldest: int, newest: int) -> None:
        """Note the times between which the latest page lies: everything before its newest has come."""
        # Of a page of one time, what it covers is the time since the page before.
        self.pace = newest - oldest or max(0, newest - self.at) or self.pace
        self.at = max(newest, self.at)


def unread(start: int, end: int, done: Iterable[tuple[int, int]]) -> Iterator[TimeRange]:
    """Yield the ranges between two times that are not among those that were read before."""
    for begun, ended in sorted(done):
        if begun > start and start < end:
            yield TimeRange(start, min(begun, end), start)
        start = max(start, ended)
    if start < end:
        yield TimeRange(start, end, start)


@dataclass(frozen=True, slots=True)
class _Over:
    """The reader of a range has come to its end, or failed."""

    time_range: TimeRange
    error: BaseException | None


Read = Callable[[TimeRange], Iterator[Bundle]]


class RangeReader:
    """How many readers there may be besides one of each stream; shared by all streams of a source."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spare = threading.Semaphore(most - 1)

    def read(self, time_range: TimeRange, read: Read, known: int = 0) -> Iterator[Bundle]:
        """Yield the bundles of a range as they come, in no order once there is more than one reader.

        Up to `known` it was read before. One that fails does not stop the others; its error is raised when
        they have come to their ends.
        """
        is_wide = time_range.end - time_range.start >= WIDE
        begun = read(time_range)
        for number, bundle in enumerate(begun, 1):
            yield bundle
            at_once = is_wide and time_range.at > known
            if (at_once or number >= FIRST) and _left(time_range) >= WORTH:
                credit = self._most * PRICE if at_once else FIRST
                yield from _Shared(self._spare, read, credit, guesses=at_once).bundles(time_range, begun)
                return


class _Shared:
    """One range that is shared among readers."""

    def __init__(self, spare: threading.Semaphore, read: Read, credit: int, *, guesses: bool) -> None:
        self._own = threading.Semaphore(0)
        """The place of the stream itself, once its first reader has come to its end."""
        self._spare = spare
        self._read = read
        self._guesses = guesses
        """Whether what nobody has looked into yet is divided too."""
        self._items: BoundedQueue[Bundle | _Over] = BoundedQueue(4)
        self._busy: list[TimeRange] = []
        self._credit = credit
        """Pages that have brought records and paid for no range yet."""

    def bundles(self, time_range: TimeRange, begun: Iterator[Bundle]) -> Iterator[Bundle]:
        """Yield the bundles of a range that one reader has begun."""
        failed: SourceError | None = None
        self._start(time_range, begun, self._own)
        try:
            while self._busy:
                if failed is None:
                    self._employ()
                item = self._items.get()
                if not isinstance(item, _Over):
                    self._credit += any(isinstance(each, Page) and bool(each.records) for each in item)
                    yield item
                    continue
                self._busy.remove(item.time_range)
                if isinstance(item.error, SourceError):
                    failed = failed or item.error
                elif item.error:
                    raise item.error
        finally:
            self._items.close()
        if failed:
            raise failed

    def _employ(self) -> None:
        """Give every spare reader something to do, as long as somebody has much left."""
        while self._credit >= PRICE and _left(busiest := max(self._busy, key=_left)) >= WORTH:
            places = (each for each in (self._own, self._spare) if each.acquire(blocking=False))
            if (place := next(places, None)) is None:
                return
            self._credit -= PRICE
            later = _later_half(busiest, busiest.pace if self._guesses else 0.0)
            self._start(later, self._read(later), place)

    def _start(self, time_range: TimeRange, bundles: Iterator[Bundle], place: threading.Semaphore) -> None:
        self._busy.append(time_range)
        # A daemon: one that waits for a slow answer must not hold up a run that was told to stop.
        threading.Thread(target=heard(self._work), args=(time_range, bundles, place), daemon=True).start()

    def _work(self, time_range: TimeRange, bundles: Iterator[Bundle], place: threading.Semaphore) -> None:
        error: BaseException | None = None
        try:
            for bundle in bundles:
                if not self._items.put(bundle, size_of(bundle)):
                    return
        except BaseException as caught:  # noqa: BLE001 -- raised again by whoever reads the stream
            error = caught
        finally:
            # Nothing is left of it, wherever its data ended.
            time_range.at = time_range.end
            place.release()
            self._items.put(_Over(time_range, error))


def _left(time_range: TimeRange) -> float:
    """How many pages seem to be left of a range."""
    return (time_range.end - time_range.at) / time_range.pace if time_range.pace else 0


def _later_half(time_range: TimeRange, pace: float) -> TimeRange:
    """Take the later half of what is left of a range away from its reader; of it `pace` is guessed."""
    middle, end = (time_range.at + time_range.end) // 2, time_range.end
    # Of a whole second nobody prints other digits than it has.
    whole = middle // SECOND * SECOND
    middle = whole if whole > time_range.at else middle
    time_range.end = middle
    time_range.shared = True
    return TimeRange(middle, end, middle, pace, shared=True)
