"""Slices written side by side, each as a file of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

from duckdb import DuckDBPyConnection

from etl.publish.files import finish
from etl.publish.slices import Slice
from etl.schema import Table

WriteSlice = Callable[[DuckDBPyConnection, Table, Slice, Path, threading.Event], None]


def write_slices(
    connection: DuckDBPyConnection,
    left: list[tuple[Table, Slice]],
    part: Callable[[str, str], Path],
    write: WriteSlice,
    at_once: int,
) -> None:
    """Write slices where `part` says, so many at once; those that are written leave the list."""
    unwanted = threading.Event()

    def write_one(one: tuple[Table, Slice]) -> None:
        table, each = one
        path = part(table.qualified, each.name)
        with closing(connection.cursor()) as cursor:
            write(cursor, table, each, path, unwanted)
        finish(path)
        if not unwanted.is_set():
            left.remove(one)

    # Two sorts with a thread each need less memory than one with two, and one is encoded meanwhile.
    connection.execute("SET threads = 1")
    with ThreadPoolExecutor(at_once) as pool:
        begun = [pool.submit(write_one, one) for one in tuple(left)]
        try:
            for each in as_completed(begun):
                each.result()
        except BaseException:
            # Neither an error nor who told the run to stop waits for the others to be whole.
            unwanted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
