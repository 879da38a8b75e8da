"""Fetch pictures and films into the archive, each content once."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

from etl.archive.bucket import SCHEMES, Bucket
from etl.archive.kinds import HEAD, kind_of, sent_instead
from etl.archive.limits import ArchiveFaultError, ArchiveLimitError, Pace, Room, TimeLimit
from etl.archive.places import Folder, Place, claim, clear, writing
from etl.config import Settings
from etl.errors import ClientError, ConfigError, SourceError
from etl.extract.stream import RequestStats
from etl.files import make_private, sync

if TYPE_CHECKING:
    from etl.extract.http import Api

T = TypeVar("T")

ARCHIVE = "archive"
"""Folder of the archive, below that of the warehouse, where no other is set."""
API, FILES = "API", "files"
"""The two hosts that are asked."""
MOST_FAILED = 16
"""Requests that may fail one after the other, each after all of its retries."""


class Kept(NamedTuple):
    """A file that is in the archive."""

    path: str
    """Below the folder, or the prefix, of the archive."""
    size: int
    sha256: str
    content_type: str

    def row(self) -> dict[str, Any]:
        """Return what tables say of it."""
        return {
            "archive_path": self.path,
            "bytes": self.size,
            "sha256": self.sha256,
            "content_type": self.content_type,
        }


def place_of(settings: Settings) -> Place:
    """Return where the archive is, without having looked there; ConfigError where no such place can be."""
    named = settings.archive
    if "://" not in named:
        try:
            root = Path(named).expanduser().absolute() if named else settings.home / ARCHIVE
        except RuntimeError as error:
            raise ConfigError(f"SIGHTGLASS_ARCHIVE names no folder: {error}") from error
        return Folder(root, settings.home)
    if not named.startswith(SCHEMES):
        raise ConfigError(f"SIGHTGLASS_ARCHIVE must be a folder, or begin with {', '.join(SCHEMES)}")
    return Bucket(named, settings.home / f"{ARCHIVE}.incoming")


class Archive:
    """The archive of one source, for one run; safe to use from any thread."""

    def __init__(self, place: Place, source: str, settings: Settings) -> None:
        self._place = place
        self._source = source
        self._room = Room(settings.archive_disk, place.used)
        self._pace = Pace(settings.archive_rate)
        self._time = TimeLimit(settings.archive_minutes)
        self._opening = Lock()
        self._is_open = False
        self._failed = Counter[str]()
        self.fault: ArchiveFaultError | None = None
        """Why it could not be looked into."""

    @property
    def is_watched(self) -> bool:
        """Whether it costs nothing to look what is still there."""
        return self._place.is_watched

    def has(self, path: str, size: int) -> bool:
        """Whether a file of this size is there."""
        try:
            return self._place.has(path, size)
        except ArchiveFaultError as fault:
            self.fault = fault
            raise

    def fetch(self, files: "Api", link: str, stats: RequestStats) -> Kept:
        """Return what a link leads to, once it is archived.

        ClientError where it is no picture or film, else what `Api.save` raises; ArchiveLimitError and
        ArchiveFaultError where nothing more can be archived.
        """
        with self._draft() as draft:
            content_type = self.asked(FILES, lambda: files.save(link, stats, draft))
            kind = kind_of(draft.head, content_type)
            if kind is None:
                instead = sent_instead(draft.head, content_type)
                raise ClientError(f"the server sent {instead} in place of the file", HTTPStatus.GONE)
            digest = draft.finish()
            path = f"{self._source}/{digest[:2]}/{digest}.{kind.ending}"
            if not self._place.has(path, draft.size):
                self._place.take(draft.path, path, draft.size)
                draft.is_kept = True
            return Kept(path, draft.size, digest, kind.content_type)

    def asked(self, host: str, ask: Callable[[], T]) -> T:
        """Return what a host is asked for in order to archive something, and raise what asking raises.

        ArchiveLimitError where the time is over, or so many requests in a row have failed that the host is
        down: each has waited for as long as a request may.
        """
        self._time.check()
        if self._failed[host] >= MOST_FAILED:
            raise ArchiveLimitError(f"{MOST_FAILED} requests in a row have failed: the rest is left")
        try:
            answer = ask()
        except (ClientError, ArchiveLimitError, ArchiveFaultError):
            self._failed[host] = 0
            raise
        except SourceError:
            self._failed[host] += 1
            raise
        self._failed[host] = 0
        return answer

    @contextmanager
    def _draft(self) -> Iterator["Draft"]:
        incoming = self._place.incoming
        with self._opening:
            if not self._is_open:
                with writing(incoming):
                    make_private(incoming)
                    clear(incoming)
                self._is_open = True
        draft = Draft(incoming / f"{uuid4().hex}.part", self._room, self._pace.spend)
        try:
            yield draft
        finally:
            draft.close()


class Draft:
    """A file that is being received; a sink."""

    def __init__(self, path: Path, room: Room, spend: Callable[[int], None]) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        """The first bytes of it."""
        self.is_kept = False
        """Whether it is in the archive, and has taken its room for good."""
        self._room = room
        self._spend = spend
        self._digest = hashlib.sha256()
        self._file: FileIO | None = None

    def begin(self) -> None:
        """Forget what has come: a body follows from its beginning."""
        self._room.give_back(self.size)
        self.size, self.head, self._digest = 0, b"", hashlib.sha256()
        with writing(self.path.parent):
            if self._file is None:
                self._file = FileIO(self.path, "xb", opener=_private)
                claim(self._file)
            self._file.seek(0)
            self._file.truncate()

    def write(self, piece: bytes) -> None:
        """Take in what comes next."""
        if self._file is None:
            raise AssertionError("a body begins before it is written")
        self._room.take(len(piece))
        self.size += len(piece)
        self.head += piece[: HEAD - len(self.head)]
        self._digest.update(piece)
        with writing(self.path.parent):
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._spend(len(piece))

    def finish(self) -> str:
        """Return the hash of the content, once all of it is on disk."""
        with writing(self.path.parent):
            sync(self.path)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Remove it, unless it is in the archive."""
        if self._file is not None:
            self._file.close()
        if not self.is_kept:
            self._room.give_back(self.size)
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
