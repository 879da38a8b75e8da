"""Extract, transform, load: the only module that knows all stages."""

import importlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from etl import schema
from etl.config import Settings
from etl.errors import BUG, INTERRUPTED, OK, QUARANTINED, SettingsError, SightglassError, SourceError, worst
from etl.extract.raw import Archive
from etl.extract.reading import Ended, Reading
from etl.extract.stream import Bundle, Delivery, Effect, File, Page, Position, Session, Source, Stream, World
from etl.load import lock
from etl.load.books import Books, Refusal, Tally, refusals
from etl.load.save import Stamp, save
from etl.load.warehouse import Warehouse, make_folder, open_for_writing
from etl.transform.batch import Cut, Transformer
from etl.values import micros_of

BATCH_BYTES = 16 * 2**20
"""Bytes of records and files that wait to be loaded, of all streams together, before the largest batch is
committed: what a kill costs, and what memory holds."""

Progress = Callable[[Tally, int], None]
"""Told the counts of a stream, and how many more records have come of it, whenever either grows."""


@dataclass(slots=True)
class Report:
    """What a run did."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None = None
    status: str = "running"
    exit_code: int = OK
    streams: list[Tally] = field(default_factory=list)
    newly_quarantined: int = 0
    unknown: list[str] = field(default_factory=list)
    """Undeclared fields met, as source.stream:place/field."""
    gaps: int = 0
    skipped: list[str] = field(default_factory=list)
    """Sources without credentials."""


def source_module(name: str) -> Source:
    """The module of a source, by the name of its schema file."""
    return cast("Source", importlib.import_module(f"etl.sources.{name}"))


def run(settings: Settings, wanted: Sequence[str], now: Callable[[], datetime], progress: Progress) -> Report:
    """Load what is new of the wanted sources, or of all with credentials; SightglassError where it cannot."""
    report = begun(now())
    with ExitStack() as stack:
        sessions = _connect(settings, wanted, report)
        for session in sessions.values():
            stack.callback(session.close)
        warehouse, books = stack.enter_context(entered(settings, report, now))
        shared = _Run(settings, warehouse, books, now, report.started_at, progress)
        for name, session in sessions.items():
            _Load(shared, name).read(session, report)
        _judge(report)
    return report


def replay(
    settings: Settings, ids: Sequence[str], now: Callable[[], datetime]
) -> tuple[Report, list[Refusal]]:
    """Load what was refused and is accepted now, of these ids or of all that is open; and what is not."""
    report = begun(now())
    still: list[Refusal] = []
    with entered(settings, report, now) as (warehouse, books):
        shared = _Run(settings, warehouse, books, now, report.started_at, lambda _tally, _pending: None)
        loads: dict[str, _Load] = {}
        # Newest first: what has no version of its own is not overwritten by what was sent before it.
        for refusal in reversed(refusals(warehouse, ids)):
            if refusal.state == "open":
                load = loads.setdefault(refusal.source, _Load(shared, refusal.source))
                if not load.replay(refusal):
                    still.append(refusal)
        with warehouse.transaction():
            for name in loads:
                books.forget_gaps(name)
        report.streams = [tally for load in loads.values() for tally in load.tallies]
        report.exit_code = QUARANTINED if still else OK
        report.status = "partial" if still else "ok"
    return report, still


def dismiss(settings: Settings, quarantine_id: str, now: datetime) -> None:
    """Close one refusal; SettingsError where there is none of this id."""
    with lock.hold(settings.home, now), closing(open_for_writing(settings.home)) as warehouse:
        (refusal,) = refusals(warehouse, [quarantine_id])
        Books(warehouse, refusal.run_id).mark(refusal, "dismissed")


def begun(now: datetime) -> Report:
    """The report of a run that begins, with a name for it."""
    return Report(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", now)


@contextmanager
def entered(
    settings: Settings, report: Report, now: Callable[[], datetime]
) -> Iterator[tuple[Warehouse, Books]]:
    """The warehouse, held by this run alone, and its books, where beginning and end of it are entered."""
    make_folder(settings.home)
    with lock.hold(settings.home, report.started_at), closing(open_for_writing(settings.home)) as warehouse:
        books = Books(warehouse, report.run_id)
        books.start(report.started_at)
        try:
            yield warehouse, books
        except BaseException as error:
            # Where even this cannot be written, the next run enters it.
            with suppress(SightglassError):
                books.finish(now(), "failed", _code(error), report.unknown)
            raise
        report.gaps = books.gaps()
        report.finished_at = now()
        books.finish(report.finished_at, report.status, report.exit_code, report.unknown)


def _code(error: BaseException) -> int:
    """The exit code with which the command will leave because of this."""
    if isinstance(error, SightglassError):
        return error.exit_code
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else BUG


def _connect(settings: Settings, wanted: Sequence[str], report: Report) -> dict[str, Session]:
    """A session with each wanted source; those without credentials are skipped, unless asked for by name."""
    sessions = {}
    for name in wanted or schema.names():
        if name not in schema.names():
            raise SettingsError(f"{name} is no source; known are {', '.join(schema.names())}")
        session = source_module(name).connect(settings)
        if session is not None:
            sessions[name] = session
            continue
        if wanted:
            raise SettingsError(f"{name} has no credentials: set {source_module(name).LOGIN}")
        report.skipped.append(name)
    if not sessions:
        each = "; for ".join(f"{name} set {source_module(name).LOGIN}" for name in schema.names())
        raise SettingsError(f"no source has credentials: for {each}; or try `sightglass demo`")
    return sessions


def _judge(report: Report) -> None:
    """Set status and exit code from what happened to the streams."""
    failed = [tally for tally in report.streams if tally.status == "failed"]
    codes = [SourceError.exit_code] * bool(failed) + [QUARANTINED] * bool(report.newly_quarantined)
    report.exit_code = worst(codes)
    report.status = "ok"
    if codes:
        report.status = "failed" if failed and len(failed) == len(report.streams) else "partial"


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
        self.size += sum(map(_size, bundle))
        self.records += sum(len(one.records) for one in bundle if isinstance(one, Page))

    def see(self, times: pa.ChunkedArray) -> None:
        """Note the times of records in the order in which they came, in microseconds since 1970."""
        if len(times):
            in_order = pc.all(pc.greater_equal(times[1:], times[:-1])).as_py() is not False
            self.ascending &= in_order and (self.newest is None or times[0].as_py() >= self.newest)
            self.newest = max(pc.max(times).as_py(), self.newest or 0)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the loads of one run share."""

    settings: Settings
    warehouse: Warehouse
    books: Books
    now: Callable[[], datetime]
    started: datetime
    progress: Progress


