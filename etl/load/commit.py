"""Commit a batch of the log as one transaction: rows, history, quarantine, cursors, counts, place in the log.

What is committed follows from the batch and from the tables before it: no clock is asked, no API, no other
state. So a run, the run after one that was killed, and a rebuild make the same of the same parts.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from etl import schema
from etl.errors import RecordError
from etl.extract.stream import (
    BEGIN_REFRESH,
    END_REFRESH,
    FORGET_GAPS,
    LIST_GAPS,
    MARK_RANGE,
    REPLAY,
    SETTLE_QUARANTINE,
    THE_RUN,
    Action,
)
from etl.load.after_load import after_load
from etl.load.refreshing import Asked, Departure, Refreshing
from etl.load.run_store import QuarantineEntry, RunStore, known_entries, received
from etl.load.save import Lineage, save
from etl.load.stream_stats import StreamStats
from etl.load.warehouse import LOG_BYTES, Warehouse
from etl.schema import Source
from etl.transform.batch import BEGINNING, RejectedRecord, Transformer, TransformResult
from etl.transform.part_rows import Contribution, RowSet, StreamBatch
from etl.values import Cursor, datetime_of, fits, furthest

MARK = "mark_"
"""How the name of an action of a source begins that marks rows; what follows is as what."""


@dataclass(slots=True)
class Batch:
    """What is committed together."""

    loaded_at: datetime
    streams: list[StreamBatch] = field(default_factory=list)
    rows: RowSet = field(default_factory=RowSet)
    number: int | None = None
    """The last part of the log in it; None where the log holds nothing of it."""
    moves_cursors: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """What of a source a committer is given, and what it must be told of the rest."""

    keeps: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """Returns of tables of one stream the rows that are in it."""
    may_go: Callable[[Departure, float], bool] = Departure.is_usual
    """Whether rows that were not read anew go, of which no more than a share of all may."""


class Committer:
    """Commits batches of one source on behalf of one run."""

    share = Share()
    """All of it, unless rows are spread over several."""

    def __init__(
        self,
        warehouse: Warehouse,
        run_store: RunStore,
        declared: Source,
        transformer: Transformer,
        redact: Callable[[str], str],
    ) -> None:
        self._warehouse = warehouse
        self._run_store = run_store
        self._declared = declared
        self._transformer = transformer
        self._redact = redact
        self._all_stats: dict[tuple[str, str], StreamStats] = {}
        self._feeds: dict[tuple[str, str], set[str]] = {}
        """By stream and partition, the streams that it feeds, itself among them."""
        self.marked: dict[str, int] = {}
        """Rows that actions of the source have marked, by as what (deleted, listed)."""
        self._refreshing = Refreshing(warehouse, run_store.run_id, declared)
        self.newly_quarantined = 0
        """Records and files refused that never were before."""

    @property
    def all_stats(self) -> list[StreamStats]:
        """The counts of each stream so far."""
        return list(self._all_stats.values())

    def stats(self, stream: str, partition: str) -> StreamStats:
        """Return the counts of a stream."""
        return self._all_stats.setdefault(
            (stream, partition), StreamStats(self._declared.name, stream, partition)
        )

    def opened(self, stream: str, partition: str) -> StreamStats:
        """Return the counts of a stream that is opened, with its cursor."""
        stats = self.stats(stream, partition)
        stats.cursor = self._run_store.cursor(stats.source, stream, partition)
        return stats

    def resume(self, stream: str, partition: str) -> StreamStats:
        """Return the counts of a stream as an earlier commit of the same run has left them."""
        if (stream, partition) not in self._all_stats:
            found = self._run_store.entered(self._declared.name, stream, partition)
            if found is not None:
                self._all_stats[stream, partition] = found
            self.opened(stream, partition)
        return self.stats(stream, partition)

    def commit(self, batch: Batch) -> None:
        """Commit a batch, again from its beginning where DuckDB had too little memory for it."""
        self._warehouse.with_memory(lambda: self._write(batch))
        # Apart from the write, which is committed whatever comes of this.
        self._warehouse.work_in_log(LOG_BYTES)

    def is_quiet(self, batch: Batch) -> bool:
        """Whether a batch changes nothing but counts: no row, and no cursor."""
        return not any(each.has_content or self._moves(each) for each in batch.streams)

    def _moves(self, each: StreamBatch) -> bool:
        """Whether a stream moves its cursor, or makes an end of ranges that were read."""
        stats = self.stats(each.name, each.partition)
        is_over = each.ended is not None and each.ended.error is None
        ranges = is_over and self._run_store.ranges(stats.source, stats.stream, stats.partition)
        return bool(ranges) or self._reached(each, stats) != stats.cursor

    def _write(self, batch: Batch) -> None:
        lineage = Lineage(self._run_store.run_id, batch.loaded_at)
        with self._counted(), self._warehouse.transaction():
            self._begin_refreshes(batch.streams)
            for name in batch.rows.tables:
                brought = [
                    (self.stats(name, each.partition), each.contributions[name])
                    for each in batch.streams
                    if name in each.contributions
                ]
                rows = batch.rows.joined(name)
                self._refreshing.see(name, rows)
                self._save(rows, brought, lineage)
            for each in batch.streams:
                self._act_all(each, lineage)
            if batch.moves_cursors:
                self._run_store.mark_ranges([mark for each in batch.streams for mark in each.last_marks()])
            self._settle({name for each in batch.streams if each.has_content for name in each.brought})
            self._enter_all(batch)
            if batch.number is not None:
                self._run_store.apply_log(self._declared.name, batch.number)

    def _begin_refreshes(self, streams: Iterable[StreamBatch]) -> None:
        """Note which streams are read anew, before the first of their rows."""
        for each in streams:
            if any(action.name == BEGIN_REFRESH for action in each.actions):
                self._refreshing.begin(each.name)

    def _act_all(self, each: StreamBatch, lineage: Lineage) -> None:
        for action in each.actions:
            if action.name == END_REFRESH and each.name != THE_RUN:
                self._take_away(self.stats(each.name, each.partition), action, lineage)
            elif action.name != MARK_RANGE:
                self._act(action, lineage)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what is committed inside; where it fails, count nothing: it may be tried again."""
        all_stats = {key: replace(stats) for key, stats in self._all_stats.items()}
        new, marked = self.newly_quarantined, dict(self.marked)
        try:
            yield
        except BaseException:
            for key, stats in self._all_stats.items():
                stats.count_as(all_stats.get(key, StreamStats(self._declared.name, *key)))
            self.newly_quarantined, self.marked = new, marked
            raise

    def _save(
        self,
        tables: Mapping[str, Any],
        brought: Iterable[tuple[StreamStats, Contribution]],
        lineage: Lineage,
    ) -> None:
        """Write what several partitions of one stream brought, and count it for each."""
        changes = save(self._warehouse.connection, self._declared, tables, lineage)
        for stats, each in brought:
            rejected = list(map(self._redacted, each.rejected))
            self.newly_quarantined += self._run_store.quarantine(stats, rejected, lineage.loaded_at)
            outcome = changes.among(each.numbers)
            stats.fetched += each.fetched
            stats.inserted += outcome.inserted
            stats.updated += outcome.updated
            stats.quarantined += len(each.rejected)
            stats.unchanged += each.fetched - outcome.inserted - outcome.updated - len(each.rejected)

    def _redacted(self, reject: RejectedRecord) -> RejectedRecord:
        """Return what was refused, with a reason that shows no secret: reasons quote what is refused."""
        return replace(
            reject, why=RecordError(self._redact(reject.why.reason), self._redact(reject.why.path))
        )

    def _take_away(self, stats: StreamStats, action: Action, lineage: Lineage) -> None:
        """Take away what a stream that was read anew has not brought, where it is sure that it is gone."""
        is_mixed = any(mixed for _, mixed in self._warehouse.run("etl/account", source=stats.source))
        if stats.quarantined or is_mixed:
            why = "data of another account are there too" if is_mixed else "some of it was refused"
            told = f"nothing was taken away, for {why}"
        else:
            most = float(action.parameters["most"])
            # Logs of earlier versions do not say it.
            asked = Asked(stats.stream, stats.partition, action.parameters.get("until_us"))
            gone, held = self._refreshing.end(
                asked, lineage.loaded_at, lambda each: self.share.may_go(each, most)
            )
            told = f"taken away, for the API holds them no more: {gone:,}" if gone else ""
            if held:
                what = f"held back, {held:,} rows would go"
                told = f"{what}: if that is right, `sightglass refresh --force` takes them away"
        stats.notice = "; ".join(filter(None, [stats.notice, told])) or None

    def _act(self, action: Action, lineage: Lineage) -> None:
        if action.name == BEGIN_REFRESH:
            return
        if action.name == END_REFRESH:
            self._refreshing.over()
        elif action.name == LIST_GAPS:
            failed, started_us = action.parameters["failed"], action.parameters["started_us"]
            self._run_store.list_gaps(self._declared.name, failed, datetime_of(started_us))
        elif action.name == FORGET_GAPS:
            self._run_store.forget_gaps(self._declared.name)
        elif action.name == REPLAY:
            self._replay(action.parameters["quarantine_id"], lineage)
        elif action.name == SETTLE_QUARANTINE:
            self._run_store.mark(**action.parameters)
        else:
            name = self._statement(action.name)
            known = {"run_id": lineage.run_id, "now": lineage.loaded_at}
            done = self._warehouse.run(name, **{**known, **action.parameters})
            word = name.removeprefix(f"{self._declared.name}/{MARK}")
            if word != name and done and done[0][0]:
                self.marked[word] = self.marked.get(word, 0) + int(done[0][0])

    def _statement(self, name: str) -> str:
        own = f"{self._declared.name}/{name}"
        return own if schema.has_statement(own) else f"etl/{name}"

    def _settle(self, streams: Collection[str]) -> None:
        """Work out what follows, as the source says in SQL, from what was written of these streams."""
        for statement in after_load(self._declared, streams) if streams else ():
            self._warehouse.execute(statement, run_id=self._run_store.run_id)

    def _enter_all(self, batch: Batch) -> None:
        """Enter how far each stream has come, and how it ended."""
        entered = {
            (one.stream, one.partition): one
            for each in batch.streams
            if each.name != THE_RUN
            for one in self._count(each, moves_cursor=batch.moves_cursors)
        }
        self._run_store.save([*entered.values()])

    def _count(self, each: StreamBatch, *, moves_cursor: bool) -> list[StreamStats]:
        """Count how far a stream has come, and how it ended; the counts of all streams that it feeds."""
        stats = self.stats(each.name, each.partition)
        feeds = self._feeds.setdefault((each.name, each.partition), {each.name})
        feeds |= {*each.contributions, *each.repeats}
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
        return all_stats

    def _reached(self, each: StreamBatch, stats: StreamStats, *, forget: bool = False) -> Cursor | None:
        """Where the cursor of a stream moves: it follows the data, but never past what may still come."""
        kind = self._declared.cursor_of(each.name)
        if (each.end is None) == (kind == "time"):
            # What was received under another declaration says nothing of this cursor.
            return stats.cursor
        cursor = None if each.starts_over else stats.cursor
        reached = [each.watermark.at] if each.watermark else []
        if each.ended and each.ended.error is None:
            ranges = self._run_store.end_ranges if forget else self._run_store.newest_range
            reached = [*(reached or [each.newest]), ranges(stats.source, stats.stream, stats.partition)]
        if each.watermark and each.watermark.holds:
            return cursor
        found: Cursor | None = furthest(one for one in (*reached, cursor) if fits(kind, one))
        return found

    def _replay(self, quarantine_id: str, lineage: Lineage) -> None:
        """Load what was refused and is accepted by now; what is stored meanwhile and newer stays."""
        for entry in known_entries(self._warehouse, [quarantine_id]):
            cut = accepted(self._warehouse, self._transformer, entry)
            if entry.state != "open" or cut is None:
                continue
            stats = self.stats(entry.stream, entry.partition)
            stats.status = "ok"
            brought = Contribution(cut.fetched, cut.rejected, [(0, cut.ordinals)])
            self._save(
                self.share.keeps(cut.tables),
                [(stats, brought)],
                replace(lineage, as_of=datetime_of(entry.seen_us)),
            )
            self._run_store.mark(entry.quarantine_id, "replayed")
            self._run_store.save([stats])


def accepted(
    warehouse: Warehouse, transformer: Transformer, entry: QuarantineEntry
) -> TransformResult | None:
    """Return the rows of what was refused once; None where it still is, or is not kept whole."""
    if entry.encoding == BEGINNING:
        return None
    # By itself: it may have been refused for what came before it.
    transformer.forget()
    (cut,) = transformer.transform([received(warehouse, entry).delivery()]).values()
    return None if cut.rejected else cut
