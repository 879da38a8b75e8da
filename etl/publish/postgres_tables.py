"""Tables in PostgreSQL: made as they are declared, and brought to what partitions of the lake hold.

A table that is there is changed as it stands, never dropped and made again: a reader whose transaction is
older would find it empty, and it would lose the rights and the views that were given to it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl.declaration import TYPES
from etl.errors import TargetError
from etl.load.sql import equal, names
from etl.publish.postgres_session import Session
from etl.schema import Table, quote

KINDS = {
    "text": "text",
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "json": "json",
}
"""The PostgreSQL type of each type word of a declaration. Not `jsonb`, which refuses what APIs send (the
escape of a NUL), and drops the order and all but one of equal keys: what is here is what is in the lake."""
WORDS = {kind: word for word, (kind, _) in TYPES.items() if word != "json"}

INCOMING = "incoming"
ROWS = 16_384
"""Rows that are read and sent at once."""
LONGEST_KEY = 2_500
"""Bytes of a key up to which PostgreSQL can surely index it: a third of its page of 8 kB."""
NUL, REPLACEMENT = "\0", "\N{REPLACEMENT CHARACTER}"
MICROSECONDS = "timestamptz 'epoch' + {} * interval '1 microsecond'"


@dataclass(frozen=True, slots=True)
class Place:
    """A table as PostgreSQL is to hold it."""

    qualified: str
    columns: Mapping[str, str]
    """The PostgreSQL type of each."""
    key: Sequence[str]
    """Empty where rows are known by nothing."""
    comments: Sequence[str]
    """The statements that say what table and columns mean."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which rows of a table a partition has."""

    name: str
    start: int | None
    end: int | None
    """Microseconds since 1970; both None where it has all rows, or those without a time."""


def place_of(table: Table) -> Place:
    """Return a declared table as it is to be here."""
    columns = {name: KINDS[column.type] for name, column in table.columns.items()}
    return Place(table.qualified, columns, table.key, [*table.comments()])


def word_of(kind: pa.DataType) -> str:
    """Return the type word of what DuckDB answers; `text` for what no declaration knows."""
    zoned = pa.types.is_timestamp(kind) and kind.tz
    return WORDS.get(pa.timestamp("us", "UTC") if zoned else kind, "text")


def make(session: Session, place: Place) -> None:
    """Make a table, without its key, which is faster to make once the rows are there."""
    session.execute(f"CREATE TABLE {place.qualified} ({_declared(place)})")
    describe(session, place)


def _declared(place: Place) -> str:
    return ", ".join(f"{quote(name)} {kind}" for name, kind in place.columns.items())


def has_columns(session: Session, place: Place) -> bool:
    """Whether a table has all its columns, with their types; it may have others that somebody has added."""
    return place.columns.items() <= dict(session.run("columns", place.qualified)).items()


def reshape(session: Session, place: Place) -> None:
    """Give a table other columns, and no key until the rows are there."""
    found = dict(session.run("columns", place.qualified))
    changes = [f"DROP CONSTRAINT {quote(name)}" for (name,) in session.run("primary_key", place.qualified)]
    for name, kind in found.items():
        # A column of another type is made anew: PostgreSQL would write all rows anew for it, and hide them
        # from readers whose transaction is older.
        is_kept = place.columns.get(name) == kind
        changes.append(f"{'ALTER' if is_kept else 'DROP'} COLUMN {quote(name)}{' DROP NOT NULL' * is_kept}")
    changes += [
        f"ADD COLUMN {quote(name)} {kind}" for name, kind in place.columns.items() if found.get(name) != kind
    ]
    for each in changes:
        session.execute(f"ALTER TABLE {place.qualified} {each}")
    describe(session, place)


def describe(session: Session, place: Place) -> None:
    """Say what table and columns mean."""
    for each in place.comments:
        session.execute(each)


def finish(session: Session, place: Place) -> None:
    """See to the key of a table whose rows are there; there is none where one of them is too long for it.

    A row that is gone counts until PostgreSQL has cleaned up after it.
    """
    if place.key and not session.run("primary_key", place.qualified):
        session.execute(
            f"DO $$ BEGIN ALTER TABLE {place.qualified} ADD PRIMARY KEY ({names(place.key)}); "
            "EXCEPTION WHEN program_limit_exceeded THEN NULL; END $$"
        )


def fill(session: Session, place: Place, table: Table, paths: Iterable[Path]) -> dict[Path, int]:
    """Add the rows of files to a table that has none; how many NULs were replaced in each."""
    return {path: _send(session, place.qualified, _batches(table, path)) for path in paths}


