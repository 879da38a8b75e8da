"""The lake as Delta tables: metadata over the files that are there, of which nothing is copied.

`delta/<schema>/<table>` in the folder of the warehouse holds links to the lake's files, and a log. Each table
changes at one moment; `delta/published`, written last, names the version of each that belongs together.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import EnvironmentFaultError, TargetError
from etl.files import sync
from etl.publish.delta.log import PROTOCOL, Action, DeltaLog, Held, added, described, removed
from etl.publish.files import finish, link, made, remove, writable
from etl.publish.layout import PARQUET
from etl.publish.open_tables import (
    ASIDE,
    FILE,
    PUBLISHED,
    TABLES,
    VERSION,
    as_table,
    columns_of_published,
    commented,
    files_of,
    in_use,
)
from etl.publish.target import Release
from etl.schema import Table

PROPERTIES = {"delta.deletedFileRetentionDuration": "interval 1 days"}
"""How long checkpoints remember the files that were removed, which no reader looks at."""
ROWS = columns_of_published(
    ("path", pa.string(), "Its folder, seen from the one of all Delta tables."),
    ("delta_version", pa.int64(), "Its version that belongs to the others."),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a commit of `published` says."""

    version: str
    tables: Mapping[str, int]
    """The version of each table."""
    file: str


