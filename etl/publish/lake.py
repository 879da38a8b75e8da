"""The lake: every table as Parquet files, of which a reader sees one version, whenever it looks.

`versions/<schema>/<table>/<partition>.<since>.parquet` is a version of a partition of a table, where `since`
is the microsecond from which on it is to be read; the views of `bi.duckdb` take the newest version of each
partition whose time has come. So all tables change at one moment, while no file that is being read changes
its name or what it holds.

Engines that read files follow the link `lake`, once, to a folder of the newest version: it stays as it is
for a grace period after the next has come.

A version counts once `versions/<since>.commit` is there, which comes last, and before its time has come.
What it replaced stays for a grace period, for those who still read it. Then a link takes its place, which
no listing of the views shows any more and those who have listed the file can still open; it goes later.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl.errors import EnvironmentFaultError
from etl.files import reason, remedy, sync
from etl.load.duckdb_errors import MEMORY
from etl.publish import scrub
from etl.publish.cleaning import clean, drop_unreadable
from etl.publish.files import PART, finish, made, protect, remove, writable
from etl.publish.layout import FIRST, PARQUET, Layout
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits
from etl.publish.parquet import PartitionWriter
from etl.publish.partitions import cut
from etl.publish.shown import move_former, show
from etl.publish.state import FileSeal, Partition, Published, State, decode, encode, seal
from etl.publish.writing import together, write_partitions
from etl.schema import Table

AHEAD_PER_TABLE = 0.002
"""Seconds that a version is named ahead of its time for each table that changes."""

WRITERS = 2
"""Partitions that are written at once."""

MEMORY_SHARE = 0.55
"""What part of its memory DuckDB is given at first while partitions are sorted outside of it."""
SET_BACK = 2_000_000
"""Microseconds; a version whose time is farther away was made before the clock was set back."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a new version of the lake holds, and what of it is to be written."""

    tables: dict[str, list[Partition]]
    changed: dict[str, set[str]]
    """The partitions of each table that differ from what is published."""
    shapes: dict[str, str]
    newest_run: str = ""
    """The run that was entered last."""

    @property
    def files(self) -> int:
        """How many files are to be written."""
        return sum(map(len, self.changed.values()))

    @property
    def tables_changed(self) -> int:
        """How many tables are written, in whole or in part."""
        return sum(map(bool, self.changed.values()))

    @property
    def rows(self) -> int:
        """How many rows are in them."""
        return sum(
            each.rows
            for name, partitions in self.tables.items()
            for each in partitions
            if each.name in self.changed[name]
        )


def micros_now() -> int:
    """Return the time in microseconds since 1970, by the clock that readers' queries go by."""
    return time.time_ns() // 1_000


