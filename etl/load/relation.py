"""What readers see of a table: the rows that are stored in it, and those that follow from another table.

A history and the list of versions store what was replaced, and what still holds only where the current row
does not say it all: from when it has held, and who wrote it then. Every other current row is marked: the
version that it is follows from it, and is written once. Rows of a warehouse from before there was a mark
have none, as the tables list all their versions.
"""

from etl import schema
from etl.errors import ConfigError
from etl.schema import LINEAGE_TIME, Source, Table, quote
from etl.transform.shape import paths_of

MARK = "_is_version"
"""The column that marks a current row from which a version follows; readers do not see it."""
MARK_DOC = "Whether the version that this row is follows from it; else the history has a row for it."
LINEAGE = ("_run_id", LINEAGE_TIME)


def time_of_whole(whole: Table, part: Table) -> str:
    """Name of the column in which a part repeats the version of its row; empty where none does."""
    if not whole.version or not whole.not_null(whole.version):
        return ""
    if part is whole:
        return whole.version
    above = [f"/{path}" for path in paths_of(whole.version, whole.columns[whole.version])]
    return next((name for name, column in part.columns.items() if [*paths_of(name, column)] == above), "")


def is_marked(source: Source, table: Table) -> bool:
    """Whether versions follow from the rows of the table."""
    return bool(source.history_of(table) or source.versions_of(table))


def derived(source: Source, kept: Table) -> tuple[Table, dict[str, str]]:
    """Return the table that versions follow from, and for each column of them the expression that it is.

    Raises ConfigError where the rows do not say from when they hold.
    """
    origin = source.tables[kept.declared.history_of or kept.declared.versions_of]
    whole = source.tables.get(origin.declared.part_of, origin)
    time = time_of_whole(whole, origin)
    if not time:
        raise ConfigError(
            f"schemas/{source.name}.toml: [{kept.name}] no mandatory column of {origin.name} has the version"
        )
    values = {name: quote(name) for name in (*whole.key, time, *LINEAGE)}
    if kept.declared.history_of:
        values = {
            **{name: quote(name) for name in (*origin.content, "_extra", *LINEAGE)},
            "valid_from": quote(time),
            "revision": "0",
        }
    return origin, {
        name: f"CAST({values.get(name, 'NULL')} AS {column.sql})" for name, column in kept.columns.items()
    }


def followed(kept: Table) -> Table | None:
    """Return the table whose rows versions follow from, each at the time of its row.

    None where there is none.
    """
    if not (kept.declared.history_of or kept.declared.versions_of):
        return None
    origin, values = derived(schema.source(kept.schema), kept)
    same = {name: name for name in origin.key} | {kept.by_month: origin.by_month}
    is_same = set(origin.key) <= set(kept.key) and all(
        values.get(name) == f"CAST({quote(known)} AS {origin.columns[known].sql})"
        for name, known in same.items()
        if known
    )
    return origin if is_same else None


def stored(table: Table) -> list[tuple[Table, str]]:
    """Return the tables that hold the rows, each with the relation of its rows and row ids."""
    if not (table.declared.history_of or table.declared.versions_of):
        return [(table, table.qualified)]
    origin, values = derived(schema.source(table.schema), table)
    columns = ", ".join(f"{value} AS {quote(name)}" for name, value in values.items())
    follows = f"(SELECT rowid, {columns} FROM {origin.qualified} WHERE {quote(MARK)})"
    return [(table, table.qualified), (origin, follows)]


def relation(table: Table) -> str:
    """Return the rows of the table as readers see them, to be named after FROM."""
    parts = [part for _, part in stored(table)]
    columns = ", ".join(map(quote, table.columns))
    each = [f"SELECT {columns} FROM {part}" for part in parts]
    return f"({' UNION ALL '.join(each)})" if len(parts) > 1 else parts[0]
