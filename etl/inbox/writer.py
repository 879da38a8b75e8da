"""Write to the inbox: what was posted is on disk, under a name that a run will find, or it is not kept.

A sync of a file that grows waits for the file system's journal, and so for whatever else is written to the
disk, a run for one: for 50 ms and more. So under load the next segment is made ready by another thread, full
of zeros, and posts are written over them: that takes the disk alone.
"""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
import xxhash

from etl import __version__
from etl.files import make_private, sync
from etl.inbox.segment import ASIDE, CLOSED, FOLDER, FORMAT, OPEN, Entry, Head, Seal, encode

MOST_BYTES = 4 * 2**20
"""Of a segment, beyond which the next one is begun."""
MOST_SECONDS = 1.0
"""How long a segment is written to: a run reads only what is finished."""
DUE = 0.75
"""The share of that time after which a segment is finished with what is appended, by the same sync."""
BUSY_BYTES = 2**16
"""Of a segment, from which on the next one is made ready."""
READY_BYTES = 2**20
"""Of a segment that is made ready, at least."""
ATTEMPTS = 10
"""To make a file that no reader takes for that of a dead listener before it is locked."""

Sync = Callable[[int], None]
"""Bring to disk what was written to a file, and its size."""
FDATASYNC: Sync = getattr(os, "fdatasync", os.fsync)  # macOS has none


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
    is_found: bool = False
    """Whether its name outlives a power failure."""
    has_next: bool = False
    """Whether the next segment was asked for."""


