"""The log of a Delta table: commits that are there as a whole, checkpoints, and what nobody needs any more.

`deltalake` reads it and makes the checkpoints. Commits are written here: it would make them for the owner
alone, as the umask of this process says, and they could be read by others only some time after they count.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from etl.files import sync
from etl.publish.files import PART, finish, made, remove
from etl.publish.layout import PARQUET

LOG = "_delta_log"
LAST_CHECKPOINT = "_last_checkpoint"
NUMBERED = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)", re.ASCII)
CHECKPOINT = "checkpoint.parquet"
EVERY = 20
"""Commits after which a checkpoint sums up all before it."""
PROTOCOL = {"minReaderVersion": 1, "minWriterVersion": 2}
"""The features that are needed: such as every reader of Delta has."""

Action = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """What the newest version of a table is."""

    number: int
    files: dict[str, int]
    """Its files with their sizes."""
    id: str
    about: dict[str, Any]
    """Name, doc, columns and properties, as an action says them."""


class DeltaLog:
    """The log of the table in a folder; `aside` is a folder of the same disk for what is being made."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self.folder = folder
        self._log = folder / LOG
        self._aside = aside

    def newest(self) -> int:
        """Return the number of the newest commit; -1 where there is none."""
        return max(self._numbers("json"), default=-1)

    def modified(self, number: int) -> float:
        """Return when a commit was made, in seconds since 1970."""
        return self._path(number, "json").stat().st_mtime

    def read(self, number: int) -> list[dict[str, Any]]:
        """Return the actions of a commit; none where it is not there, or cannot be understood."""
        try:
            lines = self._path(number, "json").read_bytes().splitlines()
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, RecursionError):
            return []

    def held(self) -> Held | None:
        """Return what the table is now; None where there is none, or none that was made here."""
        if self.newest() < 0:
            return None
        deltalake: Any = import_module("deltalake")
        try:
            table = deltalake.DeltaTable(str(self.folder))
            protocol, metadata = table.protocol(), table.metadata()
            files = pa.table(table.get_add_actions()).to_pylist()
            columns = table.schema().to_json()
        except (deltalake.exceptions.DeltaError, OSError, ValueError, TypeError, KeyError):
            # Should it be that nobody may read it, what takes its place says so.
            return None
        if (protocol.min_reader_version, protocol.min_writer_version) != tuple(PROTOCOL.values()):
            return None
        about = described(metadata.name, metadata.description, columns, metadata.configuration)
        return Held(table.version(), {each["path"]: each["size_bytes"] for each in files}, metadata.id, about)

    def write(self, number: int, actions: Sequence[Action]) -> None:
        """Make a commit; FileExistsError where somebody else has made one of this number."""
        aside = made(self._aside) / "commit.json"
        aside.unlink(missing_ok=True)  # one that was finished can only be read
        aside.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in actions))
        finish(aside)
        os.link(aside, made(self._log) / self._path(number, "json").name)
        aside.unlink()
        sync(self._log)

    def tidy(self, active: set[str], oldest: int) -> None:
        """Remove the files and commits that no version from `oldest` on needs; `active` are the newest's."""
        for path in self.folder.glob(f"*{PART}"):
            path.unlink()
        strays = {path.name for path in self.folder.glob(f"*{PARQUET}")} - active
        if strays:
            later = [each for number in range(oldest + 1, self.newest() + 1) for each in self.read(number)]
            for name in strays - {each["remove"]["path"] for each in later if "remove" in each}:
                (self.folder / name).unlink()
        made_at = max(self._numbers(CHECKPOINT), default=-1)
        if self.newest() - made_at >= EVERY:
            self._sum_up()
        self._shorten(oldest)

    def _sum_up(self) -> None:
        """Make a checkpoint of the newest version, aside: others could not read it from the beginning."""
        aside = self._aside / "checkpoint"
        remove(aside)
        for path in self._log.iterdir():
            if NUMBERED.fullmatch(path.name):
                os.link(path, made(aside / LOG) / path.name)
        table: Any = import_module("deltalake").DeltaTable(str(aside))
        table.create_checkpoint()
        for name in (self._path(table.version(), CHECKPOINT).name, LAST_CHECKPOINT):
            finish(aside / LOG / name)
            (aside / LOG / name).rename(self._log / name)
        sync(self._log)
        remove(aside)

    def _shorten(self, oldest: int) -> None:
        """Remove what precedes the last checkpoint that the oldest version needs."""
        needed = max((each for each in self._numbers(CHECKPOINT) if each <= oldest), default=0)
        for kind in ("json", CHECKPOINT):
            for number in self._numbers(kind):
                if number < needed:
                    self._path(number, kind).unlink()

    def _numbers(self, kind: str) -> list[int]:
        """Return the numbers of the commits, or of the checkpoints, in their order."""
        try:
            found = [NUMBERED.fullmatch(path.name) for path in self._log.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(each[1]) for each in found if each and each[2] == kind)

    def _path(self, number: int, kind: str) -> Path:
        return self._log / f"{number:020}.{kind}"


def described(name: str, doc: str, columns: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """Return what the action `metaData` says of a table; `columns` is their JSON."""
    return {
        "name": name,
        "description": doc,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": columns,
        "partitionColumns": [],
        "configuration": dict(properties),
    }


def added(name: str, size: int, rows: int, now: int) -> Action:
    """Return the action that adds a file; `now` is in milliseconds since 1970."""
    stats = msgspec.json.encode({"numRecords": rows}).decode()
    return {
        "add": {
            "path": name,
            "size": size,
            "partitionValues": {},
            "modificationTime": now,
            "dataChange": True,
            "stats": stats,
        }
    }


def removed(name: str, size: int, now: int) -> Action:
    """Return the action that removes a file; `now` is in milliseconds since 1970."""
    return {
        "remove": {
            "path": name,
            "deletionTimestamp": now,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": {},
            "size": size,
        }
    }
