"""The raw archive: records and files as received, written before the rows they became are committed.

`raw/<source>/<stream>/<date>/<run>-<number>.jsonl.zst` holds records, one line each: the record under
`record`, what the request said under `context`. `....tar.zst` holds files under their names.
"""

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl.errors import SettingsError
from etl.extract.stream import Delivery, File, Page
from etl.values import canonical


class Archive:
    """The archive of one source during one run."""

    def __init__(self, folder: Path, run_id: str, today: date, days: int) -> None:
        self._folder = folder
        self._run_id = run_id
        self._today = today
        self._days = days
        self._written = 0

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Write the deliveries and make sure they are on disk; nothing where it is kept for no days."""
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

    def prune(self) -> None:
        """Remove the days that are older than the archive is kept, and what a killed run left unfinished."""
        for torn in self._folder.glob("*/*/*.part"):
            torn.unlink(missing_ok=True)
        oldest = self._today - timedelta(days=self._days)
        for day in self._folder.glob("*/*/"):
            with suppress(ValueError):
                if date.fromisoformat(day.name) <= oldest:
                    shutil.rmtree(day, ignore_errors=True)

    def _write(self, stream: str, ending: str, fill: Callable[[Any], None]) -> None:
        self._written += 1
        folder = self._folder / stream / self._today.isoformat()
        path = folder / f"{self._run_id}-{self._written:05}.{ending}"
        aside = path.with_name(path.name + ".part")
        try:
            _make_private(folder)
            aside.touch(mode=0o600)
            with pa.CompressedOutputStream(str(aside), "zstd") as out:
                fill(out)
            for written in (aside, folder):
                _sync(written)
            aside.replace(path)
        except BaseException as error:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise SettingsError(
                f"cannot write the raw archive {folder}: {error.strerror or error}; make room, or "
                "set SIGHTGLASS_RAW_DAYS=0"
            ) from error


def _write_lines(out: Any, pages: Iterable[Page]) -> None:  # noqa: ANN401 -- pyarrow ships no types
    for page in pages:
        head = b'{"context":' + canonical(dict(page.context)) + b',"record":'
        for record in page.records:
            # A line feed in JSON is white space: inside a text it is escaped.
            out.write(head + bytes(record).replace(b"\n", b" ").replace(b"\r", b" ") + b"}\n")


def _write_tar(out: Any, files: Iterable[File]) -> None:  # noqa: ANN401 -- pyarrow ships no types
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for file in files:
            body = file.body or b""
            entry = tarfile.TarInfo(file.name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))


def _make_private(folder: Path) -> None:
    """Make the folder and those above it that are missing, for the owner alone."""
    if not folder.exists():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
