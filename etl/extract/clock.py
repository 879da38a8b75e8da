"""The clock of a host, as the `Date` of its answers tells it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

CLOCKS_DIFFER = timedelta(minutes=1)
"""By how much two clocks may differ, and their bearers mean the same time."""


def http_date(text: str) -> datetime | None:
    """Return a moment that a header names, in any of the forms that HTTP ever had.

    None where it names none.
    """
    try:
        found = parsedate_to_datetime(text)
        # The form of asctime() names no zone: all of them are in UTC.
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


class HostClock:
    """What a host last said the time is."""

    def __init__(self) -> None:
        self._said: tuple[str, float] | None = None
        """And when it said so, by the monotonic clock."""

    def note(self, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says."""
        if date := headers.get("date"):
            self._said = date, time.monotonic()

    def skew(self, now: datetime) -> timedelta | None:
        """By how much it is ahead of a moment that is now by another clock, less than 0 where it is behind.

        None where nothing readable was said.
        """
        if self._said is None:
            return None
        date, at = self._said
        said = http_date(date)
        return None if said is None else said - now + timedelta(seconds=time.monotonic() - at)

    def ahead(self, now: datetime) -> timedelta:
        """By how much it is ahead, where that is more than clocks differ; else 0."""
        skew = self.skew(now)
        return skew if skew is not None and skew > CLOCKS_DIFFER else timedelta(0)
