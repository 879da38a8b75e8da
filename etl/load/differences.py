"""What is not as it must be: named so that people can look at it, and a repair can heal just that."""

from typing import Literal

import msgspec

Place = Literal["api", "tables", "runs", "log", "lake"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it must be."""

    place: Place
    """What tells: the API, the tables by themselves or against their log, the counts of runs, the log, or the
    lake."""
    what: str
    """What is wrong, for people."""
    source: str = ""
    stream: str = ""
    partition: str = ""
    table: str = ""
    key: dict[str, str] = {}
    """The row, by the columns of its key."""
    since: str | None = None
    until: str | None = None
    """From when to when the API is to be asked again, in ISO 8601; None for what has no time."""
    at: str | None = None
    """When the record changed, as the API says."""
    stored_at: str | None = None
    """When it changed as the table says, where that is later."""
    file: str = ""
    """The file, below the folder of the warehouse."""

    def where(self) -> str:
        """Return on one line where it is."""
        key = ", ".join(f"{name} {value or 'empty'}" for name, value in self.key.items())
        span = f"{self.since} to {self.until}" if self.since and not self.key else ""
        named = [self.table, key, self.file, span]
        about = [] if self.table else [self.source, self.stream, self.partition]
        return " ".join(filter(None, [*about, *named]))
