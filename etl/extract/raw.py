"""The raw archive: records and files as received, written before the rows they became are committed.

`raw/<source>/<stream>/<date>/<run>-<number>.jsonl.zst` holds records, one line each: what the request
said under `context`, the record under `record`, or under `record_base64` its bytes where they are no JSON.
`....tar.zst` holds files under their names.
"""

import base64
import io
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from etl.disk import remedy, sync
from etl.errors import SettingsError
from etl.extract.stream import Delivery, File, Page, as_received
from etl.values import UNREADABLE, canonical

FOREVER = 365_000
"""Days from which on none is so old: further back than a date can be."""


class Archive:
    """The archive of one source during one run."""

    def __init__(self, folder: Path, run_id: str, today: date, days: int) -> None:
        self._folder = folder
        self._run_id = run_id
        self._today = today
        self._days = days
        self._begun = 0
        self._open: dict[str, _Part] = {}

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Write the deliveries; nothing where they are kept for no days. They are safe once it is sealed."""
        pages: dict[str, list[Page]] = {}
        files: dict[str, list[File]] = {}
        for each in deliveries if self._days else ():
            if isinstance(each, Page):
                pages.setdefault(each.stream, []).append(each)
            elif isinstance(each, File) and each.body is not None:
                files.setdefault(each.stream, []).append(each)
        for stream, some in pages.items():
            self._write(stream, "jsonl.zst", partial(_write_lines, pages=some))
        for stream, several in files.items():
            self._write(stream, "tar.zst", partial(_write_tar, files=several))

    def seal(self) -> None:
        """Make sure that all that was written is on disk, under its name; more goes into other files."""
        for part in self._open.values():
            with self._writing(part):
                part.close()
                for written in (part.aside, part.path.parent):
                    sync(written)
                part.aside.replace(part.path)
        self._open.clear()

    def prune(self, believed: date | None = None) -> None:
        """Remove the days that are older than the archive is kept, and what a killed run left unfinished.

        It is not later than the day that is believed, where one is: a clock that is ahead once must not
        remove everything.
        """
        for torn in self._folder.glob("*/*/*.part"):
            # What is of somebody else does no harm.
            with suppress(OSError):
                torn.unlink()
        if self._days >= FOREVER:
            return
        oldest = min(self._today, believed or self._today) - timedelta(days=self._days)
        for day in self._folder.glob("*/*/"):
            with suppress(ValueError):
                if date.fromisoformat(day.name) <= oldest:
                    shutil.rmtree(day, ignore_errors=True)

    def _write(self, stream: str, ending: str, fill: Callable[["_Part"], None]) -> None:
        name = f"{stream}.{ending}"
        part = self._open.get(name)
        if part is None:
            self._begun += 1
            folder = self._folder / stream / self._today.isoformat()
            part = self._open[name] = _Part(folder / f"{self._run_id}-{self._begun:05}.{ending}")
        with self._writing(part):
            fill(part)

    @contextmanager
    def _writing(self, part: "_Part") -> Iterator[None]:
        """What goes wrong meanwhile leaves nothing behind, and is told as what can be done about it."""
        try:
            yield
        except BaseException as error:
            for each in self._open.values():
                with suppress(OSError):
                    each.aside.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise SettingsError(
                f"cannot write the raw archive {part.path.parent}: {error.strerror or error}; "
                f"{remedy(error)}, or set SIGHTGLASS_RAW_DAYS=0"
            ) from error


class _Part:
    """A compressed file that is being written aside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(path.name + ".part")

    @cached_property
    def out(self) -> Any:  # noqa: ANN401 -- pyarrow ships no types
        """What takes the bytes."""
        _make_private(self.path.parent)
        self.aside.touch(mode=0o600)
        return pa.CompressedOutputStream(str(self.aside), "zstd")

    @cached_property
    def tar(self) -> tarfile.TarFile:
        """What takes files."""
        return tarfile.open(fileobj=self.out, mode="w|")

    def close(self) -> None:
        """Write the end."""
        if "tar" in self.__dict__:
            self.tar.close()
        self.out.close()


def _write_lines(part: _Part, pages: Iterable[Page]) -> None:
    for page in pages:
        head = b'{"context":' + canonical(dict(page.context)) + b","
        # One write for a page: each lets other threads go first.
        part.out.write(b"".join(head + _record(each) + b"}\n" for each in page.records))


ANY = msgspec.json.Decoder(msgspec.Raw)


def _record(record: bytes) -> bytes:
    """The record as a member of its line: as it is, or encoded where it would make the line no JSON."""
    given = bytes(record)
    body = as_received(given)
    if body is not given or not _is_json(record, body):
        return b'"record_base64":"' + base64.b64encode(body) + b'"'
    # A line feed in JSON is white space: inside a text it is escaped.
    return b'"record":' + body.replace(b"\n", b" ").replace(b"\r", b" ")


def _is_json(record: bytes, body: bytes) -> bool:
    try:
        # What was taken from a page as `Raw` has been looked through already, but for its texts.
        if not isinstance(record, msgspec.Raw):
            ANY.decode(body)
        return body.isascii() or bool(body.decode())
    except UNREADABLE:
        return False


def _write_tar(part: _Part, files: Iterable[File]) -> None:
    for file in files:
        body = file.body or b""
        entry = tarfile.TarInfo(file.name)
        entry.size = len(body)
        part.tar.addfile(entry, io.BytesIO(body))


def _make_private(folder: Path) -> None:
    """Make the folder and those above it that are missing, for the owner alone."""
    if not folder.exists():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
