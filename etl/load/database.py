"""Connections to the file of a warehouse."""

from pathlib import Path

import duckdb

from etl.load.duckdb_errors import MEMORY, is_out_of_memory, most_memory, unopenable, unwritable
from etl.schema import literal, quote

DATABASE = "warehouse"
"""Name under which the file is attached, as DuckDB would name it itself."""
SPILL = "spill"
"""Folder for what DuckDB cannot hold in memory; it is there only while there is any."""
ROW_GROUP_ROWS = 10_240
"""Rows of a row group, a multiple of 2,048. What a transaction appends is compressed and written to its place
once it fills one, past the log; so of the usual 122,880 a batch fills none, and all of it was written to the
log, and again at the next checkpoint. The file is larger by it: fewer rows would be compressed worse yet."""

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
            how = f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}{', READ_ONLY' * read_only}"
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


def database_of(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the name of the database that a connection works on, which nothing else works on meanwhile."""
    ((name,),) = connection.execute("SELECT current_database()").fetchall()
    return str(name)


def cursor_on(connection: duckdb.DuckDBPyConnection, database: str) -> duckdb.DuckDBPyConnection:
    """Return another connection beside this one; by itself, it would work on the database in memory."""
    cursor = connection.cursor()
    cursor.execute(f"USE {quote(database)}")
    return cursor
