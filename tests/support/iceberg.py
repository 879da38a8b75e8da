"""What tests of several files share with `test_target_iceberg`."""

import time
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import StaticTable, Table

from etl.publish.iceberg.tables import IcebergTables
from support.lake import plain
from support.open_tables import Changes, Made, Rows


def catalog(folder: Path) -> SqlCatalog:
    """The catalog, as docs/targets.md says how to open it."""
    return SqlCatalog("sightglass", uri=f"sqlite:///{folder}/catalog.db")


def by_path(folder: Path, name: str) -> Table:
    """A table as those open it who ask no catalog."""
    return StaticTable.from_metadata(str(folder / name.replace(".", "/")))


def complete(folder: Path) -> dict[str, Table]:
    """The newest complete version of all Iceberg tables, as docs/targets.md says how to open it."""
    published = by_path(folder, "etl.published").scan().to_arrow().to_pylist()
    return {one["table_name"]: StaticTable.from_metadata(one["metadata"]) for one in published}


def in_iceberg(folder: Path) -> Rows:
    """The rows of every table in the newest complete version."""
    return {name: plain(table.scan().to_arrow()) for name, table in complete(folder).items()}


def newest(folder: Path) -> Rows:
    """The rows of every table as the catalog says that it is now, whatever is complete."""
    with catalog(folder) as found:
        return {name: plain(found.load_table(name).scan().to_arrow()) for name in complete(folder)}


def snapshots(folder: Path) -> dict[str, list[str]]:
    """Of each table the versions of the lake that its snapshots are of, the oldest first."""
    with catalog(folder) as found:
        tables = [
            found.load_table(name) for space in found.list_namespaces() for name in found.list_tables(space)
        ]
    return {
        ".".join(table.name()): [
            str(each.summary["sightglass.version"]) if each.summary else "" for each in table.snapshots()
        ]
        for table in tables
    }


def files(folder: Path) -> list[str]:
    """The Parquet files of all tables that hold rows, `published` left out."""
    found = (path.relative_to(folder) for path in folder.glob("*/*/data/*.parquet"))
    return sorted(str(path) for path in found if path.parts[1] != "published")


def everything(folder: Path) -> dict[Path, int]:
    """All files, with when they were written last."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def put(made: Made, changed: Changes, later: float = 0) -> Path:
    """Bring the Iceberg tables to the next version, so many seconds later; return their folder."""
    folder = made.home / "iceberg"
    folder.parent.mkdir(exist_ok=True)
    IcebergTables(folder, now=lambda: time.time() + later).put(made.version(changed))
    return folder


def again(made: Made) -> None:
    """Bring the Iceberg tables to the same version once more."""
    IcebergTables(made.home / "iceberg").put(made.release(f"{made.moment:016}"))
