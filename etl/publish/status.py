"""How the streams stand, as the published version tells it and the clock judges it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from etl.publish.version import Version, of_newest
from etl.values import datetime_of, micros_of

TABLES = (
    *("etl.runs", "etl.run_streams", "etl.cursors", "etl.quarantine", "etl.gaps"),
    "cogniac.applications",
)
"""What the questions in `sql/status/` are about."""

FAILED, LATE, OK, OFF = "failed", "late", "ok", "off"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How one part of a stream stands."""

    source: str
    stream: str
    partition: str
    name: str | None
    """What the application is called, where the part is one."""
    state: str
    """failed, late, ok or off."""
    last_run_id: str
    last_run_at: datetime | None
    error: str | None
    last_good_at: datetime | None
    age_s: float | None
    """Seconds since the last good run; None where there was none."""
    newest_record_at: datetime | None
    lag_s: float | None
    """Seconds from the newest record to the newest run."""
    quarantine: int
    gaps: int


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The newest run that is published."""

    run_id: str
    command: str
    started_at: datetime | None
    finished_at: datetime | None
    status: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """How a warehouse stands."""

    published_at: datetime
    last_run: RunStatus | None
    quarantine: int
    gaps: int
    streams: list[StreamStatus] = field(default_factory=list)

    def of(self, state: str) -> list[StreamStatus]:
        """Return the streams that are in a state."""
        return [each for each in self.streams if each.state == state]


def status_of(
    home: Path, now: datetime, max_age: timedelta | None = None, sources: Collection[str] = ()
) -> Status:
    """Return how the warehouse in this folder stands at a moment, by its newest published version.

    Streams whose last good run is older than `max_age` are late, but those that runs leave out: of sources
    other than these, where there are any, too. EnvironmentFaultError where nothing is published.
    """
    limit = max_age.total_seconds() if max_age is not None else None
    return of_newest(home, TABLES, lambda version: _status(version, now, limit, sources))


def _status(version: Version, now: datetime, limit: float | None, sources: Collection[str]) -> Status:
    version.show_mart("pipeline_health")
    ((quarantine, gaps),) = version.ask("status/open")
    streams = [_stream(row, limit, sources) for row in version.ask("status/streams", now_us=micros_of(now))]
    runs = [
        RunStatus(run_id, command, _moment(start), _moment(end), status, code)
        for run_id, command, start, end, status, code in version.ask("status/last_run")
    ]
    published = _moment(version.since)
    return Status(published or now, runs[0] if runs else None, quarantine, gaps, streams)


def _stream(row: tuple[Any, ...], limit: float | None, sources: Collection[str]) -> StreamStatus:
    source, stream, partition, name, is_read, run_id, run_us, status, error, good_us, age, newest_us, lag = (
        row[:13]
    )
    state = OK
    if not is_read or (sources and source not in sources):
        state = OFF
    elif status == FAILED:
        state = FAILED
    elif limit is not None and (age is None or age > limit):
        state = LATE
    return StreamStatus(
        *(source, stream, partition, name, state, run_id, _moment(run_us), error, _moment(good_us)),
        *(age, _moment(newest_us), lag, *row[13:]),
    )


def _moment(us: int | None) -> datetime | None:
    return None if us is None else datetime_of(us)
