"""One run at a time: a lock the system frees by itself when its holder dies."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock

from etl.errors import BusyError, EnvironmentFaultError
from etl.files import remedy, sync
from etl.load.holder import HOLDER, LOCK, read

REBUILD, VERIFY = "rebuild", "verify"
"""Folders of what is made aside; they are there only while who makes it holds the lock."""


class Holder:
    """Who holds the lock, and for which runs it reports besides itself."""

    def __init__(self, home: Path, now: datetime) -> None:
        self._home = home
        self._about = {"pid": os.getpid(), "since": now.isoformat(timespec="seconds")}
        self._run_id = ""
        self.unreported = _unreported(home)
        """The runs that ended before they could report what they did."""
        self._say()

    def enter(self, run_id: str) -> None:
        """Name the run that reports for all of these, once it has ended well; else the next one does."""
        self._run_id = run_id
        self._say()

    def leave(self) -> None:
        """Take the word back, but for what is still to be reported."""
        if self.unreported and not self._run_id:
            _write(self._home, {"unreported": self.unreported})
        else:
            # Else the next holder writes over it, and reports once more.
            with suppress(OSError):
                (self._home / HOLDER).unlink()

    def _say(self) -> None:
        _write(self._home, {**self._about, "run": self._run_id, "unreported": self.unreported})


@contextmanager
def hold(home: Path, now: datetime) -> Iterator[Holder]:
    """Hold the warehouse of this folder; BusyError names the process that has it.

    What one that was killed had made aside goes: it is as large as the warehouse, and of no use to anybody.
    """
    lock = filelock.FileLock(home / LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BusyError(
            f"{_holder(home)} holds the warehouse {home}; its work goes on, this run did nothing"
        ) from error
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot lock {home / LOCK}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error
    try:
        for name in (REBUILD, VERIFY):
            shutil.rmtree(home / name, ignore_errors=True)
        holder = Holder(home, now)
        yield holder
        holder.leave()
    finally:
        lock.release()


def _unreported(home: Path) -> list[str]:
    """Return the run that has left its word behind, and those before it that it would have reported for."""
    told = read(home)
    before = told.get("unreported")
    found = [*(before if isinstance(before, Sequence) else ()), told.get("run")]
    return [each for each in found if isinstance(each, str) and each and each.isascii()]


def _write(home: Path, told: dict[str, Any]) -> None:
    """Leave word for others who want the lock, and for the next who holds it."""
    aside = home / f"{HOLDER}.part"
    try:
        aside.write_text(json.dumps(told))
        sync(aside)
        aside.replace(home / HOLDER)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write {home / HOLDER}: {error.strerror}; {remedy(error)}, or set SIGHTGLASS_HOME"
        ) from error


def _holder(home: Path) -> str:
    """Who holds the lock, as far as it has said so yet."""
    told = read(home)
    if {"pid", "since"} <= told.keys():
        return f"another run (process {told['pid']}, since {told['since']})"
    return "another run"
