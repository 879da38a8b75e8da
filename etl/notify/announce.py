"""Others are told how a run ended, once people were."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from etl.config import Settings
from etl.errors import BusyError, SightglassError, code_of
from etl.notify import NotTold, Outcome
from etl.notify.failure_command import start_command
from etl.notify.metrics import check_metrics, write_metrics
from etl.notify.ping import ping
from etl.notify.traces import are_wanted, send_traces
from etl.process import code_if_told
from etl.redact import Redactor
from etl.setting import declared


@dataclass(slots=True)
class Announced:
    """What is known of the run at its end."""

    report: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0
    spans: Mapping[tuple[str, str], tuple[int, int, float]] = field(default_factory=dict)


@contextmanager
def announcing(settings: Settings, warn: Callable[[str], None]) -> Iterator[Announced]:
    """Tell others at the end of the block how the run inside it ended; nobody where it was told to stop.

    `warn` is told who could not be told. ConfigError beforehand, where what tells them is missing.
    """
    check_metrics(settings)
    found, begun = Announced(), datetime.now(UTC)
    try:
        yield found
    except Exception as error:  # a bug, too, is a run that failed: others are told, then it goes on its way
        if not code_if_told():
            code = code_of(error)
            why = str(error) if isinstance(error, SightglassError) else f"{type(error).__name__}: {error}"
            why = Redactor(each.reveal() for each in settings.secrets)(why)
            report = {
                "status": "failed",
                "exit_code": code,
                "error": why,
                "started_at": f"{begun:%Y-%m-%dT%H:%M:%S.%fZ}",
            }
            _announce(settings, Outcome(code, begun, datetime.now(UTC), report, {}), warn)
        raise
    _announce(settings, Outcome(found.exit_code, begun, datetime.now(UTC), found.report, found.spans), warn)


def _announce(settings: Settings, outcome: Outcome, warn: Callable[[str], None]) -> None:
    """Tell all that are to be told; who cannot be is named.

    Nobody is told of a run that found another one at work: it did nothing.
    """
    if outcome.exit_code == BusyError.exit_code:
        return
    ways: list[Callable[[], None]] = []
    if settings.metrics_file:
        ways.append(lambda: write_metrics(settings, outcome))
    if settings.on_failure and outcome.is_failure:
        ways.append(lambda: start_command(settings.on_failure, outcome, _without_secrets(settings)))
    if settings.ping_url:
        ways.append(lambda: ping(settings.ping_url, outcome))
    if are_wanted(os.environ):
        ways.append(lambda: send_traces(outcome))
    for way in ways:
        try:
            way()
        except NotTold as error:
            warn(str(error))


def _without_secrets(settings: Settings) -> dict[str, str]:
    """Return the environment for a command that asks none of the APIs."""
    areas: list[type[Any]] = [Settings, *settings.own]
    secrets = [each for area in areas for each in declared(area).values() if each.is_credential]
    ours = {name for each in secrets for name in each.names}
    return {name: value for name, value in os.environ.items() if name not in ours}
