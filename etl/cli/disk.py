"""What stands on the disk and how it grows, as `sightglass status --disk` tells it."""

from collections.abc import Iterator

from etl.pipeline.warehouse_status import Disk
from etl.publish.size import spoken_size


def disk_lines(disk: Disk) -> Iterator[str]:
    """Yield the same in a few lines for people."""
    parts = {"warehouse": disk.warehouse, "lake": disk.lake, "raw": disk.raw, "other": disk.other}
    stands = ", ".join(f"{name} {spoken_size(size)}" for name, size in parts.items())
    yield f"disk: {stands}; free {spoken_size(disk.free)}"
    found = disk.forecast
    if found is None:
        yield "forecast: none, there is no history of two whole days yet"
        return
    full = f"full about {found.full_on:%Y-%m-%d}" if found.full_on else "not full within ten years"
    tables, raw = spoken_size(found.tables_per_day), spoken_size(found.raw_per_day)
    month, year = spoken_size(found.in_30_days), spoken_size(found.in_365_days)
    yield (
        f"forecast: tables grow by {tables} a day, {raw} a day are received; {month} in 30 days, "
        f"{year} in a year; {full}"
    )
