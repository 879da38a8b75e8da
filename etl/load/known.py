"""Which records are stored, by their hashes."""

from etl.load.warehouse import Warehouse
from etl.schema import Source, quote
from etl.values import Cursor


def stored_hashes(
    warehouse: Warehouse, source: Source, stream: str, since: Cursor | None
) -> dict[int, Cursor | None]:
    """Return the hashes of the records of a stream that are stored, with their versions as cursors have them.

    Where the rows have versions, those before `since` are left out. A row that has no hash is not among them.
    """
    found: dict[int, Cursor | None] = {}
    for table in source.of_stream(stream):
        if not table.declared.record_hash:
            continue
        name, version, recent = quote(table.declared.record_hash), "NULL", ""
        if source.version_of(stream) == (table, table.version) and not table.columns[table.version].volatile:
            column, first = quote(table.version), "$since"
            version = column
            if source.cursor_of(stream) == "time":
                version, first = f"epoch_us({column})", "make_timestamptz($since)"
            recent = f"AND {column} >= {first}" if since is not None else ""
        query = f"SELECT {name}, {version} FROM {table.qualified} WHERE {name} IS NOT NULL {recent}"
        found |= dict(warehouse.execute(query, since=since))
    return found
