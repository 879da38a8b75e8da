"""What parts of the log stand for: their rows, and what their streams did besides."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from etl.extract.log import Head, StreamHead
from etl.extract.stream import MARK_RANGE, Action, Delivery, End, File, Page, Watermark
from etl.transform.batch import RejectedRecord, renumbered
from etl.values import Cursor, furthest

Tables = dict[str, pa.Table]


def is_content(delivery: Delivery) -> bool:
    """Whether the tables may change by it; how far a range was read is of no use without its records."""
    return _has_rows(delivery) or (isinstance(delivery, Action) and delivery.name != MARK_RANGE)


def _has_rows(delivery: Delivery) -> bool:
    """Whether it is a file, or records of which there are some."""
    return isinstance(delivery, File) or (isinstance(delivery, Page) and bool(delivery.records))


@dataclass(slots=True)
class Contribution:
    """What one stream brought to the tables of the records or files of a name."""

    fetched: int = 0
    rejected: list[RejectedRecord] = field(default_factory=list)
    numbers: list[tuple[int, int]] = field(default_factory=list)
    """From which number, up to which without it, the records in the tables are of it."""

    def extend(self, later: "Contribution", offset: int) -> None:
        """Add what came later, whose numbers begin further on by so much."""
        self.fetched += later.fetched
        self.rejected += later.rejected
        self.numbers += [(first + offset, after + offset) for first, after in later.numbers]


@dataclass(slots=True)
class StreamBatch:
    """What a batch holds of one stream, but for its rows."""

    name: str
    partition: str
    end: int | None = 0
    """Up to when it was asked for, in microseconds since 1970: its cursor never passes that. None where its
    cursor is no time."""
    newest: Cursor | None = None
    """Newest time before that end, or the furthest integer or text, among what the run has received of it."""
    starts_over: bool = False
    """Whether its cursor is not believed, and goes back to where the data is."""
    contributions: dict[str, Contribution] = field(default_factory=dict)
    """By the name of the stream whose tables they are in."""
    actions: list[Action] = field(default_factory=list)
    watermark: Watermark | None = None
    ended: End | None = None
    repeats: dict[str, int] = field(default_factory=dict)
    """By stream, records that came just as they are stored."""

    def see(self, cursor: Cursor | None) -> None:
        """Note how far the stream has come by a record that lies before the end."""
        self.newest = furthest((cursor, self.newest))

    def take(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Add what a stream has delivered, but for records and files, which are given back."""
        for each in deliveries:
            if isinstance(each, Action):
                self.actions.append(each)
            elif isinstance(each, Watermark):
                self.watermark = each
            elif isinstance(each, End):
                self.ended = each
        return [each for each in deliveries if _has_rows(each)]

    def extend(self, later: "StreamBatch", offsets: Mapping[str, int]) -> None:
        """Add what came of the stream later, in tables that follow on so many records by stream."""
        for name, each in later.contributions.items():
            self.contributions.setdefault(name, Contribution()).extend(each, offsets.get(name, 0))
        self.actions += later.actions
        self.watermark = later.watermark or self.watermark
        self.ended = later.ended or self.ended
        self.starts_over = self.starts_over or later.starts_over
        self.see(later.newest)
        for name, count in later.repeats.items():
            self.repeats[name] = self.repeats.get(name, 0) + count

    @property
    def has_content(self) -> bool:
        """Whether the tables may change by it."""
        return bool(self.contributions) or any(map(is_content, self.actions))

    @property
    def brought(self) -> Collection[str]:
        """The streams of which it may have brought something: those that it feeds too."""
        return {self.name, *self.contributions}

    def last_marks(self) -> list[Mapping[str, Any]]:
        """Return how far ranges were read: of what was said of each range the last."""
        marks = (each.parameters for each in self.actions if each.name == MARK_RANGE)
        return [*{each["start_us"]: each for each in marks}.values()]


def stream_batch(head: StreamHead) -> StreamBatch:
    """Return the batch of a stream as it was opened, to which nothing is added yet."""
    return StreamBatch(head.name, head.partition, head.end, head.newest, head.starts_over)


@dataclass(slots=True)
class RowSet:
    """Rows of all streams together, by the stream whose tables they are in."""

    tables: dict[str, list[Tables]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """How many records the tables were made of."""

    def add(self, name: str, tables: Tables, numbers: int) -> int:
        """Add tables after those that are there; the number by which their records are further on."""
        offset = self.numbers.get(name, 0)
        moved = {table: renumbered(rows, offset) for table, rows in tables.items()}
        self.tables.setdefault(name, []).append(moved)
        self.numbers[name] = offset + numbers
        return offset

    def joined(self, name: str) -> Tables:
        """All rows of a stream, in their order."""
        some = self.tables[name]
        return {table: pa.concat_tables([each[table] for each in some]) for table in some[0]}


@dataclass(frozen=True, slots=True)
class PartRows:
    """What a part of the log stands for."""

    head: Head
    streams: list[StreamBatch]
    rows: RowSet
    is_of_run: bool
    """Whether a run has received it; else somebody has settled a refusal by hand."""
    bytes: int = 0
    """Bytes of memory that its rows take."""


def merge(parts: Iterable[PartRows]) -> tuple[list[StreamBatch], RowSet]:
    """Return the streams of several parts, each once, with all that came of it in its order.

    And all their rows.
    """
    merged: dict[tuple[str, str], StreamBatch] = {}
    rows = RowSet()
    for part in parts:
        offsets = {
            name: rows.add(name, part.rows.joined(name), numbers)
            for name, numbers in part.rows.numbers.items()
        }
        for each in part.streams:
            known = merged.setdefault(
                (each.name, each.partition), StreamBatch(each.name, each.partition, each.end)
            )
            known.extend(each, offsets)
    return list(merged.values()), rows
