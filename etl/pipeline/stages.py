"""Where the time of a run went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class Span:
    """When something was at work, in nanoseconds since 1970, and for how many seconds in between."""

    begun_ns: int
    ended_ns: int
    seconds: float = 0.0


class Stages:
    """Seconds that each stage was at work; safe to use from any thread. Stages work side by side."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.spans: dict[tuple[str, str], Span] = {}
        """By source, empty where it is of the run, and stage; empty for the source as a whole."""
        self._source = ""
        self._lock = Lock()

    @contextmanager
    def reading(self, source: str) -> Iterator[None]:
        """Let what is measured inside count as that of a source."""
        self._source, begun, since = source, time.time_ns(), time.monotonic()
        try:
            yield
        finally:
            self._source = ""
            self._add((source, ""), begun, time.monotonic() - since)

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Add the time that is spent inside to a stage."""
        source, begun, since = self._source, time.time_ns(), time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - since
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
                self._add((source, stage), begun, spent)

    def as_spans(self) -> dict[tuple[str, str], tuple[int, int, float]]:
        """Return when what was at work, in nanoseconds since 1970, and for how many seconds."""
        return {key: (each.begun_ns, each.ended_ns, each.seconds) for key, each in self.spans.items()}

    def _add(self, key: tuple[str, str], begun_ns: int, seconds: float) -> None:
        span = self.spans.setdefault(key, Span(begun_ns, begun_ns))
        # What it took by the clock that nobody sets.
        span.ended_ns = max(span.ended_ns, begun_ns + round(seconds * 1e9))
        span.begun_ns = min(span.begun_ns, begun_ns)
        span.seconds += seconds
