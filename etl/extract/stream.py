"""The contract between a source and the pipeline: what a source yields, and what it is told."""

import base64
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from etl.config import Settings
from etl.values import Cursor, chunked

if TYPE_CHECKING:
    import polars as pl


class RequestStats:
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
    """What it is called in the log."""
    row: Mapping[str, Any]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something learnt that is no record, to be done in the warehouse together with what is loaded."""

    name: str
    """The statement `sql/<source>/<name>.sql`, or `sql/etl/<name>.sql`. The log holds it for ever."""
    parameters: Mapping[str, Any]
    """What JSON can hold. `$run_id` and `$now` are added: a change of what is not maintained sets them."""


LIST_GAPS = "list_gaps"
FORGET_GAPS = "forget_gaps"
REPLAY = "replay"
SETTLE_QUARANTINE = "settle_quarantine"
BEGIN_REFRESH = "begin_refresh"
END_REFRESH = "end_refresh"
"""Actions that are more than one statement."""
MARK_RANGE = "mark_range_read"
THE_RUN = ""
"""The stream of what no stream delivered, but the run itself does."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a stream has been read: all that changed up to a time came before this, or is stored."""

    at: Cursor | None
    """What the cursor may move to: a time of the data in microseconds since 1970, at most the end of the
    position, or the integer or text that the schema file declares. None where there is no such."""
    holds: bool = False
    """Whether the order of the records proves nothing, so that the cursor stays however the stream ends."""
    notice: str = ""
    """What was odd and needs to be known, though all was read."""


@dataclass(frozen=True, slots=True)
class DictionaryColumn:
    """A column in which values repeat: in each row the value that stands at a place of a shorter list."""

    values: Sequence[Any]
    places: "pl.Series"
    """Signed integers of four bytes, one for each row."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one table that stand in several files."""

    table: str
    files: "pl.Series"
    """Of each row the place of its file, as signed integers of four bytes."""
    columns: "dict[str, DictionaryColumn | pl.Series]"
    """Columns as long, by name; absent ones are NULL. A series for a column of JSON holds canonical texts."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a stream."""

    error: str | None = None
    """Why it failed; None where it was read to its end."""


Delivery = Page | File | Action | Watermark | End
Bundle = Sequence[Delivery]
"""What a stream yields: deliveries that belong together, loaded in one transaction."""

MANY_RECORDS = 10_000
LARGE_BYTES = 16 * 2**20
"""Records and bytes of a page from which on it is loaded in parts."""


def in_parts(bundle: Bundle) -> Iterator[Bundle]:
    """Yield the bundle as several, in its order, where its pages are long and stand alone."""
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
class Checkpoint:
    """Where a stream stands when it is opened."""

    cursor: Cursor | None
    """Newest loaded time of the data in microseconds since 1970, or the integer or text that the schema file
    declares; None on the first run."""
    start: int
    """Read what changed at or after this time: the cursor less the overlap, never below 0. 0 where the cursor
    is no time."""
    end: int
    """Leave what changed at or after this time to the next run."""
    done: Sequence[tuple[int, int]] = ()
    """From when to when everything was read by runs that were broken off."""
    settled: int = 0
    """What changed before this time comes no later than this run, if the API's clock is right; a run that is
    broken off need not see it again."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing to read from an API, from a position on."""

    name: str
    deliver: Callable[[Checkpoint, RequestStats], Iterator[Bundle]]
    partition: str = ""
    is_list: bool = False
    """Whether it brings all that there is, whatever the position says."""
    ahead: int = 0
    """Microseconds by which the API's clock is ahead of this machine's, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Reread:
    """What is to be read again, in place of a run, whatever is stored of it; no cursor moves by it."""

    start: int
    end: int
    """What changed within these times, in microseconds since 1970."""
    windows: Mapping[tuple[str, str], Sequence[tuple[int, int]]] | None = None
    """By stream and partition, only what changed within these times; None for all of all streams."""
    records: Mapping[str, Sequence[str] | None] | None = None
    """Only these of a list, by their ids, each with its files of these names; with all where that is None."""
    with_files: bool = True


Query = Callable[..., list[tuple[Any, ...]]]
"""Answers a query in `sql/`, by its file and its parameters, over what is committed so far."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a session may ask of its surroundings."""

    now: Callable[[], datetime]
    ask: Query
    started: datetime
    """When the run began: by this it is decided what is due to be asked for again."""
    reread: Reread | None = None
    is_forgotten: Callable[[str], bool] = lambda _id: False
    """Whether a medium is to be forgotten: what belongs to it need not be asked for."""


