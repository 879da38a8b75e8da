"""`sightglass undo`: the tables as they were before a run."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import say_warnings, tell
from etl.config import Settings
from etl.pipeline.undo import Undone, undo


@click.command("undo")
@click.argument("run_id", metavar="RUN_ID")
@click.option("--with-later", is_flag=True, help="Undo all runs after it too.")
@takes_settings
@json_option
def command(settings: Settings, run_id: str, *, with_later: bool, as_json: bool) -> int:
    """Make the tables what they were before a run, and publish them; the next run reads it again.

    They are made anew from the log in raw/, of all that came before the run. What it had received stays in
    raw/ and is never loaded from there again; etl.runs keeps the run, as undone. What was posted goes back to
    the inbox. Where the log does not hold all that the tables were made of (SIGHTGLASS_RAW_DAYS), nothing is
    changed. Exit codes: 0 undone, also where it was before, 2 no such run, later ones have brought something,
    or the log is not whole, 4 a check fails, 75 a run works on the warehouse.
    """
    report = undo(settings, run_id, lambda: datetime.now(UTC), with_later=with_later)
    if as_json:
        print_json({**asdict(report), "published": report.published and report.published.as_json()})
    say(report)
    return report.exit_code


def say(report: Undone) -> None:
    """Tell people what was undone, on standard error."""
    for notice in report.log_notices:
        tell(notice)
    if report.failed_checks:
        tell(report.failed_checks)
    if report.posts:
        tell(f"given back to the inbox: {report.posts:,} posts")
    say_warnings(report.published)
    published = report.published or "not published"
    if report.runs:
        tell(f"undone: {', '.join(report.runs)}; {published}")
    else:
        tell(f"{report.run_id} is undone already; {published}")
