"""Load one source: what its streams bring is sealed in the log, made into rows, and committed in batches."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from etl import __version__, schema
from etl.config import Settings
from etl.extract.forgotten import load
from etl.extract.log import RAW, Log, Run, StreamHead
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import (
    FORGET_GAPS,
    LIST_GAPS,
    REPLAY,
    THE_RUN,
    Action,
    Bundle,
    Checkpoint,
    End,
    Reread,
    Session,
    SourceContext,
    Stream,
)
from etl.extract.stream_reader import Ended, StreamReader
from etl.load.commit import Batch, Committer, accepted
from etl.load.known import stored_hashes
from etl.load.run_store import QuarantineEntry, RunStore, loaded_before
from etl.load.stream_stats import StreamStats
from etl.load.warehouse import Warehouse
from etl.pipeline.part_pipeline import Counts, PartPipeline, Steps
from etl.pipeline.stages import Stages
from etl.pipeline.stream_buffer import StreamBuffer
from etl.pipeline.transform_worker import TransformWorker
from etl.redact import Redactor
from etl.sources import source_module
from etl.transform.batch import Transformer
from etl.transform.forgetting import Forgetter
from etl.transform.part_rows import StreamBatch
from etl.transform.recognize import Recognizer, RecordHasher, steady
from etl.values import SECOND, Cursor, chunked, datetime_of, micros_of, moment

FOREVER_DAYS = 365_000
"""Days from which on none is so old: further back than a date can be."""
ENTRIES_AT_ONCE = 100
"""Refused records and files that are replayed by one part."""

Progress = Callable[[StreamStats, int], None]
"""Told the counts of a stream, and how many more records were received of it, whenever either grows."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """How much is received, and for how long, before it is passed on."""

    part_bytes: int = 8 * 2**20
    """Bytes received, of all streams together, that are sealed as one part: what a kill costs at most."""
    worth_bytes: int = 2 * 2**20
    """Bytes received from which on a process of its own for the rows is worth its start."""
    seal_every: timedelta = timedelta(seconds=5)
    """How long anything received waits at most to be sealed, also while an API is slow or silent."""
    batch_bytes: int = 32 * 2**20
    """Bytes received, or of the rows that were made of them, that are committed together."""
    commit_every: timedelta = timedelta(seconds=30)
    """How long a part waits at most to be committed."""


LOAD_LIMITS = LoadLimits()


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the loaders of one run share."""

    settings: Settings
    warehouse: Warehouse
    run_store: RunStore
    now: Callable[[], datetime]
    started: datetime
    progress: Progress
    reread: Reread | None = None
    """What is read again: no cursor moves, no gap is listed."""
    stages: Stages = field(default_factory=Stages)
    limits: LoadLimits = LOAD_LIMITS


