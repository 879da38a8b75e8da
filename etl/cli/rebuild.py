"""`sightglass rebuild`: make the tables anew from the log, without asking any API."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from logging import WARNING
from pathlib import Path
from typing import Any

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.logs import takes_logs
from etl.cli.output import FilePath, hide_secrets, say_warnings, tell
from etl.cli.run import few
from etl.config import Settings
from etl.errors import ConfigError
from etl.pipeline.rebuild import Rebuilt, rebuild
from etl.pipeline.sessions import known_source
from etl.redact import Redactor
from etl.setting import Setting, checked

MOST_BUCKETS = 4_096
"""Shares of a rebuild with `--remote` at most."""


@click.command("rebuild")
@click.argument("sources", nargs=-1, metavar="[SOURCE ... | RAW_URI OUT_URI]")
@click.option(
    "--into",
    type=FilePath(),
    metavar="DIR",
    help="Rebuild into this folder, which has no warehouse.",
)
@click.option("--log-alone", is_flag=True, help="Take nothing from the warehouse, which may be damaged.")
@click.option(
    "--remote",
    metavar="sc://HOST[:PORT]",
    help="Have Spark make the tables of the logs under RAW_URI, below OUT_URI (needs the extra `spark`).",
)
@click.option(
    "--buckets",
    metavar="N",
    type=click.IntRange(1, MOST_BUCKETS),
    help="With --remote: shares that are loaded apart.",
)
@takes_settings
@takes_logs
@json_option
def command(
    settings: Settings,
    sources: tuple[str, ...],
    into: str | None,
    *,
    as_json: bool,
    **how: Any,  # noqa: ANN401 -- what click takes from the options above
) -> int:
    """Make the tables anew from the log in raw/, of all sources or of those named, and publish them.

    No API is asked. What was received is read by the declarations of this version: fields that were kept in
    _extra come into columns declared since. What the log does not hold any more (SIGHTGLASS_RAW_DAYS) is
    taken from the warehouse, and named. Exit codes: 0 rebuilt, 2 fix the settings, 4 a check fails or data is
    missing, 75 a run works on the warehouse. With --remote, no warehouse takes
    part: docs/remote-rebuild.md.
    """
    if how["remote"] is not None:
        if len(sources) != len(("RAW_URI", "OUT_URI")) or into is not None or how["log_alone"]:
            raise ConfigError(
                "--remote takes RAW_URI and OUT_URI; --into and --log-alone are for one machine"
            )
        return _remotely(settings, sources, how, as_json=as_json)
    if how["buckets"] is not None:
        raise ConfigError("--buckets is for a rebuild with --remote")
    for name in sources:
        known_source(name)
    report = rebuild(settings, sources, _folder(into), lambda: datetime.now(UTC), alone=how["log_alone"])
    if as_json:
        print_json({**asdict(report), "published": report.published and report.published.as_json()})
    say(report)
    return report.exit_code


def _folder(into: str | None) -> Path | None:
    """Return the folder to rebuild into, named as that of a warehouse is; ConfigError where it is none."""
    if into is None:
        return None
    if not into.strip():
        raise ConfigError("--into is blank: name a folder")
    folder: Path = checked(Setting("--into", "", kind=Path), into, "the command line")
    return folder


def _remotely(settings: Settings, addresses: Sequence[str], how: Mapping[str, Any], *, as_json: bool) -> int:
    """Have others do it."""
    from etl.pipeline.remote.cluster import TOKEN, cluster  # noqa: PLC0415 -- none else needs it
    from etl.pipeline.remote.job import COMPLETE_FILE, rebuild_remotely  # noqa: PLC0415

    raw, out = addresses
    # The engine may say the token that it was given.
    known = [*(each.reveal() for each in settings.secrets), *filter(None, [os.environ.get(TOKEN)])]
    redact = Redactor(known) if known else None
    if redact:
        hide_secrets(lambda: redact)
    with cluster(how["remote"]) as engine:
        report = rebuild_remotely((raw, out), engine, datetime.now(UTC), how["buckets"], redact)
    if as_json:
        print_json(asdict(report))
    _say_logs(report.damaged, report.incomplete)
    if not report.knows_forgotten:
        tell(f"no forgotten.json stands beside {raw}: whoever was forgotten comes back from an older log")
    if report.unknown:
        tell(f"undeclared fields, kept in _extra: {few(report.unknown, COMPLETE_FILE)}")
    parts = ", ".join(f"{count:,} of {name}" for name, count in report.parts.items())
    rows = sum(report.rows.values())
    tell(f"rebuilt from parts of the log: {parts}; {rows:,} rows in {report.out}, folder {report.folder}")
    return report.exit_code


def _say_logs(damaged: Sequence[str], incomplete: Sequence[str]) -> None:
    for why in damaged:
        tell(f"the log is damaged: {why}", level=WARNING)
    for name in incomplete:
        tell(
            f"the log of {name} does not begin with its first load: what came before is missing",
            level=WARNING,
        )


def say(report: Rebuilt) -> None:
    """Tell people what was rebuilt, on standard error."""
    _say_logs(report.damaged, report.incomplete)
    if report.taken:
        tables = ", ".join(f"{count:,} of {table}" for table, count in sorted(report.taken.items()))
        tell(f"rows that the log does not hold any more, taken from the warehouse: {tables}")
    if report.withheld:
        tables = ", ".join(f"{count:,} of {table}" for table, count in sorted(report.withheld.items()))
        tell(
            "rows that the warehouse has not, left out because a part of the log is lost "
            f"that may have taken them away: {tables}"
        )
    if report.failed_checks:
        tell(report.failed_checks, level=WARNING)
    say_warnings(report.published)
    parts = ", ".join(f"{count:,} of {name}" for name, count in report.parts.items())
    tell(f"rebuilt from parts of the log: {parts}; {report.published or 'not published'}")
