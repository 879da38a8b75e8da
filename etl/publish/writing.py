"""Partitions written side by side, each as a file of its own."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

from duckdb import DuckDBPyConnection, OutOfMemoryException

from etl.load.database import cursor_on, database_of
from etl.load.relation import followed
from etl.publish.files import finish
from etl.publish.partitions import condition
from etl.publish.state import Partition
from etl.schema import Table

Rows = tuple[Sequence[Table], Partition]
"""A partition and the tables that have it."""
WriteSlice = Callable[[DuckDBPyConnection, Sequence[Table], Partition, Sequence[Path], threading.Event], None]


def together(connection: DuckDBPyConnection, partitions: Iterable[tuple[Table, Partition]]) -> list[Rows]:
    """Return the partitions, each with all tables whose rows follow from its rows.

    They are read and sorted once.

    As long as nothing was replaced, this holds of a history and of the list of versions.
    """
    wanted = {(table.qualified, each.name): ([table], each) for table, each in partitions}
    for name, ((table, *_), each) in list(wanted.items()):
        origin = followed(table)
        found = origin and wanted.get((origin.qualified, each.name))
        if (
            found
            and (found[1].start, found[1].end, found[1].rows) == (each.start, each.end, each.rows)
            and not _holds(connection, table, each)
        ):
            found[0].append(table)
            del wanted[name]
    return list(wanted.values())


def _holds(connection: DuckDBPyConnection, table: Table, each: Partition) -> bool:
    """Whether rows of the partition are stored in the table itself."""
    found = connection.execute(f"SELECT true FROM {table.qualified} WHERE {condition(table, each)} LIMIT 1")
    return bool(found.fetchall())


def write_partitions(
    connection: DuckDBPyConnection,
    left: list[Rows],
    part: Callable[[str, str], Path],
    write: WriteSlice,
    at_once: int,
) -> None:
    """Write partitions where `part` says, so many at once; those that are written leave the list."""
    unwanted, database = threading.Event(), database_of(connection)

    def write_one(one: Rows) -> Rows:
        tables, each = one
        paths = [part(table.qualified, each.name) for table in tables]
        try:
            for path in filter(Path.exists, paths):
                path.unlink()  # one that was finished can only be read
            with closing(cursor_on(connection, database)) as cursor:
                write(cursor, tables, each, paths, unwanted)
        except OSError as error:
            # So Arrow passes on what DuckDB says while its rows are read.
            if "Out of Memory Error" in str(error):
                raise OutOfMemoryException(str(error)) from error
            raise
        for path in paths:
            finish(path)
        return one

    # Two sorts with a thread each need less memory than one with two, and one is encoded meanwhile.
    connection.execute("SET threads = 1")
    with ThreadPoolExecutor(at_once) as pool:
        begun = [pool.submit(write_one, one) for one in tuple(left)]
        try:
            for each in as_completed(begun):
                # Only here: a thread that looks for its own in the list may find it moved by another.
                left.remove(each.result())
        except BaseException:
            # Neither an error nor who told the run to stop waits for the others to be whole.
            unwanted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
