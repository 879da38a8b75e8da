"""`sightglass repair`: heal what `verify` names, and nothing else."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import FilePath, say_warnings, tell
from etl.cli.progress import watched
from etl.cli.run import say as say_run
from etl.cli.verify import say as say_verified
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError, worst
from etl.load.differences import Difference
from etl.pipeline.repair import Repaired, repair
from etl.pipeline.run_report import run_report
from etl.pipeline.sessions import known_source
from etl.pipeline.verify import Verified, verify
from etl.pipeline.windows import Scope
from etl.values import moment

STDIN = "-"


class Named(msgspec.Struct):
    """What `verify --json` prints, as far as it is needed."""

    differences: list[Difference]


@click.command("repair")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option(
    "--from",
    "named",
    metavar="FILE",
    type=FilePath(path_type=Path),
    help="What verify --json has printed, - for standard input; else verify is run first.",
)
@takes_settings
@json_option
def command(settings: Settings, sources: tuple[str, ...], *, named: Path | None, as_json: bool) -> int:
    """Heal what verify names, of all sources or of those named, and touch nothing else.

    Damaged tables are made anew from the log, damaged files of the lake from the tables, without asking any
    API. What only the APIs can give again is read again: just the windows, records and files that are named.
    Exit codes: 0 healed, 2 fix the settings, 3 an API could not be asked, 4 a check fails or data was
    quarantined, 75 a run works on the warehouse.
    """
    for name in sources:
        known_source(name)
    verified = None if named else verify(settings, sources, lambda: datetime.now(UTC), Scope())
    differences = verified.differences if verified else _named(named or Path(STDIN), sources)
    with watched() as progress:
        report = repair(settings, differences, lambda: datetime.now(UTC), progress)
    unasked = [3] * bool(verified and verified.unasked)
    code = worst([report.exit_code, *unasked])
    if as_json:
        print_json(_json(report, differences, code))
    _say(report, verified, differences)
    return code


def _named(path: Path, sources: Sequence[str]) -> list[Difference]:
    """Return the differences in a file.

    EnvironmentFaultError where it cannot be read, ConfigError where it holds no such thing.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
        found = msgspec.convert(json.loads(content), Named).differences
    except OSError as error:
        raise EnvironmentFaultError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--from must name what `sightglass verify --json` has printed: {error}") from error
    return [each for each in found if not sources or each.source in sources]


def _json(report: Repaired, differences: Sequence[Difference], code: int) -> dict[str, Any]:
    """Return the report as `--json` prints it."""
    return {
        "exit_code": code,
        "differences": msgspec.to_builtins(differences),
        "set_aside": report.set_aside,
        "rebuilt": report.rebuilt.parts if report.rebuilt else None,
        "windows": [
            {"stream": stream, "partition": partition, "since": moment(start), "until": moment(end)}
            for (stream, partition), windows in report.windows.items()
            for start, end in windows
        ],
        "records": report.records,
        "run": report.read and run_report(report.read).as_json(),
        "published": report.published and report.published.as_json(),
        "failed_checks": report.failed_checks,
    }


def _say(report: Repaired, verified: Verified | None, differences: Sequence[Difference]) -> None:
    """Tell people what was done, on standard error."""
    if verified:
        say_verified(verified)
    for notice in report.log_notices:
        tell(notice)
    if report.set_aside:
        tell(f"parts of the log that are lost, set aside: {report.set_aside:,}")
    if report.rebuilt:
        tell(f"tables made anew from the log: {', '.join(report.rebuilt.sources)}")
    if report.read:
        windows = sum(map(len, report.windows.values()))
        tell(f"read again: {windows:,} windows, {len(report.records):,} records of lists")
        say_run(report.read)
    if report.failed_checks:
        tell(report.failed_checks)
    say_warnings(report.published)
    if report.published:
        tell(str(report.published))
    tell(f"repaired: {len(differences):,} differences" if differences else "there is nothing to repair")
