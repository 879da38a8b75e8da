"""The pictures of `docs/tables.md`: how the tables of a source refer to each other, what is made of them.

They are Mermaid, which GitHub and many editors draw.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache

import duckdb

from etl.foreign_keys import foreign_keys
from etl.schema import SYSTEM, Source, Table, sources
from etl.views import SCHEMAS, views


def page() -> str:
    """Return the text of `docs/tables.md`."""
    lines = [
        "# Tables, and what is made of them",
        "",
        "Made by `make docs` from the `.toml` files in `schemas/` and from `sql/staging` and `sql/mart`;",
        "a test holds it current. Every column is in the [data dictionary](../schemas/README.md).",
        "",
        "Of each table its key (PK) and the columns that hold the key of another one (FK) are shown.",
        "A line that is drawn through joins a part to its whole, or a table to the one that a column names.",
        "No part is without its whole; a row that is only named may be missing where an API has not sent it.",
        "A dotted line leads to what Sightglass keeps about the rows of a table, such as their history.",
        "",
    ]
    for source in sources():
        if source.name != SYSTEM:
            lines += [f"## {source.name}", "", source.doc, "", *_mermaid(_relations(source))]
    lines += [
        "## From streams to marts",
        "",
        "On the left the streams that a run reads, then the tables that it fills, and the views that read",
        "these. `mart.settings` reads none.",
        "",
    ]
    for source in sources():
        lines += [f"### {source.name}: what is made of it", "", *_mermaid(_flow(source))]
    return "\n".join(lines).rstrip() + "\n"


def _mermaid(lines: Iterator[str]) -> Iterator[str]:
    yield from ("```mermaid", *lines, "```", "")


def _relations(source: Source) -> Iterator[str]:
    """Yield the lines of a diagram of the keys of a source."""
    keys = [each for each in foreign_keys(source) if not _origin(each.table)]
    yield "erDiagram"
    for table in source.tables.values():
        refers = {name for each in keys if each.table is table for name in each.columns}
        yield f"    {table.name} {{"
        for name, column in table.columns.items():
            marks = [mark for mark, names in (("PK", table.key), ("FK", refers)) if name in names]
            if marks:
                yield f"        {column.type} {name} {', '.join(marks)}"
        yield "    }"
    for each in keys:
        named = "part" if each.is_part else each.columns[0]
        one = "||" if each.is_part else "|o"
        yield f"    {each.parent.name} {one}--o{{ {each.table.name} : {named}"
    for table in source.tables.values():
        for origin, what in _origin(table).items():
            yield f"    {origin} |o..o{{ {table.name} : {what}"


def _origin(table: Table) -> Mapping[str, str]:
    """Return of which table this one keeps something, and what it keeps."""
    declared = table.declared
    kept = {
        declared.history_of: "history",
        declared.versions_of: "versions",
        declared.copies_of: "copies",
        declared.follows: "follows",
    }
    return {name: what for name, what in kept.items() if name}


def _flow(source: Source) -> Iterator[str]:
    """Yield the lines of a diagram of what is read for the tables of a source, and what reads these."""
    own = {table.qualified for table in source.tables.values()}
    reads = _reading(own)
    foreign = sorted(set().union(*reads.values()) - own - reads.keys())
    streams = dict.fromkeys(
        table.declared.stream for table in source.tables.values() if table.declared.stream
    )
    nodes = {
        "streams": [f"{source.name}_stream_{name}([{name}])" for name in streams],
        source.name: [f"{_id(table.qualified)}[({table.name})]" for table in source.tables.values()],
        **{
            schema: [
                f"{_id(view.qualified)}[{view.name}]"
                for view in views()
                if view.schema == schema and view.qualified in reads
            ]
            for schema in SCHEMAS
        },
    }
    yield "flowchart LR"
    yield from (f"    {_id(name)}[({name})]" for name in foreign)
    for title, inside in nodes.items():
        if inside:
            yield from (
                f'    subgraph in_{title}["{title}"]',
                *(f"        {node}" for node in inside),
                "    end",
            )
    for table in source.tables.values():
        if origins := _origin(table):
            yield from (f"    {source.name}_{name} -.-> {_id(table.qualified)}" for name in origins)
        elif table.declared.stream:
            yield f"    {source.name}_stream_{table.declared.stream} --> {_id(table.qualified)}"
    for name, read in reads.items():
        yield from (f"    {_id(each)} --> {_id(name)}" for each in sorted(read))


def _reading(tables: set[str]) -> dict[str, set[str]]:
    """Return the views that read any of the tables, by others too, with all that they name."""
    found: dict[str, set[str]] = {}
    for view in views():  # after those that it reads
        named = _reads()[view.qualified]
        if named & (tables | found.keys()):
            found[view.qualified] = named
    return found


def _id(name: str) -> str:
    """Return the name of a table or view as Mermaid wants it: without a dot."""
    return name.replace(".", "_")


@cache
def _reads() -> dict[str, set[str]]:
    """Return the tables and views that the query of each view names, by the view."""
    with duckdb.connect() as connection:
        # With its alias behind it, where it has one.
        return {
            view.qualified: {
                name.partition(" ")[0] for name in connection.get_table_names(view.query, qualified=True)
            }
            for view in views()
        }


if __name__ == "__main__":
    sys.stdout.write(page())
