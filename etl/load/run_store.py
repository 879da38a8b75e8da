"""What is entered of a run: counts, where each stream stands, what was refused and what is missing."""

import base64
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from etl import __version__, schema
from etl.errors import ConfigError
from etl.extract.stream import Delivery, File, Page
from etl.load.stream_stats import StreamStats
from etl.load.warehouse import Warehouse
from etl.transform.batch import RejectedRecord
from etl.values import Cursor, chunked, fits, text_of

INSERT_ENTRIES = 10_000
"""Refused records and files that are put aside by one statement."""
INSERT_BYTES = 16 * 2**20
"""Bytes of them, of which a statement holds several copies."""


SUM_UP = ("find_old_runs", "sum_up_streams", "delete_old_streams", "sum_up_runs", "delete_old_runs")
"""The statements that sum up old runs, in order."""


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One row of the quarantine, without what was refused."""

    quarantine_id: str
    run_id: str
    kind: str
    source: str
    stream: str
    partition: str
    reason: str
    path: str
    encoding: str
    state: str
    seen_us: int
    """Microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Received:
    """What was refused, as it is kept."""

    entry: QuarantineEntry
    record: str
    context: str

    def delivery(self) -> Delivery:
        """Return what the API sent, as it was given to the transform stage."""
        about, entry = json.loads(self.context), self.entry
        is_text = entry.encoding != "base64"
        content = self.record.encode() if is_text else base64.b64decode(self.record)
        if entry.kind == "file":
            return File(entry.stream, entry.quarantine_id, about, content)
        return Page(entry.stream, [content], about)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What a run did not do, for it would concern more than is usual."""

    source: str
    what: str
    held: int
    of: int

    def __str__(self) -> str:
        """Return what it is, and which command confirms it."""
        return (
            f"{self.source} {self.what} held back, {self.held:,} of {self.of:,} at once: if they are right, "
            f"`sightglass confirm {self.what} {self.source}` lets the next run enter them"
        )


class RunStore:
    """Enters one run in the warehouse, and tells what was entered of others."""

    def __init__(self, warehouse: Warehouse, run_id: str) -> None:
        self._warehouse = warehouse
        self.run_id = run_id

    def start(self, now: datetime, command: str) -> None:
        """Enter the run, and close those that died before they could do it themselves."""
        with self._warehouse.transaction():
            self.close_dead(now)
            self._warehouse.run(
                "etl/start_run", run_id=self.run_id, started_at=now, version=__version__, command=command
            )

    def close_dead(self, now: datetime) -> None:
        """Close the runs that died before they could do it themselves."""
        self._warehouse.run("etl/close_dead_runs", now=now)
        self.close_dead_streams()

    def close_dead_streams(self) -> None:
        """Close the streams of runs that died, before another one is read."""
        self._warehouse.run("etl/close_dead_streams")

    def know(self, started: datetime, version: str) -> None:
        """Enter the run, where it is not entered yet."""
        self._warehouse.run("etl/know_run", run_id=self.run_id, started_at=started, version=version)

    def undone(self) -> list[str]:
        """Return the runs that were undone."""
        return [run_id for (run_id,) in self._warehouse.run("etl/undone_runs")]

    def finish(self, now: datetime, status: str, exit_code: int, unknown: list[str]) -> None:
        """Enter how the run ended."""
        with self._warehouse.transaction():
            self._warehouse.run(
                "etl/finish_run",
                run_id=self.run_id,
                finished_at=now,
                status=status,
                exit_code=exit_code,
                unknown=text_of(unknown),
            )
            self._warehouse.run("etl/close_streams", run_id=self.run_id)

    def day_before(self) -> date | None:
        """On what day, in UTC, the run before this one began; None where it is the first."""
        return next((day for (day,) in self._warehouse.run("etl/run_before", run_id=self.run_id)), None)

    def sum_up(self, before: datetime) -> None:
        """Keep of the runs before a time the sums of each day, and what tells how each stream stands."""
        with self._warehouse.transaction():
            for name in SUM_UP:
                self._warehouse.run(f"etl/{name}", before=before)

    def cursor(self, source: str, stream: str, partition: str) -> Cursor | None:
        """Where the stream stands; None before its first load, or where that was told in another kind."""
        kind = schema.source(source).cursor_of(stream)
        for time, value in self._warehouse.run(
            "etl/cursor", source=source, stream=stream, partition=partition
        ):
            found: Cursor | None = time if kind == "time" or value is None else json.loads(value)
            return found if fits(kind, found) and (kind == "time") == (value is None) else None
        return None

    def ranges(self, source: str, stream: str, partition: str) -> list[tuple[int, int]]:
        """From when to when runs that were broken off have read beyond the cursor, in microseconds."""
        rows = self._warehouse.run("etl/ranges", source=source, stream=stream, partition=partition)
        return [(start, end) for start, end in rows]

    def newest_range(self, source: str, stream: str, partition: str) -> int | None:
        """Return the newest time in any of them, in microseconds."""
        rows = self._warehouse.run("etl/newest_range", source=source, stream=stream, partition=partition)
        return next((newest for (newest,) in rows if newest), None)

    def end_ranges(self, source: str, stream: str, partition: str) -> int | None:
        """Forget them, for the stream was read to its end; the newest time in any of them."""
        rows = self._warehouse.run("etl/ranges_over", source=source, stream=stream, partition=partition)
        return max((newest for (newest,) in rows if newest), default=None)

    def entered(self, source: str, stream: str, partition: str) -> StreamStats | None:
        """Return the counts of a stream as they stand for this run; None where nothing was entered."""
        about = {"source": source, "stream": stream, "partition": partition}
        rows = self._warehouse.run("etl/stream_entered", run_id=self.run_id, **about)
        return next((StreamStats(*row) for row in rows), None)

    def log_applied(self, source: str) -> int:
        """Return the number of the last part of the log of a source that is applied; 0 where none is."""
        return next((int(number) for (number,) in self._warehouse.run("etl/log_applied", source=source)), 0)

    def apply_log(self, source: str, number: int) -> None:
        """Enter the last part of the log of a source that is applied."""
        self._warehouse.run("etl/apply_log", source=source, number=number, run_id=self.run_id)

    def save(self, streams: Sequence[StreamStats]) -> None:
        """Enter the counts of streams, each of them once, and move their cursors."""
        rows = [{**dataclasses.asdict(stats), **stats.stored_cursor} for stats in streams]
        for name in ("save_streams", "save_cursors") if rows else ():
            self._warehouse.run(f"etl/{name}", run_id=self.run_id, **_columns(rows))

    def mark_ranges(self, ranges: Sequence[Mapping[str, Any]]) -> None:
        """Enter how far ranges of time were read, by the parameters of the actions that say so."""
        if ranges:
            self._warehouse.run("etl/mark_range_read", **_columns(ranges))

    def quarantine(self, stats: StreamStats, rejected: Sequence[RejectedRecord], now: datetime) -> int:
        """Put what was refused aside; how many of these were never refused before."""
        if not rejected:
            return 0
        declared = schema.source("etl").tables["quarantine"].arrow()
        new = 0
        for some in chunked(rejected, lambda one: len(one.content), INSERT_ENTRIES, INSERT_BYTES):
            rows = [self._refused(stats, reject, now) for reject in some]
            self._warehouse.connection.register("refused", pa.Table.from_pylist(rows, declared))
            new += len(self._warehouse.run("etl/quarantine"))
            self._warehouse.connection.unregister("refused")
        return new

    def _refused(self, stats: StreamStats, reject: RejectedRecord, now: datetime) -> dict[str, Any]:
        """Return a row of the quarantine."""
        record, encoding = reject.text()
        return {
            "quarantine_id": reject.fingerprint(stats.source, stats.stream, stats.partition),
            "run_id": self.run_id,
            "kind": "record" if reject.row is None else "file",
            "source": stats.source,
            "stream": stats.stream,
            "partition": stats.partition,
            "reason": reject.why.reason,
            "path": reject.why.path,
            "record": record,
            "encoding": encoding,
            "context": text_of(dict(reject.context if reject.row is None else reject.row)),
            "state": "open",
            "seen_at": now,
        }

    def refused_by(self, runs: Sequence[str]) -> int:
        """How much of what these runs refused first is still open."""
        return int(self._warehouse.run("etl/refused_by", runs=list(runs))[0][0])

    def mark(self, quarantine_id: str, state: str) -> None:
        """Enter what became of a refused record or file."""
        self._warehouse.run("etl/quarantine_state", quarantine_id=quarantine_id, state=state)

    def forget_gaps(self, source: str) -> None:
        """Take the gaps off the list that the source's own query does not find any more."""
        self._find_gaps(source)
        self._warehouse.run("etl/insert_failed_streams", source=source)
        self._warehouse.run("etl/delete_resolved_gaps", source=source)

    def _find_gaps(self, source: str) -> None:
        self._warehouse.run("etl/missing")
        if schema.has_statement(f"{source}/gaps"):
            found = schema.statement(f"{source}/gaps")
            self._warehouse.connection.execute(f"INSERT INTO missing BY NAME {found}")

    def list_gaps(self, source: str, failed: Iterable[Mapping[str, Any]], started: datetime) -> None:
        """Bring the gaps of one source up to date: what its own query finds, and the streams that failed."""
        self._find_all_gaps(source, failed)
        self._warehouse.run("etl/delete_resolved_gaps", source=source)
        self._warehouse.run("etl/gaps_found", since=started)

    def gaps_differ(self, source: str, failed: Iterable[Mapping[str, Any]], started: datetime) -> bool:
        """Whether `list_gaps` would change anything."""
        self._find_all_gaps(source, failed)
        return bool(self._warehouse.run("etl/gaps_differ", source=source, since=started)[0][0])

    def _find_all_gaps(self, source: str, failed: Iterable[Mapping[str, Any]]) -> None:
        self._find_gaps(source)
        for each in failed:
            self._warehouse.run("etl/insert_failed_stream", source=source, **each)

    def held_back(self) -> list[HeldBack]:
        """Return what waits until somebody confirms it."""
        return [HeldBack(*row) for row in self._warehouse.run("etl/held_back")]

    def gaps(self) -> int:
        """How many gaps there are."""
        return int(self._warehouse.run("etl/gaps")[0][0])


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as lists, one of each column: a statement takes as long for all of them as for one."""
    return {name: [each[name] for each in rows] for name in rows[0]}


def known_entries(warehouse: Warehouse, ids: Sequence[str]) -> list[QuarantineEntry]:
    """Those of these that are in quarantine, as the open transaction sees it; oldest first."""
    return [QuarantineEntry(*row) for row in warehouse.run("etl/quarantined", ids=list(ids))]


def quarantine_entries(warehouse: Warehouse, ids: Sequence[str] = ()) -> list[QuarantineEntry]:
    """Which are in quarantine, oldest first: all, or these; ConfigError names an id that is not there."""
    found = [QuarantineEntry(*row) for row in warehouse.ask("etl/quarantined", ids=list(ids))]
    unknown = set(ids) - {entry.quarantine_id for entry in found}
    if unknown:
        raise ConfigError(f"there is no {min(unknown)} in quarantine; `sightglass quarantine` lists what is")
    return found


def listed(warehouse: Warehouse) -> Iterator[QuarantineEntry]:
    """Yield what is in quarantine, oldest first, a thousand at a time."""
    rows = warehouse.connection.execute(schema.statement("etl/quarantined"), {"ids": []})
    while some := rows.fetchmany(1_000):
        yield from (QuarantineEntry(*row) for row in some)


def received(warehouse: Warehouse, entry: QuarantineEntry) -> Received:
    """Return what was refused, read for this one alone."""
    ((record, context),) = warehouse.ask("etl/received", quarantine_id=entry.quarantine_id)
    return Received(entry, record, context)


def loaded_before(warehouse: Warehouse, source: str) -> bool:
    """Whether the warehouse has anything of a source."""
    found = [f"SELECT 1 FROM {table.qualified}" for table in schema.source(source).tables.values()]
    query = f"FROM ({' UNION ALL '.join(found)}) LIMIT 1"
    rows = warehouse.connection.execute(query).fetchall()
    return bool(rows or warehouse.ask("etl/account", source=source))
