"""Parts on their way into the tables: sealed, made into rows, committed in batches, each step a thread.

Each step takes one part at a time and waits for the next where that has enough to do. What goes wrong in one
is raised in the thread that adds parts, when it adds the next or waits for the end.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from etl.extract.log import Part
from etl.extract.log_writer import LogWriter, Received
from etl.load.commit import Batch, Committer
from etl.pipeline.stages import Stages
from etl.pipeline.stream_buffer import Drained, Newest, StreamBuffer
from etl.pipeline.transform_worker import TransformWorker
from etl.transform.part_rows import PartRows, StreamBatch, merge, stream_batch
from etl.values import Cursor, datetime_of, micros_of

PARTS_AT_ONCE = 2
"""Parts that are sealed and made into rows behind the one that is being received."""

BATCHES_AT_ONCE = 2
"""Batches that are complete and not committed: one is written, the rows of the next may be there."""

Counts = Sequence[tuple[StreamBuffer, int]]
"""How many records were taken out of which buffer; the records themselves are not kept any longer."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What does the work of each step."""

    writer: LogWriter
    worker: TransformWorker
    committer: Committer
    stages: Stages
    now: Callable[[], datetime]
    applied: Callable[[int | None, Counts], None]
    """Told the number of the last part of a batch that is committed, None where it has none, and the records
    that were in it."""
    moves_cursors: bool = True


class PartPipeline:
    """Takes what was received of the streams of one group; a context manager, for threads stand behind it."""

    def __init__(self, steps: Steps) -> None:
        self._do = steps
        self._parts: list[tuple[Future[PartRows], Counts]] = []
        """The parts of the batch that is being received."""
        self._latest: Future[PartRows] | None = None
        """The rows of the latest part."""
        self._committing: list[Future[None]] = []
        """Batches that are complete, in their order."""
        self._newest: dict[tuple[str, str], Cursor | None] = {}
        """By stream and partition, the newest time among what was received."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        names = ("seal", "transform", "commit")
        self._seals, self._transforms, self._commits = (
            self._stack.enter_context(ThreadPoolExecutor(1, name)) for name in names
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            for each in self._committing:
                each.cancel()
        self._stack.__exit__(kind, error, trace)

    @property
    def row_bytes(self) -> int:
        """Bytes of rows that wait for the end of their batch."""
        return sum(rows.result().bytes for rows, _ in self._parts if rows.done())

    def check(self) -> None:
        """Raise what went wrong so far."""
        for rows, _ in self._parts:
            if rows.done():
                rows.result()
        for commit in self._committing:
            if commit.done():
                commit.result()

    def add(self, drained: Sequence[Drained], *, ends_batch: bool) -> None:
        """Have what was received sealed, and made into rows after it; a batch is committed as one.

        Waits while enough is in work.
        """
        sealed = self._seals.submit(self._seal, drained, self._latest, ends_batch=ends_batch)
        self._latest = self._transforms.submit(self._transform, sealed, [each.repeats for each in drained])
        self._parts.append((self._latest, _counts(drained)))
        # Once it is sealed it is let go, though this may wait for long: it is as much as a part.
        del drained
        if ends_batch:
            parts, self._parts = self._parts, []
            self._wait(BATCHES_AT_ONCE - 1)
            before = self._committing[-1] if self._committing else None
            self._committing.append(self._commits.submit(self._commit, parts, before))
            return
        undone = [rows for rows, _ in self._parts if not rows.done()]
        if len(undone) > PARTS_AT_ONCE:
            undone[0].result()

    def end(self, drained: Sequence[Drained]) -> None:
        """Seal and commit all that is left of streams that have come to their ends."""
        if not self._parts and not any(each.has_content for each in drained):
            self.wait()
            streams = [self._without_rows(each) for each in drained]
            quiet = Batch(self._do.now(), streams, moves_cursors=self._do.moves_cursors)
            if self._do.committer.is_quiet(quiet):
                # The log need not hold what changes no table.
                self._apply(quiet, _counts(drained))
                return
        self.add(drained, ends_batch=True)
        self.wait()

    def wait(self) -> None:
        """Wait until all that is complete is committed."""
        self._wait(0)

    def _wait(self, most: int) -> None:
        """Wait until so many batches at most are left to be committed."""
        while len(self._committing) > most:
            self._committing[0].result()
            del self._committing[0]

    def _seal(self, drained: Sequence[Drained], before: Future[PartRows] | None, *, ends_batch: bool) -> Part:
        """Seal a part: then no kill loses anything of it."""
        known: Newest = {}
        if before and any(each.moves_by_newest for each in drained):
            before.result()
            known = self._newest
        with self._do.stages.measured("log"):
            part = self._do.writer.seal(
                [each.head(known) for each in drained],
                (Received(by, at, bundle) for by, each in enumerate(drained) for at, bundle in each.received),
                sealed_at=micros_of(self._do.now()),
                ends_batch=ends_batch,
                moves_cursors=self._do.moves_cursors,
            )
        self._do.worker.expect(part)
        return part

    def _transform(self, sealed: Future[Part], repeats: Sequence[Mapping[str, int]]) -> PartRows:
        """Make rows of a part; `repeats` are the records of each stream that need none."""
        part = sealed.result()
        with self._do.stages.measured("transform"):
            rows = self._do.worker.rows(part)
        for each, counts in zip(rows.streams, repeats, strict=True):
            each.repeats.update(counts)
            each.see(self._newest.get((each.name, each.partition)))
            self._newest[each.name, each.partition] = each.newest
        return rows

    def _without_rows(self, drained: Drained) -> StreamBatch:
        """Return what a stream has delivered that has no rows."""
        batch = stream_batch(drained.head(self._newest))
        batch.repeats.update(drained.repeats)
        batch.take([one for _, bundle in drained.received for one in bundle])
        return batch

    def _commit(self, parts: Sequence[tuple[Future[PartRows], Counts]], before: Future[None] | None) -> None:
        """Commit a batch; the error of the batch before where that is not committed, for it comes first."""
        if before:
            before.result()
        made = [rows.result() for rows, _ in parts]
        head = made[-1].head
        batch = Batch(datetime_of(head.sealed_at), *merge(made), head.number, self._do.moves_cursors)
        self._apply(batch, [one for _, counts in parts for one in counts])

    def _apply(self, batch: Batch, counts: Counts) -> None:
        with self._do.stages.measured("load"):
            self._do.committer.commit(batch)
        self._do.applied(batch.number, counts)


def _counts(drained: Sequence[Drained]) -> Counts:
    return [(each.buffer, each.records) for each in drained]
