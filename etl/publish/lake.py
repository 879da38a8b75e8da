"""The lake: every table as Parquet files, of which a reader sees one version, whenever it looks.

`<schema>/<table>/<slice>.parquet` is the newest version of each slice of a table, for engines that read
files. The same files stand in `.versions/<schema>/<table>/<slice>.<since>.parquet`, where `since` is the
microsecond from which on a version is to be read; the views of `bi.duckdb` take the newest version of each
slice whose time has come. So all tables change at one moment, while no file that is being read changes its
name or what it holds.

A version counts once `.versions/<since>.commit` is there, which comes last, and before its time has come.
What it replaced stays for a grace period, for those who still read it. Then a link takes its place, which
no listing of the views shows any more and those who have listed the file can still open; it goes later.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl.disk import sync
from etl.load.warehouse import umask
from etl.publish.files import PART, finish, link, made, writable
from etl.publish.parquet import write_large_slice, write_slice
from etl.publish.slices import Slice, cut
from etl.publish.writing import write_slices
from etl.schema import Table

VERSIONS = ".versions"
ASIDE = ".aside"
"""Folder for what is being written, and for what links lead to: views list all in the folder of a table."""
COMMIT = ".commit"
PARQUET = ".parquet"
FIRST = f"{0:016}"
"""The time of the empty version that comes before the first one of a new slice."""

VERSION = re.compile(rf"[^.]+\.\d{{16,}}{re.escape(PARQUET)}")
"""How the file of a version is called."""

AHEAD = 0.05
"""Seconds between naming the time of a version and that time: by half of them all its files are in place."""

AT_ONCE = 2
"""Slices that are written at once."""

SET_BACK = 2_000_000
"""Microseconds; a version whose time is farther away was made before the clock was set back."""


class Published(msgspec.Struct, frozen=True):
    """A slice as it was published, and since when."""

    slice: Slice
    since: str


class State(msgspec.Struct, frozen=True):
    """What a version of the lake holds."""

    tables: dict[str, dict[str, Published]] = {}
    """By qualified table and slice."""
    shapes: dict[str, str] = {}
    """The columns of each table as they were written."""
    loaded_until: int = 0
    """When its newest row was loaded, in microseconds since 1970."""

    def rows(self, table: Table) -> int:
        """How many rows of a table are published."""
        return sum(each.slice.rows for each in self.tables.get(table.qualified, {}).values())


@dataclass(frozen=True, slots=True)
class Change:
    """What a new version of the lake holds, and what of it is to be written."""

    tables: dict[str, list[Slice]]
    fresh: dict[str, set[str]]
    """The slices of each table that differ from what is published."""
    shapes: dict[str, str]

    @property
    def files(self) -> int:
        """How many files are to be written."""
        return sum(map(len, self.fresh.values()))


class Lake:
    """The lake in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = folder / VERSIONS
        self._aside = folder / ASIDE

    def newest(self) -> str:
        """Since when the newest version is to be read; empty where nothing was ever published."""
        commits = (path.stem for path in self._versions.glob(f"*{COMMIT}"))
        return max((since for since in commits if since != FIRST), default="")

    def state(self, version: str = "") -> State:
        """What a version holds, the newest unless another is named; nothing where there is none."""
        try:
            text = (self._versions / f"{version or self.newest()}{COMMIT}").read_bytes()
            return msgspec.json.decode(text, type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return State()

    def want(self, version: str) -> None:
        """FileNotFoundError where not all files of a version are there any more."""
        state = self.state(version)
        paths = (
            self._version(name, part, each.since)
            for name, parts in state.tables.items()
            for part, each in parts.items()
        )
        # Where a link stands, the views have not seen the file any more.
        if not state.tables or not all(path.exists() and not path.is_symlink() for path in paths):
            raise FileNotFoundError("this took longer than replaced files stay; raise SIGHTGLASS_LAKE_GRACE")

    def is_incomplete(self) -> bool:
        """Whether nothing is published, or a table of it has lost all its files."""
        named = (self._folder_of(name) for name in self.state().tables)
        return not self.newest() or not all(any(each.glob(f"*{PARQUET}")) for each in named)

    def compare(self, connection: DuckDBPyConnection, tables: Mapping[str, Table]) -> Change:
        """What of these tables is not published as it is now."""
        state, set_back = self.state(), self._set_back()
        change = Change({}, {}, {name: _shape(table) for name, table in tables.items()})
        for name, table in tables.items():
            known = state.tables.get(name, {})
            before = [each.slice for each in known.values()] or self._there(name)
            if set_back or change.shapes[name] != state.shapes.get(name):
                # Where the rows are cut by another column, the slices hold others, of which nothing is known.
                before, known = [Slice(each.name, each.start, each.end) for each in before], {}
            slices = cut(connection, table, before)
            change.tables[name] = slices
            change.fresh[name] = {
                each.name
                for each in slices
                if each.name not in known
                or known[each.name].slice != each
                or not self._version(name, each.name, known[each.name].since).exists()
            }
        return change

    def write(self, connection: DuckDBPyConnection, tables: Mapping[str, Table], change: Change) -> None:
        """Write the fresh slices of what is committed aside; SettingsError where there is no room."""
        left = [
            (tables[name], each)
            for name, slices in change.tables.items()
            for each in slices
            if each.name in change.fresh[name]
        ]
        # The largest first: else one core would wait for the end of the last.
        left.sort(key=lambda one: -one[1].rows * len(one[0].columns))
        with writable(self._folder):
            for table in dict.fromkeys(table.qualified for table, _ in left):
                made(self._folder_of(table))
            try:
                write_slices(connection, left, self._part, write_slice, AT_ONCE)
            except OutOfMemoryException:
                write_slices(connection, left, self._part, write_large_slice, 1)

    def commit(self, tables: Mapping[str, Table], change: Change, loaded_until: int) -> str:
        """Bring in what was written, all of it at one moment, and return that moment when it has come."""
        with writable(self._folder):
            self._precede(tables, change)
            before, ahead = "", round(AHEAD * 1_000_000)
            while True:
                # A clock that was set back a little must not make a new version look older than the last.
                last = 0 if self._set_back() else int(self.newest() or 0)
                moment = max(_now() + ahead, last + 1, int(before or 0) + 1)
                since = f"{moment:016}"
                self._place(change, before, since)
                aside = self._described(change, since, loaded_until)
                if _now() < moment - ahead // 2:
                    break
                # Too late: a reader whose query began after that moment could miss files named by it.
                before, ahead = since, 2 * ahead
            aside.rename(self._versions / f"{since}{COMMIT}")
            sync(self._versions)
        time.sleep(max(0, min(moment - _now(), SET_BACK)) / 1_000_000)  # who reads next is to see the version
        for path in self._versions.glob(f"*{COMMIT}"):
            if path.stem > since:
                path.unlink()
        return since

    def link(self) -> None:
        """Let `<schema>/<table>/<slice>.parquet` be the newest version of each slice."""
        with writable(self._folder):
            for name, slices in self.state().tables.items():
                folder = made(self._folder.joinpath(*name.split(".")))
                for slice_name, each in slices.items():
                    version = self._version(name, slice_name, each.since)
                    link(version, folder / f"{slice_name}{PARQUET}")

    def clean(self, grace: float) -> None:
        """Remove what was replaced, or never became part of a version, longer ago than these seconds."""
        now = _now()
        earlier = now - round(grace * 1_000_000)
        over, until = f"{earlier:016}", f"{now:016}"
        commits = {path.stem for path in self._versions.glob(f"*{COMMIT}")}
        needed = {self.newest()}
        with writable(self._folder):
            for path in [*self._versions.glob(f"*{PART}"), *self._aside.glob(f"*{PART}")]:
                path.unlink()
            for folder in self._versions.glob("*/*/"):
                self._tidy(folder, earlier)
                for path, since, successor in _versions_in(folder, commits):
                    # What never became part of a version may have been listed by a reader who is to open it.
                    gone = successor and successor < over if since in commits else not over <= since <= until
                    if gone:
                        self._hide(path)
                    else:
                        needed.add(since)
            for since in commits - needed:
                (self._versions / f"{since}{COMMIT}").unlink()

    def _tidy(self, folder: Path, earlier: int) -> None:
        """Remove what was taken out of sight before this time, and what is no file of a version.

        What somebody or some tool has put there ends every query, for the views list all.
        """
        for path in folder.iterdir():
            if path.is_symlink():
                if path.lstat().st_mtime_ns // 1_000 <= earlier:
                    (self._aside / path.readlink().name).unlink(missing_ok=True)
                    path.unlink()
            elif path.is_file() and not VERSION.fullmatch(path.name):
                path.unlink()

    def _hide(self, path: Path) -> None:
        """Take a file out of what readers list, but not from those who have listed it and are to open it."""
        kept = made(self._aside) / f"{path.parent.parent.name}.{path.parent.name}.{path.name}"
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        link = kept.with_suffix(PART)
        link.symlink_to(Path("..", "..", "..", ASIDE, kept.name))
        link.rename(path)

    def _part(self, name: str, part: str) -> Path:
        """Where a slice is written before it has a time."""
        return made(self._aside) / f"{name}.{part}{PART}"

    def _place(self, change: Change, before: str, since: str) -> None:
        """Give all that was written the time from which on it is to be read.

        What was given a time before keeps that name too: a reader who has listed it may be about to open it.
        """
        for name, parts in change.fresh.items():
            for part in sorted(parts):
                version = self._version(name, part, since)
                if before:
                    os.link(self._version(name, part, before), version)
                else:
                    self._part(name, part).rename(version)
            if parts:
                sync(self._folder_of(name))

    def _described(self, change: Change, since: str, loaded_until: int) -> Path:
        """The commit of a version, written aside."""
        known = self.state().tables
        state = State(
            {
                name: {
                    each.name: Published(
                        each, since if each.name in change.fresh[name] else known[name][each.name].since
                    )
                    for each in slices
                }
                for name, slices in change.tables.items()
            },
            change.shapes,
            loaded_until,
        )
        aside = self._versions / f"{since}{PART}"
        aside.write_bytes(msgspec.json.encode(state))
        finish(aside)
        return aside

    def _precede(self, tables: Mapping[str, Table], change: Change) -> None:
        """Put an empty version before the first one of each new slice of a table that readers know.

        A slice then has a version for every moment, and a transaction that began before all of those that
        are still there can be given the oldest.
        """
        known = self.state().tables
        for name, parts in change.fresh.items():
            for part in sorted(parts - known[name].keys() if name in known else ()):
                aside = self._part(name, FIRST)
                pq.write_table(tables[name].arrow().empty_table(), aside)
                finish(aside)
                aside.rename(self._version(name, part, FIRST))
        first = self._versions / f"{FIRST}{COMMIT}"
        first.touch()
        first.chmod(0o666 & ~umask())

    def _set_back(self) -> bool:
        """Whether the clock was set back by so much that the newest version would stay it for long."""
        return int(self.newest() or 0) > _now() + SET_BACK

    def _there(self, name: str) -> list[Slice]:
        """The slices of a table of which there are files, though no state tells of them."""
        parts = {path.name.partition(".")[0] for path in self._folder_of(name).glob(f"*{PARQUET}")}
        return [Slice(part) for part in sorted(parts)]

    def _version(self, name: str, part: str, since: str) -> Path:
        return self._folder_of(name) / f"{part}.{since}{PARQUET}"

    def _folder_of(self, name: str) -> Path:
        return self._versions.joinpath(*name.split("."))


def _versions_in(folder: Path, commits: AbstractSet[str]) -> Iterator[tuple[Path, str, str]]:
    """Each file of a table with its time, and the time of the version that replaced it, if one has."""
    versions: dict[str, list[tuple[str, Path]]] = {}
    for path in folder.glob(f"*{PARQUET}"):
        if not path.is_symlink():
            name, since = path.stem.split(".")
            versions.setdefault(name, []).append((since, path))
    for found in versions.values():
        times = sorted(since for since, _ in found if since in commits)
        following = dict(pairwise(times))
        yield from ((path, since, following.get(since, "")) for since, path in found)


def _shape(table: Table) -> str:
    """What tells one declaration of a table from another: names, types and docs of its columns."""
    text = table.arrow().to_string(truncate_metadata=False, show_schema_metadata=True)
    return hashlib.sha256(f"{table.by_month} {table.key} {text}".encode()).hexdigest()


def _now() -> int:
    """The time in microseconds since 1970, by the clock that readers' queries go by."""
    return time.time_ns() // 1_000
