"""Who holds the warehouse, as its holder says, and whether it still does: asked without touching the lock."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = "run.lock"
HOLDER = "run.holder.json"
"""Who holds the lock. It stays where a run was killed or failed as a whole, and names that run."""
LOCKS = Path("/proc/locks")
"""Where Linux lists the locks that are held."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What was said by who holds the lock, or held it last and could not take its word back."""

    pid: int
    since: str
    """In ISO 8601."""
    run_id: str
    """The run that it entered; empty where it has not entered one yet, or is no run."""
    is_alive: bool
    """Whether it still holds the lock."""


def holding(home: Path) -> Holding | None:
    """Return who holds the warehouse of this folder, or died while it did; None where nobody has."""
    told = read(home)
    pid, since, run_id = told.get("pid"), told.get("since"), told.get("run")
    if not isinstance(pid, int) or not isinstance(since, str):
        return None
    return Holding(pid, since, run_id if isinstance(run_id, str) else "", _is_held(home / LOCK, pid))


def read(home: Path) -> dict[str, Any]:
    """Return what was said last; nothing where that cannot be read."""
    if not (home / HOLDER).is_file():
        # To open a pipe would wait for who writes into it.
        return {}
    try:
        told = json.loads((home / HOLDER).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_held(lock: Path, pid: int) -> bool:
    """Whether a file is locked; to try it would send away a run that begins at this moment."""
    try:
        inode = str(lock.stat().st_ino)
        held = [line.split() for line in LOCKS.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return _is_running(pid)
    # The numbers of the device are left out: some file systems give another one here.
    return any("FLOCK" in words and any(word.endswith(f":{inode}") for word in words) for words in held)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return True
