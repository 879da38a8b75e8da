"""Which records are stored, by their hashes."""

from etl.load.warehouse import Warehouse
from etl.schema import Source, quote


def stored_hashes(warehouse: Warehouse, source: Source, stream: str, since: int) -> dict[int, int | None]:
    """Return the hashes of the records of a stream that are stored, with their versions in microseconds.

    Where the rows have versions, those before `since` are left out. A row that has no hash is not among them.
    """
    found: dict[int, int | None] = {}
    for table in source.of_stream(stream):
        if not table.declared.record_hash:
            continue
        name = quote(table.declared.record_hash)
        is_dated = bool(table.version) and not table.columns[table.version].volatile
        version = f"epoch_us({quote(table.version)})" if is_dated else "NULL"
        recent = f"AND {quote(table.version)} >= make_timestamptz({since})" if is_dated else ""
        rows = warehouse.connection.execute(
            f"SELECT {name}, {version} FROM {table.qualified} WHERE {name} IS NOT NULL {recent}"
        ).fetchall()
        found |= dict(rows)
    return found
