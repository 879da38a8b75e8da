"""`sightglass verify`: whether every record that the APIs held is in its table, exactly once."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from etl.cli import json_option, print_json, takes_settings
from etl.cli.backfill import bounds, micros
from etl.cli.output import shown, tell
from etl.config import Settings
from etl.load.differences import Difference
from etl.pipeline.sessions import known_source
from etl.pipeline.verify import Verified, drawn_seed, verify
from etl.pipeline.windows import Scope

MOST_SHOWN = 100
"""Differences that are named to people; JSON names all."""


@click.command("verify")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option("--since", metavar="TIME", help="Ask the APIs only for what changed at or after this time.")
@click.option("--until", metavar="TIME", help="And only for what changed before this time.")
@click.option("--sample", metavar="N", type=click.IntRange(1), help="Ask for N windows drawn at random.")
@click.option("--seed", metavar="NUMBER", type=click.IntRange(0), help="Draw the same windows as before.")
@click.option("--quick", is_flag=True, help="Do not replay the log.")
@takes_settings
@json_option
def command(  # noqa: PLR0913 -- one for each option
    settings: Settings,
    sources: tuple[str, ...],
    *,
    since: str | None,
    until: str | None,
    sample: int | None,
    seed: int | None,
    quick: bool,
    as_json: bool,
) -> int:
    """Prove that all the APIs held is in the tables, exactly once, or named as missing; name what is not.

    The APIs are asked again for what runs have read, of all sources or of those named, and the tables, the
    log in raw/ and the lake are held against each other. Nothing stored is changed. `repair` heals what is
    named. Exit codes: 0 nothing differs, 2 fix the settings, 3 an API could not be asked, 4 differences, 75 a
    run works on the warehouse.
    """
    for name in sources:
        known_source(name)
    if since is not None and until is not None:
        bounds(since, until)
    scope = Scope(
        0 if since is None else micros("--since", since),
        None if until is None else micros("--until", until),
        sample,
        drawn_seed() if seed is None else seed,
        quick,
    )
    report = verify(settings, sources, lambda: datetime.now(UTC), scope)
    if as_json:
        print_json(report_json(report))
    else:
        print_table(report.differences)
    say(report)
    return report.exit_code


def report_json(report: Verified) -> dict[str, Any]:
    """Return the report as `--json` prints it, which `repair` reads."""
    asked = {
        name: {key: value for key, value in asdict(each).items() if isinstance(value, int)}
        for name, each in report.asked.items()
    }
    return {
        "sources": report.sources,
        "exit_code": report.exit_code,
        "differences": msgspec.to_builtins(report.differences),
        "unasked": report.unasked,
        "notes": report.notes,
        "asked": asked,
        "gaps": report.gaps,
        "seed": report.seed,
    }


def print_table(differences: list[Difference]) -> None:
    """Print a line for each difference, the first of them where there are many."""
    for each in differences[:MOST_SHOWN]:
        click.echo(shown(f"{each.place:6}  {each.where()}: {each.what}"))
    if len(differences) > MOST_SHOWN:
        click.echo(f"and {len(differences) - MOST_SHOWN:,} more; --json names all")


def say(report: Verified) -> None:
    """Tell people what was looked at, on standard error."""
    for each in [*report.notes, *report.unasked]:
        tell(each)
    for name, answers in report.asked.items():
        drawn = f" drawn by seed {report.seed}" if report.seed is not None and answers.windows else ""
        tell(
            f"{name}: {answers.records:,} records compared in {answers.requests:,} requests, windows: "
            f"{answers.windows:,}{drawn}; in quarantine {answers.quarantined:,}, gaps {report.gaps[name]:,}"
        )
    counts = Counter(each.place for each in report.differences)
    told = ", ".join(f"{count:,} of the {place}" for place, count in sorted(counts.items()))
    nothing = "nothing of what was compared differs" if report.unasked else "nothing differs"
    tell(f"differences: {told}; `sightglass repair` heals them" if counts else nothing)
