"""Write the log: parts that are sealed, on disk and under their names, before anything is made of them."""

import base64
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import xxhash

from etl.errors import EnvironmentFaultError
from etl.extract.log import (
    ENTRIES,
    FILES,
    FORMAT,
    LINES,
    PART,
    ActionLine,
    EndLine,
    FileLine,
    Head,
    Line,
    Log,
    PageLine,
    Part,
    Run,
    Seal,
    StoredFile,
    StreamHead,
    WatermarkLine,
)
from etl.extract.stream import (
    STAND_IN,
    Action,
    Bundle,
    Delivery,
    File,
    Page,
    Watermark,
    as_received,
    one_line,
)
from etl.files import make_private, remedy, sync
from etl.values import UNREADABLE, canonical

ANY = msgspec.json.Decoder(msgspec.Raw)
ENCODER = msgspec.json.Encoder()
AT_ONCE = 2**20
"""Bytes that are compressed at once: each time, all other threads of Python go first."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a stream at one moment."""

    by: int
    """Place of the stream among those of the part."""
    at: int
    """Microseconds since 1970."""
    bundle: Bundle


@dataclass(slots=True)
class _Open:
    """The files of the part that is being written."""

    number: int
    files: dict[str, "_File"] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


class LogWriter:
    """Writes the parts of one run; safe to use from one thread at a time."""

    def __init__(self, log: Log, run: Run, day: str, after: int, mark: str = "") -> None:
        """`day` names the folder of all of its parts, `after` is the last number that was used.

        `mark` tells the files of a part that is written once more from those that it had.
        """
        self._mark = mark
        self._log = log
        self._run = run
        self._day = day
        self._last = after
        self._failed: EnvironmentFaultError | None = None

    def seal(
        self,
        streams: Sequence[StreamHead],
        received: Iterable[Received],
        *,
        sealed_at: int,
        ends_batch: bool,
        moves_cursors: bool = True,
    ) -> Part:
        """Write a part, and return once it outlives a power failure.

        Raises EnvironmentFaultError where it cannot be written.
        """
        if self._failed:
            # What comes after a part that is missing must not look as if nothing were.
            raise self._failed
        self._last += 1
        part = _Open(self._last)
        for each in received:
            for delivery in each.bundle:
                part.lines.append(self._line(part, each, delivery))
        stored = [self._finish(file, part) for file in part.files.values()]
        head = Head(
            FORMAT, part.number, self._run, sealed_at, list(streams), stored, ends_batch, moves_cursors
        )
        entry = self._file(part, ENTRIES, LINES)
        with self._writing(part, entry):
            body = b"".join(ENCODER.encode(each) + b"\n" for each in [head, *part.lines])
            entry.out.write(body + ENCODER.encode(Seal(xxhash.xxh3_64_hexdigest(body))) + b"\n")
        self._finish(entry, part)
        return Part(part.number, self._run.run_id, entry.path)

    def _line(self, part: _Open, received: Received, delivery: Delivery) -> Line:
        """Write what was delivered, and say what it was."""
        by, at = received.by, received.at
        if isinstance(delivery, Page):
            file = self._file(part, delivery.stream, LINES)
            with self._writing(part, file):
                _write_records(file, delivery)
            return PageLine(by, delivery.stream, len(delivery.records), at)
        if isinstance(delivery, File):
            if delivery.body is not None:
                file = self._file(part, delivery.stream, FILES)
                with self._writing(part, file):
                    _write_file(file, delivery.name, delivery.body)
            return FileLine(
                by, delivery.stream, delivery.name, dict(delivery.row), delivery.body is not None, at
            )
        if isinstance(delivery, Action):
            return ActionLine(by, delivery.name, dict(delivery.parameters))
        if isinstance(delivery, Watermark):
            return WatermarkLine(by, delivery.at, delivery.holds, delivery.notice)
        return EndLine(by, delivery.error)

    def _file(self, part: _Open, stream: str, ending: str) -> "_File":
        name = f"{stream}{ending}"
        if name not in part.files:
            folder = self._log.folder / stream / self._day
            if stream == ENTRIES:
                return _File(folder / f"{part.number:08}-{self._run.run_id}{ending}")
            file = _File(folder / f"{part.number:08}-{self._run.run_id}{self._mark}{ending}")
            part.files[name] = file
        return part.files[name]

    def _finish(self, file: "_File", part: _Open) -> StoredFile:
        """Make sure that a file is on disk, under its name."""
        with self._writing(part, file):
            file.close()
            sync(file.aside)
            stored = StoredFile(
                str(file.path.relative_to(self._log.folder)), file.aside.stat().st_size, checksum(file.aside)
            )
            file.aside.replace(file.path)
            sync(file.path.parent)
        return stored

    @contextmanager
    def _writing(self, part: _Open, file: "_File") -> Iterator[None]:
        """Leave nothing behind where writing fails, and say what can be done about it."""
        try:
            yield
        except BaseException as error:
            for each in [file, *part.files.values()]:
                each.give_up()
            if not isinstance(error, OSError):
                raise
            self._failed = EnvironmentFaultError(
                f"cannot write the log {file.path.parent}: {error.strerror or error}; {remedy(error)}"
            )
            raise self._failed from error


