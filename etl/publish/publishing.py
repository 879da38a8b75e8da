"""Publish the warehouse: checked, written aside, and brought in at one moment, all tables together."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from etl import schema
from etl.config import Settings
from etl.errors import OK, CheckFailedError, EnvironmentFaultError, TargetError
from etl.event import event
from etl.load.warehouse import UNREAD_LOG_BYTES, Warehouse
from etl.process import give_back_memory
from etl.publish.bi import remove_bi, write_bi
from etl.publish.checks import check
from etl.publish.held import forget_held, note_held
from etl.publish.lake import Change, Lake
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits
from etl.publish.target import put, release_of
from etl.publish.targets import targets
from etl.schema import LINEAGE_TIME, Table
from etl.values import datetime_of, json_value

REBUILT = "rebuilt"
"""A file that says that the tables were made anew: a row can hold something else by the same lineage."""
FEWER = "fewer"
"""A file that says that rows were taken away on purpose: then no table is held to the rows it had."""
NAMES_SHOWN = 5
"""Damaged files that people are told the names of."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and how much of it had to be written."""

    since: datetime
    """Since when readers see it."""
    tables: int
    """Tables that were written, in whole or in part."""
    files: int
    rows: int
    """Rows in these files."""
    mended: list[str]
    """Of these, the files that were damaged, by their names in the lake."""
    failed: dict[str, str]
    """By the name of each target that could not be brought to this version, why."""

    @property
    def exit_code(self) -> int:
        """What it is worth as an exit code: readers here have all of it, others may not."""
        return TargetError.exit_code if self.failed else OK

    def as_json(self) -> dict[str, Any]:
        """Return the same as `run --json` prints it."""
        found: dict[str, Any] = json_value(self)
        return found

    def warnings(self) -> Iterator[str]:
        """Yield what people are told of files that were damaged, and of targets that failed."""
        if self.mended:
            named = _few(self.mended)
            yield f"damaged files of the lake, written anew from the warehouse: {named}; see to the disk"
        for name, why in self.failed.items():
            yield f"{name} keeps the version that it has, the next run tries again: {why}"

    def __str__(self) -> str:
        changed = (
            f"{self.files:,} files of {self.tables:,} tables written" if self.files else "nothing changed"
        )
        return f"published as of {json_value(self.since)}, {changed}"


def moment_of(version: str) -> str:
    """Since when a version of the lake is to be read, in ISO 8601."""
    return str(json_value(datetime_of(int(version))))


def _few(names: list[str]) -> str:
    """Return the first of them, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def publish(
    warehouse: Warehouse, settings: Settings, *, force: bool = False, limits: PublishLimits = PUBLISH_LIMITS
) -> Published:
    """Let readers see the warehouse as it is now; CheckFailedError where a check fails, unless forced.

    Only partitions that changed are written, or whose file is damaged. A publish that was killed is made
    good by the next one.
    """
    # What of them can be seen to be wrong is said before anything is written.
    others = targets(settings)
    lake = Lake(settings.home, limits)
    bring_former(settings)
    if lake.is_incomplete():
        # Its views could not be read until all files are in place again.
        remove_bi(settings)
    damaged = lake.damaged()
    names = [str(path.relative_to(settings.home)) for path in damaged]
    # While records are loaded, the other stages take the other cores.
    warehouse.connection.execute("RESET threads")
    warehouse.work_in_log(UNREAD_LOG_BYTES)
    warehouse.give_back()
    give_back_memory()
    try:
        change, loaded_until = warehouse.with_memory(
            lambda: _written(warehouse, lake, settings, damaged, force=force)
        )
    except CheckFailedError as error:
        note_held(settings.home, str(error), datetime.now(UTC))
        if damaged:
            raise CheckFailedError(f"{error}; until then these files stay damaged: {_few(names)}") from error
        raise
    with warehouse.settling():
        version = _brought_in(lake, settings, change, loaded_until, damaged)
    failed = put(release_of(lake, _tables(settings.home), version, settings), others)
    since = datetime_of(int(version))
    published = Published(since, change.tables_changed, change.files, change.rows, names, failed)
    event("publish.ended", **published.as_json())
    return published


def bring_former(settings: Settings) -> None:
    """Let readers find what an earlier version of Sightglass has published where this one has it."""
    if Lake(settings.home).move_former():
        # Where a table is new, there are no files yet to make its view of.
        with suppress(EnvironmentFaultError):
            write_bi(settings)


def _brought_in(
    lake: Lake, settings: Settings, change: Change, loaded_until: int, damaged: list[Path]
) -> str:
    """Let readers here see what was written aside; the version that they see."""
    version = lake.commit(_tables(settings.home), change, loaded_until) if change.files else lake.newest()
    lake.discard(damaged)  # a damaged file would end what makes the views
    write_bi(settings)
    _tidy(lake, settings)
    return version


def _tidy(lake: Lake, settings: Settings) -> None:
    """Forget what was noted for this version, and bring the folder in order."""
    for name in (REBUILT, FEWER):
        (settings.home / name).unlink(missing_ok=True)
    forget_held(settings.home)
    lake.link()
    lake.clean(settings.lake_grace)


def _written(
    warehouse: Warehouse,
    lake: Lake,
    settings: Settings,
    damaged: list[Path],
    *,
    force: bool,
) -> tuple[Change, int]:
    """Return what has changed, written aside, and when the newest row of it was loaded."""
    tables = _tables(settings.home)
    is_rebuilt = (settings.home / REBUILT).exists()
    # Opened anew for want of memory, it has one thread, as while records are loaded.
    warehouse.connection.execute("RESET threads")
    with warehouse.transaction():
        lake.clean(settings.lake_grace)
        change = lake.compare(warehouse.connection, tables, damaged, anew=is_rebuilt)
        if not force:
            state = lake.state()
            if is_rebuilt:
                state = msgspec.structs.replace(state, loaded_until=0)
            if (settings.home / FEWER).exists():
                state = msgspec.structs.replace(state, tables={})
            check(warehouse.connection, tables, change, state, lake.limits)
        loaded_until = _loaded_until(warehouse.connection, tables)
        newest = next((run_id for (run_id,) in warehouse.run("publish/newest_run")), "")
        lake.write(warehouse.connection, tables, change, warehouse.memory)
    return replace(change, newest_run=newest), loaded_until


def _tables(home: Path) -> dict[str, Table]:
    return {table.qualified: table for source in schema.sources(home) for table in source.tables.values()}


def _loaded_until(connection: duckdb.DuckDBPyConnection, tables: dict[str, Table]) -> int:
    """When the newest row was loaded, in microseconds since 1970."""
    moments = " UNION ALL ".join(
        f"SELECT max({LINEAGE_TIME}) AS moment FROM {name}"
        for name, table in tables.items()
        if LINEAGE_TIME in table.columns
    )
    ((moment,),) = connection.execute(
        f"SELECT coalesce(epoch_us(max(moment)), 0) FROM ({moments})"
    ).fetchall()
    return int(moment)
