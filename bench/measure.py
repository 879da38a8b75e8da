"""Run a command as a process of its own, and see what it cost."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PYTHON = sys.executable
EVERY_SECONDS = 0.02
"""How often the memory of all processes is added up."""


class CommandError(Exception):
    """A measured process ended otherwise than well; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took, from its start to its exit."""

    seconds: float
    cpu_s: float
    """Of all its threads, and of the processes it waited for."""
    peak: int
    """Bytes of memory at the most, of all its processes together."""
    told: dict[str, Any]
    """The JSON object it printed."""


def measured(
    command: Sequence[str], environ: Mapping[str, str], expected: frozenset[int] = frozenset({0})
) -> Cost:
    """Return what the command costs; CommandError where it leaves with an exit code that is not expected.

    A process begins with the peak of the one that started it. So this one must stay small: whatever takes
    memory is done by processes of its own.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environ), stdout=out, stderr=err)
        with _watched(process.pid) as held:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in expected:
            said = err.read().decode(errors="replace")[-2000:]
            raise CommandError(f"{' '.join(command)} left with {process.returncode}: {said}")
        told = out.read().strip()
    cpu_s = usage.ru_utime + usage.ru_stime
    peak = max(*held, usage.ru_maxrss * 1024)
    return Cost(seconds, cpu_s, peak, json.loads(told) if told.startswith(b"{") else {})


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Provide what a process and all below it hold, added to every so often; the first is nothing."""
    held, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(EVERY_SECONDS):  # what is measured has the cores meanwhile
            held.append(_held(_family(pid)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield held
    finally:
        is_over.set()
        thread.join()


def _family(pid: int) -> list[int]:
    """Return a process and all below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = [(task / "children").read_text(encoding="ascii") for task in tasks]
    except OSError:
        return []
    return [pid, *(each for text in below for child in text.split() for each in _family(int(child)))]


def _held(pids: Iterable[int]) -> int:
    """Bytes of memory that these processes hold now; files that are mapped, the same for all, count once."""
    own, mapped = 0, 0
    for pid in pids:
        with suppress(OSError, KeyError):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            told = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
            anonymous, file, shared = (
                int(told[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile", "RssShmem")
            )
            own, mapped = own + anonymous + shared, max(mapped, file)
    return own + mapped


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the cost whose time is the median (the lower one of two), with the highest peak of all."""
    chosen = sorted(costs, key=lambda cost: cost.seconds)[(len(costs) - 1) // 2]
    return Cost(
        chosen.seconds, median(cost.cpu_s for cost in costs), max(cost.peak for cost in costs), chosen.told
    )
