"""Who has opened a published database for writing, so that nobody else can open it, or has changed it."""

import fcntl
import os
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOCK = "@hhqqi4x"
"""A lock as Linux passes it (`struct flock`): its type, what its start is counted from, its start and length
in bytes, and the process that has it."""

CHANGES = (".wal", ".wal.checkpoint", ".wal.recovery")
"""How files beside a database end that hold what is not in it yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A process that has a database open for writing."""

    pid: int
    """0 where the system does not say: it works in another container, or on another machine."""
    program: str
    """What the system calls it; empty where it does not say."""

    def __str__(self) -> str:
        named = f" ({self.program})" if self.program else ""
        return f"process {self.pid}{named}" if self.pid else "a process that this machine does not show"


def opened_for_writing(path: Path) -> Opened | None:
    """Return who has opened a database for writing; None where nobody has, or it cannot be found out.

    Not for a process that has the same file open itself: to look ends all locks that it has on it.
    """
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # Whoever reads asks for such a lock; what is returned is the one that stands in its way.
            asked = struct.pack(LOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(LOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        finally:
            os.close(file)
        if kind == fcntl.F_WRLCK:
            return Opened(max(0, pid), _program(pid))
    return None


def changes(path: Path) -> list[Path]:
    """Return the files beside a database that hold what somebody has changed: whoever opens it reads that.

    Such a process writes them by name, beside another file too that has taken the place of the one it opened.
    """
    return [left for end in CHANGES if os.path.lexists(left := path.with_name(f"{path.name}{end}"))]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