class Lake:
    """The lake in the folder of a warehouse."""

    def __init__(
        self, home: Path, limits: PublishLimits = PUBLISH_LIMITS, now: Callable[[], int] = micros_now
    ) -> None:
        self._at = Layout(home)
        self.limits = limits
        self._now = now

    def newest(self) -> str:
        """Since when the newest version is to be read; empty where nothing was ever published."""
        return self._at.newest()

    def state(self, version: str = "") -> State:
        """Return what a version holds, the newest unless another is named; nothing where nobody can tell."""
        since = version or self.newest()
        return (self.recorded(since) if since else None) or State()

    def recorded(self, version: str) -> State | None:
        """Return what the commit of a version says; None where it cannot be read."""
        try:
            return decode(self._at.commit(version).read_bytes())
        except PermissionError as error:
            raise EnvironmentFaultError(
                f"cannot read {self._at.versions}: {reason(error)}; {remedy(error)}"
            ) from error
        except OSError:
            return None

    def path(self, name: str, part: str, since: str) -> Path:
        """Return the file of a partition of a qualified table in a version."""
        return self._at.version(name, part, since)

    def damaged(self) -> list[Path]:
        """Return the files of the newest version that are not as they were written, or its commit."""
        newest = self.newest()
        if not newest:
            return []
        state = self.recorded(newest)
        if state is None:
            return [self._at.commit(newest)]
        files = {
            self._at.version(name, part, each.since): each.file
            for name, parts in state.tables.items()
            for part, each in parts.items()
        }
        drop_unreadable(self._at, files.keys())
        return sorted(scrub.damaged(files, self._at.verified, self.limits.reread_bytes))

    def require(self, version: str) -> None:
        """FileNotFoundError where not all files of a version are there any more."""
        state = self.state(version)
        paths = (
            self._at.version(name, part, each.since)
            for name, parts in state.tables.items()
            for part, each in parts.items()
        )
        # Where a link stands, the views have not seen the file any more.
        if not state.tables or not all(path.exists() and not path.is_symlink() for path in paths):
            raise FileNotFoundError("this took longer than replaced files stay; raise SIGHTGLASS_LAKE_GRACE")

    def is_incomplete(self) -> bool:
        """Whether nothing is published, or a table of it has lost all its files."""
        named = (self._at.of_table(name) for name in self.state().tables)
        return not self.newest() or not all(any(each.glob(f"*{PARQUET}")) for each in named)

    def compare(
        self,
        connection: DuckDBPyConnection,
        tables: Mapping[str, Table],
        damaged: Sequence[Path] = (),
        *,
        anew: bool = False,
    ) -> Change:
        """Return what of these tables is not published as it is now, or in a damaged file.

        All of it with `anew`.
        """
        state, set_back = self.state(), self._set_back()
        lost = set(damaged)
        change = Change({}, {}, {name: _shape(table) for name, table in tables.items()})
        for name, table in tables.items():
            known = state.tables.get(name, {})
            before = [each.partition for each in known.values()] or self._there(name)
            if anew or set_back or change.shapes[name] != state.shapes.get(name):
                # Where the rows are cut by another column, partitions hold others, of which nothing is known.
                before, known = [Partition(each.name, each.start, each.end) for each in before], {}
            partitions = cut(connection, table, before, self.limits.partition_rows)
            change.tables[name] = partitions
            change.changed[name] = {
                each.name
                for each in partitions
                if each.name not in known
                or known[each.name].partition != each
                or self._at.version(name, each.name, known[each.name].since) in lost
            }
        return change

    def write(
        self,
        connection: DuckDBPyConnection,
        tables: Mapping[str, Table],
        change: Change,
        memory: int = MEMORY,
    ) -> None:
        """Write the changed partitions aside; EnvironmentFaultError where there is no room.

        DuckDB may hold so many megabytes, and is given a part of them at first: the rows that are sorted are
        held outside of it.
        """
        changed = [
            (tables[name], each)
            for name, partitions in change.tables.items()
            for each in partitions
            if each.name in change.changed[name]
        ]
        left = together(connection, changed)
        # The largest first: else one core would wait for the end of the last.
        left.sort(key=lambda one: -one[1].rows * sum(len(table.columns) for table in one[0]))
        with writable(self._at.versions):
            for table in dict.fromkeys(table.qualified for table, _ in changed):
                made(self._at.of_table(table))
            write = PartitionWriter(self.limits)
            try:
                connection.execute(f"SET memory_limit = '{round(memory * MEMORY_SHARE)}MB'")
                write_partitions(connection, left, self._part, write, WRITERS)
            except OutOfMemoryException:
                connection.execute(f"SET memory_limit = '{memory}MB'")
                write_partitions(connection, left, self._part, write, 1)
            finally:
                connection.execute(f"SET memory_limit = '{memory}MB'")

    def commit(self, tables: Mapping[str, Table], change: Change, loaded_until: int) -> str:
        """Bring in what was written, all of it at one moment, and return that moment when it has come."""
        with writable(self._at.versions):
            self._precede(tables, change)
            seals = {
                (name, part): seal(self._part(name, part))
                for name, parts in change.changed.items()
                for part in parts
            }
            # Before the first version nobody reads.
            before, is_first = "", not self.newest()
            ahead_s = 0 if is_first else self.limits.ahead + AHEAD_PER_TABLE * change.tables_changed
            ahead = round(ahead_s * 1_000_000)
            while True:
                # A clock that was set back a little must not make a new version look older than the last.
                last = 0 if self._set_back() else int(self.newest() or 0)
                moment = max(self._now() + ahead, last + 1, int(before or 0) + 1)
                since = f"{moment:016}"
                self._place(change, before, since)
                aside = self._described(change, seals, since, loaded_until)
                if is_first or self._now() < moment - ahead // 2:
                    break
                # Too late: a reader whose query began after that moment could miss files named by it.
                before, ahead = since, 2 * ahead
            aside.rename(self._at.commit(since))
            sync(self._at.versions)
        time.sleep(max(0, min(moment - self._now(), SET_BACK)) / 1_000_000)  # who reads next is to see it
        with writable(self._at.versions):
            for later in (each for each in self._at.commits() if each > since):
                remove(self._at.commit(later))
        return since

    def discard(self, damaged: Sequence[Path]) -> None:
        """Remove files that are damaged, once there are others in their place: they would end every query."""
        with writable(self._at.versions):
            for path in damaged:
                if path.suffix == PARQUET:
                    remove(path)

    def link(self) -> None:
        """Let the link of the lake lead to the files of the newest version."""
        newest = self.newest()
        with writable(self._at.home):
            show(self._at, newest, self.state(newest))

    def move_former(self) -> bool:
        """Bring what an earlier Sightglass has published to where this one has it; whether it did."""
        with writable(self._at.home):
            return move_former(self._at)

    def clean(self, grace: float) -> None:
        """Remove what was replaced, or never became part of a version, longer ago than these seconds."""
        clean(self._at, grace, self._now())

    def _part(self, name: str, part: str) -> Path:
        """Where a partition is written before it has a time."""
        return made(self._at.aside) / f"{name}.{part}{PART}"

    def _place(self, change: Change, before: str, since: str) -> None:
        """Give all that was written the time from which on it is to be read.

        What was given a time before keeps that name too: a reader who has listed it may be about to open it.
        """
        for name, parts in change.changed.items():
            for part in sorted(parts):
                version = self._at.version(name, part, since)
                if before:
                    os.link(self._at.version(name, part, before), version)
                else:
                    self._part(name, part).rename(version)
            if parts:
                sync(self._at.of_table(name))

    def _described(
        self, change: Change, seals: Mapping[tuple[str, str], FileSeal], since: str, loaded_until: int
    ) -> Path:
        """Return the commit of a version, written aside."""
        known = self.state().tables

        def published(name: str, each: Partition) -> Published:
            sealed = seals.get((name, each.name))
            if sealed:
                return Published(each, since, sealed)
            before = known[name][each.name]
            return Published(each, before.since, before.file)

        tables = {
            name: {each.name: published(name, each) for each in partitions}
            for name, partitions in change.tables.items()
        }
        aside = self._at.versions / f"{since}{PART}"
        aside.write_bytes(encode(State(tables, change.shapes, loaded_until, change.newest_run)))
        finish(aside)
        return aside

    def _precede(self, tables: Mapping[str, Table], change: Change) -> None:
        """Put an empty version before the first one of each new partition of a table that readers know.

        A partition then has a version for every moment, and a transaction that began before all of those that
        are still there can be given the oldest.
        """
        known = self.state().tables
        for name, parts in change.changed.items():
            for part in sorted(parts - known[name].keys() if name in known else ()):
                aside = self._part(name, FIRST)
                pq.write_table(tables[name].arrow().empty_table(), aside)
                finish(aside)
                aside.rename(self._at.version(name, part, FIRST))
        self._at.commit(FIRST).touch()
        protect(self._at.commit(FIRST))

    def _set_back(self) -> bool:
        """Whether the clock was set back by so much that the newest version would stay it for long."""
        return int(self.newest() or 0) > self._now() + SET_BACK

    def _there(self, name: str) -> list[Partition]:
        """Return the partitions of a table of which there are files, though no state tells of them."""
        parts = {path.name.partition(".")[0] for path in self._at.of_table(name).glob(f"*{PARQUET}")}
        return [Partition(part) for part in sorted(parts)]


def _shape(table: Table) -> str:
    """Return what tells one declaration of a table from another: names, types and docs of its columns."""
    text = table.arrow().to_string(truncate_metadata=False, show_schema_metadata=True)
    # Text and JSON are one type in Arrow.
    types = [column.type for column in table.columns.values()]
    return hashlib.sha256(f"{table.by_month} {table.key} {types} {text}".encode()).hexdigest()
