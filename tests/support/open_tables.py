"""What tests of the open table formats share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import Plant

from etl.declaration import Column, Declaration
from etl.publish.state import Partition
from etl.publish.target import PartitionFile, Release
from etl.schema import Table
from support.lake import plain

Rows = dict[str, list[str]]
Changes = Mapping[str, Mapping[str, list[int] | None]]
TWO: Changes = {"a.one": {"all": [1, 2]}, "a.two": {"2024-01": [1], "2024-02": [2, 3], "2024-03": []}}
AT_A_CHANGE = """
import os, signal, sys
CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod", "os.rmdir", "shutil.rmtree")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
done = 0
def hook(event, given):
    global done
    if event in CHANGES or (event == "open" and given[2] and given[2] & WRITING):
        if any(FOLDER in str(path) for path in given[:2]):
            done += 1
            if done == NUMBER:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from etl import cli
cli.main()
"""
"""A program that is the command, killed at the change of that NUMBER to files below FOLDER."""


def in_lake(home: Path) -> Rows:
    """The rows of every table of the lake."""
    folders = [path for path in (home / "lake").glob("*/*") if path.parent.name[0] != "."]
    return {
        f"{folder.parent.name}.{folder.name}": plain(
            pa.concat_tables([pq.ParquetFile(path).read() for path in sorted(folder.glob("*.parquet"))])
        )
        for folder in folders
    }


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
        path = self.home.joinpath("versions", *name.split("."), f"{part}.{since}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": each, **{column: str(each) for column in self.columns if column != "id"}} for each in ids
        ]
        pq.write_table(pa.Table.from_pylist(rows, self._table(name).arrow()), path)
        return PartitionFile(Partition(part, rows=len(ids)), since, path)


def advance(plant: Plant) -> None:
    """Let both APIs have something new, and corrections of what they had."""
    plant.cogniac.advance(records=20, corrections=20)
    plant.neurons.advance(media=2)


def holding(delta: Path, text: str) -> list[Path]:
    """The files of Delta tables that hold a text."""
    return [path for path in delta.rglob("*.parquet") if text in str(pq.ParquetFile(path).read().to_pylist())]
