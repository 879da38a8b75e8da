"""Commit a batch of the log as one transaction: rows, history, quarantine, cursors, counts, place in the log.

What is committed follows from the batch and from the tables before it: no clock is asked, no API, no other
state. So a run, the run after one that was killed, and a rebuild make the same of the same parts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow.compute as pc

from etl import schema
from etl.errors import Unfit
from etl.extract.log import StreamHead
from etl.extract.stream import Action, Delivery, End, File, Page, Watermark
from etl.load.books import Books, Refusal, StreamStats, known_refusals, received
from etl.load.save import Stamp, save
from etl.load.warehouse import Warehouse
from etl.schema import Source
from etl.transform.batch import BEGINNING, Reject, Transformer, TransformResult, joined
from etl.values import datetime_of

LIST_GAPS = "list_gaps"
FORGET_GAPS = "forget_gaps"
REPLAY = "replay"
SETTLE_REFUSAL = "settle_refusal"
"""Actions that are more than one statement."""
MARK_RANGE = "mark_range_read"
THE_RUN = ""
"""The stream of what no stream delivered, but the run itself does."""


@dataclass(slots=True)
class StreamBatch:
    """What a batch holds of one stream."""

    name: str
    partition: str
    end: int = 0
    """Up to when it was asked for, in microseconds since 1970: its cursor never passes that."""
    newest: int | None = None
    """Newest time before that end among what the run has received of it."""
    starts_over: bool = False
    """Whether its cursor is not believed, and goes back to where the data is."""
    results: list[dict[str, TransformResult]] = field(default_factory=list)
    """The rows by stream, in the order in which their records came."""
    actions: list[Action] = field(default_factory=list)
    watermark: Watermark | None = None
    ended: End | None = None
    repeats: dict[str, int] = field(default_factory=dict)
    """By stream, records that came just as they are stored."""

    def _see(self, time: int | None) -> None:
        """Note the time of a record that lies before the end."""
        self.newest = max((each for each in (time, self.newest) if each is not None), default=None)

    def take(self, deliveries: Sequence[Delivery], transformer: Transformer, source: Source) -> None:
        """Add what a stream has delivered, its records and files as rows."""
        for each in deliveries:
            if isinstance(each, Action):
                self.actions.append(each)
            elif isinstance(each, Watermark):
                self.watermark = each
            elif isinstance(each, End):
                self.ended = each
        rows = [
            each for each in deliveries if isinstance(each, File) or (isinstance(each, Page) and each.records)
        ]
        if not rows:
            return
        self.results.append(transformer.transform(rows))
        for result in self.results[-1].values():
            # They are read several times: in one piece that takes half as long.
            result.tables = {name: each.combine_chunks() for name, each in result.tables.items()}
        table = next((one for one in source.of_stream(self.name) if one.version), None)
        cut = self.results[-1].get(self.name)
        if table is not None and cut is not None:
            times = cut.tables[table.name][table.version].cast("int64").drop_null()
            self._see(pc.max(times.filter(pc.less_equal(times, self.end))).as_py())

    def extend(self, later: "StreamBatch") -> None:
        """Add what came of the stream later."""
        self.results += later.results
        self.actions += later.actions
        self.watermark = later.watermark or self.watermark
        self.ended = later.ended or self.ended
        self.starts_over = self.starts_over or later.starts_over
        self._see(later.newest)
        for name, count in later.repeats.items():
            self.repeats[name] = self.repeats.get(name, 0) + count

    @property
    def has_content(self) -> bool:
        """Whether the tables may change by it; how far a range was read is of no use without its records."""
        return bool(self.results) or any(each.name != MARK_RANGE for each in self.actions)

    def merged(self) -> dict[str, TransformResult]:
        """The rows by stream."""
        names = dict.fromkeys(name for each in self.results for name in each)
        return {name: joined([each[name] for each in self.results if name in each]) for name in names}

    def last_actions(self) -> list[Action]:
        """The actions, of marks on one range the last alone."""
        marks = {each.parameters["start_us"]: each for each in self.actions if each.name == MARK_RANGE}
        return [each for each in self.actions if each.name != MARK_RANGE or each in marks.values()]


@dataclass(slots=True)
class Batch:
    """What is committed together."""

    loaded_at: datetime
    streams: list[StreamBatch] = field(default_factory=list)
    number: int | None = None
    """The last part of the log in it; None where the log holds nothing of it."""
    moves_cursors: bool = True


class Committer:
    """Commits batches of one source on behalf of one run."""

    def __init__(
        self,
        warehouse: Warehouse,
        books: Books,
        declared: Source,
        transformer: Transformer,
        redact: Callable[[str], str],
    ) -> None:
        self._warehouse = warehouse
        self._books = books
        self._declared = declared
        self._transformer = transformer
        self._redact = redact
        self._all_stats: dict[tuple[str, str], StreamStats] = {}
        self._feeds: dict[tuple[str, str], set[str]] = {}
        """By stream and partition, the streams that it feeds, itself among them."""
        self.newly_quarantined = 0
        """Records and files refused that never were before."""

    @property
    def all_stats(self) -> list[StreamStats]:
        """The counts of each stream so far."""
        return list(self._all_stats.values())

    def stats(self, stream: str, partition: str) -> StreamStats:
        """The counts of a stream."""
        return self._all_stats.setdefault(
            (stream, partition), StreamStats(self._declared.name, stream, partition)
        )

    def opened(self, stream: str, partition: str) -> StreamStats:
        """The counts of a stream that is opened, with its cursor."""
        stats = self.stats(stream, partition)
        stats.cursor = self._books.cursor(stats.source, stream, partition)
        return stats

    def resume(self, stream: str, partition: str) -> StreamStats:
        """The counts of a stream as an earlier commit of the same run has left them."""
        if (stream, partition) not in self._all_stats:
            found = self._books.entered(self._declared.name, stream, partition)
            if found is not None:
                self._all_stats[stream, partition] = found
            self.opened(stream, partition)
        return self.stats(stream, partition)

    def commit(self, batch: Batch) -> None:
        """Commit a batch, again from its beginning where DuckDB had too little memory for it."""
        merged = [each.merged() for each in batch.streams]
        self._warehouse.with_memory(lambda: self._write(batch, merged))
        # Apart from the write, which is committed whatever comes of this.
        self._warehouse.work_in_log()

    def is_quiet(self, batch: Batch) -> bool:
        """Whether a batch changes nothing but counts: no row, and no cursor."""
        return not any(each.has_content or self._moves(each) for each in batch.streams)

    def _moves(self, each: StreamBatch) -> bool:
        """Whether a stream moves its cursor, or makes an end of ranges that were read."""
        stats = self.stats(each.name, each.partition)
        is_over = each.ended is not None and each.ended.error is None
        ranges = is_over and self._books.stretches(stats.source, stats.stream, stats.partition)
        return bool(ranges) or self._reached(each, stats) != stats.cursor

    def _write(self, batch: Batch, merged: Sequence[Mapping[str, TransformResult]]) -> None:
        stamp = Stamp(self._books.run_id, batch.loaded_at)
        with self._counted(), self._warehouse.transaction():
            for name in dict.fromkeys(name for each in merged for name in each):
                some = [
                    (one, each[name]) for one, each in zip(batch.streams, merged, strict=True) if name in each
                ]
                self._save([(self.stats(name, one.partition), cut) for one, cut in some], stamp)
            for each in batch.streams:
                for action in each.last_actions():
                    if batch.moves_cursors or action.name != MARK_RANGE:
                        self._act(action, stamp)
            if any(each.has_content for each in batch.streams):
                self._settle()
            for each, cuts in zip(batch.streams, merged, strict=True):
                if each.name != THE_RUN:
                    self._enter(each, cuts, moves_cursor=batch.moves_cursors)
            if batch.number is not None:
                self._books.apply_log(self._declared.name, batch.number)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what is committed inside; where it fails, count nothing: it may be tried again."""
        all_stats = {key: replace(stats) for key, stats in self._all_stats.items()}
        new = self.newly_quarantined
        try:
            yield
        except BaseException:
            for key, stats in self._all_stats.items():
                stats.count_as(all_stats.get(key, StreamStats(self._declared.name, *key)))
            self.newly_quarantined = new
            raise

    def _save(self, cuts: Sequence[tuple[StreamStats, TransformResult]], stamp: Stamp) -> None:
        """Write what several partitions of one stream brought, and count it for each."""
        whole = joined([cut for _, cut in cuts])
        changes = save(self._warehouse.connection, self._declared, whole.tables, stamp)
        first = 0
        for stats, cut in cuts:
            outcome = changes.among(first, first + cut.ordinals)
            first += cut.ordinals
            rejects = list(map(self._redacted, cut.rejects))
            self.newly_quarantined += self._books.quarantine(stats, rejects, stamp.loaded_at)
            stats.fetched += cut.fetched
            stats.inserted += outcome.inserted
            stats.updated += outcome.updated
            stats.quarantined += len(cut.rejects)
            stats.unchanged += cut.fetched - outcome.inserted - outcome.updated - len(cut.rejects)

    def _redacted(self, reject: Reject) -> Reject:
        """What was refused, with a reason that shows no secret: reasons quote what is refused."""
        return replace(reject, why=Unfit(self._redact(reject.why.reason), self._redact(reject.why.path)))

    def _act(self, action: Action, stamp: Stamp) -> None:
        if action.name == LIST_GAPS:
            failed, started_us = action.parameters["failed"], action.parameters["started_us"]
            self._books.list_gaps(self._declared.name, failed, datetime_of(started_us))
        elif action.name == FORGET_GAPS:
            self._books.forget_gaps(self._declared.name)
        elif action.name == REPLAY:
            self._replay(action.parameters["quarantine_id"], stamp)
        elif action.name == SETTLE_REFUSAL:
            self._books.mark(**action.parameters)
        else:
            self._warehouse.run(self._statement(action.name), **action.parameters, now=stamp.loaded_at)

    def _statement(self, name: str) -> str:
        own = f"{self._declared.name}/{name}"
        return own if schema.has_statement(own) else f"etl/{name}"

    def _settle(self) -> None:
        """Let the source's own statements work out what follows from the rows that were written."""
        for statement in _after_load(self._declared.name):
            self._warehouse.run(statement, run_id=self._books.run_id)

    def _enter(self, each: StreamBatch, names: Iterable[str], *, moves_cursor: bool) -> None:
        """Enter how far a stream has come, and how it ended."""
        stats = self.stats(each.name, each.partition)
        feeds = self._feeds.setdefault((each.name, each.partition), {each.name})
        feeds |= {*names, *each.repeats}
        for name, count in each.repeats.items():
            self.stats(name, each.partition).fetched += count
            self.stats(name, each.partition).unchanged += count
        all_stats = [self.stats(name, each.partition) for name in sorted(feeds)]
        if each.ended:
            stats.error = each.ended.error
            for one in all_stats:
                one.status = "failed" if each.ended.error is not None else "ok"
            if each.watermark and each.watermark.notice:
                stats.notice = "; ".join(filter(None, [stats.notice, each.watermark.notice]))
        if moves_cursor:
            stats.cursor = self._reached(each, stats, forget=True)
        for one in all_stats:
            self._books.save(one)

    def _reached(self, each: StreamBatch, stats: StreamStats, *, forget: bool = False) -> int | None:
        """Where the cursor of a stream moves: it follows the data, but never past what may still come."""
        cursor = None if each.starts_over else stats.cursor
        reached = [each.watermark.at] if each.watermark else []
        if each.ended and each.ended.error is None:
            ranges = self._books.end_stretches if forget else self._books.newest_stretch
            reached = [*(reached or [each.newest]), ranges(stats.source, stats.stream, stats.partition)]
        if each.watermark and each.watermark.holds:
            return cursor
        return max(filter(None, [*reached, cursor]), default=None)

    def _replay(self, quarantine_id: str, stamp: Stamp) -> None:
        """Load what was refused and is accepted by now; what is stored meanwhile and newer stays."""
        for refusal in known_refusals(self._warehouse, [quarantine_id]):
            cut = accepted(self._warehouse, self._transformer, refusal)
            if refusal.state != "open" or cut is None:
                continue
            stats = self.stats(refusal.stream, refusal.partition)
            stats.status = "ok"
            self._save([(stats, cut)], replace(stamp, as_of=datetime_of(refusal.seen_us)))
            self._books.mark(refusal.quarantine_id, "replayed")
            self._books.save(stats)


