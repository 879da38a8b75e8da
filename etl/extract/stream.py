"""The contract between a source and the pipeline: what a source yields, and what it is told."""

import base64
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from etl.config import Setting, Settings
from etl.values import chunked


class Meter:
    """What reading one stream cost so far; safe to share between threads."""

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, *, requests: int = 0, retries: int = 0, received: int = 0) -> None:
        """Count requests, those of them that were repeated, and the bytes they brought."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.bytes += received


@dataclass(frozen=True, slots=True)
class Page:
    """Records as received, one JSON text each (`stand_in` where one is none), and what the request said."""

    stream: str
    records: Sequence[bytes]
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """One file that belongs to a record: its row in the table of files, its bytes where it was fetched."""

    stream: str
    name: str
    """What it is called in the raw archive."""
    row: Mapping[str, Any]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """Something learnt that is no record: a statement of `sql/` to run together with what is loaded."""

    statement: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a stream has been read: all that changed up to a time came before this, or is stored."""

    at: int | None
    """A time of the data in microseconds since 1970, at most the end of the position: the cursor may move
    there. None where there is no such time."""
    holds: bool = False
    """Whether the order of the records proves nothing, so that the cursor stays however the stream ends."""
    notice: str = ""
    """What was odd and needs to be known, though all was read."""


@dataclass(frozen=True, slots=True)
class Picked(Sequence[Any]):
    """A column in which values repeat: in each row the value that stands at a place of a shorter list."""

    values: Sequence[Any]
    places: "array[int]"
    """Signed integers of four bytes, one for each row."""

    @classmethod
    def same(cls, value: object, rows: int) -> "Picked":
        """A column of one value."""
        return cls([value], array("i", bytes(4 * rows)))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.places)

    def __getitem__(self, row: Any) -> Any:  # noqa: ANN401 -- one row or a slice of them
        """The value in a row."""
        place = self.places[row]
        return self.values[place] if isinstance(place, int) else [self.values[each] for each in place]


Delivery = Page | File | Effect | Watermark
Bundle = Sequence[Delivery]
"""What a stream yields: deliveries that belong together, loaded in one transaction."""

MANY_RECORDS = 10_000
LARGE_BYTES = 16 * 2**20
"""Records and bytes of a page from which on it is loaded in parts."""


def in_parts(bundle: Bundle) -> Iterator[Bundle]:
    """The bundle as several, in its order, where its pages are long and nothing need be loaded with them."""
    held: list[Delivery] = []
    for each in bundle:
        if not isinstance(each, Page):
            held.append(each)
            continue
        *before, last = chunked(each.records, len, MANY_RECORDS, LARGE_BYTES)
        for some in before:
            yield [*held, Page(each.stream, some, each.context)]
            held = []
        held.append(Page(each.stream, last, each.context))
    if held:
        yield held


def size_of(bundle: Bundle) -> int:
    """Bytes received of what is in a bundle."""
    records = sum(sum(map(len, each.records)) for each in bundle if isinstance(each, Page))
    return records + sum(len(each.body or b"") for each in bundle if isinstance(each, File))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream stands when it is opened."""

    cursor: int | None
    """Newest loaded time of the data in microseconds since 1970; None on the first run."""
    start: int
    """Read what changed at or after this time: the cursor less the overlap, never below 0."""
    end: int
    """Leave what changed at or after this time to the next run."""
    done: Sequence[tuple[int, int]] = ()
    """From when to when everything was read by runs that were broken off."""
    settled: int = 0
    """What changed before this time comes no later than this run; a run that is broken off need not see it
    again."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing to read from an API, from a position on."""

    name: str
    deliver: Callable[[Position, Meter], Iterator[Bundle]]
    partition: str = ""
    ahead: int = 0
    """Microseconds by which the API's clock is ahead of this machine's, as far as that is known."""


Query = Callable[..., list[tuple[Any, ...]]]
"""Answers a query in `sql/`, by its file and its parameters, over what is committed so far."""


@dataclass(frozen=True, slots=True)
class World:
    """What a session may ask of its surroundings."""

    now: Callable[[], datetime]
    ask: Query
    started: datetime
    """When the run began: by this it is decided what is due to be asked for again."""
    span: tuple[int, int] | None = None
    """What changed within these times is to be read again, in microseconds since 1970; None in a run."""


Complete = Callable[[Any, Mapping[str, str]], None]


class Session(Protocol):
    """An API one may read from."""

    def streams(self, world: World) -> Iterator[list[Stream]]:
        """Groups of streams: those of one group may be read side by side, each group after the one before."""

    def close(self) -> None:
        """Let go of all connections."""


@runtime_checkable
class AccountSession(Session, Protocol):
    """A session of an API where each login leads to one of many accounts: a warehouse holds one of them."""

    def account(self) -> str:
        """A name of the account, which holds no secret; SourceError where the API should tell it."""

    def owns(self, ask: Query, bound: str | None) -> bool:
        """Whether what is stored came from this account although the warehouse is bound to another name.

        `bound` is that name; None where it is bound to none. SourceError where the API should tell.
        """


class Source(Protocol):
    """What a module in `etl/sources` offers."""

    SETTINGS: tuple[Setting, ...]

    LOGIN: str
    """Which of the settings must be given to log in, as told to people."""

    COMPLETE: Mapping[str, Complete]
    """By stream, what the source does to a decoded record: set the fields whose declared paths begin with
    a plus sign (attributes `added_...`), from the record and what the request said. Unfit refuses it."""

    def connect(self, settings: Settings) -> Session | None:
        """A session, without having asked the API anything yet; None where no credentials are set."""

    def storable(self, stream: str, record: bytes) -> bytes:
        """The record without what must not be kept outside the raw archive, such as signed links."""


class FileSource(Source, Protocol):
    """What a module offers besides when its streams bring files."""

    def read(self, file: File) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """The rows in a file: for each table its columns; Unfit where its shape is not known.

        A column of values that repeat is best given as `Picked`.
        """

    def refuse(self, file: File, reason: str) -> File:
        """The same file, marked as one that could not be read."""


STAND_IN = b'{"+received of d2f0a6c4-8a44-4c1e-9d43-6c0a1c1f7b52":"'
"""How what stands in for a record begins that is no JSON: no API has such a name by chance."""


def stand_in(record: bytes) -> bytes:
    """JSON that stands in for a record that is none, and holds it as received."""
    return STAND_IN + base64.b64encode(record) + b'"}'


def as_received(record: bytes) -> bytes:
    """The record as received, also where something stands in for it."""
    if not record.startswith(STAND_IN):
        return record
    try:
        return base64.b64decode(record[len(STAND_IN) : -len(b'"}')], validate=True)
    except ValueError:
        return record
