"""What has come of a stream and is not loaded yet, and what of it is committed at once."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl.aside import Cuts
from etl.extract.reading import Ended
from etl.extract.stream import Bundle, Delivery, Effect, Page, Stream, Watermark, size_of
from etl.load.books import Tally
from etl.transform.batch import Cut, joined


@dataclass(slots=True)
class Waiting:
    """A stream that is being read: what has come and is not loaded yet, and how far it is safe to resume."""

    stream: Stream
    tally: Tally
    names: set[str]
    """The streams it feeds, itself among them."""
    raw: list[Delivery] = field(default_factory=list)
    """What has come and was not looked into yet."""
    raw_size: int = 0
    parts: list[Future[Cuts]] = field(default_factory=list)
    """What becomes rows, or has."""
    effects: list[Effect] = field(default_factory=list)
    size: int = 0
    """Bytes received of all that waits."""
    records: int = 0
    since: datetime | None = None
    """When the first of what waits came."""
    ended: Ended | None = None
    end: int = 0
    """Up to when the stream was asked for, in microseconds since 1970: the cursor never passes it."""
    watermark: Watermark | None = None
    """The last that came; a stream that gives none may move its cursor once it has ended well."""
    newest: int | None = None
    """Newest time among the records loaded in this run, of those before the end that was asked for."""

    def take(self, item: Bundle | Ended, now: datetime) -> None:
        """Add a bundle, or the end, to what is not loaded yet."""
        self.since = self.since or now
        if isinstance(item, Ended):
            self.ended = item
            return
        size = size_of(item)
        self.raw += item
        self.raw_size += size
        self.size += size
        self.watermark = next((one for one in reversed(item) if isinstance(one, Watermark)), self.watermark)
        self.records += sum(len(one.records) for one in item if isinstance(one, Page))

    def to_cut(self) -> list[Delivery]:
        """What was not looked into yet, and is to be from now on."""
        taken, self.raw, self.raw_size = self.raw, [], 0
        self.effects += [each for each in taken if isinstance(each, Effect)]
        return taken

    def to_commit(self) -> "Batch":
        """All that waits, which is no longer here."""
        batch = Batch(self, self.parts, self.effects, self.ended, self.watermark)
        self.parts, self.effects, self.size, self.records = [], [], 0, 0
        self.since = self.ended = None
        return batch

    def entered(self) -> dict[str, Any]:
        """What a commit changes here, for `enter` to bring back where the commit fails."""
        return {"names": set(self.names), "newest": self.newest}

    def enter(self, known: Mapping[str, Any]) -> None:
        """Be as `entered` has told it."""
        for name, value in known.items():
            setattr(self, name, value)

    def see(self, times: pa.ChunkedArray, end: int) -> None:
        """Note the times of records, in microseconds since 1970; none after the end counts."""
        found = pc.max(times.filter(pc.less_equal(times, end))).as_py()
        self.newest = max((each for each in (found, self.newest) if each is not None), default=None)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is committed of a stream."""

    of: Waiting
    parts: Sequence[Future[Cuts]]
    effects: Sequence[Effect]
    ended: Ended | None
    """Where it is the last: how the stream ended."""
    watermark: Watermark | None
    """How far the stream has been read with this."""

    def cuts(self) -> dict[str, Cut]:
        """The rows by stream, once all of them are made."""
        found: dict[str, list[Cut]] = {}
        for part in self.parts:
            for name, cut in part.result().items():
                found.setdefault(name, []).append(cut)
        return {name: joined(cuts) for name, cuts in found.items()}
