"""Where archived files are: a folder of this machine, or an object store."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Protocol

from etl.archive.limits import ArchiveFaultError
from etl.files import make_private, reason, remedy, sync

INCOMING = "incoming"
"""Folder of what is not complete yet."""


class Place(Protocol):
    """Keeps complete files under relative paths."""

    incoming: Path
    """Folder of this machine for what is not complete yet, of one warehouse alone."""
    is_watched: bool
    """Whether it costs nothing to look what of it is still there."""

    def has(self, path: str, size: int) -> bool:
        """Whether a file of this size is there."""

    def take(self, complete: Path, path: str, size: int) -> None:
        """Take in a complete file, which is on disk; it may have its name only once all of it has come."""

    def used(self) -> int:
        """Bytes that it holds."""

    def read(self, path: str, most: int) -> bytes | None:
        """Return a file; None where there is none, or a larger one."""

    def remove(self, path: str) -> bool:
        """Remove a file for good; False where there is none."""

    def name_of(self, path: str) -> str:
        """Return how people find a file."""


class Folder:
    """A folder of this machine, for the owner alone."""

    is_watched = True

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        # Several warehouses may share it: what one has left of a run that was killed, it alone removes.
        self.incoming = root / INCOMING / sha256(os.fsencode(home)).hexdigest()[:16]

    def has(self, path: str, size: int) -> bool:
        """Whether a file of this size is there."""
        with self._looking():
            try:
                return (self.root / path).stat().st_size == size
            except (FileNotFoundError, NotADirectoryError):
                return False

    def take(self, complete: Path, path: str, size: int) -> None:
        """Take in a complete file by renaming it."""
        del size
        target = self.root / path
        with writing(self.root):
            make_private(target.parent)
            complete.replace(target)
            sync(target.parent)

    def used(self) -> int:
        """Bytes of all files below the folder."""
        with self._looking():
            return sum(_sizes(self.root))

    def read(self, path: str, most: int) -> bytes | None:
        """Return a file; None where there is none, or a larger one."""
        found = self.root / path
        try:
            if found.stat().st_size > most or self.root.resolve() not in found.resolve().parents:
                return None
            return found.read_bytes()
        except OSError:
            return None

    def remove(self, path: str) -> bool:
        """Remove a file for good; False where there is none."""
        with writing(self.root):
            try:
                (self.root / path).unlink()
                sync((self.root / path).parent)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def name_of(self, path: str) -> str:
        """Return how people find a file."""
        return str(self.root / path)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArchiveFaultError(
                f"cannot read the archive {self.root}: {reason(error)}; {remedy(error)}"
            ) from error


@contextmanager
def writing(folder: Path, undo: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Say what can be done where writing fails."""
    try:
        yield
    except OSError as error:
        undo()
        raise ArchiveFaultError(
            f"cannot write the archive {folder}: {reason(error)}; {remedy(error)}"
        ) from error


def claim(file: FileIO) -> None:
    """Let others see that a file which is being received is not left by a run that was killed."""
    with suppress(OSError):  # some file systems have no locks
        fcntl.flock(file, fcntl.LOCK_EX)


def clear(incoming: Path) -> None:
    """Remove what a run that was killed has left.

    Another run may be at work there: of another machine, whose warehouse has the same path.
    """
    with suppress(OSError):
        for path in incoming.iterdir():
            if not _is_claimed(path):
                path.unlink(missing_ok=True)


def _is_claimed(path: Path) -> bool:
    try:
        with FileIO(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the sizes of all files below a folder; none where there is none."""
    try:
        found = os.scandir(folder)
    except FileNotFoundError:
        return
    with found:
        for each in found:
            if each.is_dir(follow_symlinks=False):
                if _is_readable(each):
                    yield from _sizes(Path(each.path))
            else:
                with suppress(FileNotFoundError):
                    yield each.stat().st_size


def _is_readable(folder: os.DirEntry[str]) -> bool:
    """Whether to look into a folder; that of another user who lets nobody in holds nothing of ours."""
    is_ours = folder.stat(follow_symlinks=False).st_uid == os.geteuid()
    return is_ours or os.access(folder.path, os.R_OK | os.X_OK)