class _Load:
    """Loads one source during one run."""

    def __init__(self, run: _Run, name: str) -> None:
        self._settings = run.settings
        self._warehouse = run.warehouse
        self._books = run.books
        self._now = run.now
        self._started = run.started
        self._progress = run.progress
        self._declared = schema.source(name)
        self._transformer = Transformer(source_module(name), self._declared)
        self._archive = Archive(
            run.settings.home / "raw" / name,
            run.books.run_id,
            run.now().date(),
            run.settings.whole("SIGHTGLASS_RAW_DAYS"),
        )
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._newly_quarantined = 0

    @property
    def tallies(self) -> list[Tally]:
        """The counts of each stream so far."""
        return list(self._tallies.values())

    def read(self, session: Session, report: Report) -> None:
        """Read all streams of the source to their ends, each as far as it goes, and enter the outcome."""
        try:
            for group in session.streams(World(self._now, self._warehouse.ask, self._started)):
                self._read_group(group)
        finally:
            report.streams += self._tallies.values()
            report.newly_quarantined += self._newly_quarantined
            report.unknown += [f"{self._declared.name}.{each}" for each in self._transformer.unknown()]
        failed = [tally for tally in self._tallies.values() if tally.status == "failed"]
        with self._warehouse.transaction():
            self._books.list_gaps(self._declared.name, failed, self._started)
        self._archive.prune()

    def _read_group(self, group: Sequence[Stream]) -> None:
        """Read streams side by side; all they bring is loaded here, by this one thread."""
        opened = {id(stream): self._open(stream) for stream in group}
        positions = {key: self._position(each) for key, each in opened.items()}
        at_once = self._settings.whole("SIGHTGLASS_CONCURRENCY")
        with Reading(group, lambda stream: positions[id(stream)], at_once) as reading:
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
        cursor = each.tally.cursor
        return Position(cursor, max(0, (cursor or 0) - overlap), micros_of(self._now()) - lag)

    def _flush(self, each: _Open, ended: Ended | None = None) -> None:
        """Commit what has come of a stream: raw archive first, then rows, quarantine, cursor, counts as one.

        With `ended` it is the last of it, and how the stream ended is entered too.
        """
        deliveries = [delivery for bundle in each.bundles for delivery in bundle]
        self._archive.keep(deliveries)
        cuts = self._transformer.cut(deliveries)
        stamp = Stamp(self._books.run_id, self._now())
        each.bundles, each.size, each.records = [], 0, 0
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
        table = next((t for t in self._declared.of_stream(each.stream.name) if t.version), None)
        cut = cuts.get(each.stream.name)
        if table is not None and cut is not None:
            each.see(cut.tables[table.name][table.version].cast("int64").drop_null())
        if each.newest is not None and (each.ascending or each.tally.status == "ok"):
            each.tally.cursor = max(each.newest, each.tally.cursor or 0)


def _after_load(source: str) -> list[str]:
    folder = schema.folder("sql")
    found = sorted((folder / source / "after_load").glob("*.sql"))
    return [str(path.relative_to(folder).with_suffix("")) for path in found]


def _size(delivery: Delivery) -> int:
    if isinstance(delivery, Page):
        return sum(map(len, delivery.records))
    return len(delivery.body or b"") if isinstance(delivery, File) else 0
