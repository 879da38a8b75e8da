"""Whether the lake holds what the warehouse holds: its files as they were written, and their rows."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from duckdb import DuckDBPyConnection, Error

from etl.load.differences import Difference
from etl.load.relation import relation
from etl.publish.lake import Lake
from etl.publish.layout import LAKE
from etl.publish.partitions import MODULUS, condition
from etl.publish.state import FileSeal, Published, checksum
from etl.schema import Table, literal, quote

UNREADABLE, ALTERED = "cannot be read", "is not as it was written"


def is_damage(difference: Difference) -> bool:
    """Whether the difference is a damaged file, which every publish finds by itself."""
    return difference.what.startswith((UNREADABLE, ALTERED))


def lake_differences(
    connection: DuckDBPyConnection, home: Path, tables: Mapping[str, Table]
) -> Iterator[Difference]:
    """Yield the files of the newest version that are damaged, or hold other rows than these tables."""
    lake = Lake(home)
    newest = lake.newest()
    recorded = lake.recorded(newest) if newest else None
    if recorded is None:
        what = "the commit of the newest version cannot be read" if newest else "nothing is published"
        yield Difference(place="lake", what=what, file=LAKE)
        return
    for name, table in tables.items():
        total = 0
        for part, each in recorded.tables.get(name, {}).items():
            path = lake.path(name, part, each.since)
            what = _damage(path, each.file) or _differs(connection, table, each, path)
            total += each.partition.rows
            if what:
                yield Difference(
                    place="lake",
                    what=what,
                    source=table.schema,
                    table=name,
                    file=str(path.relative_to(home)),
                )
        ((count,),) = connection.execute(f"SELECT count(*) FROM {relation(table)}").fetchall()
        if count != total:
            what = f"{total:,} rows are published, of {count:,} in the warehouse"
            yield Difference(place="lake", what=what, source=table.schema, table=name)


def _damage(path: Path, sealed: FileSeal) -> str:
    """Return what is wrong with a file; empty where it is as it was written."""
    try:
        is_whole = path.stat().st_size == sealed.size and checksum(path) == sealed.checksum
    except OSError as error:
        return f"{UNREADABLE}: {error.strerror or error}"
    return "" if is_whole else ALTERED


def _differs(connection: DuckDBPyConnection, table: Table, each: Published, path: Path) -> str:
    """Return how the rows of a partition differ from those of the warehouse; empty where they do not."""
    rows = f"{relation(table)} WHERE {condition(table, each.partition)}"
    try:
        published = _measure(connection, table, f"read_parquet({literal(str(path))})")
    except Error as error:
        return f"{UNREADABLE}: {str(error).splitlines()[0]}"
    stored = _measure(connection, table, rows)
    if published == stored:
        return ""
    if published[0] != stored[0]:
        return f"has {published[0]:,} rows, the warehouse {stored[0]:,}"
    return "has other values than the warehouse"


def _measure(connection: DuckDBPyConnection, table: Table, rows: str) -> tuple[int, int]:
    """Return how many rows there are, and what they hold as one number, whatever their order."""
    values = ", ".join(
        f"CAST({quote(name)} AS {'VARCHAR' if column.type == 'json' else column.sql})"
        for name, column in table.columns.items()
    )
    ((count, digest),) = connection.execute(
        f"SELECT count(*), CAST(coalesce(sum(hash({values})), 0) % {MODULUS} AS BIGINT) FROM {rows}"
    ).fetchall()
    return count, digest
