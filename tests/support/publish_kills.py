"""What tests of several files share with `test_publish_kills`."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
from conftest import as_read

from etl import schema

Seen = list[tuple[Any, ...]]
TABLES = [table.qualified for source in schema.sources() for table in source.tables.values()]
EACH = "SELECT '$table', count(*), coalesce(sum(hash(one)), 0) FROM $rows AS one"
CONTENT, HELD = (
    " UNION ALL ".join(EACH.replace("$table", name).replace("$rows", how(name)) for name in TABLES)
    for how in (str, as_read)
)


def copy(source: Path, target: Path) -> None:
    """Let a folder be a copy of another, in which two names of one file are so again."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # noqa: S607 -- the system's own


def seen(home: Path, query: str = CONTENT) -> Seen:
    """What a reader finds in all tables, asked for in one go; nothing before anything is published."""
    if not (home / "bi.duckdb").exists():
        return []
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        return reader.execute(query).fetchall()


def held(home: Path) -> Seen:
    """The same of the warehouse."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as warehouse:
        return warehouse.execute(HELD).fetchall()