class DeltaTables:
    """The Delta tables in a folder of the warehouse."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = "delta"

    def put(self, release: Release) -> None:
        """Bring each table to its files in this version, then say so in `published`."""
        deltalake: Any = import_module("deltalake")
        try:
            with writable(self._folder):
                remove(made(self._folder) / ASIDE)
                if not self._is_there(release):
                    versions = {
                        name: self._bring(name, release.tables[name], release) for name in release.partitions
                    }
                    self._publish(release, versions)
                self._tidy(release)
                remove(self._folder / ASIDE)
        except EnvironmentFaultError as error:
            raise TargetError(str(error)) from error
        except deltalake.exceptions.DeltaError as error:
            said = str(error).splitlines()[0]
            raise TargetError(f"{said}; if it stays so, move {self._folder} away: it is made anew") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _is_there(self, release: Release) -> bool:
        """Whether all of this version is there, in the newest version of each table."""
        said = self._said(self._published.newest())
        if said is None or said.version != release.version or said.tables.keys() != release.partitions.keys():
            return False
        if not (self._folder / PUBLISHED / said.file).is_file():
            return False
        return all(
            self._log(name).newest() == number
            and self._log(name).read(number)
            and all(self._place(name, file).is_file() for file in files_of(release, name))
            for name, number in said.tables.items()
        )

    def _bring(self, name: str, table: Table, release: Release) -> int:
        """Return the version of a table that holds its files and columns as they are now."""
        log, files = self._log(name), files_of(release, name)
        held = log.held()
        if held is None:
            remove(log.folder)
        for file, each in files.items():
            link(each.path, made(log.folder) / file)
        sync(made(log.folder))
        sizes = {file: (each.path.stat().st_size, each.partition.rows) for file, each in files.items()}
        return _commit(log, held, _about(name, commented(table)), sizes, {VERSION: release.version})

    def _publish(self, release: Release, versions: Mapping[str, int]) -> None:
        """Say which version of each table belongs to this version of the lake."""
        log = self._published
        held = log.held()
        if held is None:
            remove(log.folder)
        at = int(release.version)
        rows = [(name, name.replace(".", "/"), number, at) for name, number in sorted(versions.items())]
        name = f"{release.version}.{held.number + 1 if held else 0}{PARQUET}"
        aside = made(self._folder / ASIDE) / name
        pq.write_table(as_table(rows, ROWS), aside)
        finish(aside)
        aside.rename(made(log.folder) / name)
        sync(log.folder)
        size = (log.folder / name).stat().st_size
        said = {VERSION: release.version, TABLES: dict(versions), FILE: name}
        _commit(log, held, _about(PUBLISHED, ROWS), {name: (size, len(rows))}, said)

    def _tidy(self, release: Release) -> None:
        """Remove what no version needs that was complete less than the grace period ago."""
        promised = dict(self._promised(release.grace))
        for name in release.partitions:
            oldest = min(said.tables[name] for said in promised.values() if name in said.tables)
            self._log(name).tidy(set(files_of(release, name)), oldest)
        newest = promised[max(promised)]
        self._published.tidy({newest.file}, min(promised))
        needed = {name for said in promised.values() for name in said.tables}
        for folder in self._folder.glob("*/*/_delta_log"):
            if ".".join(folder.parts[-3:-1]) not in needed and _is_ours(folder):
                remove(folder.parent)

    def _promised(self, grace: float) -> Iterator[tuple[int, Said]]:
        """Yield what `published` has said since this many seconds ago, with its numbers, the newest first."""
        return in_use(self._told(), time.time() - grace, grace)

    def _told(self) -> Iterator[tuple[float, tuple[int, Said]]]:
        """Yield when `published` said what, with its numbers, the newest first."""
        log = self._published
        for number in range(log.newest(), -1, -1):
            said = self._said(number)
            if said is None:
                return
            yield log.modified(number), (number, said)

    def _said(self, number: int) -> Said | None:
        """Return what a commit of `published` says; None where it is none of ours."""
        for action in self._published.read(number):
            match action.get("commitInfo"):
                case {"sightglass.version": str(version), "sightglass.tables": dict(tables), **rest}:
                    return Said(version, tables, str(rest.get(FILE)))
        return None

    @property
    def _published(self) -> DeltaLog:
        return DeltaLog(self._folder / PUBLISHED, self._folder / ASIDE)

    def _log(self, name: str) -> DeltaLog:
        return DeltaLog(self._place(name), self._folder / ASIDE)

    def _place(self, name: str, file: str = "") -> Path:
        """Return the folder of a qualified table, or a file in it."""
        return self._folder.joinpath(*name.split("."), file)


def are_here(folder: Path) -> bool:
    """Whether tables in a folder were made here."""
    return any(map(_is_ours, folder.glob("**/_delta_log")))


def _is_ours(folder: Path) -> bool:
    """Whether the newest commit in the log of a table was made here."""
    log = DeltaLog(folder.parent, folder.parent)
    return any(VERSION in action.get("commitInfo", {}) for action in log.read(log.newest()))


def _about(name: str, schema: pa.Schema) -> dict[str, Any]:
    """Return what is said of a table, its columns with their docs as comments."""
    fields = [field.with_metadata({"comment": field.metadata[b"doc"]}) for field in schema]
    columns = import_module("deltalake").Schema.from_arrow(pa.schema(fields)).to_json()
    return described(name, schema.metadata[b"doc"].decode(), columns, PROPERTIES)


def _commit(
    log: DeltaLog,
    held: Held | None,
    about: Mapping[str, Any],
    files: Mapping[str, tuple[int, int]],
    told: Mapping[str, Any],
) -> int:
    """Let a table be of these files, given with size and rows; return its version then."""
    now = time.time_ns() // 1_000_000
    before = held.files if held else {}
    actions: list[Action] = [] if held else [{"protocol": PROTOCOL}]
    if held is None or held.about != about:
        named = held.id if held else str(uuid4())
        actions.append({"metaData": {"id": named, "createdTime": now, **about}})
    actions += [removed(file, size, now) for file, size in before.items() if file not in files]
    actions += [added(file, *each, now) for file, each in files.items() if before.get(file) != each[0]]
    if held and not actions:
        return held.number
    number = held.number + 1 if held else 0
    info = {
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": {},
        "engineInfo": "sightglass",
    }
    log.write(number, [{"commitInfo": {**info, **told}}, *actions])
    return number
