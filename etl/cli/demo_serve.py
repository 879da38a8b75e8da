"""`sightglass demo --serve`: both simulated APIs for commands in another terminal, until told to stop."""

import os
import shlex
import signal
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from etl.cli.output import STDIN, tell
from etl.errors import OK, ConfigError, EnvironmentFaultError
from etl.process import Stopped, code_if_told, obey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.demo.plant import Plant

PORT = 8750
"""By default always the same one, so that what another terminal was told once stays true."""
PORTS = 4
HIGHEST_PORT = 65_535 - PORTS + 1
ODD = "odd"
CTRL_C = 128 + signal.SIGINT
LONGEST_LINE = 1000
"""Bytes of a line that are looked at together."""


class Size(NamedTuple):
    """What is simulated."""

    seed: int
    records: int
    """Of Cogniac, at first."""
    media: int
    """The same of Neurons."""


@contextmanager
def simulated(size: Size, port: int = 0) -> "Iterator[Plant]":
    """Serve both simulated APIs on this port and those after it, or where that is 0 on any that are free.

    ConfigError where the extra is missing, EnvironmentFaultError where a port is taken.
    """
    try:
        from etl.demo.plant import served  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigError(f"the demo needs {error.name}: pip install 'sightglass-etl[demo]'") from error
    with ExitStack() as stack:
        try:
            plant = stack.enter_context(served(*size, port))
        except OSError as error:
            raise EnvironmentFaultError(
                f"cannot listen on 127.0.0.1, ports {port} to {port + PORTS - 1}: {error.strerror};"
                " end what listens there, or name another --port"
            ) from error
        yield plant


def serve(size: Size, port: int) -> int:
    """Serve both simulated APIs, and let time pass there with each press of Enter, until told to stop."""
    try:
        with simulated(size, port) as plant:
            click.echo(
                "Both APIs are simulated on this machine until you press Ctrl-C. In another terminal:\n",
                err=True,
            )
            with suppress(BrokenPipeError):
                for name, value in plant.settings.items():
                    click.echo(f"export {name}={shlex.quote(value)}")
            click.echo(
                f"\nEnter lets time pass there; `{ODD}` and Enter sends a record that is odd.", err=True
            )
            _follow_keys(plant)
            threading.Event().wait()  # a signal ends it
    except Stopped:
        obey()
        if code_if_told() == CTRL_C and sys.stderr.isatty():
            click.echo(err=True)  # after ^C, on a line of its own
        tell("stopped: nothing is simulated any more")
    return OK


def _follow_keys(plant: "Plant") -> None:
    """Do at the plant what is typed, until the end of standard input."""
    # In the background of a terminal, reading from it would stop this process, and with it the servers.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    with suppress(OSError), os.fdopen(STDIN, "rb", closefd=False) as keys:
        while line := keys.readline(LONGEST_LINE):
            click.echo(_done(plant, line.decode(errors="replace").strip()), err=True)


def _done(plant: "Plant", word: str) -> str:
    """Do at the plant what a word asks for, and say what is new there."""
    if word == ODD:
        return f"Cogniac lists a record whose probability is a text: media_id {plant.send_odd()}"
    if word:
        return f"Type nothing but Enter to let time pass, or `{ODD}` and Enter."
    passed = plant.advance()
    said = (
        f"Time passes, there it is {passed.until:%Y-%m-%d %H:%M} UTC: new records {passed.records:,},"
        f" corrections by people {passed.corrections:,}, new images and videos {passed.media:,}"
    )
    if passed.until > datetime.now(UTC):
        said += "; that is later than the clock of this machine says, so no run asks for it: start anew"
    return said