class SourceLoader:
    """Loads one source during one run."""

    def __init__(self, context: RunContext, name: str) -> None:
        self._context = context
        self._warehouse = context.warehouse
        self._run_store = context.run_store
        self._now = context.now
        self._declared = schema.source(name)
        self._source = source_module(name)
        self._redact = Redactor(each.reveal() for each in context.settings.secrets)
        self._transformer = Transformer(self._source, self._declared)
        self._committer = Committer(
            context.warehouse, context.run_store, self._declared, self._transformer, self._redact
        )
        self._log = Log(context.settings.home / RAW / name)
        self._worker = TransformWorker(self._log, name)
        self._forgotten = load(context.settings.home)
        self._forgetter = Forgetter(self._declared, self._forgotten) if self._forgotten else None
        self._days = context.settings.raw_days
        run = Run(context.run_store.run_id, micros_of(context.started), __version__)
        # The first number is left out where something was loaded before there was a log.
        last = max(self._log.highest(), context.run_store.log_applied(name))
        last = last or int(loaded_before(context.warehouse, name))
        self._writer = LogWriter(self._log, run, f"{context.started:%Y-%m-%d}", last)
        self._batch_bytes = 0
        self._batch_since: datetime | None = None

    @property
    def name(self) -> str:
        """The source."""
        return self._declared.name

    @property
    def all_stats(self) -> list[StreamStats]:
        """The counts of each stream so far."""
        return self._committer.all_stats

    @property
    def newly_quarantined(self) -> int:
        """How many records and files were refused that never were before."""
        return self._committer.newly_quarantined

    @property
    def marked(self) -> dict[str, int]:
        """How many rows were marked, by as what."""
        return self._committer.marked

    @property
    def unknown(self) -> list[str]:
        """Undeclared fields met so far, as source.stream:place/field."""
        found = {*self._transformer.unknown(), *self._worker.unknown()}
        return [f"{self._declared.name}.{each}" for each in sorted(found)]

    def read(self, session: Session) -> None:
        """Read all streams of the source to their ends, each as far as it goes, and enter the outcome."""
        self._warehouse.connection.execute("SET threads = 1")
        context = self._context
        with closing(self._worker):
            for group in session.streams(
                SourceContext(
                    self._now, self._warehouse.ask, context.started, context.reread, self._forgotten.is_medium
                )
            ):
                self._read_group(group)
        if context.reread is None:
            self._list_gaps()
        self._prune()

    def _read_group(self, group: Sequence[Stream]) -> None:
        """Read streams side by side."""
        self._batch_bytes, self._batch_since = 0, None
        buffers = {
            id(stream): StreamBuffer(stream, self._stats(stream), Recognizer(), forgetter=self._forgetter)
            for stream in group
        }
        checkpoints = {key: self._open(each) for key, each in buffers.items()}
        at_once = self._context.settings.concurrency
        steps = Steps(
            self._writer,
            self._worker,
            self._committer,
            self._context.stages,
            self._now,
            self._applied,
            moves_cursors=self._context.reread is None,
        )
        with (
            PartPipeline(steps) as pipeline,
            StreamReader(group, lambda stream: checkpoints[id(stream)], at_once) as reading,
        ):
            for come in reading:
                if come is not None:
                    stream, request_stats, item = come
                    buffer = buffers[id(stream)]
                    buffer.stats.add_requests(request_stats)
                    buffer.add(self._bundle(item), self._now())
                    self._context.progress(buffer.stats, buffer.records)
                pipeline.check()
                self._work_off(buffers.values(), pipeline)
            pipeline.end([each.drain() for each in buffers.values()])

    def _bundle(self, item: Bundle | Ended) -> Bundle:
        if isinstance(item, Ended):
            return [End(self._redact(str(item.error)) if item.error else None)]
        return item

    def _stats(self, stream: Stream) -> StreamStats:
        return self._committer.opened(stream.name, stream.partition)

    def _open(self, buffer: StreamBuffer) -> Checkpoint:
        """Where a stream is to be read from; what is stored of it from there on will be recognized."""
        settings, stats, name = self._context.settings, buffer.stats, buffer.stream.name
        overlap, lag = (round(seconds * 1_000_000) for seconds in (settings.overlap, settings.lag))
        if (reread := self._context.reread) is not None:
            # APIs are asked up to whole seconds: what is left of the last one is wanted too.
            return Checkpoint(None, reread.start, -(-reread.end // SECOND) * SECOND)
        end = micros_of(self._now()) + buffer.stream.ahead - lag
        buffer.kind = self._declared.cursor_of(name)
        if buffer.kind != "time" or isinstance(stats.cursor, str):
            buffer.end = None
            self._recognize(buffer, stats.cursor)
            return Checkpoint(stats.cursor, 0, end)
        buffer.end = end
        if stats.cursor and stats.cursor - overlap >= end:
            stats.notice = (
                f"the cursor {moment(stats.cursor)} is not believed, for by all clocks it is yet to come: "
                "the stream is read from its beginning"
            )
            stats.cursor, buffer.starts_over = None, True
        start = max(0, (stats.cursor or 0) - overlap)
        self._recognize(buffer, start)
        done = self._run_store.ranges(stats.source, stats.stream, stats.partition)
        return Checkpoint(stats.cursor, start, end, done, end - overlap)

    def _recognize(self, buffer: StreamBuffer, since: Cursor | None) -> None:
        """Look up what is stored of a stream from there on, all of it where it brings all that there is."""
        if buffer.stats.cursor is None and not buffer.stream.is_list:
            # Of what is read for the first time, nothing is stored.
            return
        name = buffer.stream.name
        if buffer.stream.is_list:
            since = 0 if buffer.kind == "time" else None
        known = stored_hashes(self._warehouse, self._declared, name, since)
        hasher = RecordHasher(self._declared, name, steady(self._source))
        buffer.recognizer = Recognizer(hasher, known)

    def _work_off(self, buffers: Collection[StreamBuffer], pipeline: PartPipeline) -> None:
        """Pass on what was received once it is enough, or has waited for long."""
        now, size, limits = self._now(), sum(each.size for each in buffers), self._context.limits
        # What there is when the process begins is a part, so that it has something to do.
        begins = size >= limits.worth_bytes and self._worker.start()
        since = min((each.since for each in buffers if each.has_content and each.since), default=None)
        if since is not None:
            self._batch_since = self._batch_since or since
        is_part_due = since is not None and (
            begins or size >= limits.part_bytes or now - since >= limits.seal_every
        )
        is_batch_due = max(self._batch_bytes + size, pipeline.row_bytes) >= limits.batch_bytes or (
            self._batch_since is not None and now - self._batch_since >= limits.commit_every
        )
        if is_part_due or is_batch_due:
            self._batch_bytes += size
            if is_batch_due:
                self._batch_bytes, self._batch_since = 0, None
            pipeline.add([each.drain() for each in buffers], ends_batch=is_batch_due)

    def _applied(self, number: int | None, counts: Counts) -> None:
        """Note that records are committed, with the parts of the log up to a number."""
        for buffer, records in counts:
            buffer.records -= records
            self._context.progress(buffer.stats, buffer.records)
        if number is not None and self._days == 0:
            self._log.remove(number)

    def _list_gaps(self) -> None:
        """Bring the gaps of the source up to date."""
        failed = [
            {
                "stream": each.stream,
                "partition": each.partition,
                "what": f"what changed after {_or_beginning(each.shown_cursor)}",
                "error": each.error,
            }
            for each in self.all_stats
            if each.status == "failed"
        ]
        started = self._context.started
        if self._run_store.gaps_differ(self._declared.name, failed, started):
            self.act([Action(LIST_GAPS, {"failed": failed, "started_us": micros_of(started)})])

    def act(self, actions: Sequence[Action]) -> None:
        """Seal and commit what no stream delivers."""
        sealed_at = micros_of(self._now())
        part = self._writer.seal(
            [StreamHead(THE_RUN, "", 0)],
            [Received(0, sealed_at, actions)],
            sealed_at=sealed_at,
            ends_batch=True,
        )
        streams = [StreamBatch(THE_RUN, "", actions=list(actions))]
        self._committer.commit(Batch(datetime_of(sealed_at), streams, number=part.number))
        if self._days == 0:
            self._log.remove(part.number)

    def replay(self, found: Sequence[QuarantineEntry]) -> list[QuarantineEntry]:
        """Load what was refused and is accepted by now; what is refused still is given back."""
        is_accepted = {
            each.quarantine_id: accepted(self._warehouse, self._transformer, each) is not None
            for each in found
        }
        ids = [each for each, accepts in is_accepted.items() if accepts]
        for some in chunked(ids, len, ENTRIES_AT_ONCE, self._context.limits.part_bytes):
            if some:
                self.act([Action(REPLAY, {"quarantine_id": each}) for each in some])
        if ids:
            self.act([Action(FORGET_GAPS, {})])
        return [each for each in found if not is_accepted[each.quarantine_id]]

    def _prune(self) -> None:
        """Let go of what is older than the settings say, by the older of two clocks: one may be ahead."""
        today = self._context.started.date()
        before = self._run_store.day_before() or today
        oldest = min(today, before)
        if self._days is not None and self._days < FOREVER_DAYS:
            self._log.prune(
                oldest - timedelta(days=self._days), self._run_store.log_applied(self._declared.name)
            )
        days = self._context.settings.run_days
        # All runs are looked through: once a day is enough.
        if days is not None and days < FOREVER_DAYS and before != today:
            self._run_store.sum_up(datetime.combine(oldest - timedelta(days=days), time(), UTC))


def _or_beginning(cursor: Cursor | None) -> Cursor:
    return "the beginning" if cursor is None else cursor
