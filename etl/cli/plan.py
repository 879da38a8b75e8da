"""`sightglass plan`: what a run would ask, and about how much it would bring."""

from datetime import UTC, datetime
from typing import Any

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import tell
from etl.cli.sheet import minute, sheet, show
from etl.config import Settings
from etl.errors import OK, SourceError
from etl.pipeline.plan import Plan, PlannedStream, plan
from etl.values import json_value

HEAD = ("source", "stream", "part", "from", "to", "requests", "records")


@click.command("plan")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@json_option
@takes_settings
def command(settings: Settings, sources: tuple[str, ...], *, as_json: bool) -> int:
    """Show what a run would ask of each stream, from when to when, and about how much would come.

    It writes nothing, works beside a run, and asks each API only for the login and one list: Cogniac's
    applications, the first page of Neurons' media. Numbers are estimated from what runs found before; where
    nothing tells, they are left out.

    Exit codes: 0 all sources answered, 2 fix the settings, 3 a source refused or kept failing: of it, what
    runs read so far is shown.
    """
    made = plan(settings, sources, lambda: datetime.now(UTC))
    code = SourceError.exit_code if made.failed else OK
    if as_json:
        print_json({"exit_code": code, **_plan_json(settings, made)})
    else:
        show(sheet(HEAD, [_row(each) for each in made.streams]))
    for name, error in made.failed.items():
        tell(f"{name} failed: {error}")
    for name in made.skipped:
        tell(f"{name} skipped, it has no credentials")
    return code


def _plan_json(settings: Settings, made: Plan) -> dict[str, Any]:
    return {
        "home": str(settings.home),
        "streams": json_value(made.streams),
        "asked": made.asked,
        "failed": made.failed,
        "skipped": made.skipped,
    }


def _row(stream: PlannedStream) -> tuple[str, ...]:
    return (
        stream.source,
        stream.stream,
        stream.partition,
        "all of it" if stream.is_list else minute(stream.since) or "the beginning",
        minute(stream.until),
        _about(stream.requests),
        _about(stream.records),
    )


def _about(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
