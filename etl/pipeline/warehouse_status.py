"""How a warehouse stands, for programs: what `status --json` prints, and what one gets from Python."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from etl.config import Settings
from etl.errors import OK, QUARANTINED, SourceError, worst
from etl.load.holder import holding
from etl.publish.held import Held, held
from etl.publish.layout import BI
from etl.publish.opened import Opened, changes
from etl.publish.size import Forecast, forecast, growth_of, measured
from etl.publish.status import FAILED, LATE, RunStatus, StreamStatus, status_of
from etl.values import json_value


@dataclass(frozen=True, slots=True)
class Disk:
    """How many bytes stand in the folder of a warehouse, and how many more will."""

    warehouse: int
    lake: int
    raw: int
    other: int
    free: int
    forecast: Forecast | None
    """None where the history is too short."""


def measured_disk(settings: Settings, now: datetime) -> Disk:
    """Return what stands in the folder of the warehouse, and how it grows."""
    sizes, free = measured(settings.home), shutil.disk_usage(settings.home).free
    expected = forecast(sizes, growth_of(settings.home, now), settings.raw_days, free, now)
    return Disk(sizes.warehouse, sizes.lake, sizes.raw, sizes.other, free, expected)


@dataclass(frozen=True, slots=True)
class Working:
    """A process that holds the warehouse."""

    pid: int
    since: str
    """In ISO 8601."""
    run_id: str
    """The run that it entered; empty where it has not entered one yet, or is no run."""


@dataclass(frozen=True, slots=True)
class WarehouseStatus:
    """How a warehouse stands by its newest published version, judged by the clock."""

    exit_code: int
    """0 healthy; 3 a stream failed or is late, or a run was broken off; 4 something is in quarantine, or a
    check holds publishing back."""
    home: Path
    checked_at: datetime
    published_at: datetime
    published_age_s: float
    last_run: RunStatus | None
    """The newest run that is published."""
    working: Working | None
    """Who holds the warehouse now."""
    broken_off: str | None
    """The run that was killed or failed as a whole, where no later one has ended well."""
    open_quarantine: int
    open_gaps: int
    streams: tuple[StreamStatus, ...]
    held_back: Held | None
    """The check that holds publishing back, and when that was seen last."""
    disk: Disk | None
    """What stands on the disk, where that was asked for."""
    bi_opened_by: Opened | None
    """Who has opened `bi.duckdb` for writing; not looked for by a process that has it open itself."""
    bi_changed: tuple[str, ...]
    """The files beside `bi.duckdb` by which somebody has changed it for all who read it."""

    @property
    def ok(self) -> bool:
        """Whether all is healthy."""
        return self.exit_code == OK

    def of(self, state: str) -> list[StreamStatus]:
        """Return the streams that are in a state: failed, late, ok or off."""
        return [each for each in self.streams if each.state == state]

    def as_json(self) -> dict[str, Any]:
        """Return what `status --json` prints, as JSON holds it."""
        found: dict[str, Any] = json_value(self)
        return found


def warehouse_status(
    settings: Settings,
    now: datetime,
    max_age: timedelta | None = None,
    *,
    with_disk: bool = False,
    opened: Opened | None = None,
) -> WarehouseStatus:
    """Return how the warehouse stands; streams whose last good run is older than `max_age` are late.

    Raises EnvironmentFaultError where nothing is published.
    """
    holder = holding(settings.home)
    status = status_of(settings.home, now, max_age, settings.sources)
    check = held(settings.home)
    is_alive = holder is not None and holder.is_alive
    broken_off = None if holder is None or is_alive else holder.run_id or None
    codes = [
        *[SourceError.exit_code] * bool(status.of(FAILED) or status.of(LATE) or broken_off),
        *[QUARANTINED] * bool(status.quarantine or check),
    ]
    return WarehouseStatus(
        exit_code=worst(codes),
        home=settings.home,
        checked_at=now,
        published_at=status.published_at,
        published_age_s=(now - status.published_at).total_seconds(),
        last_run=status.last_run,
        working=Working(holder.pid, holder.since, holder.run_id) if holder and is_alive else None,
        broken_off=broken_off,
        open_quarantine=status.quarantine,
        open_gaps=status.gaps,
        streams=tuple(status.streams),
        held_back=check,
        disk=measured_disk(settings, now) if with_disk else None,
        bi_opened_by=opened,
        bi_changed=tuple(path.name for path in changes(settings.home / BI)),
    )
