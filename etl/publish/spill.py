"""Where the queries of readers spill what exceeds their memory, and the page makes files of answers.

A private folder, gone when they end.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from etl import process

PREFIX = "sightglass-spill-"


@contextmanager
def spill_folder() -> Iterator[Path | None]:
    """Provide a folder for this process alone; None where the machine has no place for temporary files.

    It is locked while it is in use, so that the next command can tell, and remove, what was left by a kill.
    """
    try:
        place = Path(tempfile.gettempdir())
        _remove_abandoned(place)
        folder, lock = _locked(place)
    except OSError:
        yield None
        return
    try:
        with process.scratch(folder):
            yield folder
    finally:
        os.close(lock)


def _locked(place: Path) -> tuple[Path, int]:
    """Return a new folder and the lock on it, which the system frees when this process dies."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError):  # until it is locked, another command takes it for abandoned
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(lock)
