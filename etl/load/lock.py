"""One run at a time: a lock the system frees by itself when its holder dies."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import filelock

from etl.disk import remedy
from etl.errors import BusyError, SettingsError

NAME = "run.lock"
HOLDER = "run.holder.json"


@contextmanager
def hold(home: Path, now: datetime) -> Iterator[None]:
    """Hold the warehouse of this folder; BusyError names the process that has it."""
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
        _say_who(home, now)
        yield
        # The next holder writes over it.
        with suppress(OSError):
            (home / HOLDER).unlink()
    finally:
        lock.release()


def _say_who(home: Path, now: datetime) -> None:
    """Leave word for others who hold the lock, and since when."""
    try:
        told = {"pid": os.getpid(), "since": now.isoformat(timespec="seconds")}
        (home / HOLDER).write_text(json.dumps(told))
    except OSError as error:
        raise SettingsError(
            f"cannot write {home / HOLDER}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error


def _holder(home: Path) -> str:
    """Who holds the lock, as far as it has said so yet."""
    try:
        told = json.loads((home / HOLDER).read_text())
        return f"another run (process {told['pid']}, since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
