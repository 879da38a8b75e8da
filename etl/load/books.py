"""The books of a run: what was counted, where each stream stands, what was refused and what is missing."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from etl import __version__, schema
from etl.extract.stream import Meter
from etl.load.warehouse import Warehouse
from etl.transform.batch import Reject
from etl.values import text_of


@dataclass(slots=True)
class Tally:
    """The counts of one stream in one run; fetched = inserted + updated + unchanged + quarantined."""

    source: str
    stream: str
    partition: str = ""
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    quarantined: int = 0
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    cursor: int | None = None
    """Microseconds since 1970."""
    status: str = "running"
    error: str | None = None

    def metered(self, meter: Meter) -> None:
        """Take over what the stream cost so far."""
        self.requests, self.retries, self.bytes = meter.requests, meter.retries, meter.bytes


class Books:
    """The books of one run, kept in the warehouse."""

    def __init__(self, warehouse: Warehouse, run_id: str) -> None:
        self._warehouse = warehouse
        self.run_id = run_id

    def start(self, now: datetime) -> None:
        """Enter the run."""
        self._warehouse.run("etl/start_run", run_id=self.run_id, started_at=now, version=__version__)

    def finish(self, now: datetime, status: str, exit_code: int, unknown: list[str]) -> None:
        """Enter how the run ended."""
        self._warehouse.run(
            "etl/finish_run",
            run_id=self.run_id,
            finished_at=now,
            status=status,
            exit_code=exit_code,
            unknown=text_of(unknown),
        )

    def cursor(self, source: str, stream: str, partition: str) -> int | None:
        """Where the stream stands, in microseconds since 1970; None before its first load."""
        rows = self._warehouse.run("etl/cursor", source=source, stream=stream, partition=partition)
        return rows[0][0] if rows else None

    def save(self, tally: Tally) -> None:
        """Enter the counts of a stream, and move its cursor."""
        self._warehouse.run("etl/save_stream", run_id=self.run_id, **dataclasses.asdict(tally))
        if tally.cursor is not None:
            self._warehouse.run(
                "etl/save_cursor",
                source=tally.source,
                stream=tally.stream,
                partition=tally.partition,
                cursor=tally.cursor,
                run_id=self.run_id,
            )

    def quarantine(self, tally: Tally, rejects: Iterable[Reject], now: datetime) -> int:
        """Put what was refused aside; how many of these were never refused before."""
        new = 0
        for reject in rejects:
            record, encoding = reject.text()
            new += len(
                self._warehouse.run(
                    "etl/quarantine",
                    quarantine_id=reject.fingerprint(tally.source, tally.stream, tally.partition),
                    run_id=self.run_id,
                    source=tally.source,
                    stream=tally.stream,
                    partition=tally.partition,
                    reason=reject.why.reason,
                    path=reject.why.path,
                    record=record,
                    encoding=encoding,
                    context=text_of(dict(reject.context)),
                    seen_at=now,
                )
            )
        return new

    def list_gaps(self, source: str, failed: Iterable[Tally], now: datetime) -> None:
        """Bring the gaps of one source up to date: what its own query finds, and the streams that failed."""
        self._warehouse.run("etl/missing")
        if (schema.folder("sql") / source / "gaps.sql").exists():
            found = schema.statement(f"{source}/gaps")
            self._warehouse.connection.execute(f"INSERT INTO missing BY NAME {found}")
        for tally in failed:
            self._warehouse.run(
                "etl/missing_stream",
                source=source,
                stream=tally.stream,
                partition=tally.partition,
                what=f"what changed after {moment(tally.cursor) or 'the beginning'}",
                error=tally.error,
            )
        self._warehouse.run("etl/gaps_gone", source=source)
        self._warehouse.run("etl/gaps_found", since=now)

    def gaps(self) -> int:
        """How many gaps there are."""
        return int(self._warehouse.run("etl/gaps")[0][0])


def moment(microseconds: int | None) -> str | None:
    """The time in ISO 8601 with microseconds, UTC; None stays None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def tally_json(tally: Tally) -> dict[str, Any]:
    """The counts as `run --json` prints them."""
    return {**dataclasses.asdict(tally), "cursor": moment(tally.cursor)}
