"""The clock of a host, as the `Date` of its answers tells it."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

CLOCKS_DIFFER = timedelta(minutes=1)
"""By how much two clocks may differ, and their bearers mean the same time."""


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
        try:
            return parsedate_to_datetime(date) + timedelta(seconds=time.monotonic() - at) - now
        except (TypeError, ValueError, OverflowError, IndexError):
            return None

    def ahead(self, now: datetime) -> timedelta:
        """By how much it is ahead, where that is more than clocks differ; else 0."""
        skew = self.skew(now)
        return skew if skew is not None and skew > CLOCKS_DIFFER else timedelta(0)
