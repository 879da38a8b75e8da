"""What stands in programs that are not run."""

import ast
from pathlib import Path
from typing import Any


def assigned_in(program: Path) -> dict[str, Any]:
    """The values that a program names and that stand there in full, by name."""
    found: dict[str, Any] = {}

    class Filled(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.Constant(found[node.id]) if node.id in found else node

    for each in ast.parse(program.read_text(encoding="utf-8")).body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            try:
                found[each.targets[0].id] = ast.literal_eval(Filled().visit(each.value))
            except ValueError:
                continue
    return found
