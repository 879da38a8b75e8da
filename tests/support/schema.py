"""What tests of several files share with `test_schema`."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa

from etl import schema
from etl.declaration import TYPES, Column

TABLES = [table for source in schema.sources() for table in source.tables.values()]
EACH_TYPE = msgspec.convert({word: {"type": word, "doc": "Made up."} for word in TYPES}, dict[str, Column])


EXTREMES: dict[str, list[Any]] = {
    "text": ["", "naïve 漢字 🎞 'quoted' \"twice\"\t\n\\", "x" * 100_000],
    "integer": [2**63 - 1, -(2**63), 0],
    "number": [1e308, -0.0, 5e-324],
    "boolean": [True, False, True],
    "date": [date(9999, 12, 31), date(1, 1, 1), date(1970, 1, 1)],
    "timestamp": [
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2017, 6, 17, 1, 15, 39, 841296, tzinfo=UTC),
    ],
    "json": ['{"ü":[1,2.50,null,-0.0,12345678901234567890123]}', '""', "null"],
}


def extremes(table: schema.Table) -> pa.Table:
    """Rows at the edges of what each column may hold, the last with NULL wherever it is allowed."""
    columns = {name: list(EXTREMES[column.type]) for name, column in table.columns.items()}
    for name, values in columns.items():
        values.append(values[0] if table.not_null(name) else None)
    return pa.table(columns, schema=table.arrow())


def values(rows: pa.Table) -> list[str]:
    """All values by column, as they print: -0.0 equals 0.0."""
    return [repr(column.to_pylist()) for column in rows.columns]
