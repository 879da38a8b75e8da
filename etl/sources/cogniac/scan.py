"""The detections of one application, oldest change first, whatever the API's paging turns out to do.

No document settles how its paging treats records that share one time. So where a page is in order and `next`
names the time at which it ends, the next page is asked for anew, from just before that time: it must begin
with what the page before ended with, which repeats a record and skips none. Where that is not so, `next` is
followed as it is. A list that leads to no end that way has not been read.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from etl.errors import SourceError
from etl.extract.list_page import Circle
from etl.extract.order import CLEAR, Direction, Order, goes_beyond, order_of, rising
from etl.extract.ranges import TimeRange
from etl.extract.stream import Action, Bundle, Checkpoint, Delivery, Page, RequestStats, Watermark
from etl.sources.cogniac.pages import (
    NOTHING,
    DetectionPage,
    DetectionPages,
    Tail,
    Window,
    name_of,
)
from etl.values import SECOND, moment

if TYPE_CHECKING:
    from etl.extract.http import Api

MOST_PAGES = 10_000_000


class Step(NamedTuple):
    """A page, what was asked for to get it, and what of the page before it can be on it too."""

    window: Window
    page: DetectionPage
    reached: int = 0
    """The time before which everything has come, and at which something has."""
    known: Tail = NOTHING


class Scan:
    """One pass over the detections of an application, up to the end of a position."""

    def __init__(self, api: "Api", application_id: str, position: Checkpoint, stats: RequestStats) -> None:
        self._pages = DetectionPages(api, application_id, stats)
        self._application_id = application_id
        self._end = position.end // 1_000_000 * 1_000_000
        self._start = max(0, position.start - 1)
        self._overlap = position.end - position.settled
        self._about = {"source": "cogniac", "stream": "detections", "partition": application_id}
        self._lock = threading.Lock()
        self._newest = self._latest = self._longest = 0
        self._is_sorted = True
        self._heads: dict[int, frozenset[bytes]] = {}
        """By the start of a range, the records with which its list begins, as `name_of` names them."""

    def bundles(self, time_range: TimeRange) -> Iterator[Bundle]:
        """Yield the pages of records changed within a range of time, and of those without a readable time."""
        step: Step | None = self._first(time_range)
        progress: list[Delivery] = []
        tied = 0
        for _ in range(1, MOST_PAGES):
            if step is None:
                break
            window, page, _, known = step
            end = time_range.end
            order = self._proven(self._judged(page, window, end, known), window, page, end)
            is_over = order.is_over or page.is_last(self._longest)
            base = order.steps[-1] if order.steps else 0
            if base and not is_over:
                # Before the page is passed on: then others may help at once.
                time_range.reached(order.steps[0], base)
            yield [
                *progress,
                *self._within(page, known, end if order.is_over and time_range.shared else None),
            ]
            if is_over:
                self._ended(page)
                break
            self._longest = max(self._longest, len(page.data))
            step = self._by_time(window, page, order)
            if step is None and 0 < base <= window.start + 1 and base != tied:
                tied = base
                yield from self._rest_of(base, page)
                step = self._beyond(base)
            elif step is None:
                yield from self._by_links(window, page, time_range)
            progress = self._progress(time_range, step.reached) if step else []
        else:
            raise SourceError(f"the detections of {self._application_id} have no end")
        if time_range.shared and self._is_sorted:
            yield self._mark(time_range, time_range.end)

    def _first(self, time_range: TimeRange) -> Step:
        """Return the first page of a range."""
        if not time_range.shared:
            window = Window(max(0, time_range.start - 1), self._end)
            return Step(window, self._pages.first(window))
        # Another reader ends there: from a second before, for the service may round what it is asked for.
        window = Window(max(0, time_range.start - SECOND), self._end)
        page = self._pages.first(window)
        self._heads[time_range.start] = frozenset(map(name_of, page.data))
        return Step(window, page)

    def watermark(self) -> Watermark:
        """How far the cursor may move once all ranges have been read to their ends, and what was odd."""
        notices = []
        if not self._is_sorted:
            notices.append("the list is not sorted by time: all of it was read, and the cursor stays")
        if self._latest:
            notices.append(
                f"records are dated after the end that was asked for, the latest {moment(self._latest)}: "
                "those that came are loaded, and the cursor stays before them"
            )
        return Watermark(self._newest or None, holds=not self._is_sorted, notice="; ".join(notices))

    def _judged(self, page: DetectionPage, window: Window, end: int, known: Tail = NOTHING) -> Order:
        """Return what the page proves; its times are taken note of."""
        # What is dated after the end proves nothing: who asked for no such time must not go by one.
        times = [time for time in page.known_times if time < self._end]
        order = order_of(times, window.position(page.next) if page.next else None, end)
        with self._lock:
            self._newest = max([self._newest, *order.steps[-1:]])
            self._latest = max([self._latest, *(time for time in page.known_times if time >= self._end)])
        fresh = [time for time in page.known_times if time not in known.times]
        return order._replace(is_over=True) if fresh and min(fresh) >= self._end else order

    def _proven(self, order: Order, window: Window, page: DetectionPage, end: int) -> Order:
        """Return what a page proves, of its end only what others bear out.

        Records that were corrected meanwhile can stand in their old places with times beyond that end, and so
        can those whose times were wrong from the beginning.
        """
        if not order.is_over:
            return order
        if end >= self._end:
            return order._replace(is_over=self._leads_nowhere(window, page))
        beyond = {
            name_of(each)
            for each, at in zip(page.data, page.times, strict=True)
            if at is not None and at >= end
        }
        if beyond.isdisjoint(self._heads.get(end, ())):
            head = self._pages.first(Window(end - 1, self._end))
            return order._replace(is_over=not beyond.isdisjoint(map(name_of, head.data)))
        return order

    def _leads_nowhere(self, window: Window, page: DetectionPage) -> bool:
        """Whether the next few pages, too, hold nothing from before the end that was asked for."""
        links = self._pages.links(window)
        for _ in range(CLEAR):
            more = links.after(page)
            if more is None:
                break
            if any(time < self._end for time in more.known_times):
                return False
            page = more
        return True

    def _ended(self, page: DetectionPage) -> None:
        """Take note of a page after which nothing follows: here a few records in order prove enough."""
        times = page.known_times
        direction = Direction()
        direction.see(times)
        if not page.next:
            proven = times if direction.is_steady else rising(times)
            with self._lock:
                self._newest = max([self._newest, *(time for time in proven if time < self._end)])

    def _by_time(self, window: Window, page: DetectionPage, order: Order) -> Step | None:
        """Return the next page asked for by time, where it is proven to join this one.

        None where it is not, or where `next` leads on without naming a time, so that nothing but it is sure.
        """
        link = page.next
        if link and window.position(link) is None and window.linked(link) != window.params():
            return None
        for base in _bases(order.steps, window.start):
            known, asked = page.since(base), window._replace(start=base - 1)
            found = self._pages.first(asked)
            # A clock of whole seconds gives back the rest of the second before.
            older = sum(time < base - SECOND for time in found.known_times)
            if 2 * older <= len(found.data) and known.joins(found, base):
                return Step(asked, found, base, known)
        return None

    def _by_links(self, window: Window, page: DetectionPage, time_range: TimeRange) -> Iterator[Bundle]:
        """Yield the pages to which `next` leads, up to one without.

        SourceError where it leads in a circle.
        """
        # How much is left cannot be told: nobody is to take over a part of it.
        time_range.pace = 0.0
        direction, circle, newest = Direction(), Circle(), 0
        if window.start != self._start:
            # What was asked for by time may have left out what is not in order.
            window = Window(self._start, self._end)
            page = self._pages.first(window)
            yield self._within(page)
        links = self._pages.links(window)
        for _ in range(MOST_PAGES):
            if circle.closes(map(name_of, page.data)):
                break
            times = page.known_times
            direction.see(times)
            newest = max([newest, *(time for time in times if time < self._end)])
            more = links.after(page)
            if more is None:
                break
            if direction.is_steady:
                yield from self._skipped(window, page, more)
            page = more
            self._judged(page, window, self._end)
            yield self._within(page)
        if page.next:
            raise SourceError(
                f"the detections of {self._application_id} cannot be read to an end: they are not in order "
                "by time, and `next` leads back to what was read"
            )
        with self._lock:
            self._is_sorted &= direction.is_steady
            self._newest = max(self._newest, newest)

    def _skipped(self, window: Window, page: DetectionPage, more: DetectionPage) -> Iterator[Bundle]:
        """Yield other records of the time with which a page ends, if its link names it and leads beyond."""
        last = window.position(page.next) if page.next else None
        if last is not None and page.times[-1:] == [last] and not more.at(last):
            yield from self._rest_of(last, page)

    def _progress(self, time_range: TimeRange, reached: int) -> list[Delivery]:
        """Return what tells how far the range was read, once the next page was seen to join."""
        return [*([] if time_range.shared else [Watermark(reached)]), *self._mark(time_range, reached)]

    def _mark(self, time_range: TimeRange, until: int) -> Bundle:
        """Return what tells a later run how far the range was read, should this one be broken off."""
        # By the API's clock, which may be behind: what changed before may still be on its way there.
        until = min(until, self._newest - self._overlap)
        if until <= time_range.start:
            return []
        newest = min(self._newest, until) or None
        about = {"start_us": time_range.start, "end_us": until, "newest_us": newest}
        return [Action("mark_range_read", {**self._about, **about})]

    def _within(self, page: DetectionPage, known: Tail = NOTHING, end: int | None = None) -> Bundle:
        """Return the page without what the one before it ended with, or others read from an end on."""
        if end is not None:
            page = page.before(end)
        records = known.without(page) if known.records else page.data
        return [Page("detections", records, {"application_id": self._application_id})]

    def _rest_of(self, time: int, page: DetectionPage) -> Iterator[Bundle]:
        """Yield the other records of a time at which a page ends: what `next` adds, or the other end of them.

        When the two ends do not meet, records in the middle may be missing, which can be read by no means the
        API documents: they are a gap.
        """
        known = page.in_place(time)
        for more in self._linked(time, page):
            yield self._within(more)
            known += more.in_place(time)
            if goes_beyond(more.known_times, time) or not more.next:
                return
        other = self._pages.other_end(time, self._end)
        found = other.in_place(time)
        yield self._within(other)
        is_reached = not other.next or all(each < time for each in other.known_times[-CLEAR:])
        if not found or not (_meet(known, found) or is_reached):
            yield [Action("mark_skipped", {"application_id": self._application_id, "microseconds": time})]

    def _linked(self, time: int, page: DetectionPage) -> Iterator[DetectionPage]:
        """Yield the pages that `next` leads to, while each brings new records of this time."""
        links = self._pages.links(Window(time - 1, self._end))
        while (more := links.after(page)) and more.data:
            if not more.at(time) - page.at(time):
                return
            yield more
            page = more

    def _beyond(self, time: int) -> Step | None:
        """Return the page after all records of a time; None where there is none."""
        found = self._pages.beyond(time, self._end)
        return found and Step(*found, time)


def _meet(known: Sequence[bytes], found: Sequence[bytes]) -> bool:
    """Whether records read from one end and from the other have met, for these come in the reverse order.

    A service can turn the times round and leave the order of those that share one as it was.
    """
    there = set(found)
    shared = [each for each in dict.fromkeys(known) if each in there]
    return bool(shared) and found[-len(shared) :] == shared[::-1]


def _bases(steps: tuple[int, ...], start: int) -> Iterator[int]:
    """Yield times from which the next page may be asked for; with each the page repeats more.

    Not first the newest, if one record alone has it: that may have moved to its time by now, and would prove
    nothing of those between.
    """
    times = sorted({time for time in steps if time > start + 1})
    newest = [-1] if steps[-2:-1] == steps[-1:] else []
    places = dict.fromkeys((*newest, -2, -3, len(times) // 2, 0, -1))
    yield from dict.fromkeys(times[place] for place in places if -len(times) <= place < len(times))
