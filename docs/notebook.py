"""`python docs/notebook.py NOTEBOOK`: run its cells, and write down in it what they show.

It shows what Jupyter would, by Python alone: what a cell prints, and the value of its last line as text, and
as HTML or SVG where the value has these.
"""

import ast
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

SHOWN_AS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_"}

Json = dict[str, Any]


def executed(notebook: Json) -> Json:
    """Return the notebook with what its cells show; raises what one of them raises."""
    names: Json = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        count += 1
        outputs = _outputs("".join(cell["source"]), names, count)
        cells.append({**cell, "execution_count": count, "outputs": outputs})
    return {**notebook, "cells": cells}


def _outputs(source: str, names: Json, count: int) -> list[Json]:
    """Run one cell, and return what it shows."""
    *lines, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        lines.append(last)
    printed, value = io.StringIO(), None
    where = f"cell {count}"
    with redirect_stdout(printed):
        exec(compile(ast.Module(lines, []), where, "exec"), names)  # noqa: S102 -- our own notebook
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            value = eval(compile(expression, where, "eval"), names)  # noqa: S307 -- likewise
    outputs: list[Json] = []
    if text := printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(text)})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        data |= {
            kind: _lines(getattr(value, name)()) for kind, name in SHOWN_AS.items() if hasattr(value, name)
        }
        shown = {"data": dict(sorted(data.items())), "execution_count": count, "metadata": {}}
        outputs.append({**shown, "output_type": "execute_result"})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def written(notebook: Json) -> str:
    """Return a notebook as a file holds it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Run a notebook, and write it anew."""
    path = Path(sys.argv[1])
    path.write_text(written(executed(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    main()
