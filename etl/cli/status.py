"""`sightglass status`: how each stream stands, and how old it is by the clock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.disk import disk_lines
from etl.cli.durations import duration, spoken
from etl.cli.output import shown, tell
from etl.cli.sheet import minute, sheet, show
from etl.config import Settings
from etl.pipeline.warehouse_status import WarehouseStatus, warehouse_status
from etl.publish.layout import BI
from etl.publish.opened import Opened, opened_for_writing
from etl.publish.status import FAILED, LATE, OFF, StreamStatus

HEAD = (
    *("source", "stream", "part", "state", "last good run", "age", "newest record", "lag"),
    *("gaps", "quarantine"),
)


@click.command("status")
@click.option(
    "--max-age",
    callback=duration,
    metavar="AGE",
    help="Exit code 3 where the last good run of a stream is longer ago: 90m, 2h, 1d12h.",
)
@click.option("--disk", "with_disk", is_flag=True, help="Add what stands on the disk, and how it grows.")
@json_option
@takes_settings
def command(settings: Settings, max_age: timedelta | None, *, with_disk: bool, as_json: bool) -> int:
    """Show each stream's last good run, age, newest record, lag, gaps and open quarantine.

    It reads what is published, also while a run works, and asks no API. Streams that runs leave out are off
    and never late: those of applications that are gone or switched off, and of backfills.

    Exit codes: 0 healthy; 3 a stream failed in its last run, or is older than --max-age, or the last run was
    killed or failed as a whole; 4 something is in quarantine, or a check holds publishing back; 2 nothing is
    published, or it cannot be read.
    """
    opened = opened_for_writing(settings.home / BI)
    status = warehouse_status(settings, datetime.now(UTC), max_age, with_disk=with_disk, opened=opened)
    if as_json:
        print_json(status.as_json())
    else:
        show(sheet(HEAD, [_row(each) for each in status.streams]))
        show(["", _summary(status), *(disk_lines(status.disk) if status.disk else ())])
    if status.held_back is not None:
        tell(f"{status.held_back.error} (seen {minute(status.held_back.at)} UTC)")
    _say(status, max_age)
    if opened is not None:
        tell(locked_out(opened))
    if status.bi_changed:
        named = " and ".join(status.bi_changed)
        tell(f"{named}: somebody has changed {BI} for all who read it; `sightglass publish` undoes that")
    return status.exit_code


def locked_out(opened: Opened) -> str:
    """Return what people are told of who has opened `bi.duckdb` for writing."""
    return (
        f"{opened} has opened {BI} for writing: nobody else can open it until that ends, "
        "or `sightglass publish` puts another in its place"
    )


def _row(stream: StreamStatus) -> Sequence[str]:
    return (
        stream.source,
        stream.stream,
        " ".join(filter(None, [stream.partition, stream.name and f"({stream.name})"])),
        stream.state,
        minute(stream.last_good_at) or "never",
        spoken(stream.age_s),
        minute(stream.newest_record_at),
        spoken(stream.lag_s),
        f"{stream.gaps:,}",
        f"{stream.quarantine:,}",
    )


def _summary(status: WarehouseStatus) -> str:
    """Return what holds for all streams, on one line."""
    run, age = status.last_run, spoken(status.published_age_s)
    ended = f"; last {run.command} {run.run_id}: {run.status}" if run else ""
    return shown(
        f"published {minute(status.published_at)} UTC, {age} ago{ended}; "
        f"in quarantine {status.open_quarantine:,}, gaps {status.open_gaps:,}"
    )


def _say(status: WarehouseStatus, max_age: timedelta | None) -> None:
    """Tell people what is amiss, on standard error."""
    if status.working is not None:
        tell(f"a run works (process {status.working.pid}, since {status.working.since})")
    if status.broken_off:
        tell(f"run {status.broken_off} was killed or failed as a whole; the next run goes on from there")
    for each in status.of(FAILED):
        tell(f"{_named(each)} failed: {each.error}")
    if max_age is not None and (late := status.of(LATE)):
        tell(
            f"{len(late):,} of {len(status.streams) - len(status.of(OFF)):,} streams had no good run within "
            f"{spoken(max_age.total_seconds())}: see to cron, and to what runs said"
        )
    if status.open_quarantine:
        tell(f"in quarantine, see `sightglass quarantine`: {status.open_quarantine:,}")


def _named(stream: StreamStatus) -> str:
    return " ".join(filter(None, [stream.source, stream.stream, stream.partition]))
