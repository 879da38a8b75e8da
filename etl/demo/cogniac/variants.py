"""What the documents of Cogniac leave open, each question a switch of the simulator."""

import math
from dataclasses import dataclass
from typing import Literal

from etl.demo.timeline import SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiVariant:
    """One answer to every open question; by default bounds are strict, as the documentation words them."""

    start_inclusive: bool = False
    """`start` itself is included."""
    end_inclusive: bool = False
    """`end` itself is included."""
    clock_resolution: Literal["microsecond", "second"] = "microsecond"
    """How fine `updated_at` is, as served and as compared with bounds and cursors; all is rounded down."""
    cursor: Literal["exact", "repeats", "skips"] = "exact"
    """Of records that share the last time of a page, the next sends: those left, all again, or none."""
    only_model_by_default: bool = True
    """With neither flag given, an application with a model shows its model's assertions only."""
    empty_pages: int = 0
    """Every so many pages of a list one comes empty, with a `next` that leads on to its records; 0: none."""
    next_link: Literal["plain", "itself", "other_host", "unabridged"] = "plain"
    """`next` is as documented, or names its own page, or another host name, or drops `abridged_media`."""
    abridged_after_first: bool = False
    """Pages asked for by a cursor hold abridged media, although nobody asked for that."""
    last_key: int = 0
    """Applications and subjects come in pages of so many, led on by `last_key`; 0: at once if not limited."""
    listed_subjects: Literal["all", "ten"] = "all"
    """How many subjects are listed where none are asked for by `ids`."""

    def tick(self, moment: int) -> int:
        """Return a moment, in microseconds, as fine as the service keeps it."""
        return moment - moment % SECOND if self.clock_resolution == "second" else moment

    def bound(self, time: float) -> float:
        """Return a time in seconds, as fine as the service keeps it."""
        is_coarse = self.clock_resolution == "second" and math.isfinite(time)
        return float(math.floor(time)) if is_coarse else time

    def said(self, time: object) -> object:
        """Return a time as it is served; what is no time stays as it is."""
        return self.bound(time) if isinstance(time, float) else time
