"""Load one source: what its streams bring is sealed in the log, made into rows, and committed in batches."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from etl import __version__, schema
from etl.config import Settings
from etl.extract.log import RAW, Log, Run, StreamHead
from etl.extract.log_writer import LogWriter, Received
from etl.extract.reading import Ended, Reading
from etl.extract.stream import Action, Bundle, End, Position, Session, Stream, World
from etl.load.books import Books, Refusal, StreamStats, loaded_before
from etl.load.commit import (
    FORGET_GAPS,
    LIST_GAPS,
    REPLAY,
    THE_RUN,
    Batch,
    Committer,
    StreamBatch,
    accepted,
    merge,
    stream_batch,
)
from etl.load.known import stored_hashes
from etl.load.warehouse import Warehouse
from etl.redact import Redactor
from etl.registry import source_module
from etl.stages import Stages
from etl.stream_buffer import Drained, Newest, PartRows, PendingPart, StreamBuffer
from etl.transform.batch import Transformer
from etl.transform.recognize import Recognizer, RecordHasher
from etl.values import chunked, datetime_of, micros_of, moment

PART_BYTES = 8 * 2**20
"""Bytes received, of all streams together, that are sealed as one part: what a kill costs at most."""
SEAL_EVERY = timedelta(seconds=5)
"""How long anything received waits at most to be sealed, also while an API is slow or silent."""
BATCH_BYTES = 48 * 2**20
"""Bytes received that are committed together."""
COMMIT_EVERY = timedelta(seconds=30)
"""How long a part waits at most to be committed."""
FOREVER_DAYS = 365_000
"""Days from which on none is so old: further back than a date can be."""
PARTS_AT_ONCE = 2
"""Parts that are sealed and made into rows behind the one that is being received."""
REFUSALS_AT_ONCE = 100
"""Refused records and files that are replayed by one part."""

Progress = Callable[[StreamStats, int], None]
"""Told the counts of a stream, and how many more records were received of it, whenever either grows."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the loaders of one run share."""

    settings: Settings
    warehouse: Warehouse
    books: Books
    now: Callable[[], datetime]
    started: datetime
    progress: Progress
    span: tuple[int, int] | None = None
    """What is read again, from when to when in microseconds since 1970: no cursor moves, no gap is listed."""
    stages: Stages = field(default_factory=Stages)


