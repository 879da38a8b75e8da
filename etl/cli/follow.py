"""`sightglass follow`: a loop around `run`, for those without cron."""

import subprocess
import time
from collections.abc import Sequence
from math import isnan

import click

from etl.cli import takes_settings
from etl.cli.logs import log_options, takes_logs
from etl.cli.output import tell
from etl.config import Settings
from etl.errors import OK, ConfigError
from etl.inbox.reader import Inbox
from etl.inbox.segment import CLOSED, LEFT
from etl.process import Stopped, obey, own_command

LOOK_SECONDS = 0.5
"""How often it is looked whether posts have come."""
POSTS_SECONDS = 5.0
"""From one run to the next at least, however many posts come."""


@click.command("follow")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=300,
    show_default=True,
    help="From the beginning of one run to that of the next.",
)
@takes_settings
@takes_logs
def command(settings: Settings, sources: tuple[str, ...], every: float) -> int:
    """Run again and again: every so often, and at once when posts have come (see `listen`).

    Each run is one of `sightglass run`, with what that says. One that fails is told and not the end: the next
    one goes on from there. Ends with exit code 0 when told to stop, after the run at work has stopped, and
    with that of the first run where settings are to be mended.
    """
    if isnan(every):
        # Is within every range, and comes at once for ever.
        raise click.UsageError("--every takes a number of seconds, not nan")
    flags, file = click.get_current_context().obj
    named = [f"--set={name}={value}" for name, value in flags.items()]
    logs = log_options().arguments()
    arguments = ["run", *sources, *named, *logs, *([f"--config={file}"] if file else [])]
    inbox, is_first = Inbox(settings.home), True
    try:
        while True:
            # Before it: what comes while it works may have come too late for it.
            begun, met = time.monotonic(), _waiting(inbox)
            code = _run(arguments)
            if is_first and code == ConfigError.exit_code:
                return code
            is_first = False
            _wait(inbox, met, begun, every)
    except Stopped:
        obey()
        tell("told to stop: no run follows")
        return OK


def _run(arguments: Sequence[str]) -> int:
    """Return the exit code of a run in a process of its own, which is told to stop where this one is."""
    with subprocess.Popen(  # noqa: S603 -- our own command
        own_command(*arguments), process_group=0, stdin=subprocess.DEVNULL
    ) as process:
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()


def _wait(inbox: Inbox, met: set[str], begun: float, every: float) -> None:
    """Return when the next run is due: in time, or because posts have come that the last one has not met."""
    while (waited := time.monotonic() - begun) < every:
        if waited >= POSTS_SECONDS and _waiting(inbox) - met:
            return
        time.sleep(min(LOOK_SECONDS, every - waited))  # a signal ends it


def _waiting(inbox: Inbox) -> set[str]:
    """Return what a run would find of posts."""
    try:
        return {path.name for path in inbox.folder.iterdir() if path.suffix in (CLOSED, LEFT)}
    except OSError:
        return set()
