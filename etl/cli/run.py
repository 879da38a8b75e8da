"""`sightglass run`: load what is new."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from logging import INFO, WARNING

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.logs import takes_logs
from etl.cli.output import say_warnings, tell
from etl.cli.progress import watched
from etl.config import Settings
from etl.load.stream_stats import StreamStats
from etl.notify.announce import announcing
from etl.pipeline.run import Report, run
from etl.pipeline.run_report import run_report
from etl.sources import source_module

MOST_NAMES = 20
LONGEST_NAME = 100
"""Undeclared fields that are named on standard error, and characters of each."""


@click.command("run")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@takes_settings
@takes_logs
@json_option
def command(settings: Settings, sources: tuple[str, ...], *, as_json: bool) -> int:
    """Load what is new from all sources that have credentials, or from those named (cogniac, neurons).

    Exit codes: 0 all went well, 2 fix the settings, 3 a source kept failing, 4 data was quarantined,
    75 another run works on the warehouse, 1 a bug.
    """
    with announcing(settings, partial(tell, level=WARNING)) as announced:
        with watched() as progress:
            report = run(settings, sources, lambda: datetime.now(UTC), progress)
        found = run_report(report).as_json()
        if as_json:
            print_json(found)
        say(report)
        announced.report, announced.exit_code = found, report.exit_code
        announced.spans = report.stages.as_spans()
    return report.exit_code


def say(report: Report) -> None:
    """Tell people what the run did, on standard error; warnings are what somebody should see to."""
    for name in report.skipped:
        tell(f"{name} skipped, it has no credentials{_lapsed(name, report)}", level=_level(report.lapsed))
    for stats in report.streams:
        said = [f" failed: {stats.error}"] * bool(stats.error) + [f": {stats.notice}"] * bool(stats.notice)
        for odd in said:
            tell(f"{_named(stats)}{odd}", level=WARNING)
    if report.newly_quarantined:
        tell(f"newly quarantined, see etl.quarantine: {report.newly_quarantined:,}", level=WARNING)
    unknown = [f"undeclared fields, kept in _extra: {few(report.unknown)}"] if report.unknown else []
    for news in [*report.migrated, *unknown]:
        tell(news)
    if report.failed_checks:
        tell(report.failed_checks, level=WARNING)
    for each in [*report.missing.values(), *report.log_notices, *report.held_back]:
        tell(str(each), level=WARNING)
    say_warnings(report.published)
    if report.gaps:
        tell(f"gaps, listed in etl.gaps: {report.gaps:,}")
    total = {
        name: sum(getattr(stats, name) for stats in report.streams)
        for name in ("fetched", "inserted", "updated", "unchanged", "quarantined")
    }
    counts = ", ".join(f"{count:,} {name}" for name, count in total.items())
    marked = "".join(f", {count:,} marked as {what}" for what, count in sorted(report.marked.items()))
    changed = marked if marked or total["inserted"] + total["updated"] else ", nothing changed"
    tell(f"run {report.run_id} {report.status}: {counts}{changed}", level=_level(report.exit_code))


def _level(wrong: object) -> int:
    """Return the level of what is told where something is wrong, or nothing is."""
    return WARNING if wrong else INFO


def few(names: Sequence[str], where: str = "etl.runs") -> str:
    """Return the names on a line that can be read: the first of them, and of each its beginning.

    `where` all of them are.
    """
    shown = [
        name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..." for name in names[:MOST_NAMES]
    ]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more, see {where}" if more else "")


def _lapsed(name: str, report: Report) -> str:
    """Return what is to be done where a source without credentials was loaded before.

    Empty where it was not.
    """
    if name not in report.lapsed:
        return ""
    return (
        f" and was loaded before: set {source_module(name).LOGIN}, or name the sources to load in "
        "SIGHTGLASS_SOURCES"
    )


def _named(stats: StreamStats) -> str:
    return " ".join(filter(None, [stats.source, stats.stream, stats.partition]))
