"""One deadline for all that a request takes: its place in line, the login before it, its last byte."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST_SECONDS = 1e6
"""What is left where there is no deadline: more than any wait, less than locks can be told."""

_until: ContextVar[float] = ContextVar("until", default=float("inf"))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what this thread does inside so many seconds from now on."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def postpone(seconds: float) -> None:
    """Give this thread so many seconds more, for as long as it is given any."""
    _until.set(_until.get() + seconds)


def left() -> float:
    """Seconds until the deadline; TimeoutError once it has passed."""
    seconds = _until.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return min(seconds, MOST_SECONDS)


def is_over() -> bool:
    """Whether the deadline has passed."""
    return _until.get() <= time.monotonic()
