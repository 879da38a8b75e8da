"""Rows at the edges of what the declarations admit, alike in all that views join and choose them by."""

import sys
from datetime import UTC, date, datetime
from itertools import cycle, islice
from typing import Any

import duckdb

from etl import schema
from etl.declaration import Column
from etl.schema import Table

TABLES = [table for source in schema.sources() for table in source.tables.values()]
ROWS = 60
"""The columns go through their edges in steps of their own, so that most of these come together."""
INT64 = 2**63
TEXTS: dict[str, list[Any]] = {
    "asserted_by": ["model", "user", "user"],
    "app_data_type": ["count", "ocr", None],
    "asset": ["metrics", "frt_frame_metrics", "brand_detection", "heat"],
    "metric": ["focus", "memory"],
    "reading": ["1.7976931348623157e+308", "-1.7976931348623157e+308", "0.0"],
    "time_window": ["total", "start", "end"],
    "state": ["archived"],
}
"""What views choose rows by, or read numbers from; all other texts are the same everywhere."""
TIMES = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)]
FREE: dict[str, list[Any]] = {
    "boolean": [True, False],
    "date": [date.min, date.max],
    "json": ['"a"'],
    "text": ["a"],
    "timestamp": TIMES,
}


def of(name: str, column: Column) -> list[Any]:
    """The edges of what a column may hold; a medium is there in most rows."""
    if name == "deleted_at":
        return [None, None, *TIMES]
    if column.type not in ("integer", "number"):
        return TEXTS.get(name, FREE[column.type])
    is_whole = column.type == "integer"
    low, high = (-INT64, INT64 - 1) if is_whole else (-sys.float_info.max, sys.float_info.max)
    low = low if column.min is None else column.min
    high = high if column.max is None else column.max
    between = [each for each in (0, 1, 2, 3, 0.5) if low <= each <= high and not (is_whole and each % 1)]
    return [*(map(int, (low, high)) if is_whole else (low, high)), *between]


def fill(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Put rows of all edges into a table that requires nothing."""
    # Each column begins one step later than the one before it: two of one kind are seldom in step.
    values = [
        islice(cycle(of(name, column)), place, None)
        for place, (name, column) in enumerate(table.columns.items())
    ]
    places = ", ".join("?" * len(values))
    connection.executemany(
        f"INSERT INTO {table.qualified} VALUES ({places})",  # noqa: S608 -- a name of our own
        list(islice(zip(*values, strict=False), ROWS)),
    )
