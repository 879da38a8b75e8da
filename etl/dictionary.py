"""The data dictionary, `schemas/README.md`: all tables and views with their columns, as declared."""

import sys
from collections.abc import Iterator

import duckdb

from etl.declaration import TYPES
from etl.schema import Table, sources
from etl.views import SCHEMAS, View, statements, views

WORDS = {str(duckdb.sqltype(kind)): word for word, (_, kind) in TYPES.items()}
"""The type word for what DuckDB calls each type."""


def dictionary() -> str:
    """Return the text of `schemas/README.md`."""
    lines = [
        "# Data dictionary",
        "",
        "Made by `make docs` from the `.toml` files here and from `sql/staging` and `sql/mart`; a test",
        "holds it current.",
        "",
    ]
    for source in sources():
        lines += [f"# {source.name}", "", source.doc, ""]
        for table in source.tables.values():
            lines += _table(table)
    typed = [*_typed()]
    for schema, doc in SCHEMAS.items():
        lines += [f"# {schema}", "", f"{doc}; each is a file in `sql/{schema}`.", ""]
        for view, types in typed:
            lines += _view(view, types) if view.schema == schema else ()
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table) -> Iterator[str]:
    """Yield the lines of one table."""
    yield from (f"## {table.qualified}", "", table.declared.doc, "")
    yield from (f"Key: {', '.join(f'`{name}`' for name in table.key)}", "")
    yield from ("| column | type | unit, limits | meaning |", "|---|---|---|---|")
    for name, column in table.columns.items():
        bounds = column.unit or " to ".join(
            f"{edge:g}" for edge in (column.min, column.max) if edge is not None
        )
        kind = column.type + (" not null" if table.not_null(name) else "")
        yield f"| `{name}` | {kind} | {bounds} | {column.doc} |"
    yield ""


def _view(view: View, types: dict[str, str]) -> Iterator[str]:
    """Yield the lines of one view."""
    yield from (f"## {view.qualified}", "", view.doc, "")
    yield from ("| column | type | meaning |", "|---|---|---|")
    for name, doc in view.columns.items():
        yield f"| `{name}` | {types[name]} | {doc} |"
    yield ""


def _typed() -> Iterator[tuple[View, dict[str, str]]]:
    """All views with the types of their columns, which follow from the query and the tables it reads."""
    with duckdb.connect() as connection:
        for source in sources():
            connection.execute(f"CREATE SCHEMA {source.name}")
            for table in source.tables.values():
                connection.execute(next(table.ddl()))
        for statement in statements():
            connection.execute(statement)
        for view in views():
            described = connection.execute(f"DESCRIBE {view.qualified}").fetchall()
            yield view, {row[0]: WORDS[row[1]] for row in described}


if __name__ == "__main__":
    sys.stdout.write(dictionary())
