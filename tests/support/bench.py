"""What tests of several files share with `test_pipeline`."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import table

from etl.config import load
from etl.extract.stream import Bundle, Checkpoint, Delivery, RequestStats, Stream
from etl.load.stream_stats import StreamStats
from etl.pipeline.run import Report, run
from etl.pipeline.source_loader import LoadLimits

HEAVY = 2**16
"""Bytes of a batch that is committed at once, in these tests."""
NOW = datetime(2026, 4, 1, tzinfo=UTC)
GAPS = "SELECT stream, key, what, error FROM etl.gaps ORDER BY ALL"
Step = Bundle | Exception
Told = Callable[[Checkpoint], object]


class Bench:
    """Runs of a source that delivers what a test lays before it, and is the real one in everything else."""

    def __init__(self, name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.home = name, home
        self.source = SimpleNamespace(**vars(importlib.import_module(f"etl.sources.{name}")))
        self.seen: list[float] = []
        """Where a cursor stood, whenever it had moved."""
        self.moved = threading.Event()
        """Set once it has."""
        self.rows = partial(table, home)
        self.now = NOW
        self.limits = LoadLimits(part_bytes=HEAVY, batch_bytes=HEAVY)
        monkeypatch.setitem(sys.modules, f"etl.sources.{name}", self.source)

    def run(self, *groups: list[Stream], **settings: str) -> Report:
        """Run once, an hour after the run before."""
        session = SimpleNamespace(streams=lambda _source_context: groups, close=lambda: None)
        self.source.connect = lambda _settings: session
        given = {"SIGHTGLASS_HOME": str(self.home), "SIGHTGLASS_RAW_DAYS": "0"} | settings
        self.now += timedelta(hours=1)
        return run(load((), {}, given), [self.name], lambda: self.now, self._watch, limits=self.limits)

    def _watch(self, stats: StreamStats, _waiting: int) -> None:
        at = stats.cursor / 1_000_000 if isinstance(stats.cursor, int) else None
        if at is not None and self.seen[-1:] != [at]:
            self.seen.append(at)
            self.moved.set()

    def load(self, *deliveries: Delivery) -> Report:
        """Run once, with all of this in one bundle of one stream."""
        return self.run([stream(deliveries, name="media")])


def stream(*steps: Step, name: str = "detections", partition: str = "", told: Told = id) -> Stream:
    """A stream that takes these steps: bundles that it yields, errors that it raises."""

    def deliver(checkpoint: Checkpoint, _request_stats: RequestStats) -> Iterator[Bundle]:
        told(checkpoint)
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step

    return Stream(name, deliver, partition)
