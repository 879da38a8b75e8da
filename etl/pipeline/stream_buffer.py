"""What is received of a stream and not sealed yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from etl.errors import ConfigError
from etl.extract.log import StreamHead
from etl.extract.stream import (
    MARK_RANGE,
    Action,
    Bundle,
    End,
    Page,
    Stream,
    Watermark,
    size_of,
)
from etl.load.stream_stats import StreamStats
from etl.transform.forgetting import Forgetter
from etl.transform.part_rows import is_content
from etl.transform.recognize import Recognizer
from etl.values import Cursor, CursorKind, fits, furthest, micros_of


@dataclass(slots=True)
class StreamBuffer:
    """Records, files and actions of one stream, in the order of their arrival."""

    stream: Stream
    stats: StreamStats
    recognizer: Recognizer = field(default_factory=Recognizer)
    kind: CursorKind = "time"
    """What its cursor is."""
    end: int | None = 0
    """Up to when the stream was asked for, in microseconds since 1970: the cursor never passes it. None where
    its cursor is no time."""
    forgetter: Forgetter | None = None
    """Takes out of it what is to be forgotten."""
    starts_over: bool = False
    """Whether the cursor is not believed; the first part alone says so."""
    records: int = 0
    """Records received and not committed."""
    size: int = 0
    """Bytes received and not sealed."""
    since: datetime | None = None
    """When the first of what is not sealed came."""
    has_content: bool = False
    """Whether the tables may change by what is not sealed."""
    watermark: Watermark | None = None
    """How far the cursor may move, as the source has said."""
    _received: list[tuple[int, Bundle]] = field(default_factory=list)
    _repeats: dict[str, int] = field(default_factory=dict)
    _newest: Cursor | None = None
    _count: int = 0
    _left_out: int = 0

    def add(self, bundle: Bundle, now: datetime) -> None:
        """Add a bundle, without the records that came just as they are stored."""
        count = sum(len(each.records) for each in bundle if isinstance(each, Page))
        self.records += count
        self._count += count
        bundle = self._without_forgotten(bundle)
        read = [self._without_repeats(each) if isinstance(each, Page) else each for each in bundle]
        new = self._with_watermark([each for each in read if not isinstance(each, Page) or each.records])
        self.since = self.since or now
        self.size += size_of(new)
        self.has_content = self.has_content or any(map(is_content, new))
        self._received.append((micros_of(now), new))

    def drain(self) -> "Drained":
        """Take out all that is not sealed."""
        drained = Drained(
            self,
            self._received,
            self._count,
            self._repeats,
            self._newest,
            starts_over=self.starts_over,
        )
        self._received, self._repeats, self._newest, self._count = [], {}, None, 0
        self.size, self.since, self.has_content, self.starts_over = 0, None, False, False
        return drained

    def _with_watermark(self, bundle: Bundle) -> Bundle:
        """Repeat how far the cursor may move where the stream ends, for that may be another batch."""
        checked = [self._believed(each) if isinstance(each, Watermark) else each for each in bundle]
        for each in checked:
            if isinstance(each, Watermark):
                self.watermark = each
            elif isinstance(each, Action) and each.name == MARK_RANGE and self.kind != "time":
                raise ConfigError(
                    f"{self.stats.source} reads its stream {self.stream.name} in ranges of time, and its "
                    f"cursor is declared as {self.kind}"
                )
        has_ended = any(isinstance(each, End) for each in checked)
        return [self.watermark, *checked] if has_ended and self.watermark else checked

    def _believed(self, watermark: Watermark) -> Watermark:
        """Return the watermark, or one that lets the cursor stay where it names what none can be."""
        if watermark.at is None or fits(self.kind, watermark.at):
            return watermark
        notice = f"it was read up to what is no {self.kind}, so the cursor stays"
        return Watermark(None, holds=True, notice="; ".join(filter(None, [watermark.notice, notice])))

    def _without_forgotten(self, bundle: Bundle) -> Bundle:
        """Leave out what is about media that are to be forgotten: it counts as unchanged, and is told."""
        if self.forgetter is None:
            return bundle
        left, left_out = self.forgetter.bundle(bundle)
        for name, count in left_out.items():
            self._repeats[name] = self._repeats.get(name, 0) + count
            self._left_out += count
        if self._left_out and any(isinstance(each, End) for each in bundle):
            told = f"left out, for it is about media that are to be forgotten: {self._left_out:,}"
            self.stats.notice = "; ".join(filter(None, [self.stats.notice, told]))
        return left

    def _without_repeats(self, page: Page) -> Page:
        new, versions = self.recognizer.split(page)
        if versions:
            self._repeats[page.stream] = self._repeats.get(page.stream, 0) + len(versions)
            self._newest = furthest((*versions, self._newest), self.end)
        return new


@dataclass(frozen=True, slots=True)
class Drained:
    """What was taken out of a buffer, to be sealed in one part."""

    buffer: StreamBuffer
    received: Sequence[tuple[int, Bundle]]
    """When each bundle came, in microseconds since 1970, and the bundle."""
    records: int
    repeats: Mapping[str, int]
    """By stream, records that came just as they are stored."""
    newest: Cursor | None
    """The furthest they have come, before the end that was asked for."""
    starts_over: bool

    @property
    def stream(self) -> Stream:
        """The stream it came of."""
        return self.buffer.stream

    @property
    def has_content(self) -> bool:
        """Whether the tables may change by it."""
        return any(is_content(each) for _, bundle in self.received for each in bundle)

    def head(self, known: "Newest") -> StreamHead:
        """Return what the log says of the stream, of which so much was received before."""
        name, partition = self.stream.name, self.stream.partition
        newest = furthest((known.get((name, partition)), self.newest))
        return StreamHead(name, partition, self.buffer.end, newest, self.starts_over)

    @property
    def moves_by_newest(self) -> bool:
        """Whether the cursor moves to the newest time that was received of the stream, this included."""
        has_ended = any(isinstance(each, End) for _, bundle in self.received for each in bundle)
        return has_ended and self.buffer.watermark is None


Newest = Mapping[tuple[str, str], Cursor | None]
"""By stream and partition, the furthest that what was received has come."""
