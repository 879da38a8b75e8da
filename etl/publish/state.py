"""What a version of the lake holds, as its commit records it: partitions, and their files as written.

A commit is a checksum and the JSON that it is the checksum of: one flipped digit in the bounds of a partition
would lose rows for ever, and nothing else would show it.
"""

import hashlib
from pathlib import Path

import msgspec

from etl.schema import Table


class Partition(msgspec.Struct, frozen=True):
    """Some rows of a table: which, how many, and what they hold."""

    name: str
    start: int | None = None
    """Microseconds since 1970 where the partition begins; None for one that is not cut by time."""
    end: int | None = None
    rows: int = 0
    digest: int = 0


class FileSeal(msgspec.Struct, frozen=True):
    """By what a file is known to be as it was written."""

    size: int
    checksum: str
    modified: int
    """Nanoseconds since 1970, which with the inode tell that somebody has put another file in its place."""
    inode: int


class Published(msgspec.Struct, frozen=True):
    """A partition as it was published, since when, and its file."""

    partition: Partition = msgspec.field(name="slice")
    """Under the name that it had first."""
    since: str
    file: FileSeal


class State(msgspec.Struct, frozen=True):
    """What a version of the lake holds."""

    tables: dict[str, dict[str, Published]] = {}
    """By qualified table and partition."""
    shapes: dict[str, str] = {}
    """The columns of each table as they were written."""
    loaded_until: int = 0
    """When its newest row was loaded, in microseconds since 1970."""
    newest_run: str = ""
    """The run that was entered last; empty where an earlier version has published."""

    def rows(self, table: Table) -> int:
        """How many rows of a table are published."""
        return sum(each.partition.rows for each in self.tables.get(table.qualified, {}).values())


def encode(state: State) -> bytes:
    """Return the state as a commit holds it."""
    body = msgspec.json.encode(state)
    return _digest(body) + b"\n" + body


def decode(text: bytes) -> State | None:
    """Return the state that a commit holds; None where that is damaged.

    Before there were checksums, nothing was known of the files: all are written anew.
    """
    if text.startswith(b"{"):
        return State()
    digest, _, body = text.partition(b"\n")
    try:
        return msgspec.json.decode(body, type=State) if digest == _digest(body) else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def seal(path: Path) -> FileSeal:
    """Return what a file is now."""
    told = path.stat()
    return FileSeal(told.st_size, checksum(path), told.st_mtime_ns, told.st_ino)


def checksum(path: Path) -> str:
    """Return the SHA-256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