class _File:
    """A compressed file that is being written aside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(path.name + PART)

    @cached_property
    def out(self) -> Any:  # noqa: ANN401 -- pyarrow ships no types
        """The stream that takes the bytes."""
        make_private(self.path.parent)
        self.aside.touch(mode=0o600)
        return io.BufferedWriter(pa.CompressedOutputStream(str(self.aside), "zstd"), AT_ONCE)

    def give_up(self) -> None:
        """Leave nothing behind, neither on disk nor to be written once Python lets go of this."""
        out = vars(self).get("out")
        with suppress(OSError, ValueError):
            if out:
                out.close()
        with suppress(OSError):
            self.aside.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the end."""
        if self.path.name.endswith(FILES):
            self.out.write(bytes(tarfile.RECORDSIZE))
        self.out.close()


def checksum(path: Path) -> str:
    """Return the checksum of a file as `StoredFile` has it."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def on_one_line(page: Page) -> Page:
    """Return the page with each record that is JSON on one line, as the log holds it.

    What is read back from the log is then, byte for byte, what was worked with: line ends in JSON are white
    space, for inside a text they are escaped.
    """
    if not any(b"\n" in each or b"\r" in each for each in map(bytes, page.records)):
        return page
    return Page(page.stream, [_on_one_line(each) for each in page.records], page.context)


def _on_one_line(record: bytes) -> bytes:
    given = bytes(record)
    return one_line(given) if as_received(given) == given and _is_json(record, given) else record


def _write_records(file: _File, page: Page) -> None:
    """Write the records of a page, each as a line with what the request said."""
    head = b'{"context":' + canonical(dict(page.context)) + b","
    lines = _plain_lines(head, page.records) or b"".join(_lines(head, on_one_line(page).records))
    file.out.write(lines)


def _plain_lines(head: bytes, records: Sequence[bytes]) -> bytes:
    """Return the lines of records that all are JSON on one line.

    Nothing where that must be looked at of each.

    What was taken from a page as `Raw` has been looked through already, but for its texts.
    """
    if not all(isinstance(each, msgspec.Raw) for each in records):
        return b""
    begin = head + b'"record":'
    lines = begin + (b"}\n" + begin).join(records) + b"}\n"
    is_plain = lines.count(b"\n") == len(records) and b"\r" not in lines and STAND_IN not in lines
    return lines if is_plain and _is_text(lines) else b""


def _lines(head: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of records: each as it is, or encoded where it would make its line no JSON."""
    for record in records:
        given = bytes(record)
        body = as_received(given)
        if body != given or b"\n" in given or b"\r" in given or not _is_json(record, body):
            yield head + b'"record_base64":"' + base64.b64encode(body) + b'"}\n'
        else:
            yield head + b'"record":' + body + b"}\n"


def _is_json(record: bytes, body: bytes) -> bool:
    try:
        if not isinstance(record, msgspec.Raw):
            ANY.decode(body)
    except UNREADABLE:
        return False
    return _is_text(body)


def _is_text(body: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _write_file(file: _File, name: str, body: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(body)
    for each in (entry.tobuf(), body, bytes(-len(body) % tarfile.BLOCKSIZE)):
        file.out.write(each)
