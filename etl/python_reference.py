"""The reference of `import sightglass`, from its docstrings and annotations."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from etl.reference import documented

FIRST = ("open", "run", "Warehouse", "Answer", "Catalog", "Table", "Column", "RunReport")
"""What most people use; all else follows by name, errors last."""
SAID = {"pl.": "polars.", "pyarrow.lib.": "pyarrow.", "_duckdb.": "duckdb."}
"""By what name people know a package."""
OURS = re.compile(r"\b(?:collections\.abc|datetime|pathlib|(?:sightglass|etl)(?:\.\w+)*)\.(?=[A-Z])")
"""What stands before a name that says enough by itself."""


def python() -> Iterator[str]:
    """Yield the functions and classes that the package offers, each with all that is public of it."""
    package = import_module("sightglass")
    names = [name for name in package.__all__ if not name.startswith("_")]
    rest = sorted({*names} - {*FIRST}, key=lambda name: (name.endswith("Error"), name))
    for number, name in enumerate([*FIRST, *rest]):
        yield from ([""] * bool(number))
        found = getattr(package, name)
        yield from _class(name, found) if inspect.isclass(found) else _callable(name, found, 2)


def _callable(name: str, function: Any, level: int) -> Iterator[str]:  # noqa: ANN401 -- any callable
    """Yield the head of a function or method, how it is called, and what it says."""
    yield from (f"{'#' * level} `{name}()`", "", "```python")
    yield from (f"{name}{_signature(function)}", "```", "", *_prose(function))


def _class(name: str, found: type) -> Iterator[str]:
    """Yield a class with its fields, properties and methods."""
    bases = [each.__name__ for each in found.__bases__ if each not in (object, Exception)]
    yield from (
        f"## `{name}`",
        "",
        *([f"A kind of {', '.join(f'`{each}`' for each in bases)}.", ""] * bool(bases)),
    )
    yield from _prose(found)
    attributes = [*_attributes(found)]
    if attributes:
        yield from ("", "| attribute | type | what it is |", "|---|---|---|", *attributes)
    for each, member in vars(found).items():
        if inspect.isfunction(member) and not each.startswith("_"):
            yield ""
            yield from _callable(each, member, 3)


def _attributes(found: type) -> Iterator[str]:
    """Yield a row for each public field and property."""
    (tree,) = ast.parse(inspect.getsource(found)).body
    docs = documented(found)
    for part in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(part, ast.AnnAssign) and not (name := ast.unparse(part.target)).startswith("_"):
            yield _row(name, ast.unparse(part.annotation), docs.get(name, ""))
    for name, member in vars(found).items():
        if isinstance(member, property) and not name.startswith("_"):
            kind = inspect.signature(member.fget).return_annotation if member.fget else ""
            yield _row(name, _named(kind), " ".join((inspect.getdoc(member) or "").split()))


def _row(name: str, kind: str, told: str) -> str:
    return f"| `{name}` | `{kind.replace('|', chr(92) + '|')}` | {told} |"


def _signature(function: Any) -> str:  # noqa: ANN401 -- any callable
    """Return how it is called, a parameter a line where one line would be long."""
    found = inspect.signature(function)
    shown = [each for name, each in found.parameters.items() if name != "self"]
    return _short(str(found.replace(parameters=shown)).replace("'", ""))


def _short(kinds: str) -> str:
    """Return annotations as people write them."""
    for name, said in SAID.items():
        kinds = kinds.replace(name, said)
    return OURS.sub("", kinds)


def _named(kind: Any) -> str:  # noqa: ANN401 -- any annotation
    return _short(kind if isinstance(kind, str) else inspect.formatannotation(kind))


def _prose(found: Any) -> Iterator[str]:  # noqa: ANN401 -- whatever has a docstring
    """Yield a docstring, a paragraph a line; code blocks stay as they are."""
    for number, paragraph in enumerate((inspect.getdoc(found) or "").split("\n\n")):
        yield from ([""] * bool(number))
        yield paragraph if "```" in paragraph else " ".join(paragraph.split())
