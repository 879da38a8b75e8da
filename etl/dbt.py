"""The dbt package that `sightglass dbt` writes: what the declarations say of each table and view, as sources.

What does not follow from the declarations (the tests' SQL, an example, how to connect) is in `sql/dbt/`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl import __version__
from etl.declaration import Column
from etl.foreign_keys import ForeignKey, foreign_keys
from etl.schema import LINEAGE_TIME, SYSTEM, Source, Table, folder, sources
from etl.views import SCHEMAS, View, views

PROJECT = "dbt_project.yml"
MADE = "Made by `sightglass dbt`"
MARK = f"# {MADE}"
"""How the project's file begins, by which a folder is known as one that was written here."""
COMMENTS = {"yml": "# ", "sql": "-- "}
"""How a comment begins, by the ending of the file."""

DATABASE = "{{ var('sightglass_database', 'bi' if target.type == 'duckdb' else target.database) }}"
"""Where the tables are: attached under this name in DuckDB, else beside the models."""

RUNS = "runs"
FRESHNESS = {"warn_after": {"count": 1, "period": "day"}, "error_after": {"count": 3, "period": "day"}}
"""How long ago the last run may have begun. Other tables have no limits: nothing new in one is no fault."""

Yaml = Mapping[str, Any]


def package() -> dict[str, str]:
    """Return the text of each file by its path in the package."""
    root = folder("sql") / "dbt"
    head = f"{MADE} of Sightglass {__version__}, which replaces it when it is given again.\n"
    files = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    for name, doc, tables in _schemas():
        files[f"models/sources/{name}.yml"] = yaml({"version": 2, "sources": [_source(name, doc, tables)]})
    marks = {path: COMMENTS.get(path.rpartition(".")[2]) for path in files}
    return {path: f"{marks[path]}{head}{text}" if marks[path] else text for path, text in files.items()}


def _schemas() -> Iterator[tuple[str, str, list[Yaml]]]:
    """Yield each schema with its doc and its tables."""
    for source in sources():
        # Rows there name runs that are summed up by now.
        keys = [*foreign_keys(source)] if source.name != SYSTEM else []
        yield source.name, source.doc, [_table(source, table, keys) for table in source.tables.values()]
    for schema, doc in SCHEMAS.items():
        yield schema, f"{doc}.", [_view(view) for view in views() if view.schema == schema]


def _source(name: str, doc: str, tables: Sequence[Yaml]) -> Yaml:
    return {"name": name, "description": doc, "database": DATABASE, "schema": name, "tables": tables}


def _table(source: Source, table: Table, keys: Sequence[ForeignKey]) -> Yaml:
    """Return a table with the tests of its key, of what it refers to, and of its limits."""
    tests = [{"sightglass.is_key": {"arguments": {"columns": [*table.key]}}}]
    tests += [_belongs_to(each) for each in keys if each.table is table]
    return {
        "name": table.name,
        "description": table.declared.doc,
        **_freshness(source, table),
        "data_tests": tests,
        "columns": [_column(table, name, column) for name, column in table.columns.items()],
    }


def _belongs_to(key: ForeignKey) -> dict[str, Any]:
    """Return the test that a row refers to one that is there: a warning where no API need have sent that."""
    parent = f"source('{key.parent.schema}', '{key.parent.name}')"
    warns = {} if key.is_part else {"config": {"severity": "warn"}}
    return {"sightglass.belongs_to": {"arguments": {"columns": [*key.columns], "parent": parent}, **warns}}


def _freshness(source: Source, table: Table) -> Yaml:
    if source.name != SYSTEM:
        return {"config": {"loaded_at_field": LINEAGE_TIME}}
    return (
        {"config": {"loaded_at_field": table.by_month, "freshness": FRESHNESS}} if table.name == RUNS else {}
    )


def _column(table: Table, name: str, column: Column) -> Yaml:
    tests: list[Any] = ["not_null"] if name in table.key else []
    limits = {"least": column.min, "greatest": column.max}
    given = {edge: limit for edge, limit in limits.items() if limit is not None}
    if given:
        tests.append({"sightglass.within": {"arguments": given}})
    return {"name": name, "description": column.comment, **({"data_tests": tests} if tests else {})}


def _view(view: View) -> Yaml:
    columns = [{"name": name, "description": doc} for name, doc in view.columns.items()]
    return {"name": view.name, "description": view.doc, "columns": columns}


def yaml(value: Yaml) -> str:
    """Return a mapping as YAML: its keys are plain words, its texts are quoted as JSON, which is YAML too."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:  # noqa: ANN401 -- any JSON
    """Yield the lines of a mapping or list, without an indent of its own."""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            if isinstance(inside, Mapping | list) and inside:
                yield f"{name}:"
                yield from (f"  {line}" for line in _lines(inside))
            else:
                yield f"{name}: {json.dumps(inside, ensure_ascii=False)}"
        return
    for each in value:
        if not isinstance(each, Mapping):
            yield f"- {json.dumps(each, ensure_ascii=False)}"
            continue
        first, *more = _lines(each)
        yield f"- {first}"
        yield from (f"  {line}" for line in more)
