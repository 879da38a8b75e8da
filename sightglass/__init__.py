"""Sightglass from Python: read what is published, and load what is new.

```python
import sightglass

report = sightglass.run()
with sightglass.open("warehouse") as wh:
    wh.sql("FROM mart.detections_daily ORDER BY day DESC LIMIT 10").pl()
```

Importing it costs next to nothing: what a call needs is imported by the call.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from sightglass import _etl

if TYPE_CHECKING:
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

__all__ = [
    "BusyError",
    "CheckFailedError",
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
    "WarehouseStatus",
    "__version__",
    "run",
]

__version__ = _etl.VERSION

_ERRORS = "etl.errors"
_HOMES = {
    "BusyError": _ERRORS,
    "CheckFailedError": _ERRORS,
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
    "WarehouseStatus": "etl.pipeline.warehouse_status",
}
"""Where each class is that is imported when it is asked for."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'sightglass' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


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
