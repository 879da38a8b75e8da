"""Connections to the file of a warehouse."""

from pathlib import Path

import duckdb

from etl.load.duckdb_errors import MEMORY, is_out_of_memory, most_memory, unopenable, unwritable
from etl.schema import literal, quote

DATABASE = "warehouse"
"""Name under which the file is attached, as DuckDB would name it itself."""
SPILL = "spill"
"""Folder for what DuckDB cannot hold in memory; it is there only while there is any."""
LARGE = 256_000_000
"""Bytes from which on a warehouse grows by what changes, and is looked through more than it is written."""
ROW_GROUP_ROWS, LARGE_ROW_GROUP_ROWS = 10_240, 122_880
"""Rows of a row group, multiples of 2,048: before a warehouse is large, and then, as DuckDB has it by itself.

What a transaction appends is compressed and written to its place once it fills a row group, past the log. Of
large ones a batch fills none: all of it was written to the log, and again at the next checkpoint, which is a
tenth of the time of a first load. But each small one is looked at by itself whenever a table is looked
through, and is compressed worse: a thousand changes into twenty million rows take a fifth longer."""

LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": f"{MEMORY}MB",
    # Never by itself: where the memory does not suffice for it, nothing more can be done on the connection.
    "checkpoint_threshold": "1TB",
}
"""Set before anything is read: after a kill, the log is worked in when the file is opened."""


def connected(path: Path, memory: int, *, read_only: bool) -> tuple[duckdb.DuckDBPyConnection, int]:
    """Return a connection to the file, and the megabytes that it may hold.

    After a kill the log is worked in at once, which can take more than was meant.
    """
    while True:
        own = {"memory_limit": f"{memory}MB", "temp_directory": str(path.parent / SPILL)}
        connection = duckdb.connect(config={**LIMITS, **own})
        try:
            # It is no property of the file: only who attaches it can say how large row groups become.
            how = f"ROW_GROUP_SIZE {_row_group_rows(path)}{', READ_ONLY' * read_only}"
            connection.execute(f"ATTACH {literal(str(path))} AS {DATABASE} ({how})")
        except duckdb.Error as error:
            connection.close()
            if not is_out_of_memory(error):
                raise unopenable(path, error) from error
            if memory >= most_memory():
                raise unwritable(error) from error
            memory = min(2 * memory, most_memory())
            continue
        connection.execute(f"USE {DATABASE}")
        connection.execute("SET TimeZone = 'UTC'")
        # Of texts that are compressed so, which are those of more than 4 kB, DuckDB reads none without the
        # 2,047 that stand beside it. Those that are not are read one by one, however large they are.
        connection.execute("SET disabled_compression_methods = 'zstd'")
        return connection, memory


def _row_group_rows(path: Path) -> int:
    return LARGE_ROW_GROUP_ROWS if size_of_file(path) >= LARGE else ROW_GROUP_ROWS


def size_of_file(path: Path) -> int:
    """Return the bytes of a file; none where it cannot be looked at, which whoever opens it is told."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def database_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the name of the database that a connection works on, which nothing else works on meanwhile."""
    ((name,),) = connection.execute("SELECT current_database()").fetchall()
    return str(name)


def cursor_on(connection: duckdb.DuckDBPyConnection, database: str) -> duckdb.DuckDBPyConnection:
    """Return another connection beside this one; by itself, it would work on the database in memory."""
    cursor = connection.cursor()
    cursor.execute(f"USE {quote(database)}")
    return cursor
