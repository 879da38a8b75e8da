"""Where the time of a run went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stages:
    """Seconds that each stage was at work; safe to use from any thread. Stages work side by side."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Add the time that is spent inside to a stage."""
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - begun
