"""Load one source: what its streams bring becomes archive, rows, quarantine, cursor and counts."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from etl import schema
from etl.config import Settings
from etl.extract.raw import Archive
from etl.extract.reading import Ended, Reading
from etl.extract.stream import Bundle, Delivery, Effect, File, Page, Position, Session, Stream, World
from etl.load.books import Books, Refusal, Tally
from etl.load.save import Stamp, save
from etl.load.warehouse import Warehouse
from etl.registry import source_module
from etl.transform.batch import Cut, Transformer
from etl.values import micros_of

BATCH_BYTES = 8 * 2**20
"""Bytes of records and files that wait to be loaded, of all streams together, before the largest batch is
committed: what a kill costs, and what memory holds."""

Progress = Callable[[Tally, int], None]
"""Told the counts of a stream, and how many more records have come of it, whenever either grows."""


@dataclass(slots=True)
class _Open:
    """A stream that is being read: what has come and is not loaded yet, and how far it is safe to resume."""

    stream: Stream
    tally: Tally
    names: set[str]
    """The streams it feeds, itself among them."""
    bundles: list[Bundle] = field(default_factory=list)
    size: int = 0
    records: int = 0
    newest: int | None = None
    """Newest time among the records loaded in this run."""
    ascending: bool = True
    """Whether no record so far was older than one before it: only then may the cursor move early."""

    def take(self, bundle: Bundle) -> None:
        """Add a bundle to what is not loaded yet."""
        self.bundles.append(bundle)
        self.ascending &= all(one.in_order for one in bundle if isinstance(one, Page))
        self.size += sum(map(_size, bundle))
        self.records += sum(len(one.records) for one in bundle if isinstance(one, Page))

    def see(self, times: pa.ChunkedArray) -> None:
        """Note the times of records in the order in which they came, in microseconds since 1970."""
        if len(times):
            in_order = pc.all(pc.greater_equal(times[1:], times[:-1])).as_py() is not False
            self.ascending &= in_order and (self.newest is None or times[0].as_py() >= self.newest)
            self.newest = max(pc.max(times).as_py(), self.newest or 0)


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
        self._declared = schema.source(name)
        self._transformer = Transformer(source_module(name), self._declared)
        self._archive = Archive(
            shared.settings.home / "raw" / name,
            shared.books.run_id,
            shared.now().date(),
            shared.settings.whole("SIGHTGLASS_RAW_DAYS"),
        )
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._newly_quarantined = 0
        self._committing: Future[None] | None = None

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
        return [f"{self._declared.name}.{each}" for each in self._transformer.unknown()]

    def read(self, session: Session) -> None:
        """Read all streams of the source to their ends, each as far as it goes, and enter the outcome."""
        for group in session.streams(World(self._now, self._warehouse.ask, self._started, self._span)):
            self._read_group(group)
        if self._span is None:
            failed = [tally for tally in self._tallies.values() if tally.status == "failed"]
            with self._warehouse.transaction():
                self._books.list_gaps(self._declared.name, failed, self._started)
        self._archive.prune()

    def _read_group(self, group: Sequence[Stream]) -> None:
        """Read streams side by side; all they bring is loaded here, by this one thread."""
        opened = {id(stream): self._open(stream) for stream in group}
        positions = {key: self._position(each) for key, each in opened.items()}
        at_once = self._settings.whole("SIGHTGLASS_CONCURRENCY")
        with (
            ThreadPoolExecutor(1, "commit") as self._committer,
            Reading(group, lambda stream: positions[id(stream)], at_once) as reading,
        ):
            for stream, meter, item in reading:
                each = opened[id(stream)]
                each.tally.metered(meter)
                if isinstance(item, Ended):
                    self._flush(each, item)
                else:
                    each.take(item)
                    if sum(one.size for one in opened.values()) >= BATCH_BYTES:
                        self._flush(max(opened.values(), key=lambda one: one.size))
                self._progress(each.tally, each.records)
            self._committed()

    def _open(self, stream: Stream) -> _Open:
        tally = self._tally(stream.name, stream.partition)
        tally.cursor = self._books.cursor(tally.source, tally.stream, tally.partition)
        return _Open(stream, tally, {stream.name})

    def _tally(self, stream: str, partition: str) -> Tally:
        return self._tallies.setdefault((stream, partition), Tally(self._declared.name, stream, partition))

    def _position(self, each: _Open) -> Position:
        overlap, lag = (
            round(self._settings.number(name) * 1_000_000)
            for name in ("SIGHTGLASS_OVERLAP", "SIGHTGLASS_LAG")
        )
        if self._span is not None:
            return Position(None, *self._span)
        cursor, end = each.tally.cursor, micros_of(self._now()) - lag
        done = self._books.stretches(each.tally.source, each.tally.stream, each.tally.partition)
        return Position(cursor, max(0, (cursor or 0) - overlap), end, done, end - overlap)

    def _flush(self, each: _Open, ended: Ended | None = None) -> None:
        """Commit what has come of a stream: raw archive first, then rows, quarantine, cursor, counts as one.

        With `ended` it is the last of it, and how the stream ended is entered too. One batch is committed
        while the next is read and transformed: DuckDB lets go of the interpreter.
        """
        deliveries = [delivery for bundle in each.bundles for delivery in bundle]
        self._archive.keep(deliveries)
        cuts = self._transformer.cut(deliveries)
        each.bundles, each.size, each.records = [], 0, 0
        self._committed()
        self._committing = self._committer.submit(self._commit, each, deliveries, cuts, ended)

    def _committed(self) -> None:
        """Wait until the batch before is committed; what went wrong with it is raised here."""
        if self._committing:
            self._committing.result()
            self._committing = None

    def _commit(
        self, each: _Open, deliveries: Sequence[Delivery], cuts: Mapping[str, Cut], ended: Ended | None
    ) -> None:
        stamp = Stamp(self._books.run_id, self._now())
        each.names |= cuts.keys()
        tallies = [self._tally(name, each.tally.partition) for name in sorted(each.names)]
        if ended:
            each.tally.error = str(ended.error) if ended.error else None
            for tally in tallies:
                tally.status = "failed" if ended.error else "ok"
        with self._warehouse.transaction():
            for name, cut in cuts.items():
                self._save(self._tally(name, each.tally.partition), cut, stamp)
            for delivery in deliveries:
                if isinstance(delivery, Effect):
                    self._warehouse.run(delivery.statement, **delivery.parameters, now=stamp.loaded_at)
            self._settle()
            self._move_cursor(each, cuts)
            for tally in tallies:
                self._books.save(tally)
        self._progress(each.tally, each.records)

    def replay(self, refusal: Refusal) -> bool:
        """Load what was refused, unless it is refused still; what is stored meanwhile and newer stays."""
        (cut,) = self._transformer.cut([refusal.delivery()]).values()
        if cut.rejects:
            return False
        tally = self._tally(refusal.stream, refusal.partition)
        tally.status = "ok"
        sent = datetime.fromtimestamp(refusal.seen_us / 1_000_000, UTC)
        with self._warehouse.transaction():
            self._save(tally, cut, Stamp(self._books.run_id, self._now(), as_of=sent))
            self._settle()
            self._books.mark(refusal, "replayed")
            self._books.save(tally)
        return True

    def _settle(self) -> None:
        """Let the source's own statements work out what follows from the rows that were written."""
        for statement in _after_load(self._declared.name):
            self._warehouse.run(statement, run_id=self._books.run_id)

    def _save(self, tally: Tally, cut: Cut, stamp: Stamp) -> None:
        outcome = save(self._warehouse.connection, self._declared, cut.tables, stamp)
        refused = len(cut.rejects)
        self._newly_quarantined += self._books.quarantine(tally, cut.rejects, stamp.loaded_at)
        tally.fetched += cut.fetched
        tally.inserted += outcome.inserted
        tally.updated += outcome.updated
        tally.quarantined += refused
        tally.unchanged += cut.fetched - outcome.inserted - outcome.updated - refused

    def _move_cursor(self, each: _Open, cuts: Mapping[str, Cut]) -> None:
        """Let the cursor follow the data, but never past something that may still come."""
        if self._span is not None:
            return
        table = next((t for t in self._declared.of_stream(each.stream.name) if t.version), None)
        cut = cuts.get(each.stream.name)
        if table is not None and cut is not None:
            each.see(cut.tables[table.name][table.version].cast("int64").drop_null())
        newest = each.newest
        if each.tally.status == "ok":
            tally = each.tally
            before = self._books.end_stretches(tally.source, tally.stream, tally.partition)
            newest = max(filter(None, (newest, before)), default=None)
        elif not each.ascending:
            return
        if newest is not None:
            each.tally.cursor = max(newest, each.tally.cursor or 0)


def _after_load(source: str) -> list[str]:
    folder = schema.folder("sql")
    found = sorted((folder / source / "after_load").glob("*.sql"))
    return [str(path.relative_to(folder).with_suffix("")) for path in found]


def _size(delivery: Delivery) -> int:
    if isinstance(delivery, Page):
        return sum(map(len, delivery.records))
    return len(delivery.body or b"") if isinstance(delivery, File) else 0
