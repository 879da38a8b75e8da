"""The log of one source: what was received, in parts that are sealed one after the other.

A part is made of files below `raw/<source>/`:

* `<stream>/<date>/<number>-<run>.jsonl.zst` holds records, one line each: what the request said under
  `context`, the record under `record`, or under `record_base64` its bytes where they are no JSON.
* `<stream>/<date>/<number>-<run>.tar.zst` holds files under their names.
* `log/<date>/<number>-<run>.jsonl.zst` is the entry, which comes last and seals the part. Its first line is
  the head: the run, the streams, the other files with their sizes and checksums. Each further line is one
  thing received, in order: a page of so many records, a file with its row, an action, how far a stream may
  move its cursor, how it ended. The last line is a checksum of all these.

Numbers rise by one from part to part and are never used twice. What has a number and no entry was not sealed.
"""

import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from etl.errors import EnvironmentFaultError
from etl.extract.undone import undone_runs, write_undone
from etl.files import remedy
from etl.values import Cursor

RAW = "raw"
"""Folder of all logs, below the folder of the warehouse."""
FORMAT = 1
ENTRIES = "log"
"""Folder of the entries; no stream has its name."""
LINES = ".jsonl.zst"
FILES = ".tar.zst"
PART = ".part"
"""What the name of a file ends with that is being written."""
DAMAGED = ".damaged"
"""What the name of an entry ends with whose part was set aside."""
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
NAME = re.compile(r"(?P<number>\d{8,})-(?P<run>[\w-]+)\.(?:jsonl|tar)\.zst", re.ASCII)


class Run(msgspec.Struct, frozen=True):
    """The run that received a part."""

    run_id: str
    started_at: int
    """Microseconds since 1970."""
    version: str
    """The version of the program."""


class StreamHead(msgspec.Struct, frozen=True):
    """A stream of a part, as it was opened."""

    name: str
    partition: str
    end: int | None
    """Up to when it was asked for, in microseconds since 1970: its cursor never passes that. None where its
    cursor is no time."""
    newest: Cursor | None = None
    """Newest time before that end, or the furthest integer or text, among what the run received of it before
    this part."""
    starts_over: bool = False
    """Whether its cursor is not believed, and goes back to where the data is."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a part."""

    path: str
    """Below the folder of the source."""
    size: int
    checksum: str
    """XXH3 of 64 bits, hexadecimal: tells damage."""


class Head(msgspec.Struct, frozen=True):
    """What is true of a whole part."""

    format: int
    number: int
    run: Run
    sealed_at: int
    """Microseconds since 1970: the time of loading of all rows in the batch that ends with this part."""
    streams: list[StreamHead]
    files: list[StoredFile]
    ends_batch: bool = True
    """Whether it is applied together with the parts of its run before it, and none after it."""
    moves_cursors: bool = True
    """False where a range of time was read again."""


class PageLine(msgspec.Struct, frozen=True, tag="page", tag_field="kind"):
    """A page of records, which stand in the lines of their stream."""

    by: int
    """Place in `Head.streams` of the stream that delivered it."""
    stream: str
    records: int
    at: int
    """When it was received, in microseconds since 1970."""


class FileLine(msgspec.Struct, frozen=True, tag="file", tag_field="kind"):
    """A file with its row; its bytes stand in the tar of its stream."""

    by: int
    stream: str
    name: str
    row: dict[str, Any]
    has_body: bool
    at: int


class ActionLine(msgspec.Struct, frozen=True, tag="action", tag_field="kind"):
    """Something to be done in the warehouse."""

    by: int
    name: str
    parameters: dict[str, Any]


class WatermarkLine(msgspec.Struct, frozen=True, tag="watermark", tag_field="kind"):
    """How far a stream was read."""

    by: int
    until: Cursor | None
    holds: bool
    notice: str


class EndLine(msgspec.Struct, frozen=True, tag="end", tag_field="kind"):
    """The end of a stream."""

    by: int
    error: str | None


class Seal(msgspec.Struct, frozen=True):
    """The last line of an entry."""

    checksum: str
    """XXH3 of 64 bits of all lines before it, hexadecimal."""


Line = PageLine | FileLine | ActionLine | WatermarkLine | EndLine


