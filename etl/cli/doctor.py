"""`sightglass doctor`: all that a run needs is looked at, and each line says what to do."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

import click

from etl import __version__
from etl.cli import json_option, print_json, takes_settings_or_fault
from etl.cli.output import shown
from etl.cli.sheet import show
from etl.config import Settings
from etl.doctor import examined, in_force
from etl.doctor.check import Check, failed
from etl.errors import ConfigError, worst


@click.command("doctor")
@json_option
@takes_settings_or_fault
def command(settings: Settings | ConfigError, *, as_json: bool) -> int:
    """Check settings, folders, disk, lock, versions, what is published, cron, and each login by trying it.

    One line for each check: ok, warn or fail, and what to do. It writes nothing, works beside a run and
    before the first one, and asks each API for the login and one list, as `plan` does.

    Exit codes: 0 nothing failed, 2 settings or this machine must be mended, 3 a source refused the login, or
    kept failing.
    """
    told = []
    for check in _found(settings):
        told.append(check)
        if not as_json:
            show([shown(str(check))])
    code = worst([check.code for check in told])
    if as_json:
        print_json(
            {
                "exit_code": code,
                "version": __version__,
                "checks": [asdict(check) for check in told],
                "settings": [] if isinstance(settings, ConfigError) else in_force(settings),
            }
        )
    return code


def _found(settings: Settings | ConfigError) -> Iterator[Check]:
    if isinstance(settings, ConfigError):
        return iter([failed("settings", str(settings), "nothing else was looked at")])
    return examined(settings, lambda: datetime.now(UTC))
