"""Read the log: a sealed part gives back what was received, byte for byte and in its order."""

import base64
import errno
import sys
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import xxhash

from etl.errors import EnvironmentFaultError
from etl.extract.log import (
    FILES,
    FORMAT,
    LINES,
    ActionLine,
    EndLine,
    FileLine,
    Head,
    Line,
    Log,
    PageLine,
    Part,
    RecordLine,
    Seal,
    WatermarkLine,
)
from etl.extract.log_writer import Received, checksum
from etl.extract.stream import Action, Delivery, End, File, Page, Watermark, stand_in
from etl.files import FORBIDDEN, remedy

HEAD = msgspec.json.Decoder(Head)
LINE = msgspec.json.Decoder(Line)
SEAL = msgspec.json.Decoder(Seal)
RECORD = msgspec.json.Decoder(RecordLine)

BEFORE_RECORD = b'},"record":'

BUSY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
DEEPER = 1_000
"""Levels by which what is read may be nested deeper than here, where more functions wait for an answer than
where it was written."""


class DamagedPartError(Exception):
    """A part of the log is not as it was written; the text says what is wrong with which file."""


class Contents(NamedTuple):
    """What is in a part."""

    head: Head
    received: list[Received]


def read(log: Log, part: Part) -> Contents:
    """Return what was received in a part; DamagedPartError where its files are not as they were written."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + DEEPER)
    try:
        head, *lines = _entry(part)
        told = _head(part, head)
        stored = {each.path: log.folder / each.path for each in told.files}
        for each in told.files:
            _verify(stored[each.path], each.size, each.checksum)
        records = {_stream(path): _each(_lines(at)) for path, at in stored.items() if path.endswith(LINES)}
        bodies = {_stream(path): _bodies(at) for path, at in stored.items() if path.endswith(FILES)}
        received = [
            Received(by, at, [delivery])
            for line in map(LINE.decode, lines)
            for by, at, delivery in _delivered(line, records, bodies)
        ]
    except (msgspec.MsgspecError, ValueError, KeyError, StopIteration, tarfile.TarError) as error:
        raise DamagedPartError(f"{part.entry} cannot be read: {error or type(error).__name__}") from error
    finally:
        sys.setrecursionlimit(limit)
    return Contents(told, received)


def _entry(part: Part) -> list[bytes]:
    """Return the lines of an entry, without its seal."""
    *lines, seal = _lines(part.entry)
    digest = xxhash.xxh3_64_hexdigest(b"".join(line + b"\n" for line in lines))
    if SEAL.decode(seal).checksum != digest:
        raise DamagedPartError(f"{part.entry} is not as it was written")
    return lines


def _head(part: Part, line: bytes) -> Head:
    head = HEAD.decode(line)
    if head.format > FORMAT:
        raise EnvironmentFaultError(
            f"{part.entry} was written by a newer version of Sightglass, {head.run.version}: install that"
        )
    return head


def _verify(path: Path, size: int, digest: str) -> None:
    try:
        is_whole = path.stat().st_size == size and checksum(path) == digest
    except OSError as error:
        raise _unreadable(path, error) from error
    if not is_whole:
        raise DamagedPartError(f"{path} is not as it was written")


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a compressed file."""
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            lines = bytes(stream.read()).split(b"\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(lines) < 2 or lines.pop():  # noqa: PLR2004 -- one line, and nothing after its end
        raise DamagedPartError(f"{path} breaks off")
    return lines


def _each(lines: list[bytes]) -> Iterator[bytes]:
    """Yield the lines, and let go of each: what is made of them takes as much."""
    lines.reverse()
    while lines:
        yield lines.pop()


def _unreadable(path: Path, error: OSError) -> Exception:
    """Return what is wrong with a file: it is damaged, or this process may not or cannot read it now."""
    if error.errno in FORBIDDEN | BUSY:
        return EnvironmentFaultError(f"cannot read the log {path}: {error.strerror}; {remedy(error)}")
    return DamagedPartError(f"{path} cannot be read: {error.strerror or error}")


def _bodies(path: Path) -> Iterator[bytes]:
    """Yield what is in the files of an archive, in their order."""
    with (
        pa.input_stream(str(path), compression="zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        for each in tar:
            found = tar.extractfile(each)
            yield found.read() if found else b""


def _stream(path: str) -> str:
    return path.partition("/")[0]


def _delivered(
    line: Line, records: dict[str, Iterator[bytes]], bodies: dict[str, Iterator[bytes]]
) -> Iterator[tuple[int, int, Delivery]]:
    """Yield what a line of an entry stands for."""
    if isinstance(line, PageLine):
        for page in _pages(line, list(islice(records[line.stream], line.records)) if line.records else []):
            yield line.by, line.at, page
    elif isinstance(line, FileLine):
        body = next(bodies[line.stream]) if line.has_body else None
        yield line.by, line.at, File(line.stream, line.name, line.row, body)
    elif isinstance(line, ActionLine):
        yield line.by, 0, Action(line.name, line.parameters)
    elif isinstance(line, WatermarkLine):
        yield line.by, 0, Watermark(line.until, line.holds, line.notice)
    elif isinstance(line, EndLine):
        yield line.by, 0, End(line.error)


def _pages(line: PageLine, texts: Sequence[bytes]) -> Iterator[Page]:
    """Yield the page that a line stands for: all records of a page share what the request said."""
    if len(texts) < line.records:
        raise ValueError(f"lacks records of {line.stream}")
    if page := _alike(line.stream, texts):
        yield page
        return
    found = map(RECORD.decode, texts)
    for context, some in groupby(found, key=lambda one: one.context):
        yield Page(line.stream, [_record(one) for one in some], context)


def _alike(stream: str, texts: Sequence[bytes]) -> Page | None:
    """Return the page of lines that begin alike and hold their record as JSON, as nearly all do.

    Else None.
    """
    begin = texts[0][: texts[0].find(BEFORE_RECORD) + len(BEFORE_RECORD)] if texts else b""
    if not begin.endswith(BEFORE_RECORD) or not all(each.startswith(begin) for each in texts):
        return None
    context = RECORD.decode(begin + b"null}").context
    size = len(begin)
    return Page(stream, [each[size:-1] for each in texts], context)


def _record(line: RecordLine) -> bytes:
    if line.record_base64 is not None:
        return stand_in(base64.b64decode(line.record_base64))
    return bytes(line.record)