class RecordLine(msgspec.Struct, frozen=True):
    """A record, as a line of its stream holds it."""

    context: dict[str, str]
    record: msgspec.Raw = msgspec.Raw()
    record_base64: str | None = None


class Part(NamedTuple):
    """A sealed part, by its entry."""

    number: int
    run_id: str
    entry: Path
    is_undone: bool = False
    """Whether its run was undone: nothing is made of it any more."""


class Log:
    """The parts in the folder of one source; EnvironmentFaultError where it cannot be looked into."""

    def __init__(self, folder: Path, undone: Collection[str] = ()) -> None:
        """`undone` are runs that are taken to be undone, besides those that are."""
        self.folder = folder
        self._undone = undone

    def parts(self, after: int = 0) -> list[Part]:
        """Return the sealed parts with numbers beyond this one, in order, those of undone runs too."""
        found = (part_of(path) for path in self._in_days(ENTRIES) if path.name.endswith(LINES))
        undone = {*self._undone, *undone_runs(self.folder)}
        return sorted(
            part._replace(is_undone=part.run_id in undone) for part in found if part and part.number > after
        )

    def undo(self, runs: Collection[str]) -> None:
        """See to it that nothing is made of the parts of these runs any more; they stay where they are."""
        known = undone_runs(self.folder)
        new = {part.run_id for part in self.parts() if part.run_id in runs} if runs else set[str]()
        if not new <= known:
            write_undone(self.folder, known | new)

    def highest(self) -> int:
        """Return the highest number of any file, sealed or not; 0 where there is none."""
        return max((part.number for path in self.files() if (part := part_of(path))), default=0)

    def files(self) -> Iterator[Path]:
        """All files of parts, and what of these is being written."""
        for stream in _folders(self.folder):
            yield from (path for path in self._in_days(stream.name) if part_of(path))

    def _in_days(self, stream: str) -> Iterator[Path]:
        """Yield what is in the folders of a stream that are named by days."""
        for day in _folders(self.folder / stream):
            if DAY.fullmatch(day.name):
                yield from _listed(day)

    def clean(self, applied: int) -> None:
        """Remove what a run that was killed has left unsealed; not what is applied and lost its entry."""
        found = list(self.files())
        sealed = {part.number for path in found if not path.name.endswith(PART) and (part := _entry(path))}
        for path in found:
            part = part_of(path)
            is_unsealed = part is not None and part.number > applied and part.number not in sealed
            if path.name.endswith(PART) or is_unsealed:
                _remove(path)

    def remove(self, until: int) -> None:
        """Remove all parts up to a number: the entries first, so that what is left is whole or unsealed."""
        gone = [path for path in self.files() if (part := part_of(path)) and part.number <= until]
        for path in sorted(gone, key=lambda path: path.parent.parent.name != ENTRIES):
            _remove(path)

    def prune(self, day: date, until: int) -> None:
        """Remove the days up to this one as far as their parts are applied, and those of older versions."""
        kept = {path.parent.name for path in self.files() if (part := part_of(path)) and part.number > until}
        for stream in sorted(_folders(self.folder), key=lambda folder: folder.name != ENTRIES):
            for folder in _folders(stream):
                with suppress(ValueError):
                    if date.fromisoformat(folder.name) <= day and folder.name not in kept:
                        shutil.rmtree(folder, ignore_errors=True)


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, in order; nothing where there is no such folder.

    Raises EnvironmentFaultError where it cannot be read: parts that are not seen would be lost in silence.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        for each in (folder, *folder.parents):
            if each.is_symlink() and not each.exists():
                raise EnvironmentFaultError(
                    f"{each} is a link that leads nowhere: bring back what it leads to"
                ) from None
        return []
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot read the log {folder}: {error.strerror}; {remedy(error)}"
        ) from error


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir()]


def _entry(path: Path) -> Part | None:
    """Return the part whose entry a file is, be it set aside or not."""
    return part_of(path) if path.parent.parent.name == ENTRIES else None


def _remove(path: Path) -> None:
    # What is of somebody else does no harm.
    with suppress(OSError):
        path.unlink()


def part_of(path: Path) -> Part | None:
    """Return the part that a file belongs to; None where it is none of the log's."""
    found = NAME.fullmatch(path.name.removesuffix(PART).removesuffix(DAMAGED))
    return Part(int(found["number"]), found["run"], path) if found else None
