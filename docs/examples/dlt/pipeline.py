"""Sightglass as a source of dlt: bring what is published to another destination, and keep it equal.

`python pipeline.py` loads what is new since last time into ./copy.duckdb; `--refresh` loads all of it again.
The folder of the warehouse is that of SIGHTGLASS_HOME, or ./warehouse.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources import DltResource

import sightglass

RESULT = ("application_id", "media_id", "focus_key")
ASSET = ("media_id", "asset")
WHOLES = {
    "cogniac.applications": ("application_id",),
    "cogniac.subjects": ("subject_uid",),
    "cogniac.media": ("media_id",),
    "cogniac.results": RESULT,
}
"""Tables whose rows are replaced one by one, and by which key."""
PARTS = {
    "cogniac.application_thresholds": ("cogniac.applications", ("application_id",)),
    "cogniac.detections": ("cogniac.results", RESULT),
    "cogniac.detection_boxes": ("cogniac.results", RESULT),
    "neurons.media_metrics": ("neurons.media", ("media_id",)),
    "neurons.frame_metrics": ("neurons.assets", ASSET),
}
"""Tables whose rows belong to one of another table, and by which key: with it, all of them are replaced."""
IN_PLACE = ("neurons.media", "neurons.assets")
"""Tables in which what Sightglass notes itself changes (`deleted_at`), or rows go, and no `_loaded_at` tells.

All of their rows are loaded each time: one for each medium, and one for each file.
"""
OVERLAP = 3600.0
"""Seconds before the newest row that are loaded once more, for clocks are set back; the keys bear it."""
GONE = "_is_gone"
"""Column of rows which only say that those there are to go; none of them stays."""


@dlt.source(name="sightglass")
def published(warehouse: sightglass.Warehouse, overlap: float = OVERLAP) -> Iterator[DltResource]:
    """Yield a resource for each table: as Arrow, the rows that were written since the last load."""
    written = dlt.sources.incremental("_loaded_at", lag=overlap, range_start="open")

    def rows(query: str, loaded_at: dlt.sources.incremental = written) -> Iterator[pa.RecordBatch]:
        yield from warehouse.sql(query, {"since": loaded_at.last_value}).reader()

    def all_rows(table: str) -> Iterator[pa.RecordBatch]:
        yield from warehouse.sql(f"FROM {table}").reader()

    for table in IN_PLACE:
        yield dlt.resource(all_rows, name=_named(table), write_disposition="replace")(table)
    for table, key in WHOLES.items():
        query = f"FROM {table} WHERE $since IS NULL OR _loaded_at > $since"
        merge: dict[str, Any] = {"primary_key": key, "columns": _nullable(key)}
        yield dlt.resource(rows, name=_named(table), write_disposition="merge", **merge)(query)
    for table, (whole, key) in PARTS.items():
        # A row that is gone leaves nothing behind. So each whole that was written says that its parts there
        # are to go, and those that it has now come with it.
        query = f"""
            SELECT *, false AS {GONE} FROM {table} WHERE $since IS NULL OR _loaded_at > $since
            UNION ALL BY NAME
            SELECT {", ".join(key)}, _loaded_at, true AS {GONE} FROM {whole} WHERE _loaded_at > $since"""
        gone = {GONE: {"data_type": "bool", "hard_delete": True}}
        merge = {"merge_key": key, "columns": _nullable(key) | gone}
        yield dlt.resource(rows, name=_named(table), write_disposition="merge", **merge)(query)


def _named(table: str) -> str:
    return table.replace(".", "_")


def _nullable(key: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Let dlt declare the columns of a key as Arrow has them."""
    return {name: {"nullable": True} for name in key}


def main() -> None:
    """Bring the destination up to date, and say what was loaded."""
    destination = dlt.destinations.duckdb("copy.duckdb")
    pipeline = dlt.pipeline("sightglass", destination=destination, dataset_name="sightglass")
    with sightglass.open() as warehouse:
        refresh = "drop_sources" if "--refresh" in sys.argv else None
        print(pipeline.run(published(warehouse), refresh=refresh))
    print(pipeline.last_trace.last_normalize_info)


if __name__ == "__main__":
    main()
