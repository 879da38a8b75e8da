"""`sightglass quarantine`: what was refused, and what to do with it."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from logging import WARNING
from typing import Any

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import json_text, say_warnings, shown, tell
from etl.config import Settings
from etl.load.run_store import QuarantineEntry, listed, quarantine_entries, received
from etl.load.warehouse import open_for_reading, opened
from etl.pipeline.run import dismiss, replay
from etl.pipeline.run_report import run_report
from etl.process import interruptible
from etl.values import moment


@click.group("quarantine", invoke_without_command=True)
@takes_settings
@json_option
def command(settings: Settings, *, as_json: bool) -> None:
    """List what was refused; `show` one, `replay` what is accepted by now, `dismiss` what is settled."""
    if click.get_current_context().invoked_subcommand:
        return
    count = 1
    with (
        opened(settings.home, open_for_reading) as warehouse,
        interruptible(warehouse),
        suppress(BrokenPipeError),
    ):
        found = listed(warehouse)
        count = _print_objects(found) if as_json else _print_lines(found)
        sys.stdout.flush()
    if not count and not as_json:
        tell("the quarantine is empty")


def _print_objects(found: Iterable[QuarantineEntry]) -> int:
    """Print one JSON object that holds them, one after the other; how many there were."""
    count = 0
    sys.stdout.write('{"quarantine": [')
    for count, entry in enumerate(found, start=1):
        sys.stdout.write(", " if count > 1 else "")
        sys.stdout.write(json_text(_summary(entry)))
    sys.stdout.write("]}\n")
    return count


def _print_lines(found: Iterable[QuarantineEntry]) -> int:
    """Print a line for each; how many there were."""
    count = 0
    for count, entry in enumerate(found, start=1):  # noqa: B007 -- it is what is asked for
        about = " ".join(filter(None, [entry.source, entry.stream, entry.partition]))
        where = f"{moment(entry.seen_us)}  {entry.state:9} {about}"
        click.echo(shown(f"{entry.quarantine_id}  {where}: {entry.path}: {entry.reason}"))
    return count


@command.command("show")
@click.argument("quarantine_id", metavar="ID")
@json_option
@takes_settings
def show(settings: Settings, quarantine_id: str, *, as_json: bool) -> None:
    """Print one refused record or file with the reason and the place in it."""
    with opened(settings.home, open_for_reading) as warehouse, interruptible(warehouse):
        (entry,) = quarantine_entries(warehouse, [quarantine_id])
        kept = received(warehouse, entry)
    if as_json:
        whole = {"record": kept.record, "encoding": entry.encoding}
        print_json({**_summary(entry), "context": json.loads(kept.context), **whole})
        return
    about = {
        "reason": entry.reason,
        "path": entry.path,
        "came by": f"{entry.source} {entry.stream} {entry.partition}",
        "context": kept.context,
        "state": f"{entry.state}, seen first at {moment(entry.seen_us)} by run {entry.run_id}",
    }
    for name, value in about.items():
        click.echo(f"{name + ':':8} {shown(value)}")
    click.echo("\n" + shown(kept.record, kept="\n"))


@command.command("replay")
@click.argument("quarantine_ids", metavar="[ID ...]", nargs=-1)
@json_option
@takes_settings
def replay_(settings: Settings, quarantine_ids: Sequence[str], *, as_json: bool) -> int:
    """Load what the present declarations accept, of all that is open or of these; exit 4 if not all."""
    report, still = replay(settings, quarantine_ids, lambda: datetime.now(UTC))
    if as_json:
        print_json({**run_report(report).as_json(), "still_refused": [_summary(entry) for entry in still]})
    for notice in report.log_notices:
        tell(notice)
    if report.failed_checks:
        tell(report.failed_checks, level=WARNING)
    say_warnings(report.published)
    loaded = sum(stats.fetched for stats in report.streams)
    tell(f"replayed {loaded:,}, still refused {len(still):,}")
    return report.exit_code


@command.command("dismiss")
@click.argument("quarantine_id", metavar="ID")
@takes_settings
def dismiss_(settings: Settings, quarantine_id: str) -> int:
    """Close one: it stays listed, and is not replayed any more."""
    notices, published = dismiss(settings, quarantine_id, datetime.now(UTC))
    for notice in notices:
        tell(notice)
    say_warnings(published)
    tell(f"dismissed {quarantine_id}")
    return published.exit_code


def _summary(entry: QuarantineEntry) -> dict[str, Any]:
    """One refusal without its content."""
    names = ("quarantine_id", "run_id", "kind", "source", "stream", "partition", "reason", "path", "state")
    return {name: getattr(entry, name) for name in names} | {"seen_at": moment(entry.seen_us)}
