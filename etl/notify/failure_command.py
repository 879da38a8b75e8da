"""The command that is started when a run has failed."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress

from etl.notify import NotTold, Outcome

SECONDS = 30.0
"""How long it may take."""
SHOWN = 300
"""Characters of what it says last that people are told."""


def start_command(
    command: str, outcome: Outcome, environ: Mapping[str, str], seconds: float = SECONDS
) -> None:
    """Start a command with the run's JSON on its standard input; NotTold where it fails or takes too long.

    No shell reads it. What it starts itself goes with it.
    """
    try:
        words = shlex.split(command)
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(json.dumps(outcome.report).encode() + b"\n")
            given.seek(0)
            process = subprocess.Popen(  # noqa: S603 -- that is what it was set for
                words, stdin=given, stdout=said, stderr=said, env=environ, start_new_session=True
            )
            try:
                code = process.wait(seconds)
            finally:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
            if code:
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2][:SHOWN]
                raise NotTold(f"SIGHTGLASS_ON_FAILURE ended with exit code {code}{last and f': {last}'}")
    except subprocess.TimeoutExpired as error:
        raise NotTold(f"SIGHTGLASS_ON_FAILURE took longer than {seconds:g} seconds, and was ended") from error
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotTold(f"SIGHTGLASS_ON_FAILURE cannot be started: {reason}") from error
