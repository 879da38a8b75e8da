"""All that the tables of a warehouse hold, and how two warehouses differ."""

from pathlib import Path
from typing import Any

import duckdb

Dump = dict[str, list[tuple[Any, ...]]]


def everything(home: Path) -> Dump:
    """All rows of all tables of a warehouse, all columns."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        return {
            name: connection.execute(
                f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {name} ORDER BY ALL"  # noqa: S608
            ).fetchall()
            for (name,) in names
        }


def differing(left: Dump, right: Dump) -> dict[str, Any]:
    """The tables that are not alike, with rows that only one has."""
    return {
        name: (sorted(set(left[name]) - set(right[name]))[:2], sorted(set(right[name]) - set(left[name]))[:2])
        for name in left
        if left[name] != right[name]
    }
