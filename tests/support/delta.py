"""What tests of several files share with `test_target_delta`."""

import os
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from support.lake import plain
from support.open_tables import Rows


def rows_of(table: DeltaTable) -> pa.Table:
    """The rows of a table, by pyarrow's access to files: after deltalake's a process may abort at its end."""
    place = SubTreeFileSystem(table.table_uri.removeprefix("file://"), LocalFileSystem())
    read: pa.Table = table.to_pyarrow_table(filesystem=place)
    return read


def complete(folder: Path) -> dict[str, DeltaTable]:
    """The newest complete version of all Delta tables, as docs/targets.md says how to open it."""
    published = rows_of(DeltaTable(str(folder / "published"))).to_pylist()
    return {
        one["table_name"]: DeltaTable(str(folder / one["path"]), version=one["delta_version"])
        for one in published
    }


def in_delta(folder: Path) -> Rows:
    """The rows of every table in the newest complete version."""
    return {name: plain(rows_of(table)) for name, table in complete(folder).items()}


def newest(folder: Path) -> Rows:
    """The rows of every table as it is now, whatever is complete."""
    return {
        name: plain(rows_of(DeltaTable(str(folder / name.replace(".", "/"))))) for name in complete(folder)
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


def age(log: Path, seconds: float) -> None:
    """Let all commits of a log be that much older."""
    for path in log.glob("*.json"):
        told = path.stat()
        os.utime(path, (told.st_atime - seconds, told.st_mtime - seconds))
