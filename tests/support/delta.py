"""What tests of several files share with `test_target_delta`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from etl.declaration import Column, Declaration
from etl.publish.state import Partition
from etl.publish.target import PartitionFile, Release
from etl.schema import Table
from support.lake import plain

Rows = dict[str, list[str]]
Changes = Mapping[str, Mapping[str, list[int] | None]]


def in_lake(home: Path) -> Rows:
    """The rows of every table of the lake."""
    folders = [path for path in (home / "lake").glob("*/*") if path.parent.name[0] != "."]
    return {
        f"{folder.parent.name}.{folder.name}": plain(
            pa.concat_tables([pq.ParquetFile(path).read() for path in sorted(folder.glob("*.parquet"))])
        )
        for folder in folders
    }


def complete(folder: Path) -> dict[str, DeltaTable]:
    """The newest complete version of all Delta tables, as docs/targets.md says how to open it."""
    published = DeltaTable(str(folder / "published")).to_pyarrow_table().to_pylist()
    return {
        one["table_name"]: DeltaTable(str(folder / one["path"]), version=one["delta_version"])
        for one in published
    }


def in_delta(folder: Path) -> Rows:
    """The rows of every table in the newest complete version."""
    return {name: plain(table.to_pyarrow_table()) for name, table in complete(folder).items()}


def newest(folder: Path) -> Rows:
    """The rows of every table as it is now, whatever is complete."""
    return {
        name: plain(DeltaTable(str(folder / name.replace(".", "/"))).to_pyarrow_table())
        for name in complete(folder)
    }


def versions(folder: Path) -> dict[str, int]:
    """The number of the newest commit of each table, `published` too."""
    logs = sorted(folder.rglob("_delta_log"))
    return {
        str(log.parent.relative_to(folder)): max(int(path.stem) for path in log.glob("*.json"))
        for log in logs
    }


def files(folder: Path) -> list[str]:
    """The Parquet files of all tables that hold rows, `published` left out."""
    found = (path.relative_to(folder) for path in folder.glob("*/*/*.parquet"))
    return sorted(str(path) for path in found if path.parts[0] != "published")


@dataclass
class Made:
    """Versions made by hand, of files in a folder that stands for a lake."""

    folder: Path
    columns: Mapping[str, str] = field(default_factory=lambda: {"id": "integer", "word": "text"})
    parts: dict[str, dict[str, PartitionFile]] = field(default_factory=dict)
    moment: int = 1_700_000_000_000_000
    grace: float = 600

    @property
    def home(self) -> Path:
        """The folder of the warehouse."""
        return self.folder / "home"

    def version(self, changed: Changes) -> Release:
        """The next version, in which these partitions hold these ids, and those of None are no more."""
        self.moment += 1_000_000
        since = f"{self.moment:016}"
        for name, parts in changed.items():
            kept = self.parts.setdefault(name, {})
            for part, ids in parts.items():
                if ids is None:
                    del kept[part]
                else:
                    kept[part] = self._file(name, part, since, ids)
        return self.release(since)

    def release(self, since: str) -> Release:
        """What is there, under this version."""
        tables = {name: self._table(name) for name in self.parts}
        shapes = {name: str(self.columns) for name in self.parts}
        return Release(since, tables, shapes, {**self.parts}, self.grace, self.home)

    def rows(self) -> Rows:
        """The rows of every table."""
        return {
            name: plain(pa.concat_tables([pq.ParquetFile(each.path).read() for each in parts.values()]))
            for name, parts in self.parts.items()
        }

    def _table(self, name: str) -> Table:
        columns = msgspec.convert(
            {each: {"type": kind, "doc": f"The {each}."} for each, kind in self.columns.items()},
            dict[str, Column],
        )
        schema, _, table = name.partition(".")
        return Table(schema, table, Declaration("Made up.", columns, ("id",)), columns)

    def _file(self, name: str, part: str, since: str, ids: list[int]) -> PartitionFile:
        path = self.home.joinpath("lake", ".versions", *name.split("."), f"{part}.{since}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": each, **{column: str(each) for column in self.columns if column != "id"}} for each in ids
        ]
        pq.write_table(pa.Table.from_pylist(rows, self._table(name).arrow()), path)
        return PartitionFile(Partition(part, rows=len(ids)), since, path)


def age(log: Path, seconds: float) -> None:
    """Let all commits of a log be that much older."""
    for path in log.glob("*.json"):
        told = path.stat()
        os.utime(path, (told.st_atime - seconds, told.st_mtime - seconds))
