"""`sightglass demo --serve` as a process."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE, Popen
from typing import IO, cast

from conftest import OURS, ROOT

SETTINGS = ("COG_URL_PREFIX", "COG_API_KEY", "NEURONS_URL", "NEURONS_API_KEY")
HINT = "Enter lets time pass there; `odd` and Enter sends a record that is odd.\n"
"""The last that it says before it waits."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """Both simulated APIs at work in a process of their own."""

    process: Popen[str]
    settings: dict[str, str]
    """What it says another terminal is to export."""

    def type(self, word: str = "") -> str:
        """Type a word and Enter; what is said then."""
        keys = cast("IO[str]", self.process.stdin)
        keys.write(f"{word}\n")
        keys.flush()
        return cast("IO[str]", self.process.stderr).readline()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Tell it to stop; its exit code, and what it says until its end."""
        self.process.send_signal(number)
        said = cast("IO[str]", self.process.stderr).read()
        return self.process.wait(timeout=60), said


def environment() -> dict[str, str]:
    """The environment without settings."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**machine, "PYTHONPATH": str(ROOT)}


@contextmanager
def simulated(*arguments: str, stdin: int = PIPE, records: int = 60, media: int = 5) -> Iterator[Simulated]:
    """Provide both APIs, on ports that are free unless some are named, once they are served."""
    size = ("--records", str(records), "--media", str(media))
    command = [sys.executable, "-m", "etl", "demo", "--serve", "--port", "0", *size, *arguments]
    with Popen(
        command, cwd="/", env=environment(), stdin=stdin, stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        try:
            said = cast("IO[str]", process.stderr)
            while (line := said.readline()) != HINT:
                assert line, "it has ended"
            exports = [cast("IO[str]", process.stdout).readline() for _ in SETTINGS]
            settings = dict(re.findall(r"^export ([A-Z_]+)=(\S+)$", "".join(exports), re.MULTILINE))
            assert set(SETTINGS) == set(settings)
            yield Simulated(process, settings)
        finally:
            process.kill()
