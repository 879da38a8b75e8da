"""`sightglass status`: how each stream stands, and how old it is by the clock."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.disk import disk_lines, measured_disk
from etl.cli.durations import duration, spoken
from etl.cli.output import shown, tell
from etl.cli.sheet import json_value, minute, sheet, show
from etl.config import Settings
from etl.errors import QUARANTINED, SourceError, worst
from etl.load.holder import Holding, holding
from etl.publish.held import Held, held
from etl.publish.layout import BI
from etl.publish.opened import Opened, opened_for_writing
from etl.publish.status import FAILED, LATE, OFF, Status, StreamStatus, status_of

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
    now = datetime.now(UTC)
    holder = holding(settings.home)
    status = status_of(settings.home, now, max_age, settings.sources)
    check, opened = held(settings.home), opened_for_writing(settings.home / BI)
    code = exit_code(status, holder, check)
    disk = measured_disk(settings, now) if with_disk else None
    if as_json:
        told = {"exit_code": code, **status_json(status, holder, settings, now)}
        failed = check and {"error": check.error, "at": json_value(check.at)}
        more = {"held_back": failed, "disk": disk and json_value(asdict(disk))}
        print_json({**told, **more, "bi_opened_by": opened and asdict(opened)})
    else:
        show(sheet(HEAD, [_row(each) for each in status.streams]))
        show(["", _summary(status, now), *(disk_lines(disk) if disk else ())])
    if check is not None:
        tell(f"{check.error} (seen {minute(check.at)} UTC)")
    _say(status, holder, max_age)
    if opened is not None:
        tell(locked_out(opened))
    return code


def exit_code(status: Status, holder: Holding | None, check: Held | None = None) -> int:
    """Return the exit code that a status is worth."""
    is_failed = status.of(FAILED) or status.of(LATE) or _broken_off(holder)
    return worst(
        [*[SourceError.exit_code] * bool(is_failed), *[QUARANTINED] * bool(status.quarantine or check)]
    )


def status_json(status: Status, holder: Holding | None, settings: Settings, now: datetime) -> dict[str, Any]:
    """Return the status as `--json` prints it."""
    works = holder if holder is not None and holder.is_alive else None
    return {
        "home": str(settings.home),
        "checked_at": json_value(now),
        "published_at": json_value(status.published_at),
        "published_age_s": round((now - status.published_at).total_seconds(), 3),
        "last_run": status.last_run and json_value(asdict(status.last_run)),
        "working": works and {"pid": works.pid, "since": works.since, "run_id": works.run_id},
        "broken_off": _broken_off(holder),
        "open_quarantine": status.quarantine,
        "open_gaps": status.gaps,
        "streams": [json_value(asdict(each)) for each in status.streams],
    }


def locked_out(opened: Opened) -> str:
    """Return what people are told of who has opened `bi.duckdb` for writing."""
    named = f" ({opened.program})" if opened.program else ""
    who = f"process {opened.pid}{named}" if opened.pid else "a process that this machine does not show"
    return (
        f"{who} has opened {BI} for writing: nobody else can open it until that ends, "
        "or `sightglass publish` puts another in its place"
    )


def _broken_off(holder: Holding | None) -> str | None:
    """Return the run that was killed or failed as a whole, where no later one has ended well."""
    return holder.run_id or None if holder is not None and not holder.is_alive else None


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


def _summary(status: Status, now: datetime) -> str:
    """Return what holds for all streams, on one line."""
    run, age = status.last_run, spoken((now - status.published_at).total_seconds())
    ended = f"; last {run.command} {run.run_id}: {run.status}" if run else ""
    return shown(
        f"published {minute(status.published_at)} UTC, {age} ago{ended}; "
        f"in quarantine {status.quarantine:,}, gaps {status.gaps:,}"
    )


def _say(status: Status, holder: Holding | None, max_age: timedelta | None) -> None:
    """Tell people what is amiss, on standard error."""
    if holder is not None and holder.is_alive:
        tell(f"a run works (process {holder.pid}, since {holder.since})")
    if broken := _broken_off(holder):
        tell(f"run {broken} was killed or failed as a whole; the next run goes on from there")
    for each in status.of(FAILED):
        tell(f"{_named(each)} failed: {each.error}")
    if max_age is not None and (late := status.of(LATE)):
        tell(
            f"{len(late):,} of {len(status.streams) - len(status.of(OFF)):,} streams had no good run within "
            f"{spoken(max_age.total_seconds())}: see to cron, and to what runs said"
        )
    if status.quarantine:
        tell(f"in quarantine, see `sightglass quarantine`: {status.quarantine:,}")


def _named(stream: StreamStatus) -> str:
    return " ".join(filter(None, [stream.source, stream.stream, stream.partition]))