class Block(Protocol):
    """Records of one context as columns: what a source reads of them, and what it adds.

    A place is where objects stand in a record, written as `at` of a table is: "" are the records, and
    `detections[]` the objects in their lists of that name.
    """

    context: Mapping[str, str]
    """What the request said."""

    def values(self, place: str, name: str) -> Sequence[Any]:
        """Return the values of one field of the objects at a place; None where it is absent."""

    def sizes(self, place: str) -> Sequence[int]:
        """How many objects stand at a place below each object above."""

    def put(self, place: str, path: str, values: Sequence[Any]) -> None:
        """Set a column of the objects at a place, under the path that is declared for it."""

    def add_rows(self, place: str, parents: Sequence[int], columns: Mapping[str, Sequence[Any]]) -> None:
        """Add objects as columns; `parents` says for each, in ascending order, the object above it."""

    def add_objects(self, place: str, lists: Sequence[Sequence[Any] | None]) -> None:
        """Add a list of JSON objects to each object above, or None."""


@dataclass(frozen=True, slots=True)
class Enrich:
    """How a source completes the decoded records of a stream.

    It sets the fields whose declared paths begin with a plus sign, from the record and what the request said.
    """

    record: Callable[[Any, Mapping[str, str]], None]
    """Sets them in one record, as attributes `added_...`; RecordError refuses the record."""
    columns: Callable[[Block], None] | None = None
    """Does the same for many records at once. RecordError says that one of them is not of the usual shape, no
    matter which: they are then completed one by one."""


class Session(Protocol):
    """An API one may read from."""

    def streams(self, source_context: SourceContext) -> Iterator[list[Stream]]:
        """Yield groups of streams: those of one are read side by side, group after group."""

    def close(self) -> None:
        """Let go of all connections."""


@runtime_checkable
class AccountSession(Session, Protocol):
    """A session of an API where each login leads to one of many accounts: a warehouse holds one of them."""

    def account(self) -> str:
        """Return a name of the account, which holds no secret; SourceError where the API should tell it."""

    def owns(self, ask: Query, bound: str | None) -> bool:
        """Whether what is stored came from this account although the warehouse is bound to another name.

        `bound` is that name; None where it is bound to none. SourceError where the API should tell.
        """


class Source(Protocol):
    """What a module in `etl/sources` offers."""

    OwnSettings: type[Any]
    """A dataclass whose fields declare the settings of this source alone."""

    LOGIN: str
    """Which of the settings must be given to log in, as told to people."""

    ENRICH: Mapping[str, Enrich]
    """By stream, how decoded records are completed."""

    def connect(self, settings: Settings) -> Session | None:
        """Return a session, without having asked the API anything yet; None where no credentials are set."""

    def redact(self, stream: str, record: bytes) -> bytes:
        """Return the record without what must not be kept outside the log, such as signed links."""


class FileSource(Source, Protocol):
    """What a module offers besides when its streams bring files."""

    def read_alike(self, files: Sequence[File]) -> tuple[set[int], Sequence[FileRows]]:
        """Return the rows in those of the files that are read together, and the places of these files.

        A file that is not read so, or whose rows do not fit their table, is given to `read`.
        """

    def read(self, file: File) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """Return the columns in a file by table, of its own row `_extra`; RecordError if it is not known."""

    def refuse(self, file: File, reason: str) -> File:
        """Return the same file, marked as one that could not be read."""


class PushedSource(Source, Protocol):
    """What a module offers besides when some of what it loads was sent by itself, and is sent only once."""

    def give_back(self, home: Path, pages: Iterable[Page]) -> int:
        """Put what was pushed among these records to where the next run takes it from; how many.

        What is given back twice is loaded once. OSError where it cannot be written.
        """


STAND_IN = b'{"+received of d2f0a6c4-8a44-4c1e-9d43-6c0a1c1f7b52":"'
"""How what stands in for a record begins that is no JSON: no API has such a name by chance."""


def stand_in(record: bytes) -> bytes:
    """JSON that stands in for a record that is none, and holds it as received."""
    return STAND_IN + base64.b64encode(record) + b'"}'


def as_received(record: bytes) -> bytes:
    """Return the record as received, also where something stands in for it."""
    given = bytes(record)
    if not given.startswith(STAND_IN):
        return given
    try:
        return base64.b64decode(given[len(STAND_IN) : -len(b'"}')], validate=True)
    except ValueError:
        return given


def one_line(record: bytes) -> bytes:
    """Return the record on one line, as the log holds it where it is JSON.

    Line ends are white space there.
    """
    given = bytes(record)
    # Few hold any, and to look is less work than to replace.
    if b"\n" in given or b"\r" in given:
        return given.replace(b"\n", b" ").replace(b"\r", b" ")
    return given
