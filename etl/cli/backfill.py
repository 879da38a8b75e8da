"""`sightglass backfill`: load a range of time again."""

from datetime import UTC, datetime

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.logs import takes_logs
from etl.cli.progress import watched
from etl.cli.run import say
from etl.config import Settings
from etl.errors import ConfigError
from etl.extract.stream import Reread
from etl.pipeline.run import run
from etl.pipeline.run_report import run_report
from etl.values import micros_of


@click.command("backfill")
@click.argument("source", metavar="SOURCE")
@click.option("--since", metavar="TIME", required=True, help="Load what changed at or after this time.")
@click.option("--until", metavar="TIME", help="And before this time; by default until now.")
@takes_settings
@takes_logs
@json_option
def command(settings: Settings, source: str, since: str, until: str | None, *, as_json: bool) -> int:
    """Load again what changed in a range of time at SOURCE (cogniac, neurons), side by side.

    TIME is a date or a time in ISO 8601, in UTC where it names no offset. The range is read whatever is known
    of it, what is newer in the warehouse stays, and no cursor moves. Exit codes are those of `run`.
    """
    now = datetime.now(UTC)
    if micros("--since", since) >= micros_of(now):
        raise ConfigError(f"--since must be in the past, which {since} is not")
    start, end = bounds(since, now.isoformat() if until is None else until)
    with watched() as progress:
        report = run(settings, [source], lambda: datetime.now(UTC), progress, Reread(start, end))
    if as_json:
        print_json(run_report(report).as_json())
    say(report)
    return report.exit_code


def bounds(since: str, until: str) -> tuple[int, int]:
    """Return a range of time in microseconds since 1970; ConfigError where there is nothing in it."""
    start, end = micros("--since", since), micros("--until", until)
    if end == 0:
        raise ConfigError(f"--until must be after 1970, which {until} is not")
    if start >= end:
        raise ConfigError(f"--since must be earlier than --until, which {since} is not")
    return start, end


def micros(option: str, text: str) -> int:
    """Return the time in microseconds since 1970, which no API's data precede."""
    if not text:
        raise ConfigError(f"{option} is empty: give it a date or a time in ISO 8601")
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} must be a date or a time in ISO 8601, not {text}") from error
    return max(0, micros_of(at if at.tzinfo else at.replace(tzinfo=UTC)))
