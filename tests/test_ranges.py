"""A range of time that is read side by side: nothing is left out, whoever reads it."""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import SourceError
from etl.extract.ranges import FIRST, PRICE, WIDE, RangeReader, Read, TimeRange, unread
from etl.extract.stream import MARK_RANGE, Action, Bundle, Page

PAGE = 5
END = 10_000

Ranges = st.lists(st.tuples(st.integers(0, END), st.integers(1, END // 4)), max_size=6)


@given(Ranges, st.integers(0, END), st.integers(0, END))
def test_what_is_unread_and_what_was_read_make_up_the_whole(
    done: list[tuple[int, int]], start: int, end: int
) -> None:
    """Each time between start and end is in one of the two; the unread ranges do not overlap."""
    read = [(begun, begun + length) for begun, length in done]
    found = [(each.start, each.end) for each in unread(start, end, read)]

    edges = sorted({start, end, *(edge for each in read for edge in each if start < edge < end)})
    for low, high in pairwise(edges) if start < end else ():
        was_read = any(begun <= low and high <= ended for begun, ended in read)
        assert was_read != any(begun <= low and high <= ended for begun, ended in found)
    assert all(start <= begun < ended <= end for begun, ended in found)
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(found))


def reader(times: Sequence[int], seen: set[str] | None = None) -> Read:
    """Reads pages of these times, and notes which threads did."""

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        place = bisect_left(times, time_range.start)
        while place < len(times):
            if seen is not None:
                seen.add(threading.current_thread().name)
            page = times[place : place + PAGE]
            place += len(page)
            time_range.reached(page[0], page[-1])
            end = time_range.end
            yield [Page("made-up", [str(time).encode() for time in page if time < end])]
            if page[-1] >= end:
                return

    return read


def told(bundles: Iterator[Bundle]) -> list[int]:
    """The times in the bundles, sorted."""
    pages = (each for bundle in bundles for each in bundle if isinstance(each, Page))
    return sorted(int(record) for page in pages for record in page.records)


@given(st.sets(st.integers(0, END - 1), max_size=400), st.integers(1, 16))
def test_every_record_comes_however_many_read(times: set[int], most: int) -> None:
    """Uneven or not, each time of the range is delivered, and none beyond it."""
    found = told(RangeReader(most).read(TimeRange(0, END, 0), reader(sorted(times))))

    assert sorted(times) == sorted(set(found))


FOUND_NOTHING: list[Bundle] = [[Page("made-up", [])], [Action(MARK_RANGE, {})]]
"""What a reader delivers of a range in which nothing is."""


@pytest.mark.parametrize(
    ("end", "known", "at_once"),
    [(WIDE - 1, 0, 0), (WIDE, 0, 16), (400 * WIDE, 0, 16), (WIDE, 10**6, 0)],
    ids=["usual", "wide", "very wide", "wide and known"],
)
def test_guesses_cost_few_requests(end: int, known: int, at_once: int) -> None:
    """Where much seems to be left and nothing is, a range is taken over for some pages that have come.

    In a wide one each reader takes one over for none; but where all that has come was known, as it is where
    an application has been quiet for days.
    """
    begun: list[TimeRange] = []

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        begun.append(time_range)
        if time_range.shared:
            yield from FOUND_NOTHING
            return
        for page in range(4 * FIRST):
            time_range.reached(page, page + 1)
            yield [Page("made-up", [b"1"])]

    bundles = list(RangeReader(16).read(TimeRange(0, end, 0), read, known))

    assert 4 * FIRST == sum(
        1 for bundle in bundles for each in bundle if isinstance(each, Page) and each.records
    )
    assert 1 < len(begun) <= 1 + at_once + 4 * FIRST / PRICE


def test_a_page_of_one_time_covers_the_time_since_the_page_before() -> None:
    """One that covered nothing would make any range look endless."""
    time_range, paces = TimeRange(0, 1_000, 0), list[float]()
    for oldest, newest in [(10, 20), (50, 50), (50, 50), (60, 100)]:
        time_range.reached(oldest, newest)
        paces.append(time_range.pace)

    assert [10, 30, 30, 40] == paces


def test_what_nobody_has_looked_into_is_not_divided() -> None:
    """As long as no page of a range has come, others take half of what the first reader has left."""
    pages, starts, first_done = 4 * FIRST, list[int](), threading.Event()

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        if time_range.shared:
            starts.append(time_range.start)
            first_done.wait(30)
            return
        for page in range(pages):
            time_range.reached(page, page + 1)
            yield [Page("made-up", [])]
        first_done.set()

    assert pages == len(list(RangeReader(16).read(TimeRange(0, WIDE - 1, 0), read)))
    halves = pairwise([WIDE - 1, *sorted(starts, reverse=True)])
    assert [] == [(above, start) for above, start in halves if start > (above + pages) / 2]


def test_a_wide_range_is_divided_among_all_once_its_first_page_has_come() -> None:
    """A backfill need not find out page by page that there is much to read."""
    begun, all_begun = list[int](), threading.Event()

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        if time_range.shared:
            begun.append(time_range.start)
            if len(begun) == 3:
                all_begun.set()
            assert all_begun.wait(30)
            return
        time_range.reached(0, 1)
        yield [Page("made-up", [])]
        assert all_begun.wait(30)

    assert 1 == len(list(RangeReader(4).read(TimeRange(0, WIDE, 0), read)))
    quarters = [round(4 * start / WIDE) for start in sorted(begun[:3])]
    assert [1, 2, 3] == quarters


def test_the_place_of_a_reader_that_has_come_to_its_end_is_taken() -> None:
    """That of the first too: as many as may read do, as long as anything is left."""
    second, third = threading.Event(), threading.Event()

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        if time_range.start == 0:
            time_range.reached(0, 1)
            yield [Page("made-up", [b"1"])]
            assert second.wait(30)
            return
        if second.is_set():
            third.set()
            return
        second.set()
        time_range.reached(time_range.start, time_range.start + 1)
        yield [Page("made-up", [b"1"])]
        assert third.wait(30)

    assert 2 == len(list(RangeReader(2).read(TimeRange(0, WIDE, 0), read)))


def test_a_busy_part_is_shared() -> None:
    """Where all records lie in a tenth of the time, more than one reader comes to read them."""
    times, seen, second = range(9_000, 10_000), set[str](), threading.Event()

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        first = not time_range.shared
        for number, bundle in enumerate(reader(times, seen)(time_range)):
            yield bundle
            if not first:
                second.set()
            elif number >= FIRST:
                second.wait(30)

    found = told(RangeReader(4).read(TimeRange(0, END, 0), read))

    assert list(times) == sorted(set(found))
    assert second.is_set()


def test_a_stretch_of_few_pages_is_read_by_one() -> None:
    """What a usual increment brings, in a burst too, is read by the thread that asks, without another."""
    few = range(0, END, END // 10), range(FIRST * PAGE)
    for times in few:
        seen = set[str]()
        found = told(RangeReader(16).read(TimeRange(0, END, 0), reader(times, seen)))

        assert list(times) == found
        assert {threading.current_thread().name} == seen


def failing(error: Exception) -> Read:
    """Reads every time up to 9,000, and fails there."""

    def read(time_range: TimeRange) -> Iterator[Bundle]:
        for bundle in reader(range(0, 9_000, 10))(time_range):
            yield bundle
            if time_range.at >= 8_000:
                raise error

    return read


def test_one_reader_that_fails_does_not_stop_the_others() -> None:
    """Everything else is delivered before the error is raised."""
    found: list[Bundle] = []

    with pytest.raises(SourceError, match="it is broken"):
        found.extend(RangeReader(8).read(TimeRange(0, END, 0), failing(SourceError("it is broken"))))
    assert set(range(0, 8_000, 10)) <= set(told(iter(found)))


def test_a_bug_in_a_reader_is_raised() -> None:
    """An error that is no source's stops the reading."""
    with pytest.raises(LookupError, match="a bug"):
        list(RangeReader(8).read(TimeRange(0, END, 0), failing(LookupError("a bug"))))
