"""Answers as Arrow: types of DuckDB that it has no like of become what it can hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from etl.schema import quote

ROWS_PER_BATCH = 2**14
"""Rows of a batch of Arrow, and of a row group of Parquet at least."""
DIGITS = "DECIMAL(38, 0)"
"""As what Arrow takes integers of 128 bits, larger ones included; cast to it, these fail."""
LOST = frozenset({"uhugeint", "bignum", "time with time zone", "bit"})
"""What Arrow would get as a wrong number, without its zone, or as DuckDB keeps it in memory."""
NOT_IN_PARQUET = LOST | {"interval", "union"}
"""The same, and what Arrow has and cannot write into Parquet."""

Children = list[tuple[str, Any]]
"""The types inside of a type, with their names."""
Lost = frozenset[str]
"""Types that can only be kept as text."""


def held(kind: Any, lost: Lost = LOST) -> str | None:  # noqa: ANN401 -- of a private class
    """As what values of a type are asked for, so that all of them is kept; None for themselves."""
    if kind.id == "hugeint":
        return DIGITS
    if kind.id in lost or (kind.id == "struct" and not kind.children):
        return "VARCHAR"  # no file holds a struct of nothing
    if kind.id in NESTED and any(held(each, lost) for each in _types(kind)):
        return NESTED[kind.id](kind.children, lost)
    return None


def _types(kind: Any) -> list[Any]:  # noqa: ANN401 -- as above
    # An array has its size among them.
    return [each for _, each in kind.children if hasattr(each, "id")]


def _of(kind: Any, lost: Lost) -> str:  # noqa: ANN401 -- as above
    return held(kind, lost) or str(kind)


def _list(children: Children, lost: Lost) -> str:
    return f"{_of(children[0][1], lost)}[]"


def _array(children: Children, lost: Lost) -> str:
    (_, kind), (_, size) = children
    return f"{_of(kind, lost)}[{size}]"


def _map(children: Children, lost: Lost) -> str:
    (_, key), (_, value) = children
    return f"MAP({_of(key, lost)}, {_of(value, lost)})"


def _struct(children: Children, lost: Lost) -> str:
    return f"STRUCT({', '.join(f'{quote(name)} {_of(kind, lost)}' for name, kind in children)})"


def _text(_children: Children, _lost: Lost) -> str:
    return "VARCHAR"


NESTED: Mapping[str, Callable[[Children, Lost], str]] = {
    "list": _list,
    "array": _array,
    "map": _map,
    "struct": _struct,
    # Without names, or of several types, they cannot be asked for by part.
    "tuple": _text,
    "union": _text,
}


def arrow_reader(relation: duckdb.DuckDBPyRelation, lost: Lost = LOST) -> pa.RecordBatchReader:
    """Return the answer as Arrow, with names of columns that are told apart."""
    reader = _kept(relation, lost).to_arrow_reader(ROWS_PER_BATCH)
    names = distinct(reader.schema.names)
    schema = pa.schema([each.with_name(name) for each, name in zip(reader.schema, names, strict=True)])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    )


def _kept(relation: duckdb.DuckDBPyRelation, lost: Lost) -> duckdb.DuckDBPyRelation:
    """Return the same answer, of whose types the form has a like."""
    types = [held(kind, lost) for kind in relation.types]
    if not any(types):
        return relation
    names = map(quote, distinct(relation.columns))
    columns = (f"CAST(#{at} AS {kind})" if kind else f"#{at}" for at, kind in enumerate(types, start=1))
    return relation.project(
        ", ".join(f"{column} AS {name}" for column, name in zip(columns, names, strict=True))
    )


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names of columns, a number added to each that is there already."""
    found: dict[str, None] = {}
    for wish in names:
        name, count = wish, 0
        while name in found or (count and name in names):
            count += 1
            name = f"{wish}_{count}"
        found[name] = None
    return list(found)
