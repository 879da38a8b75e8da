"""How much stands on the disk, how much a run may write, and how all of it grows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from etl import schema
from etl.load.warehouse import LOG_BYTES
from etl.publish.layout import LAKE, VERSIONS
from etl.publish.targets import delta, iceberg
from etl.publish.version import Version, is_published, of_newest
from etl.schema import Table

RAW = "raw"
WAREHOUSE = ("warehouse.duckdb", "warehouse.duckdb.wal")
DAYS = 28
"""Of history by which growth is told."""
COPIES = 3
"""How often what is received is written: to the log, to the tables, to the lake."""
UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
FULL_WITHIN = 10 * 365
"""Days beyond which nobody asks when the disk is full."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes stand in the folder of a warehouse."""

    warehouse: int
    lake: int
    raw: int
    other: int
    raw_by_day: dict[date, int]
    """What the log holds of each day on which anything was received."""
    largest_file: int
    """Of the lake: what one changed partition takes to be written anew."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.warehouse + self.lake + self.raw + self.other

    @property
    def of_a_run(self) -> int:
        """What a run may write, going by the most that was received on one day."""
        return LOG_BYTES + COPIES * max(self.raw_by_day.values(), default=0) + 2 * self.largest_file


class Growth(NamedTuple):
    """How many records there are, and how many more come."""

    began: date | None
    """The day of the first run; None before it."""
    records_per_day: float
    """Those that were new, over the last days, without the first, which loaded all that there was."""
    records: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the folder grows, going by the last days; the first one, which loaded all, left out."""

    tables_per_day: float
    """Bytes that warehouse and lake grow by."""
    raw_per_day: float
    """Bytes that are received; what is older than it is kept goes again."""
    in_30_days: float
    in_365_days: float
    """How large all of it will be."""
    full_on: date | None
    """When the disk will be full; None where that is not within ten years."""


KINDS = {VERSIONS: LAKE, delta.FOLDER: LAKE, iceberg.FOLDER: LAKE, RAW: RAW}
"""What the folders are counted as: tables of open formats are other names of the lake's files."""


def measured(home: Path) -> Sizes:
    """Return how large everything in a folder is; links and files that go meanwhile count nothing."""
    found: dict[str, int] = {}
    by_day: dict[date, int] = {}
    largest = 0
    seen: set[int] = set()
    for path, size, inode in _files(home):
        if inode in seen:
            continue  # another name of the same file, as the lake has
        seen.add(inode)
        top = path.parts[0]
        kind = "warehouse" if top in WAREHOUSE else KINDS.get(top, "other")
        found[kind] = found.get(kind, 0) + size
        if kind == RAW and (day := _day(path)) is not None:
            by_day[day] = by_day.get(day, 0) + size
        if kind == LAKE:
            largest = max(largest, size)
    warehouse, lake, raw, other = (found.get(kind, 0) for kind in ("warehouse", LAKE, RAW, "other"))
    return Sizes(warehouse, lake, raw, other, by_day, largest)


def forecast(
    sizes: Sizes, growth: Growth, raw_days: float | None, free: int, now: datetime
) -> Forecast | None:
    """Return how the folder grows; None where there is no history of two whole days yet.

    `raw_days` is how long the log is kept, None for ever; `free` the bytes that are left on the disk.
    """
    today = now.astimezone(UTC).date()
    if growth.began is None or (today - growth.began).days <= 1:
        return None
    tables = (sizes.warehouse + sizes.lake) / max(1, growth.records) * growth.records_per_day
    since = max(growth.began + timedelta(days=1), today - timedelta(days=DAYS))
    whole = [since + timedelta(days=number) for number in range((today - since).days)]
    raw = fmean(sizes.raw_by_day.get(day, 0) for day in whole)
    held = (today - min(sizes.raw_by_day, default=today)).days
    # Until the oldest of the log goes, it grows by what comes; from then on it stays as large.
    left = inf if raw_days is None else max(0.0, raw_days - held)

    def grown(after: int) -> float:
        return tables * after + raw * min(after, left)

    full = next((day for day in range(FULL_WITHIN) if grown(day) > free), None)
    return Forecast(
        tables,
        raw,
        sizes.total + grown(30),
        sizes.total + grown(365),
        None if full is None else today + timedelta(days=full),
    )


def growth_of(home: Path, now: datetime) -> Growth:
    """Return how many records are published, and how many come; none where nothing is published."""
    roots, today = _roots(), now.astimezone(UTC).date()

    def look(version: Version) -> Growth:
        streams = [f"{table.schema}.{table.declared.stream}" for table in roots]
        ((began, per_day),) = version.ask("status/growth", today=today, days=DAYS, streams=streams)
        return Growth(began, float(per_day), sum(map(version.state.rows, roots)))

    if not is_published(home):
        return Growth(None, 0.0, 0)
    return of_newest(home, ("etl.runs", "etl.run_streams"), look)


def spoken_size(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{int(size)} bytes"


def _files(home: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield every file below a folder by its path from there, its size and its inode."""
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder, name)
            try:
                told = path.lstat()
            except OSError:
                continue
            # What is allotted: a database is larger than it seems where it has holes.
            yield path.relative_to(home), told.st_blocks * 512, told.st_ino


def _day(path: Path) -> date | None:
    """Return the day of the folder of the log that a file stands in."""
    for part in path.parts:
        try:
            return date.fromisoformat(part)
        except ValueError:
            continue
    return None


def _roots() -> list[Table]:
    """Return the tables whose rows stand for whole records."""
    tables = (table for name in schema.names() for table in schema.source(name).tables.values())
    return [table for table in tables if table.declared.record_hash]
