"""What workers are told, as a text that each row of what they are given carries; and the columns of these."""

import re

import msgspec
import pyarrow as pa

from etl import __version__
from etl.errors import CheckFailedError, EnvironmentFaultError, SightglassError

PARTS = pa.schema(
    [
        ("task", pa.string()),
        ("source", pa.string()),
        ("number", pa.int64()),
        ("run_id", pa.string()),
        ("entry", pa.string()),
        ("is_undone", pa.bool_()),
    ]
)
"""What flatten is given: a part of a log in each row, by the name of its entry."""
STAGED = pa.schema(
    [
        ("task", pa.string()),
        ("source", pa.string()),
        ("bucket", pa.int32()),
        ("number", pa.int64()),
        ("run_id", pa.string()),
        ("state", pa.string()),
        ("unknown", pa.string()),
        ("share", pa.binary()),
    ]
)
"""What it makes of them, which load is given: in each row what of a part belongs to a bucket."""
TOLD = pa.schema([("told", pa.string())])
"""What load makes of that: in each row what became of a bucket."""

WHOLE, UNDONE, DAMAGED = "whole", "undone", "damaged"
"""The states of a part; the share of one that is damaged says what is wrong with it."""
SAID = re.compile(r"<<sightglass (\d+): (.*?)>>", re.DOTALL)
"""How a worker says what went wrong, in whatever the engine makes of it."""

Key = tuple[int, str, str, str]
"""Part, stream, partition and table of rows that were not read anew."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether rows that a stream which was read anew has not brought may go: which of all buckets tell."""

    source: str
    key: Key
    may_go: bool


class Task(msgspec.Struct, frozen=True):
    """A rebuild."""

    version: str
    raw: str
    """Address of the logs."""
    out: str
    """Address that the tables come below."""
    folder: str
    """Name of the folder there that is of this rebuild alone."""
    buckets: int
    verdicts: list[Verdict] = []

    def text(self) -> str:
        """Return what `told` reads."""
        return msgspec.json.encode(self).decode()


class Departed(msgspec.Struct, frozen=True):
    """How many rows of a bucket a stream that was read anew has not brought."""

    key: Key
    gone: int
    stored: int
    most: float
    """The share of all that may go."""


class Written(msgspec.Struct, frozen=True):
    """A file of a table."""

    table: str
    path: str
    """Below the folder of the rebuild."""
    rows: int
    size: int


class Loaded(msgspec.Struct, frozen=True):
    """What became of a bucket."""

    source: str
    bucket: int
    parts: int
    """How many parts it was made of."""
    files: list[Written]
    departed: list[Departed]
    bad: list[int]
    """The numbers of parts that could not be applied."""
    damaged: list[str]
    unknown: list[str]
    """Undeclared fields."""

    def text(self) -> str:
        """Return what `msgspec.json` reads again."""
        return msgspec.json.encode(self).decode()


def told(text: str) -> Task:
    """Return the task; EnvironmentFaultError where another version has given it."""
    version = msgspec.json.decode(text, type=Versioned).version
    if version != __version__:
        raise EnvironmentFaultError(
            f"the workers have Sightglass {__version__}, this is {version}: install the same version there"
        )
    return msgspec.json.decode(text, type=Task)


class Versioned(msgspec.Struct):
    """What every version says of itself."""

    version: str


class WorkerError(Exception):
    """What a worker raises: its text passes through any engine."""

    def __init__(self, error: SightglassError) -> None:
        super().__init__(f"<<sightglass {error.exit_code}: {error}>>")


def said(text: str) -> SightglassError | None:
    """Return the error that a worker has raised, found in what an engine says; None where there is none."""
    found = SAID.search(text)
    if found is None:
        return None
    kind = CheckFailedError if int(found[1]) == CheckFailedError.exit_code else EnvironmentFaultError
    return kind(found[2])