def merge(
    session: Session, place: Place, table: Table, paths: Iterable[Path], condition: str
) -> dict[Path, int]:
    """Let those rows of a table that fulfil a condition be those of files.

    Rows that are as they were are not touched: who reads the table waits for nothing, and little is written.
    Returns how many NULs were replaced in each file.
    """
    session.execute(f"CREATE TEMPORARY TABLE {INCOMING} ({_declared(place)}) ON COMMIT DROP")
    replaced = {path: _send(session, INCOMING, _batches(table, path), temporary=True) for path in paths}
    session.execute(f"ANALYZE {INCOMING}")
    if _has_long_key(session, place):
        for (name,) in session.run("primary_key", place.qualified):
            session.execute(f"ALTER TABLE {place.qualified} DROP CONSTRAINT {quote(name)}")
    by_key = equal(place.key, "stored", INCOMING)
    alike = " AND ".join([by_key, *_alike(place)])
    session.execute(
        f"DELETE FROM {place.qualified} AS stored WHERE ({condition}) "
        f"AND NOT EXISTS (SELECT FROM {INCOMING} WHERE {alike})"
    )
    columns = names(place.columns)
    session.execute(
        f"INSERT INTO {place.qualified} ({columns}) SELECT {columns} FROM {INCOMING} "
        f"WHERE NOT EXISTS (SELECT FROM {place.qualified} AS stored WHERE {by_key})"
    )
    session.execute(f"DROP TABLE {INCOMING}")
    return replaced


def replace_all(session: Session, place: Place, batches: Iterable[pa.RecordBatch]) -> int:
    """Let these be all rows of a table without a key; how many NULs were replaced."""
    session.execute(f"DELETE FROM {place.qualified}")
    return _send(session, place.qualified, batches)


def count(session: Session, qualified: str) -> int:
    """Return how many rows a table has."""
    ((rows,),) = session.rows(f"SELECT count(*) FROM {qualified}")
    return int(rows)


def condition_of(by_month: str, bounds: Iterable[Bounds]) -> str:
    """Return the condition that a row belongs to one of these partitions."""
    return " OR ".join(sorted({_condition(by_month, each) for each in bounds})) or "false"


def _condition(by_month: str, each: Bounds) -> str:
    if each.name == "all" or not by_month:
        return "true"
    if each.start is None or each.end is None:
        return f"{quote(by_month)} IS NULL"
    start, end = (MICROSECONDS.format(edge) for edge in (each.start, each.end))
    return f"({quote(by_month)} >= {start} AND {quote(by_month)} < {end})"


def _alike(place: Place) -> Iterator[str]:
    """Yield the conditions that a stored row is as the one that has come with its key.

    In large columns too: what somebody is forgotten in may differ by one of them alone.
    """
    for name, kind in place.columns.items():
        if name not in place.key:
            cast = "::text" if kind == "json" else ""
            sides = (f"{each}.{quote(name)}{cast}" for each in ("stored", INCOMING))
            yield " IS NOT DISTINCT FROM ".join(sides)


def _has_long_key(session: Session, place: Place) -> bool:
    """Whether a row that has come has a key that PostgreSQL may be unable to index."""
    texts = [f"octet_length({quote(name)})" for name in place.key if place.columns[name] == "text"]
    if not texts:
        return False
    return bool(session.rows(f"SELECT 1 FROM {INCOMING} WHERE {' + '.join(texts)} > {LONGEST_KEY} LIMIT 1"))


def _batches(table: Table, path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, as they are declared; TargetError where it cannot be read."""
    wanted = table.arrow().remove_metadata()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=list(table.columns)):
                yield batch.select(wanted.names).cast(wanted)
    except (OSError, pa.ArrowException) as error:
        line = str(error).partition("\n")[0]
        raise TargetError(f"cannot read {path}: {line}; `sightglass publish` mends the lake") from error


def _send(session: Session, where: str, batches: Iterable[pa.RecordBatch], *, temporary: bool = False) -> int:
    """Add rows to a table; how many NULs were replaced in them."""
    replaced = 0
    for batch in batches:
        clean, found = without_nuls(batch)
        replaced += found
        session.append(where, clean, temporary=temporary)
    return replaced


def without_nuls(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Return the rows without NULs, which PostgreSQL holds in no text, and how many of them there were."""
    found, columns = 0, []
    for column in batch.columns:
        held = column.buffers()[2] if pa.types.is_string(column.type) else None
        if held is not None and re.search(NUL.encode(), held):
            found += pc.sum(pc.count_substring(column, NUL)).as_py() or 0
            columns.append(pc.replace_substring(column, NUL, REPLACEMENT))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema), found
