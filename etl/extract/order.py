"""What the times on a page of a list prove about the list: the place in it is one thing, the time another.

A record that is corrected while its list is read can stand in its old place with its new time; a list can be
sorted another way than was asked for, or not at all. So a time is a base for the next request only where the
page around it is in order, and the link to the next page does not contradict it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

ENOUGH = 8
"""Records of a page that must be in order: fewer can be so by chance."""
CLEAR = 3
"""Records beyond the end that end what is asked for: one or two can have a time that is not their place."""


class Order(NamedTuple):
    """What a page proves."""

    steps: tuple[int, ...]
    """Times, oldest first, each at or before every later one on the page: places from which to go on."""
    is_over: bool
    """Whether the page ends beyond the end of what was asked for, and all after it is beyond it too."""


UNPROVEN = Order((), is_over=False)


def order_of(times: Sequence[int], position: int | None, end: int) -> Order:
    """Return what is proven by the times of a page, in the order in which they stand there.

    `position` is the time that the link to the next page names, None where it names none; `end` is the time
    up to which, without it, records were asked for. All in microseconds since 1970. A page that is in no
    order by time proves nothing.
    """
    in_order = rising(times)
    if len(times) < ENOUGH or 2 * len(in_order) < len(times):
        return UNPROVEN
    last = in_order[-1] if position is None else min(position, in_order[-1])
    if 2 * sum(time <= last for time in in_order) < len(times):
        return UNPROVEN
    is_over = last >= end and all(time >= end for time in in_order[-CLEAR:])
    return Order(tuple(time for time in in_order if time <= last and time < end), is_over)


def goes_beyond(times: Sequence[int], time: int) -> bool:
    """Whether a page, given by its times, ends after a time: one that is out of its place is no proof."""
    return bool(times) and all(each > time for each in rising(times)[-CLEAR:])


def rising(times: Sequence[int]) -> Sequence[int]:
    """Return the times, in order, that are not newer than any later one.

    What is left without those out of place.
    """
    if all(earlier <= later for earlier, later in pairwise(times)):
        return times
    kept: list[int] = []
    for time in reversed(times):
        if not kept or time <= kept[-1]:
            kept.append(time)
    return kept[::-1]


class Direction:
    """Whether times that come one after the other only rise, or only fall."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._rises = self._falls = False

    def see(self, times: Sequence[int]) -> None:
        """Take in the times of the next page."""
        for time in times:
            if self._last is not None:
                self._rises |= time > self._last
                self._falls |= time < self._last
            self._last = time

    @property
    def is_steady(self) -> bool:
        """Whether no time went against the others: the list is sorted by time, one way or the other."""
        return not (self._rises and self._falls)
