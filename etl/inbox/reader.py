"""Read the inbox: the segments that no listener writes to any more, in the order of time."""

import fcntl
from pathlib import Path
from typing import NamedTuple

from etl.errors import EnvironmentFaultError
from etl.files import remedy, sync
from etl.inbox.segment import (
    ASIDE,
    CLOSED,
    DAMAGED,
    FOLDER,
    FORMAT,
    LEFT,
    OPEN,
    Entry,
    Head,
    Line,
    Seal,
    decode,
)


class Contents(NamedTuple):
    """What is in a segment."""

    entries: list[Entry]
    """In the order in which they were written; all that were answered, unless `is_damaged`."""
    notices: list[str]
    """What is odd about the segment, for people."""
    is_damaged: bool
    """Whether what was answered may be missing here."""


class Segment:
    """A segment that nobody writes to any more."""

    def __init__(self, path: Path, fault: OSError | None = None) -> None:
        """`fault` is why nobody can tell whether a listener writes to it: then nothing of it is read."""
        self.path = path
        self._fault = fault
        self._is_damaged: bool | None = None

    @property
    def name(self) -> str:
        """What no other segment is called."""
        return self.path.stem

    def read(self) -> Contents:
        """Return what is in it.

        Raises EnvironmentFaultError where it cannot be read, or was written by a newer version.
        """
        try:
            if self._fault:
                raise self._fault
            # Behind what was written there may be zeros, over which more was to be written.
            *lines, tail = self.path.read_bytes().rstrip(b"\0").split(b"\n")
        except OSError as error:
            raise _unusable(self.path, error) from error
        read = [decode(line) for line in lines]
        self._refuse_newer(read)
        entries = [line for line in read if isinstance(line, Entry)]
        notices = self._damage(read, tail)
        self._is_damaged = bool(notices)
        if tail and not notices:
            notices = [
                f"{self.path} breaks off in what was answered to nobody: {len(tail):,} bytes are left out"
            ]
        return Contents(entries, notices, self._is_damaged)

    def _refuse_newer(self, read: list[Line | None]) -> None:
        for line in read:
            if isinstance(line, Head) and line.format > FORMAT:
                raise EnvironmentFaultError(
                    f"{self.path} was written by a newer version of Sightglass, {line.version}: install that"
                )

    def _damage(self, read: list[Line | None], tail: bytes) -> list[str]:
        """Return what is wrong with it beyond a last line that was not written to its end."""
        kept = "what can be read of it is loaded, the file is kept aside"
        lost = read.count(None)
        if lost:
            return [f"{self.path} is not as it was written, damaged lines: {lost:,}; {kept}"]
        count = sum(isinstance(line, Entry) for line in read)
        is_sealed = bool(read) and isinstance(read[-1], Seal) and not tail
        # What a dead listener has left ends anywhere.
        if (is_sealed or self.path.suffix == CLOSED) and Seal(count) != (read or [None])[-1]:
            return [f"{self.path} does not hold all that was written to it; {kept}"]
        return []

    def delete(self) -> None:
        """Remove it once its entries are durable elsewhere; a damaged one is set aside under another name.

        Raises EnvironmentFaultError where it cannot be removed.
        """
        if self._is_damaged is None:
            self.read()
        try:
            if self._is_damaged:
                self.path.rename(f"{self.path}{DAMAGED}")
            else:
                self.path.unlink(missing_ok=True)
            sync(self.path.parent)
        except OSError as error:
            raise _unusable(self.path, error) from error


class Inbox:
    """The inbox of a warehouse; there need not be one."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def finished(self) -> list[Segment]:
        """Return the segments that nobody writes to, in the order in which they were begun.

        Those of listeners that died are taken over; one that cannot be says so when it is read. Raises
        EnvironmentFaultError where the folder cannot be read.
        """
        try:
            found = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.folder, error) from error
        taken = [_taken_over(path) if path.suffix == OPEN else Segment(path) for path in found]
        return [each for each in taken if each and each.path.suffix in (CLOSED, LEFT, OPEN)]

    def written_now(self) -> list[Path]:
        """Return the segments that listeners have posts in and still write to, for a second or so."""
        return [path for path in self.folder.glob(f"*{OPEN}") if _is_begun(path)]

    def clear(self) -> None:
        """Remove what a kill has left beside its name; EnvironmentFaultError where it cannot be.

        Only for who holds the warehouse: nobody else writes so.
        """
        for path in self.folder.glob(f"*{ASIDE}"):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _unusable(path, error) from error


def _is_begun(path: Path) -> bool:
    """Whether a segment holds anything: one that is made ready is full of zeros."""
    try:
        with path.open("rb") as file:
            return file.read(1) not in (b"", b"\0")
    except FileNotFoundError:
        return False


def _taken_over(path: Path) -> Segment | None:
    """Return a segment whose listener is dead, at its new place; None where it lives, or has finished."""
    left = path.with_suffix(LEFT)
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Under the lock: who has just made a file and not locked it yet will find it gone.
            path.rename(left)
    except (BlockingIOError, FileNotFoundError):
        return None
    except OSError as error:
        return Segment(path, error)
    return Segment(left)


def _unusable(path: Path, error: OSError) -> EnvironmentFaultError:
    return EnvironmentFaultError(f"cannot read the inbox {path}: {error.strerror}; {remedy(error)}")