class SourceLoader:
    """Loads one source during one run.

    The thread that asks, with the readers behind it, hands parts to two others side by side, one that seals
    them and one that makes rows of them; a last one commits what both are done with. Each waits for the next
    where that has enough to do.
    """

    def __init__(self, context: RunContext, name: str) -> None:
        self._context = context
        self._warehouse = context.warehouse
        self._books = context.books
        self._now = context.now
        self._declared = schema.source(name)
        self._source = source_module(name)
        self._redact = Redactor(each.reveal() for each in context.settings.secrets)
        self._transformer = Transformer(self._source, self._declared)
        self._committer = Committer(
            context.warehouse, context.books, self._declared, self._transformer, self._redact
        )
        self._log = Log(context.settings.home / RAW / name)
        self._days = context.settings.days("SIGHTGLASS_RAW_DAYS")
        run = Run(context.books.run_id, micros_of(context.started), __version__)
        # The first number is left out where something was loaded before there was a log.
        last = max(self._log.highest(), context.books.log_applied(name))
        last = last or int(loaded_before(context.warehouse, name))
        self._writer = LogWriter(self._log, run, f"{context.started:%Y-%m-%d}", last)
        self._parts: list[PendingPart] = []
        """The parts of the batch that is being received."""
        self._transformed: Future[PartRows] | None = None
        """The rows of the part before."""
        self._batch_bytes = 0
        self._batch_since: datetime | None = None
        self._committing: Future[None] | None = None
        self._moves = context.span is None
        self._newest: dict[tuple[str, str], int | None] = {}
        """By stream and partition, the newest time among what was received."""
        self._stages = context.stages

    @property
    def all_stats(self) -> list[StreamStats]:
        """The counts of each stream so far."""
        return self._committer.all_stats

    @property
    def newly_quarantined(self) -> int:
        """How many records and files were refused that never were before."""
        return self._committer.newly_quarantined

    @property
    def unknown(self) -> list[str]:
        """Undeclared fields met so far, as source.stream:place/field."""
        return [f"{self._declared.name}.{each}" for each in self._transformer.unknown()]

    def read(self, session: Session) -> None:
        """Read all streams of the source to their ends, each as far as it goes, and enter the outcome."""
        self._warehouse.connection.execute("SET threads = 1")
        context = self._context
        for group in session.streams(World(self._now, self._warehouse.ask, context.started, context.span)):
            self._read_group(group)
        if context.span is None:
            self._list_gaps()
        self._prune()

    def _read_group(self, group: Sequence[Stream]) -> None:
        """Read streams side by side."""
        buffers = {id(stream): StreamBuffer(stream, self._stats(stream), Recognizer()) for stream in group}
        positions = {key: self._open(each) for key, each in buffers.items()}
        at_once = self._context.settings.whole("SIGHTGLASS_CONCURRENCY")
        with (
            ThreadPoolExecutor(1, "seal") as self._seals,
            ThreadPoolExecutor(1, "transform") as self._transforms,
            ThreadPoolExecutor(1, "commit") as self._commits,
            Reading(group, lambda stream: positions[id(stream)], at_once) as reading,
        ):
            for come in reading:
                if come is not None:
                    stream, meter, item = come
                    buffer = buffers[id(stream)]
                    buffer.stats.metered(meter)
                    buffer.add(self._bundle(item), self._now())
                    self._context.progress(buffer.stats, buffer.records)
                self._work_off(buffers.values())
            self._end(buffers.values())

    def _bundle(self, item: Bundle | Ended) -> Bundle:
        if isinstance(item, Ended):
            return [End(self._redact(str(item.error)) if item.error else None)]
        return item

    def _stats(self, stream: Stream) -> StreamStats:
        return self._committer.opened(stream.name, stream.partition)

    def _open(self, buffer: StreamBuffer) -> Position:
        """Where a stream is to be read from; what is stored of it from there on will be recognized."""
        settings, stats = self._context.settings, buffer.stats
        overlap, lag = (
            round(settings.number(name) * 1_000_000) for name in ("SIGHTGLASS_OVERLAP", "SIGHTGLASS_LAG")
        )
        if self._context.span is not None:
            return Position(None, *self._context.span)
        buffer.end = micros_of(self._now()) + buffer.stream.ahead - lag
        if stats.cursor and stats.cursor - overlap >= buffer.end:
            stats.notice = (
                f"the cursor {moment(stats.cursor)} is not believed, for by all clocks it is yet to come: "
                "the stream is read from its beginning"
            )
            stats.cursor, buffer.starts_over = None, True
        start = max(0, (stats.cursor or 0) - overlap)
        if stats.cursor or buffer.stream.is_list:
            # Of what is read for the first time, nothing is stored.
            name, since = buffer.stream.name, 0 if buffer.stream.is_list else start
            known = stored_hashes(self._warehouse, self._declared, name, since)
            hasher = RecordHasher(self._declared, name, self._source.storable)
            buffer.recognizer = Recognizer(hasher, known)
        done = self._books.stretches(stats.source, stats.stream, stats.partition)
        return Position(stats.cursor, start, buffer.end, done, buffer.end - overlap)

    def _work_off(self, buffers: Collection[StreamBuffer]) -> None:
        """Seal what was received, and commit what is sealed, once it is enough or has waited for long."""
        for each in self._parts:
            if each.is_done:
                each.wait()
        if self._committing and self._committing.done():
            self._committed()
        now, size = self._now(), sum(each.size for each in buffers)
        since = min((each.since for each in buffers if each.has_content and each.since), default=None)
        if since is not None:
            self._batch_since = self._batch_since or since
        is_part_due = since is not None and (size >= PART_BYTES or now - since >= SEAL_EVERY)
        is_batch_due = self._batch_bytes + size >= BATCH_BYTES or (
            self._batch_since is not None and now - self._batch_since >= COMMIT_EVERY
        )
        if is_part_due or is_batch_due:
            self._batch_bytes += size
            self._seal([each.drain() for each in buffers], ends_batch=is_batch_due)

    def _end(self, buffers: Collection[StreamBuffer]) -> None:
        """Seal and commit all that is left of streams that have come to their ends."""
        drained = [each.drain() for each in buffers]
        if not self._parts and not any(each.has_content for each in drained):
            self._committed()
            quiet = Batch(self._now(), [self._rows_of(each) for each in drained], None, self._moves)
            if self._committer.is_quiet(quiet):
                # The log need not hold what changes no table.
                self._commit_batch(quiet, _counts(drained))
                return
        self._seal(drained, ends_batch=True)
        self._committed()

    def _seal(self, drained: Sequence[Drained], *, ends_batch: bool) -> None:
        """Have what was received sealed, and made into rows beside it; a batch is committed as one."""
        drained = [each.on_one_line() for each in drained]
        before = self._transformed
        self._transformed = self._transforms.submit(self._transform, drained)
        sealed = self._seals.submit(self._seal_part, drained, before, ends_batch=ends_batch)
        self._parts.append(PendingPart(sealed, self._transformed, _counts(drained)))
        if ends_batch:
            parts, self._parts, self._batch_bytes, self._batch_since = self._parts, [], 0, None
            self._committed()
            self._committing = self._commits.submit(self._commit, parts)
            return
        undone = [each for each in self._parts if not each.is_done]
        if len(undone) > PARTS_AT_ONCE:
            undone[0].wait()

    def _committed(self) -> None:
        """Wait until the batch before is committed; what went wrong with it is raised here."""
        if self._committing:
            self._committing.result()
            self._committing = None

    def _seal_part(
        self, drained: Sequence[Drained], before: Future[PartRows] | None, *, ends_batch: bool
    ) -> tuple[int, int]:
        """Seal a part: then no kill loses anything of it. Its number, and when it was sealed."""
        known: Newest = before.result().newest if before else {}
        sealed_at = micros_of(self._now())
        with self._stages.measured("log"):
            part = self._writer.seal(
                [each.head(known) for each in drained],
                (Received(by, at, bundle) for by, each in enumerate(drained) for at, bundle in each.received),
                sealed_at=sealed_at,
                ends_batch=ends_batch,
                moves_cursors=self._moves,
            )
        return part.number, sealed_at

    def _transform(self, drained: Sequence[Drained]) -> PartRows:
        """Make rows of a part."""
        with self._stages.measured("transform"):
            batches = [self._rows_of(each) for each in drained]
        return PartRows(batches, dict(self._newest))

    def _rows_of(self, drained: Drained) -> StreamBatch:
        """The rows, and all else, that a stream has delivered."""
        head = drained.head(self._newest)
        batch = stream_batch(head, drained.repeats)
        batch.take(
            [one for _, bundle in drained.received for one in bundle], self._transformer, self._declared
        )
        self._newest[head.name, head.partition] = batch.newest
        return batch

    def _commit(self, parts: Sequence[PendingPart]) -> None:
        sealed, rows = [each.sealed.result() for each in parts], [each.rows.result() for each in parts]
        number, sealed_at = sealed[-1]
        streams = merge([each.streams for each in rows])
        batch = Batch(datetime_of(sealed_at), streams, number, self._moves)
        self._commit_batch(batch, [one for each in parts for one in each.counts])
        if self._days == 0:
            self._log.remove(number)

    def _commit_batch(self, batch: Batch, counts: Iterable[tuple[StreamBuffer, int]]) -> None:
        with self._stages.measured("load"):
            self._committer.commit(batch)
        for buffer, records in counts:
            buffer.records -= records
            self._context.progress(buffer.stats, buffer.records)

    def _list_gaps(self) -> None:
        """Bring the gaps of the source up to date."""
        failed = [
            {
                "stream": each.stream,
                "partition": each.partition,
                "what": f"what changed after {moment(each.cursor) or 'the beginning'}",
                "error": each.error,
            }
            for each in self.all_stats
            if each.status == "failed"
        ]
        started = self._context.started
        if self._books.gaps_differ(self._declared.name, failed, started):
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
        self._committer.commit(Batch(datetime_of(sealed_at), streams, part.number))
        if self._days == 0:
            self._log.remove(part.number)

    def replay(self, found: Sequence[Refusal]) -> list[Refusal]:
        """Load what was refused and is accepted by now; what is refused still is given back."""
        is_accepted = {
            each.quarantine_id: accepted(self._warehouse, self._transformer, each) is not None
            for each in found
        }
        ids = [each for each, accepts in is_accepted.items() if accepts]
        for some in chunked(ids, len, REFUSALS_AT_ONCE, PART_BYTES):
            if some:
                self.act([Action(REPLAY, {"quarantine_id": each}) for each in some])
        if ids:
            self.act([Action(FORGET_GAPS, {})])
        return [each for each in found if not is_accepted[each.quarantine_id]]

    def _prune(self) -> None:
        if self._days is not None and self._days < FOREVER_DAYS:
            oldest = min(
                self._context.started.date(), self._books.day_before() or self._context.started.date()
            )
            self._log.prune(oldest - timedelta(days=self._days), self._books.log_applied(self._declared.name))


def _counts(drained: Iterable[Drained]) -> list[tuple[StreamBuffer, int]]:
    """The number of records taken out of each buffer; the records themselves are not kept any longer."""
    return [(each.buffer, each.records) for each in drained]
