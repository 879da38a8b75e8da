"""The reference of the declaration language, for people and for editors, from the docstrings of its keys."""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from etl import declaration
from etl.declaration import TYPES, Column, Declaration, Described

TITLES: dict[type[msgspec.Struct], str] = {
    Described: "The file",
    Declaration: "A table: `[name]`",
    Column: "A column: `name = { ... }` below `[name.columns]`",
}


def documented(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what the docstring of each field says, by the field's name."""
    (made,) = ast.parse(inspect.getsource(struct)).body
    return {
        ast.unparse(field.target): " ".join(ast.literal_eval(text.value).split())
        for field, text in pairwise(ast.iter_child_nodes(made))
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def reference() -> str:
    """Return the text of `docs/schema-reference.md`."""
    lines = [
        "# Reference of the declarations in `schemas/`",
        "",
        "Made by `make docs` from `etl/declaration.py`; a test holds it current.",
        "A file whose first line is `#:schema ./declaration.schema.json` is checked and completed by editors",
        "that know this directive of Taplo.",
        "",
        inspect.cleandoc(declaration.__doc__ or "").partition("\n\n")[2],
        "",
    ]
    structs = _structs()
    for struct, title in TITLES.items():
        lines += [f"## {title}", "", inspect.getdoc(struct) or "", "", *_keys(structs[struct.__name__]), ""]
    lines += ["## Types", "", "| type | Arrow | DuckDB |", "|---|---|---|"]
    lines += [f"| `{word}` | `{arrow}` | `{sql}` |" for word, (arrow, sql) in TYPES.items()]
    return "\n".join(lines) + "\n"


def json_schema() -> str:
    """Return the text of `schemas/declaration.schema.json`."""
    structs = _structs()
    # Of a column that a part inherits it may say as little as it likes.
    required = structs["Column"].pop("required")
    structs["Declaration"] |= {
        "if": {"not": {"required": ["part_of"]}},
        "then": {"properties": {"columns": {"additionalProperties": {"required": required}}}},
    }
    made = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **structs.pop(Described.__name__),
        "additionalProperties": {"$ref": "#/definitions/Declaration"},
        "definitions": structs,
    }
    return json.dumps(made, indent=2) + "\n"


def _structs() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each struct by its name, with the docs of its fields."""
    _, structs = msgspec.json.schema_components(TITLES, ref_template="#/definitions/{name}")
    for struct in TITLES:
        for key, doc in documented(struct).items():
            structs[struct.__name__]["properties"][key]["description"] = doc
    return structs


def _keys(struct: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the table of a struct's keys."""
    yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    for key, form in struct["properties"].items():
        default = form.get("default")
        shown = "required" if key in struct["required"] else f"`{json.dumps(default)}`" if default else ""
        yield f"| `{key}` | {_value(form)} | {shown} | {form['description']} |"


def _value(form: dict[str, Any]) -> str:
    """Return what a key takes, in words."""
    if "enum" in form:
        return "one of " + ", ".join(f"`{each}`" for each in form["enum"])
    if "anyOf" in form:
        return " or ".join(_value(each) for each in form["anyOf"] if each != {"type": "null"})
    kind: str = form["type"]
    if kind == "array":
        return f"list, each {_value(form['items'])}"
    words = {"string": "text", "object": "table", "boolean": "`true` or `false`"}
    return words.get(kind, kind)


if __name__ == "__main__":
    sys.stdout.write(json_schema() if sys.argv[1:] == ["json"] else reference())
