"""Write to the inbox: what was posted is on disk, under a name that a run will find, or it is not kept."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from etl import __version__
from etl.files import make_private, sync
from etl.inbox.segment import CLOSED, FOLDER, FORMAT, OPEN, Entry, Head, Seal, encode

MOST_BYTES = 4 * 2**20
"""Of a segment, beyond which the next one is begun."""
MOST_SECONDS = 1.0
"""How long a segment is written to: a run reads only what is finished."""
DUE = 0.75
"""The share of that time after which a segment is finished with what is appended, by the same sync."""
ATTEMPTS = 10
"""To make a file that no reader takes for that of a dead listener before it is locked."""

Sync = Callable[[int], None]
"""Bring to disk what was written to a file, as `os.fsync`."""


class Post(NamedTuple):
    """What came, before it has its place in a segment."""

    received_at: int
    """Microseconds since 1970."""
    label: str
    content_type: str
    body: bytes


@dataclass(slots=True)
class _Open:
    """The segment that is written to."""

    path: Path
    file: int
    ends_at: float
    """When it must be finished, by the monotonic clock."""
    end: int = 0
    """Of what is durable in it, in bytes."""
    entries: int = 0


class InboxWriter:
    """Appends to segments of its own; to be used from one thread at a time."""

    def __init__(
        self,
        home: Path,
        *,
        most_bytes: int = MOST_BYTES,
        most_seconds: float = MOST_SECONDS,
        fsync: Sync = os.fsync,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = home / FOLDER
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._spare_seconds = most_seconds * (1 - DUE)
        self._fsync = fsync
        self._monotonic = monotonic
        self._open: _Open | None = None
        self._last_begun = 0

    def append(self, posts: Sequence[Post]) -> None:
        """Write the posts, and return once they outlive a power failure.

        OSError where they cannot be written: then none of them is kept.
        """
        segment = self._usable() or self._begin(posts[0].received_at)
        name, first = segment.path.stem, segment.entries + 1
        lines = [] if segment.end else [encode(Head(FORMAT, __version__))]
        lines += [encode(Entry(f"{name}-{number:06}", *post)) for number, post in enumerate(posts, first)]
        size = segment.end + sum(map(len, lines))
        is_last = size >= self._most_bytes or self._monotonic() >= segment.ends_at - self._spare_seconds
        if is_last:
            lines.append(encode(Seal(segment.entries + len(posts))))
        try:
            written = _write(segment.file, b"".join(lines))
            self._fsync(segment.file)
            if not segment.end:
                sync(self.folder)
        except OSError:
            self._abandon(segment)
            raise
        segment.end += written
        segment.entries += len(posts)
        if is_last:
            self._close(segment)

    def seconds_left(self) -> float | None:
        """Return in how many seconds the segment must be finished; None where there is none."""
        return None if self._open is None else max(0.0, self._open.ends_at - self._monotonic())

    def finish(self) -> None:
        """Let a run have what was written; where there is no room even for that, it takes it over."""
        segment = self._open
        if segment is None:
            return
        try:
            _write(segment.file, encode(Seal(segment.entries)))
            self._fsync(segment.file)
        except OSError:
            self._abandon(segment)
        else:
            self._close(segment)

    def _close(self, segment: _Open) -> None:
        """Give a segment that is sealed its name: should the name be lost, it is taken over."""
        self._open = None
        with suppress(OSError):
            segment.path.rename(segment.path.with_suffix(CLOSED))
        _close(segment.file)

    def _usable(self) -> _Open | None:
        """Return the segment that is written to, unless somebody has removed it."""
        if self._open and not os.fstat(self._open.file).st_nlink:
            _close(self._open.file)
            self._open = None
        return self._open

    def _begin(self, at: int) -> _Open:
        make_private(self.folder)
        for _ in range(ATTEMPTS):
            # Those of one listener are in order even where its clock goes back.
            self._last_begun = max(at, self._last_begun + 1)
            path = self.folder / f"{self._last_begun:016}-{uuid4().hex[:12]}{OPEN}"
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                is_ours = _is_locked(file, path)
            except OSError:
                _close(file)
                raise
            if is_ours:
                self._open = _Open(path, file, self._monotonic() + self._most_seconds)
                return self._open
            _close(file)
        raise BlockingIOError(f"others lock each new file in {self.folder}")

    def _abandon(self, segment: _Open) -> None:
        """Leave what is durable to a run, and nothing of what is not."""
        self._open = None
        with suppress(OSError):
            os.ftruncate(segment.file, segment.end)
            if not segment.end:
                segment.path.unlink()
        _close(segment.file)


def _is_locked(file: int, path: Path) -> bool:
    """Whether the file is locked for this process, and still under its name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(file).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _close(file: int) -> None:
    """Let go of a file, whose content is on disk or not wanted."""
    with suppress(OSError):
        os.close(file)


def _write(file: int, content: bytes) -> int:
    """Write all of it; its number of bytes."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    return len(content)