class InboxWriter:
    """Appends to segments of its own; to be used from one thread at a time."""

    def __init__(
        self,
        home: Path,
        *,
        most_bytes: int = MOST_BYTES,
        most_seconds: float = MOST_SECONDS,
        fsync: Sync = FDATASYNC,
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
        self._last_size = 0
        self._ready: Future[_Open] | None = None
        self._maker = ThreadPoolExecutor(1, "inbox-ready")

    def append(self, posts: Sequence[Post]) -> None:
        """Write the posts, and return once they outlive a power failure.

        OSError where they cannot be written: then none of them is kept.
        """
        at = posts[0].received_at
        segment = self._usable() or self._made_ready(at) or self._begin(at)
        name, first = segment.path.stem, segment.entries + 1
        lines = [] if segment.end else [encode(Head(FORMAT, __version__))]
        lines += [encode(Entry(f"{name}-{number:06}", *post)) for number, post in enumerate(posts, first)]
        size = segment.end + sum(map(len, lines))
        is_last = size >= self._most_bytes or self._monotonic() >= segment.ends_at - self._spare_seconds
        if is_last:
            lines.append(encode(Seal(segment.entries + len(posts))))
        try:
            written = _write(segment, b"".join(lines))
            self._fsync(segment.file)
            if not segment.is_found:
                sync(self.folder)
        except OSError:
            self._abandon(segment)
            raise
        segment.end += written
        segment.entries += len(posts)
        segment.is_found = True
        if is_last:
            self._close(segment)
        elif segment.end >= BUSY_BYTES and not segment.has_next:
            segment.has_next = True
            self._make_ready(at)

    def seconds_left(self) -> float | None:
        """Return in how many seconds the segment must be finished; None where there is none."""
        return None if self._open is None else max(0.0, self._open.ends_at - self._monotonic())

    def finish(self) -> None:
        """Let a run have what was written; where there is no room even for that, it takes it over."""
        segment = self._open
        if segment is None:
            return
        try:
            segment.end += _write(segment, encode(Seal(segment.entries)))
            self._fsync(segment.file)
        except OSError:
            self._abandon(segment)
        else:
            self._close(segment)

    def end(self) -> None:
        """Finish, and leave nothing behind that was only made ready."""
        self.finish()
        self._maker.shutdown()
        if self._ready and (unused := _outcome(self._ready)):
            self._abandon(unused)

    def _close(self, segment: _Open) -> None:
        """Give a segment that is sealed its name: should the name be lost, it is taken over."""
        self._open, self._last_size = None, segment.end
        with suppress(OSError):
            os.ftruncate(segment.file, segment.end)
            segment.path.rename(segment.path.with_suffix(CLOSED))
        _close(segment.file)

    def _make_ready(self, at: int) -> None:
        """Have the next segment made, twice as large as the last one was."""
        if self._ready is None:
            size = min(max(2 * self._last_size, READY_BYTES), 2 * self._most_bytes)
            self._ready = self._maker.submit(self._zeros, self._moment(at), size)

    def _zeros(self, moment: int, size: int) -> _Open:
        path, file = self._created(moment)
        segment = _Open(path, file, 0.0, is_found=True)
        try:
            _write(segment, bytes(size))
            self._fsync(file)
            sync(self.folder)
        except OSError:
            self._abandon(segment)
            raise
        return segment

    def _made_ready(self, at: int) -> _Open | None:
        """Return the segment that was made ready, if there is one by now."""
        if self._ready is None or not self._ready.done():
            return None
        segment, self._ready = _outcome(self._ready), None
        if segment is None:
            return None
        if not os.fstat(segment.file).st_nlink:
            _close(segment.file)
            return None
        path = segment.path.with_name(f"{self._moment(at):016}-{segment.path.name.partition('-')[2]}")
        with suppress(OSError):
            # Not brought to disk: under its former name it would be found as well.
            segment.path.rename(path)
            segment.path = path
        segment.ends_at = self._monotonic() + self._most_seconds
        self._open = segment
        return segment

    def _usable(self) -> _Open | None:
        """Return the segment that is written to, unless somebody has removed it."""
        if self._open and not os.fstat(self._open.file).st_nlink:
            _close(self._open.file)
            self._open = None
        return self._open

    def _begin(self, at: int) -> _Open:
        path, file = self._created(self._moment(at))
        self._open = _Open(path, file, self._monotonic() + self._most_seconds)
        return self._open

    def _created(self, moment: int) -> tuple[Path, int]:
        """Return a new file that is locked."""
        make_private(self.folder)
        for _ in range(ATTEMPTS):
            path = self.folder / f"{moment:016}-{uuid4().hex[:12]}{OPEN}"
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                if _is_locked(file, path):
                    return path, file
            except OSError:
                _close(file)
                raise
            _close(file)
        raise BlockingIOError(f"others lock each new file in {self.folder}")

    def _moment(self, at: int) -> int:
        # Segments of one listener are in order even where its clock goes back.
        self._last_begun = max(at, self._last_begun + 1)
        return self._last_begun

    def _abandon(self, segment: _Open) -> None:
        """Leave what is durable to a run, and nothing of what is not."""
        if segment is self._open:
            self._open = None
        with suppress(OSError):
            os.ftruncate(segment.file, segment.end)
            if not segment.end:
                segment.path.unlink()
        _close(segment.file)


def give_back(home: Path, posts: Sequence[Post]) -> None:
    """Put posts into the inbox again, as a segment that is finished: the same ones into the same segment.

    OSError where it cannot be written.
    """
    digest = xxhash.xxh3_64_hexdigest(b"".join(msgspec.json.encode(each) for each in posts))
    make_private(home / FOLDER)
    path = home / FOLDER / f"{posts[0].received_at:016}-{digest[:12]}{CLOSED}"
    aside = path.with_suffix(ASIDE)
    entries = [encode(Entry(f"{path.stem}-{number:06}", *post)) for number, post in enumerate(posts, 1)]
    aside.touch(mode=0o600)
    aside.write_bytes(b"".join([encode(Head(FORMAT, __version__)), *entries, encode(Seal(len(posts)))]))
    sync(aside)
    aside.rename(path)
    sync(path.parent)


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


def _write(segment: _Open, content: bytes) -> int:
    """Write all of it behind what is durable; its number of bytes."""
    rest, place = memoryview(content), segment.end
    while rest:
        written = os.pwrite(segment.file, rest, place)
        rest, place = rest[written:], place + written
    return len(content)


def _outcome(made: Future[_Open]) -> _Open | None:
    """Return the segment that was made ready; None where it is not, or could not be."""
    return made.result() if made.done() and not made.exception() else None
