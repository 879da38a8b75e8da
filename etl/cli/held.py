"""As what Arrow and Parquet can hold the types of DuckDB that they have no like of."""

from collections.abc import Callable, Mapping
from typing import Any

from etl.schema import quote

DIGITS = "DECIMAL(38, 0)"
"""As what Arrow takes integers of 128 bits, larger ones included; cast to it, these fail."""
LOST = frozenset({"uhugeint", "bignum", "time with time zone", "bit"})
"""What Arrow would get as a wrong number, without its zone, or as DuckDB keeps it in memory."""

Children = list[tuple[str, Any]]
"""The types inside of a type, with their names."""


def held(kind: Any) -> str | None:  # noqa: ANN401 -- DuckDB's types are of a private class
    """As what values of a type are asked for, so that all of them is kept; None for themselves."""
    if kind.id == "hugeint":
        return DIGITS
    if kind.id in LOST:
        return "VARCHAR"
    if kind.id in NESTED and any(held(each) for each in _types(kind)):
        return NESTED[kind.id](kind.children)
    return None


def _types(kind: Any) -> list[Any]:  # noqa: ANN401 -- as above
    # An array has its size among them.
    return [each for _, each in kind.children if hasattr(each, "id")]


def _of(kind: Any) -> str:  # noqa: ANN401 -- as above
    return held(kind) or str(kind)


def _list(children: Children) -> str:
    return f"{_of(children[0][1])}[]"


def _array(children: Children) -> str:
    (_, kind), (_, size) = children
    return f"{_of(kind)}[{size}]"


def _map(children: Children) -> str:
    (_, key), (_, value) = children
    return f"MAP({_of(key)}, {_of(value)})"


def _struct(children: Children) -> str:
    return f"STRUCT({', '.join(f'{quote(name)} {_of(kind)}' for name, kind in children)})"


def _text(_children: Children) -> str:
    return "VARCHAR"


NESTED: Mapping[str, Callable[[Children], str]] = {
    "list": _list,
    "array": _array,
    "map": _map,
    "struct": _struct,
    # Without names, or of several types, they cannot be asked for by part.
    "tuple": _text,
    "union": _text,
}
