"""Load one source: what its streams bring becomes archive, rows, quarantine, cursor and counts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from etl import schema
from etl.aside import Aside, Cuts
from etl.config import Settings
from etl.errors import Unfit
from etl.extract.raw import Archive
from etl.extract.reading import Reading
from etl.extract.stream import Delivery, Position, Session, Stream, World
from etl.load.books import Books, Refusal, Tally, received
from etl.load.save import Stamp, save
from etl.load.warehouse import Warehouse
from etl.redact import Redactor
from etl.registry import source_module
from etl.transform.batch import BEGINNING, Cut, Reject, Transformer, joined
from etl.values import micros_of, moment
from etl.waiting import Batch, Waiting

BATCH_BYTES = 16 * 2**20
"""Bytes of records and files that wait to be loaded, of all streams together, before they are
committed: what a kill costs. They wait as rows, which are smaller."""

RAW_PART = 8
"""What part of that may wait as it was received."""

LARGE = 2**20
"""Bytes received from which on a process of its own is worth its start: what follows is transformed there."""

PATIENCE = timedelta(seconds=5)
"""How long what has come waits at most: an API that is slow, or silent, must not put off a commit."""

Progress = Callable[[Tally, int], None]
"""Told the counts of a stream, and how many more records have come of it, whenever either grows."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the loads of one run share."""

    settings: Settings
    warehouse: Warehouse
    books: Books
    now: Callable[[], datetime]
    started: datetime
    progress: Progress
    span: tuple[int, int] | None = None
    """What is read again, from when to when in microseconds since 1970: no cursor moves, no gap is listed."""


