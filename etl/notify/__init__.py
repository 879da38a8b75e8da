"""Others are told how a run ended: a command, a heartbeat service, Prometheus, a collector of traces.

None of them changes what the run did, nor its exit code, and none holds it up for long.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.errors import OK


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    begun: datetime
    ended: datetime
    report: Mapping[str, Any]
    """As `run --json` prints it; of a run that failed as a whole: how, and why."""
    spans: Mapping[tuple[str, str], tuple[int, int, float]]
    """When each stage of each source was at work, in nanoseconds since 1970, and for how many seconds."""

    @property
    def is_failure(self) -> bool:
        """Whether somebody should see to it."""
        return self.exit_code != OK

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.begun).total_seconds()


class NotTold(Exception):  # noqa: N818 -- it is no fault of the run
    """Somebody could not be told; says who and why, without secrets."""
