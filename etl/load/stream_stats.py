"""The counts of one stream in one run: while it works, and as it is reported."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from etl import schema
from etl.extract.stream import RequestStats
from etl.values import Cursor, moment, text_of


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The counts of one stream in one run; fetched = inserted + updated + unchanged + quarantined."""

    source: str
    stream: str
    partition: str
    """An application of Cogniac, for one; empty where the stream is not read in parts."""
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    quarantined: int
    requests: int
    retries: int
    bytes: int
    cursor: Cursor | None
    """Where the next run goes on: a time in ISO 8601, or the integer or text that the API has."""
    status: str
    """ok or failed."""
    error: str | None
    notice: str | None
    """What was odd and needs to be known, though nothing is missing."""


@dataclass(slots=True)
class StreamStats:
    """The counts of one stream, as they grow."""

    source: str
    stream: str
    partition: str = ""
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    quarantined: int = 0
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    cursor: Cursor | None = None
    """Microseconds since 1970, or the integer or text that the schema file declares."""
    status: str = "running"
    error: str | None = None
    notice: str | None = None
    """What was odd and needs to be known, though nothing is missing."""

    @property
    def shown_cursor(self) -> Cursor | None:
        """The cursor as people read it: a time in ISO 8601."""
        return moment(self.cursor) if isinstance(self.cursor, int) and self._is_dated else self.cursor

    @property
    def stored_cursor(self) -> dict[str, object]:
        """The cursor as it is stored: a time, or as JSON what else it is."""
        is_dated = self._is_dated
        return {
            "cursor": self.cursor if is_dated else None,
            "cursor_value": None if is_dated else text_of(self.cursor),
        }

    @property
    def _is_dated(self) -> bool:
        return schema.source(self.source).cursor_of(self.stream) == "time"

    def add_requests(self, request_stats: RequestStats) -> None:
        """Take over what the stream cost so far."""
        self.requests, self.retries, self.bytes = (
            request_stats.requests,
            request_stats.retries,
            request_stats.bytes,
        )

    def report(self) -> StreamReport:
        """Return the counts as they are now."""
        return StreamReport(**{**dataclasses.asdict(self), "cursor": self.shown_cursor})

    def count_as(self, other: "StreamStats") -> None:
        """Take over what a commit counts; what the stream cost stays."""
        cost = self.requests, self.retries, self.bytes
        for each in dataclasses.fields(self):
            setattr(self, each.name, getattr(other, each.name))
        self.requests, self.retries, self.bytes = cost


def stats_json(stats: StreamStats) -> dict[str, Any]:
    """Return the counts as `run --json` prints them."""
    return dataclasses.asdict(stats.report())