class Load:
    """Loads one source during one run."""

    def __init__(self, shared: Shared, name: str) -> None:
        self._settings = shared.settings
        self._warehouse = shared.warehouse
        self._books = shared.books
        self._now = shared.now
        self._started = shared.started
        self._progress = shared.progress
        self._span = shared.span
        self._redact = Redactor(each.reveal() for each in self._settings.secrets)
        self._declared = schema.source(name)
        self._transformer = Transformer(source_module(name), self._declared)
        self._aside: Aside | None = None
        self._received = 0
        self._archive = Archive(
            shared.settings.home / "raw" / name,
            shared.books.run_id,
            shared.now().date(),
            shared.settings.whole("SIGHTGLASS_RAW_DAYS"),
        )
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._newly_quarantined = 0
        self._writing: Future[None] | None = None

    @property
    def tallies(self) -> list[Tally]:
        """The counts of each stream so far."""
        return list(self._tallies.values())

    @property
    def newly_quarantined(self) -> int:
        """How many records and files were refused that never were before."""
        return self._newly_quarantined

    @property
    def unknown(self) -> list[str]:
        """Undeclared fields met so far, as source.stream:place/field."""
        met = {*self._transformer.unknown(), *(self._aside.unknown() if self._aside else ())}
        return [f"{self._declared.name}.{each}" for each in sorted(met)]

    def read(self, session: Session) -> None:
        """Read all streams of the source to their ends, each as far as it goes, and enter the outcome."""
        self._warehouse.connection.execute("SET threads = 1")
        try:
            for group in session.streams(World(self._now, self._warehouse.ask, self._started, self._span)):
                self._read_group(group)
        finally:
            if self._aside:
                self._aside.close()
        if self._span is None:
            failed = [tally for tally in self._tallies.values() if tally.status == "failed"]
            with self._warehouse.transaction():
                self._books.list_gaps(self._declared.name, failed, self._started)
        self._archive.prune(self._books.day_before())

    def _read_group(self, group: Sequence[Stream]) -> None:
        """Read streams side by side; one thread makes rows of what they bring, another writes them."""
        opened = {id(stream): self._open(stream) for stream in group}
        positions = {key: self._position(each) for key, each in opened.items()}
        at_once = self._settings.whole("SIGHTGLASS_CONCURRENCY")
        with (
            ThreadPoolExecutor(1, "cut") as self._cutter,
            ThreadPoolExecutor(1, "write") as self._writer,
            Reading(group, lambda stream: positions[id(stream)], at_once) as reading,
        ):
            for come in reading:
                if come is None:
                    self._work_off(opened.values())
                    if self._writing and self._writing.done():
                        self._written()
                    continue
                stream, meter, item = come
                each = opened[id(stream)]
                each.tally.metered(meter)
                each.take(item, self._now())
                self._work_off(opened.values())
                self._progress(each.tally, each.records)
            self._flush(opened.values())
            self._written()

    def _work_off(self, opened: Iterable[Waiting]) -> None:
        """Make rows of what waits, and commit them, once there is enough or it has waited for long."""
        if sum(one.raw_size for one in opened) >= BATCH_BYTES / RAW_PART:
            self._cut(max(opened, key=lambda one: one.raw_size))
        oldest = min((one.since for one in opened if one.since), default=None)
        if sum(one.size for one in opened) >= BATCH_BYTES or (oldest and self._now() - oldest >= PATIENCE):
            self._flush(opened)

    def _open(self, stream: Stream) -> Waiting:
        tally = self._tally(stream.name, stream.partition)
        tally.cursor = self._books.cursor(tally.source, tally.stream, tally.partition)
        return Waiting(stream, tally, {stream.name})

    def _tally(self, stream: str, partition: str) -> Tally:
        return self._tallies.setdefault((stream, partition), Tally(self._declared.name, stream, partition))

    def _position(self, each: Waiting) -> Position:
        overlap, lag = (
            round(self._settings.number(name) * 1_000_000)
            for name in ("SIGHTGLASS_OVERLAP", "SIGHTGLASS_LAG")
        )
        if self._span is not None:
            return Position(None, *self._span)
        tally, each.end = each.tally, micros_of(self._now()) + each.stream.ahead - lag
        if tally.cursor and tally.cursor - overlap >= each.end:
            tally.notice = (
                f"the cursor {moment(tally.cursor)} is not believed, for by all clocks it is yet to come: "
                "the stream is read from its beginning"
            )
            tally.cursor = None
        start = max(0, (tally.cursor or 0) - overlap)
        done = self._books.stretches(tally.source, tally.stream, tally.partition)
        return Position(tally.cursor, start, each.end, done, each.end - overlap)

    def _cut(self, each: Waiting) -> None:
        """Have rows made of what has come of a stream, and have it archived."""
        self._received += each.raw_size
        made: Future[Cuts] = Future()
        each.parts.append(made)
        self._cutter.submit(self._keep_and_transform, each.to_cut(), made)

    def _keep_and_transform(self, deliveries: Sequence[Delivery], made: Future[Cuts]) -> None:
        try:
            if self._aside is None and self._received > LARGE:
                self._aside = Aside(self._declared.name)
            self._archive.keep(deliveries)
            if self._aside:
                self._aside.put(deliveries, made)
            else:
                made.set_result(self._transformer.cut(deliveries))
        except BaseException as error:  # noqa: BLE001 -- raised by whoever waits for it
            made.set_exception(error)

    def _flush(self, opened: Iterable[Waiting]) -> None:
        """Commit what has come: raw archive first, then rows, quarantine, cursors, counts as one.

        One batch is committed while the next is read and transformed.
        """
        waiting = [each for each in opened if each.since]
        for each in waiting:
            self._cut(each)
        batches = [each.to_commit() for each in waiting]
        sealed = self._cutter.submit(self._archive.seal)
        self._written()
        if batches:
            self._writing = self._writer.submit(self._commit, batches, sealed)

    def _written(self) -> None:
        """Wait until the batch before is committed; what went wrong with it is raised here."""
        if self._writing:
            self._writing.result()
            self._writing = None

    def _commit(self, batches: Sequence[Batch], sealed: Future[None]) -> None:
        cuts = [batch.cuts() for batch in batches]
        sealed.result()
        self._warehouse.with_memory(lambda: self._write(batches, cuts))
        # Apart from the write, which is committed whatever comes of this.
        self._warehouse.work_in_log()
        for batch in batches:
            self._progress(batch.of.tally, batch.of.records)

    def _write(self, batches: Sequence[Batch], cuts: Sequence[Mapping[str, Cut]]) -> None:
        stamp = Stamp(self._books.run_id, self._now())
        with self._counted([batch.of for batch in batches]), self._warehouse.transaction():
            for stream in dict.fromkeys(name for each in cuts for name in each):
                some = [
                    (batch, each[stream]) for batch, each in zip(batches, cuts, strict=True) if stream in each
                ]
                self._save(
                    [(self._tally(stream, batch.of.tally.partition), cut) for batch, cut in some], stamp
                )
            for batch in batches:
                for effect in batch.effects:
                    self._warehouse.run(effect.statement, **effect.parameters, now=stamp.loaded_at)
            self._settle()
            for batch, each in zip(batches, cuts, strict=True):
                self._enter(batch, each)

    @contextmanager
    def _counted(self, streams: Sequence[Waiting]) -> Iterator[None]:
        """Count what is committed inside; where it fails, count nothing: it may be tried again."""
        tallies = {key: replace(tally) for key, tally in self._tallies.items()}
        before, new = [each.entered() for each in streams], self._newly_quarantined
        try:
            yield
        except BaseException:
            for key, tally in self._tallies.items():
                tally.count_as(tallies.get(key, Tally(self._declared.name, *key)))
            for each, known in zip(streams, before, strict=True):
                each.enter(known)
            self._newly_quarantined = new
            raise

    def _enter(self, batch: Batch, cuts: Mapping[str, Cut]) -> None:
        """Enter how far a stream has come, and how it ended."""
        each, ended = batch.of, batch.ended
        each.names |= cuts.keys()
        tallies = [self._tally(name, each.tally.partition) for name in sorted(each.names)]
        if ended:
            each.tally.error = self._redact(str(ended.error)) if ended.error else None
            for tally in tallies:
                tally.status = "failed" if ended.error else "ok"
        self._move_cursor(batch, cuts)
        for tally in tallies:
            self._books.save(tally)

    def replay(self, refusal: Refusal) -> bool:
        """Load what was refused, unless it is refused still; what is stored meanwhile and newer stays."""
        if refusal.encoding == BEGINNING:
            return False
        delivery = received(self._warehouse, refusal).delivery()
        (cut,) = self._transformer.cut([delivery]).values()
        if cut.rejects:
            return False
        tally = self._tally(refusal.stream, refusal.partition)
        tally.status = "ok"
        sent = datetime.fromtimestamp(refusal.seen_us / 1_000_000, UTC)

        def write() -> None:
            with self._counted([]), self._warehouse.transaction():
                self._save([(tally, cut)], Stamp(self._books.run_id, self._now(), as_of=sent))
                self._settle()
                self._books.mark(refusal, "replayed")
                self._books.save(tally)

        self._warehouse.with_memory(write)
        return True

    def _settle(self) -> None:
        """Let the source's own statements work out what follows from the rows that were written."""
        for statement in _after_load(self._declared.name):
            self._warehouse.run(statement, run_id=self._books.run_id)

    def _save(self, cuts: Sequence[tuple[Tally, Cut]], stamp: Stamp) -> None:
        """Write what several partitions of one stream brought, and count it for each."""
        whole = joined([cut for _, cut in cuts])
        changes = save(self._warehouse.connection, self._declared, whole.tables, stamp)
        first = 0
        for tally, cut in cuts:
            outcome = changes.among(first, first + cut.ordinals)
            first += cut.ordinals
            rejects = list(map(self._redacted, cut.rejects))
            self._newly_quarantined += self._books.quarantine(tally, rejects, stamp.loaded_at)
            tally.fetched += cut.fetched
            tally.inserted += outcome.inserted
            tally.updated += outcome.updated
            tally.quarantined += len(cut.rejects)
            tally.unchanged += cut.fetched - outcome.inserted - outcome.updated - len(cut.rejects)

    def _redacted(self, reject: Reject) -> Reject:
        """What was refused, with a reason that shows no secret: reasons quote what is refused."""
        return replace(reject, why=Unfit(self._redact(reject.why.reason), self._redact(reject.why.path)))

    def _move_cursor(self, batch: Batch, cuts: Mapping[str, Cut]) -> None:
        """Let the cursor follow the data, but never past something that may still come."""
        each, tally, watermark = batch.of, batch.of.tally, batch.watermark
        if batch.ended and watermark and watermark.notice:
            tally.notice = "; ".join(filter(None, [tally.notice, watermark.notice]))
        if self._span is not None:
            return
        table = next((t for t in self._declared.of_stream(each.stream.name) if t.version), None)
        cut = cuts.get(each.stream.name)
        if table is not None and cut is not None:
            each.see(cut.tables[table.name][table.version].cast("int64").drop_null(), each.end)
        reached = [watermark.at] if watermark else []
        if tally.status == "ok":
            before = self._books.end_stretches(tally.source, tally.stream, tally.partition)
            reached = [*(reached or [each.newest]), before]
        if not (watermark and watermark.holds):
            tally.cursor = max(filter(None, [*reached, tally.cursor]), default=None)


def _after_load(source: str) -> list[str]:
    folder = schema.folder("sql")
    found = sorted((folder / source / "after_load").glob("*.sql"))
    return [str(path.relative_to(folder).with_suffix("")) for path in found]
