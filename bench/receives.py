"""How soon posts are answered, which is once they are on disk, and whether all answered ones are there."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from bench.lab import ROOT, SIGHTGLASS, Figure, Goal, Lab
from bench.measure import PYTHON
from etl.inbox.reader import Inbox

PER_SECOND = 500
SECONDS = 10.0
LONGEST_MS = 50.0


class Turn(NamedTuple):
    """What came of posts to a listener of their own."""

    answered: int
    stored: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float


def receives(lab: Lab) -> Iterator[Figure]:
    """Yield how posts are answered, over connections that are kept and over one for each."""
    seconds = max(1.0, SECONDS * lab.scale)
    for connections, title in [("kept", "connections kept"), ("new", "a connection for each post")]:
        turns = [_turn(lab, connections, seconds) for _ in range(lab.repeat)]
        for turn in turns:
            lab.note(f"posts, {title}: {turn}")
        best = min(turns, key=lambda turn: turn.p99_ms)
        lost = sum(turn.answered - turn.stored for turn in turns)
        yield Figure(
            f"post of 1 KB answered, {PER_SECOND} in a second, {title}",
            f"median {best.p50_ms:.1f} ms, 99 % within {best.p99_ms:.1f} ms, "
            f"all within {best.max_ms:.1f} ms, {best.cpu_s / seconds:.0%} of a core",
            f"{sum(turn.answered for turn in turns):,} answered, {lost} of them lost",
            best.p99_ms,
            Goal(LONGEST_MS, at_most=True, unit="ms"),
        )


def _turn(lab: Lab, connections: str, seconds: float) -> Turn:
    """Post to a listener, end it, and look into its inbox."""
    home = lab.folder("home")
    listener = subprocess.Popen(
        [SIGHTGLASS, "listen", "--port", "0"],
        cwd=ROOT,
        env=lab.environ(SIGHTGLASS_HOME=home),
        stderr=subprocess.PIPE,
        text=True,
    )
    said = cast("IO[str]", listener.stderr)
    found = re.search(r"http://\S+", said.readline())
    if not found:
        raise RuntimeError(f"the listener did not come up: {said.read()}")
    command = [PYTHON, "-m", "bench.poster", f"{found[0]}app", str(PER_SECOND), str(seconds), connections]
    told = subprocess.run(command, cwd=ROOT, env=lab.environ(), stdout=subprocess.PIPE, check=True).stdout
    listener.send_signal(signal.SIGTERM)
    _, _, usage = os.wait4(listener.pid, 0)
    listener.returncode = 0
    said.close()
    return _entered(told, home, usage.ru_utime + usage.ru_stime)


def _entered(told: bytes, home: Path, cpu_s: float) -> Turn:
    heard = json.loads(told)
    stored = {entry.body for segment in Inbox(home).finished() for entry in segment.read().entries}
    return Turn(heard["answered"], len(stored), heard["p50_ms"], heard["p99_ms"], heard["max_ms"], cpu_s)
