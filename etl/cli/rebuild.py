"""`sightglass rebuild`: make the tables anew from the log, without asking any API."""

from dataclasses import asdict
from datetime import UTC, datetime
from logging import WARNING
from pathlib import Path

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.logs import takes_logs
from etl.cli.output import FilePath, say_warnings, tell
from etl.config import Settings
from etl.pipeline.rebuild import Rebuilt, rebuild
from etl.pipeline.sessions import known_source


@click.command("rebuild")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option(
    "--into",
    metavar="DIR",
    type=FilePath(path_type=Path),
    help="Rebuild into this folder, which has no warehouse.",
)
@click.option("--log-alone", is_flag=True, help="Take nothing from the warehouse, which may be damaged.")
@takes_settings
@takes_logs
@json_option
def command(
    settings: Settings, sources: tuple[str, ...], into: Path | None, *, log_alone: bool, as_json: bool
) -> int:
    """Make the tables anew from the log in raw/, of all sources or of those named, and publish them.

    No API is asked. What was received is read by the declarations of this version: fields that were kept in
    _extra come into columns declared since. What the log does not hold any more (SIGHTGLASS_RAW_DAYS) is
    taken from the warehouse, and named. Exit codes: 0 rebuilt, 2 fix the settings, 4 a check fails or data is
    missing, 75 a run works on the warehouse.
    """
    for name in sources:
        known_source(name)
    report = rebuild(settings, sources, into, lambda: datetime.now(UTC), alone=log_alone)
    if as_json:
        print_json({**asdict(report), "published": report.published and report.published.as_json()})
    say(report)
    return report.exit_code


def say(report: Rebuilt) -> None:
    """Tell people what was rebuilt, on standard error."""
    for why in report.damaged:
        tell(f"the log is damaged: {why}", level=WARNING)
    for name in report.incomplete:
        tell(
            f"the log of {name} does not begin with its first load: what came before is missing",
            level=WARNING,
        )
    if report.taken:
        tables = ", ".join(f"{count:,} of {table}" for table, count in sorted(report.taken.items()))
        tell(f"rows that the log does not hold any more, taken from the warehouse: {tables}")
    if report.failed_checks:
        tell(report.failed_checks, level=WARNING)
    say_warnings(report.published)
    parts = ", ".join(f"{count:,} of {name}" for name, count in report.parts.items())
    tell(f"rebuilt from parts of the log: {parts}; {report.published or 'not published'}")
