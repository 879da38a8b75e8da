"""Sightglass from Python: read what is published, and load what is new.

```python
import sightglass

report = sightglass.run()
with sightglass.open("warehouse") as wh:
    wh.sql("FROM mart.detections_daily ORDER BY day DESC LIMIT 10").polars()
```

Importing it costs next to nothing: what a call needs is imported by the call.
"""

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from sightglass import _etl

if TYPE_CHECKING:
    from os import PathLike

    from etl.errors import (
        BusyError,
        CheckFailedError,
        ConfigError,
        EnvironmentFaultError,
        NotPublishedError,
        OutOfMemoryError,
        QueryError,
        SightglassError,
        SourceError,
    )
    from etl.event import Event
    from etl.load.run_store import HeldBack
    from etl.load.stream_stats import StreamReport
    from etl.pipeline.run_report import RunReport
    from etl.pipeline.warehouse_status import WarehouseStatus
    from etl.publish import Published
    from etl.publish.status import RunStatus, StreamStatus
    from sightglass.runs import EventError, OnEvent
    from sightglass.settings import Given
    from sightglass.tables import Catalog, Column, Table, UnknownNameError
    from sightglass.warehouse import Answer, ClosedError, Warehouse

__all__ = [
    "Answer",
    "BusyError",
    "Catalog",
    "CheckFailedError",
    "ClosedError",
    "Column",
    "ConfigError",
    "EnvironmentFaultError",
    "Event",
    "EventError",
    "HeldBack",
    "NotPublishedError",
    "OutOfMemoryError",
    "Published",
    "QueryError",
    "RunReport",
    "RunStatus",
    "SightglassError",
    "SourceError",
    "StreamReport",
    "StreamStatus",
    "Table",
    "UnknownNameError",
    "Warehouse",
    "WarehouseStatus",
    "__version__",
    "open",
    "run",
]

__version__ = _etl.VERSION

_ERRORS = "etl.errors"
_HOMES = {
    "Answer": "sightglass.warehouse",
    "BusyError": _ERRORS,
    "Catalog": "sightglass.tables",
    "CheckFailedError": _ERRORS,
    "ClosedError": "sightglass.warehouse",
    "Column": "sightglass.tables",
    "ConfigError": _ERRORS,
    "EnvironmentFaultError": _ERRORS,
    "Event": "etl.event",
    "EventError": "sightglass.runs",
    "HeldBack": "etl.load.run_store",
    "NotPublishedError": _ERRORS,
    "OutOfMemoryError": _ERRORS,
    "Published": "etl.publish",
    "QueryError": _ERRORS,
    "RunReport": "etl.pipeline.run_report",
    "RunStatus": "etl.publish.status",
    "SightglassError": _ERRORS,
    "SourceError": _ERRORS,
    "StreamReport": "etl.load.stream_stats",
    "StreamStatus": "etl.publish.status",
    "Table": "sightglass.tables",
    "UnknownNameError": "sightglass.tables",
    "Warehouse": "sightglass.warehouse",
    "WarehouseStatus": "etl.pipeline.warehouse_status",
}
"""Where each class is that is imported when it is asked for."""


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:
    # Else a type checker would take any name for one that is there.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'sightglass' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def open(home: "str | PathLike[str] | None" = None, *, settings: "Given" = None) -> "Warehouse":  # noqa: A001 -- as in `import gzip`
    """Open what is published in the folder of a warehouse, by default that of the settings, for reading.

    It may be named by its `bi.duckdb`, too.
    It is open until it is closed, as a context manager does, and never in the way of a run, nor a run in its.
    A folder that was copied or moved is read itself, with a warning that other readers see the one before.

    `settings` are as in `run`; of them SIGHTGLASS_SQL_MEMORY limits what its queries hold in memory.

    Raises NotPublishedError where there is nothing to read yet, EnvironmentFaultError where it cannot be
    read, ConfigError where a setting is wrong.
    """
    from sightglass import warehouse  # noqa: PLC0415 -- see above

    opened = warehouse.open_warehouse(home, settings)
    for notice in opened.notices:
        warnings.warn(notice, stacklevel=2)
    return opened


def run(
    settings: "Given" = None, *, sources: Sequence[str] = (), on_event: "OnEvent | None" = None
) -> "RunReport":
    """Load what is new of all sources that have credentials, or of those named, and return what was done.

    It is what `sightglass run` does, and the report is what `sightglass run --json` prints. Nothing is
    printed, and the process is not ended. A source that kept failing, and data that was quarantined, raise
    nothing: the report says so (`report.ok`, `report.exit_code`).

    `settings` are those of the command by name (`{"SIGHTGLASS_HOME": "warehouse"}`), which beat the
    environment and may hold secrets, or the path of a settings file instead of ./sightglass.toml.

    `on_event` is given an `Event` for each line that the log of the command would have, one at a time, from
    any thread. Where it raises an exception it is told nothing more, the run goes on to its end, and
    EventError is raised then, with the report.

    Ctrl-C ends it with KeyboardInterrupt; what was received and sealed is kept, and the next run goes on from
    there.

    Raises BusyError where another run holds the warehouse, ConfigError where a setting is wrong or no source
    has credentials, EnvironmentFaultError where the machine has no room or right for it.
    """
    from sightglass import runs  # noqa: PLC0415 -- see above

    return runs.run(settings, sources=sources, on_event=on_event)
