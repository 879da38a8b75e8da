"""The values of an answer as JSON and CSV can hold them, whatever DuckDB's type of a column."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from etl.schema import quote

ROWS_PER_BATCH = 2048
"""Rows that are fetched together: as many as DuckDB makes at a time."""
ROWS_AS_OBJECTS = 128
"""Rows that are Python objects at a time."""

WHOLE = frozenset(
    ["boolean"]
    + [f"{sign}{size}" for sign in ("", "u") for size in ("tinyint", "smallint", "integer", "bigint")]
)
EXACT = frozenset({"decimal", "hugeint", "uhugeint", "bignum"})
"""Numbers that Python has no type for of the same size: as text they keep all of their digits."""
FLOATS = frozenset({"float", "double"})
TIMES = frozenset(
    ["date", "time", "time with time zone", "timestamp", "timestamp with time zone"]
    + [f"timestamp_{unit}" for unit in ("s", "ms", "ns")]
)
MOMENT = re.compile(
    r"(?P<day>-?\d+-\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d)(?P<part>\.\d+)?(?P<zone>[+-][\d:]+)?"
)
MICROS = 7
"""Characters of a point and microseconds, as ISO 8601 has them where there are any."""

Cast = tuple[str, Callable[[Any], Any]]
"""As what a column is asked for, and what makes of its values what JSON can hold."""
Children = list[tuple[str, Any]]
"""The types inside of a type, with their names."""


def rows(relation: duckdb.DuckDBPyRelation) -> Iterator[list[Any]]:
    """Yield the rows of an answer, one after the other.

    Times in ISO 8601, UTC, and text for what JSON lacks.
    """
    casts = [cast(kind) for kind in relation.types]
    asked = ", ".join(f"CAST(#{place} AS {name})" for place, (name, _) in enumerate(casts, start=1))
    # At once, not with the first row: what is wrong with the query shows before anything is printed.
    batches = relation.project(asked).to_arrow_reader(ROWS_PER_BATCH)
    reads = [read for _, read in casts]
    return (row for batch in batches for row in _of_batch(batch, reads))


def _of_batch(batch: pa.RecordBatch, reads: list[Callable[[Any], Any]]) -> Iterator[list[Any]]:
    for start in range(0, batch.num_rows, ROWS_AS_OBJECTS):
        columns = [
            [
                value if value is None else read(value)
                for value in column.slice(start, ROWS_AS_OBJECTS).to_pylist()
            ]
            for column, read in zip(batch.columns, reads, strict=True)
        ]
        yield from map(list, zip(*columns, strict=True))


def cast(kind: Any) -> Cast:  # noqa: ANN401 -- DuckDB's types are of a private class
    """How values of a type are asked for, so that Python can hold all of them, and how they are read."""
    if kind.id in WHOLE | FLOATS:
        return str(kind), _same
    if kind.id in AS_TEXT:
        return "VARCHAR", AS_TEXT[kind.id]
    if kind.id == "blob":
        return "BLOB", bytes.hex
    if kind.id in NESTED:
        return NESTED[kind.id](kind.children)
    # Of what is left, Python has no type, or one that cannot hold all of it.
    return "VARCHAR", _same


def _list(children: Children) -> Cast:
    (_, kind), *_ = children
    item, read = cast(kind)
    return f"{item}[]", lambda values: [_read(read, value) for value in values]


def _map(children: Children) -> Cast:
    (key, read_key), (item, read) = (cast(kind) for _, kind in children)
    pairs = f"MAP({key}, {item})"
    return pairs, lambda values: [[_read(read_key, one), _read(read, other)] for one, other in values]


def _struct(children: Children) -> Cast:
    fields = {name: cast(kind) for name, kind in children}
    if not fields or not all(fields):
        return "VARCHAR", _same  # it has nothing to ask for, or no names
    inner = ", ".join(f"{quote(name)} {item}" for name, (item, _) in fields.items())
    return f"STRUCT({inner})", lambda value: {
        name: _read(read, value[name]) for name, (_, read) in fields.items()
    }


NESTED = {"list": _list, "array": _list, "map": _map, "struct": _struct}


def _read(read: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401 -- any value
    return value if value is None else read(value)


def _same(value: Any) -> Any:  # noqa: ANN401 -- any value
    return value


def _moment(text: str) -> str:
    """DuckDB's text of a time in ISO 8601; what that cannot say, infinity for one, as DuckDB says it."""
    found = MOMENT.fullmatch(text)
    if not found:
        return text
    part = (found["part"] or "") and found["part"].ljust(MICROS, "0")
    zone = {None: "", "+00": "Z"}.get(found["zone"], found["zone"])
    return f"{found['day']}T{found['clock']}{part}{zone}"


AS_TEXT: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(EXACT, Decimal),
    **dict.fromkeys(TIMES, _moment),
}
"""Types that are asked for as text, and what makes of it what JSON can hold."""