def accepted(warehouse: Warehouse, transformer: Transformer, refusal: Refusal) -> TransformResult | None:
    """The rows of what was refused once; None where it still is, or is not kept whole."""
    if refusal.encoding == BEGINNING:
        return None
    (cut,) = transformer.transform([received(warehouse, refusal).delivery()]).values()
    return None if cut.rejects else cut


def stream_batch(head: StreamHead, repeats: Mapping[str, int] | None = None) -> StreamBatch:
    """The batch of a stream as it was opened, to which nothing is added yet."""
    batch = StreamBatch(head.name, head.partition, head.end, head.newest, head.starts_over)
    batch.repeats.update(repeats or {})
    return batch


def merge(parts: Iterable[Iterable[StreamBatch]]) -> list[StreamBatch]:
    """The streams of several parts, each once, with all that came of it in its order."""
    merged: dict[tuple[str, str], StreamBatch] = {}
    for each in (one for streams in parts for one in streams):
        known = merged.setdefault((each.name, each.partition), each)
        if known is not each:
            known.extend(each)
    return list(merged.values())


def _after_load(source: str) -> list[str]:
    folder = schema.folder("sql")
    found = sorted((folder / source / "after_load").glob("*.sql"))
    return [str(path.relative_to(folder).with_suffix("")) for path in found]
