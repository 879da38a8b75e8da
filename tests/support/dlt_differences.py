"""The tables that the example for dlt has not copied as they are, as JSON; started where dlt is.

It goes by SIGHTGLASS_HOME, and looks at ./copy.duckdb, which ./pipeline.py has made.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import duckdb
import pyarrow as pa

import sightglass

sys.path.insert(0, str(Path.cwd()))


def shown(rows: pa.Table) -> list[str]:
    """Return rows as texts, in an order of their own."""
    return sorted(map(str, rows.to_pylist()))


def main() -> None:
    """Print the tables, of which there must be rows."""
    pipeline = import_module("pipeline")
    different = []
    with duckdb.connect("copy.duckdb", read_only=True) as copy, sightglass.open() as warehouse:
        copy.execute("SET TimeZone = 'UTC'")
        for name in (*pipeline.IN_PLACE, *pipeline.WHOLES, *pipeline.PARTS):
            columns = ", ".join(f'"{each}"' for each in warehouse.tables[name].columns)
            here = warehouse.arrow(name)
            there = copy.sql(f"SELECT {columns} FROM sightglass.{name.replace('.', '_')}").to_arrow_table()  # noqa: S608
            if not here.num_rows or shown(here) != shown(there):
                different.append(name)
    json.dump(different, sys.stdout)


main()
