"""One run at a time: a lock the system frees by itself when its holder dies."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock

from etl.disk import remedy
from etl.errors import BusyError, SettingsError

NAME = "run.lock"
HOLDER = "run.holder.json"
"""Who holds the lock. It stays where a run was killed or failed as a whole, and names that run."""


@contextmanager
def hold(home: Path, now: datetime, run_id: str = "") -> Iterator[list[str]]:
    """Hold the warehouse of this folder; BusyError names the process that has it.

    Yields the runs that ended before they could report what they did. Whoever gives a run id reports for
    them too, once it has ended well.
    """
    lock = filelock.FileLock(home / NAME, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BusyError(
            f"{_holder(home)} holds the warehouse {home}; its work goes on, this run did nothing"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"cannot lock {home / NAME}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error
    try:
        unreported = _unreported(home)
        about = {"pid": os.getpid(), "since": now.isoformat(timespec="seconds")}
        _write(home, {**about, "run": run_id, "unreported": unreported})
        yield unreported
        if unreported and not run_id:
            _write(home, {"unreported": unreported})
        else:
            # Else the next holder writes over it, and reports once more.
            with suppress(OSError):
                (home / HOLDER).unlink()
    finally:
        lock.release()


def _unreported(home: Path) -> list[str]:
    """The run that has left its word behind, and those before it that it would have reported for."""
    told = _read(home)
    before = told.get("unreported")
    found = [*(before if isinstance(before, Sequence) else ()), told.get("run")]
    return [each for each in found if isinstance(each, str) and each]


def _write(home: Path, told: dict[str, Any]) -> None:
    """Leave word for others who hold the lock, and for the next who does."""
    try:
        (home / HOLDER).write_text(json.dumps(told))
    except OSError as error:
        raise SettingsError(
            f"cannot write {home / HOLDER}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error


def _read(home: Path) -> dict[str, Any]:
    """What was said last; nothing where that cannot be read."""
    try:
        told = json.loads((home / HOLDER).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _holder(home: Path) -> str:
    """Who holds the lock, as far as it has said so yet."""
    told = _read(home)
    if {"pid", "since"} <= told.keys():
        return f"another run (process {told['pid']}, since {told['since']})"
    return "another run"
