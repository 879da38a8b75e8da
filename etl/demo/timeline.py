"""When things happen in simulated data: busy by day, quiet at night and at weekends."""

from bisect import bisect_right
from itertools import accumulate

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY

START = 1_772_431_200 * SECOND
"""2026-03-02T06:00:00Z, a Monday: the first moment of all simulated data, in microseconds."""
SPAN = 30 * DAY

_ORIGIN = START - 6 * HOUR  # the Monday's midnight, where the week of the table below begins
_WORKDAY = [0.1] * 5 + [0.3, 0.7, *[1.0] * 5, 0.7, *[1.0] * 4, 0.8, 0.5, 0.3, 0.2, 0.2, 0.1, 0.1]
_WEEKEND = [0.35 * load for load in _WORKDAY]
_LOAD = _WORKDAY * 5 + _WEEKEND * 2
_DONE = [0.0, *accumulate(_LOAD)]


def work(moment: int) -> float:
    """How much work was done by a moment, in hours of full load."""
    weeks, rest = divmod(moment - _ORIGIN, WEEK)
    hour, part = divmod(rest, HOUR)
    return weeks * _DONE[-1] + _DONE[hour] + _LOAD[hour] * part / HOUR


def moment(done: float) -> int:
    """Return the moment, in microseconds since 1970, by which so much work was done.

    The inverse of `work`.
    """
    weeks, rest = divmod(done, _DONE[-1])
    hour = min(bisect_right(_DONE, rest) - 1, len(_LOAD) - 1)
    into = (rest - _DONE[hour]) / _LOAD[hour] * HOUR
    return _ORIGIN + int(weeks) * WEEK + hour * HOUR + int(into)


def seconds(microseconds: int) -> float:
    """Return a moment as the APIs print it: seconds with six decimals."""
    return microseconds / SECOND
