"""`sightglass forget`: take a medium or a person out of everything."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from etl.archive.archive import place_of
from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import say_warnings, tell
from etl.config import Settings
from etl.pipeline.forget import Forgot, forget


@click.command("forget")
@click.option(
    "--media", "medium", metavar="ID", help="A medium, of Cogniac or Neurons, with all that is about it."
)
@click.option("--user", "person", metavar="ID", help="A person: a pseudonym takes the place of this id.")
@takes_settings
@json_option
def command(settings: Settings, medium: str | None, person: str | None, *, as_json: bool) -> int:
    """Take a medium or a person out of all tables, their history, lake, quarantine, inbox, raw/ and archive.

    Only a keyed hash of the id is kept, so that no later run, backfill, rebuild or replay brings it back.
    Copies elsewhere (snapshots, backups, exports) are out of reach. Exit codes: 0 forgotten, 2 nothing of
    this id is known, 4 files that are named may still hold it, 75 a run works on the warehouse.
    """
    if (medium is None) == (person is None):
        raise click.UsageError("give either --media or --user, once")
    given = medium if medium is not None else person
    if not given:
        raise click.UsageError("an id must not be empty")
    report = forget(
        settings,
        "medium" if medium is not None else "person",
        given,
        lambda: datetime.now(UTC),
        place_of(settings),
    )
    if as_json:
        print_json({**asdict(report), "published": report.published and report.published.as_json()})
    say(report)
    return report.exit_code


def say(report: Forgot) -> None:
    """Tell people what was forgotten, on standard error, without saying who."""
    for notice in report.log_notices:
        tell(notice)
    for path in report.left:
        tell(f"may still hold it, see to it by hand: {path}")
    say_warnings(report.published)
    rows = ", ".join(f"{count:,} of {table}" for table, count in sorted(report.rows.items())) or "none"
    parts = ", ".join(f"{count:,} of {name}" for name, count in report.parts.items()) or "none"
    archived = f"files of the archive: {report.files:,}; " if report.files else ""
    tell(
        f"forgotten: rows that went or are others now: {rows}; parts of the log: {parts}; {archived}"
        f"{report.published}"
    )
    tell("snapshots, backups and exports elsewhere are out of reach: remove them, or forget in them too")
