"""`bi.duckdb`: views over the lake and the marts, with all comments, for whatever reads with DuckDB.

It is small, and rewritten only when a definition changes. Its storage version opens in DuckDB 1.2 and later.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from etl import schema, views
from etl.config import Settings
from etl.errors import EnvironmentFaultError, NotPublishedError
from etl.files import reason, remedy
from etl.load.duckdb_errors import beyond_limit, first_line, is_full, is_out_of_memory
from etl.load.warehouse import umask
from etl.process import interruptible
from etl.publish.files import PART, protect, readable, remove, take_write_bits, writable
from etl.publish.lake import Lake
from etl.publish.layout import BI, COMMIT, VERSIONS
from etl.publish.opened import changes, opened_for_writing
from etl.publish.spill import spill_folder
from etl.schema import Table, literal, quote

STORAGE = "v1.0.0"
"""The setting that says what the queries of readers may hold in memory, in megabytes."""

DEFINED = "definitions.json"
"""The file in the lake that remembers by which definitions an untouched `bi.duckdb` was made."""

UNWRITTEN = (duckdb.IOException, duckdb.TransactionException)
"""What DuckDB raises where it cannot write a file, or cannot write what was committed."""

NOW = "epoch_us(now())"
READS = re.compile(rf"read_parquet\('((?:[^']|'')*)/{re.escape(VERSIONS)}/")
"""Where in a view the place of its lake stands."""


def write_bi(settings: Settings) -> bool:
    """Make `bi.duckdb` for readers who see the lake as the settings say; whether it had to be written.

    One that somebody has opened for writing is replaced, and so is one that was touched, whatever it holds.
    """
    path = settings.home / BI
    prefix = prefix_of(settings)
    digest = digest_of(prefix, settings.time_zone, settings.home)
    record = settings.home / VERSIONS / DEFINED
    _remove_changes(path)
    if _is_noted(record, path, digest) and opened_for_writing(path) is None:
        take_write_bits(path, path.lstat().st_mode)
        return False
    aside = path.with_name(BI + PART)
    try:
        make_bi(aside, settings.home, prefix, settings.time_zone)
        aside.rename(path)
    except (*UNWRITTEN, OSError) as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        what = first_line(error)
        if isinstance(error, OSError):
            what = f"{reason(error)}; {remedy(error)}"
        elif is_full(error):
            what += "; make room"
        raise EnvironmentFaultError(f"cannot write {path}: {what}") from error
    _note(record, path, digest)
    return True


def digest_of(prefix: str, zone: str, home: Path) -> str:
    """Return what tells the definitions of views that read the lake under a prefix from others."""
    return hashlib.sha256("\n".join(definitions(prefix, zone, home)).encode()).hexdigest()


def make_bi(path: Path, home: Path, prefix: str, zone: str) -> None:
    """Make a file of views that read the lake under a prefix, and have the days of a time zone.

    Raises one of UNWRITTEN or OSError, and leaves nothing then.
    """
    path.unlink(missing_ok=True)
    try:
        _make_bi(path, home, prefix, zone)
        protect(path)
    except BaseException:
        for left in (path, *changes(path)):
            with suppress(OSError):
                left.unlink()
        raise


def _make_bi(path: Path, home: Path, prefix: str, zone: str) -> None:
    with closing(duckdb.connect()) as connection:
        if prefix != str(home):
            _show(connection, home, prefix)
        connection.execute(f"ATTACH {literal(str(path))} AS bi (STORAGE_VERSION '{STORAGE}')")
        connection.execute("USE bi")
        # In one transaction, so that nothing of it goes through a log. There is nothing to optimize, and
        # to look for that takes a quarter of the time.
        begin = ["PRAGMA disable_optimizer", "SET threads = 1", "BEGIN"]
        connection.execute(";\n".join([*begin, *definitions(prefix, zone, home), "COMMIT"]))
        connection.execute("USE memory")
        connection.execute("DETACH bi")


def remove_bi(settings: Settings) -> None:
    """Take `bi.duckdb` away from readers, until what its views look at is there."""
    with writable(settings.home):
        (settings.home / BI).unlink(missing_ok=True)


@contextmanager
def open_bi(settings: Settings, warn: Callable[[str], object] = str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Provide a connection to what is published in this folder.

    Nothing can be changed through it, and no other file be read. `warn` is told where other readers see
    another folder, for this one was copied or moved.

    What its queries need beyond SIGHTGLASS_SQL_MEMORY is spilled; EnvironmentFaultError where even that is
    not enough.
    """
    home, path = settings.home, settings.home / BI
    elsewhere = must_be_published(settings)
    others = [] if elsewhere else other_lakes(settings)
    if others:
        elsewhere = True
        warn(copied(path, others))
    with spill_folder() as spill, interruptible(_connected(path, elsewhere=elsewhere)) as connection:
        try:
            # Where the file's own views lead to a place that only other readers have, the same are made here.
            for statement in definitions(str(home), settings.time_zone, home) if elsewhere else ():
                connection.execute(statement)
            restrict(connection, home, settings.sql_memory, spill)
        except duckdb.Error as error:
            raise unreadable(path, error) from error
        with enough_memory(settings):
            yield connection


def copied(path: Path, others: Sequence[str]) -> str:
    """Return what is to be told where the file reads other lakes than that of its folder."""
    return (
        f"{path} reads {', '.join(others)}, for this folder was copied or moved: what is answered here is of "
        "this folder; `sightglass publish` lets other readers see it too"
    )


def must_be_published(settings: Settings) -> bool:
    """Raise NotPublishedError where there is nothing to read; whether readers see the lake elsewhere."""
    home = settings.home
    elsewhere = prefix_of(settings) != str(home)
    with readable(home):
        is_there = not Lake(home).is_incomplete() and (elsewhere or (home / BI).is_file())
    if not is_there:
        raise NotPublishedError(
            f"nothing is published in {home} yet: run `sightglass run`, or name another --home"
        )
    return elsewhere


def _connected(path: Path, *, elsewhere: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect() if elsewhere else duckdb.connect(path, read_only=True)
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: duckdb.Error) -> EnvironmentFaultError:
    """Return what is to be told where the file cannot be opened."""
    reason = first_line(error)
    return EnvironmentFaultError(f"{path} cannot be opened: {reason}; `sightglass publish` makes it anew")


def restrict(connection: duckdb.DuckDBPyConnection, home: Path, memory: int, spill: Path | None) -> None:
    """Let the connection, and its cursors, read what is published alone, and hold so many megabytes."""
    versions = str(home / VERSIONS)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{memory}MB'")
    connection.execute(f"SET temp_directory = {literal(str(spill or ''))}")
    # Also as `query` names it, where it is called like a pattern.
    named = f"{literal(versions)}, {literal(escape(versions))}"
    connection.execute(f"SET allowed_directories = [{named}]")
    connection.execute("SET enable_external_access = false")
    # Functions change settings too, by which DuckDB writes files into the folders that may be read.
    connection.execute("SET lock_configuration = true")


@contextmanager
def enough_memory(settings: Settings) -> Iterator[None]:
    """Turn what ends for want of memory inside into a EnvironmentFaultError that names the setting."""
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        if isinstance(error, duckdb.Error) and not is_out_of_memory(error):
            raise EnvironmentFaultError(
                f"there is no room to spill: {first_line(error)}; let TMPDIR name a larger folder"
            ) from error
        raise beyond_limit(settings.sql_memory) from error


def other_lakes(settings: Settings) -> list[str]:
    """Return the lakes that the views of `bi.duckdb` read and that are not that of this folder."""
    path = settings.home / BI
    try:
        with closing(duckdb.connect(path, read_only=True)) as connection:
            return lakes_beside(connection, settings)
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def lakes_beside(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[str]:
    """Return the lakes that the views of an open `bi.duckdb` read and that are not that of this folder."""
    found = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    lakes = {place[1].replace("''", "'") for (text,) in found for place in [READS.search(text)] if place}
    own = escape(prefix_of(settings).rstrip("/"))
    return sorted(re.sub(r"\[(.)\]", r"\1", each) for each in lakes - {own})


def prefix_of(settings: Settings) -> str:
    """Return what the paths of all versions begin with where readers are."""
    given = settings.lake_uri.rstrip("/")
    if not given:
        return str(settings.home)
    return given if "://" in given else f"file://{given}"


def _show(connection: duckdb.DuckDBPyConnection, home: Path, prefix: str) -> None:
    """Let this connection find the lake under the prefix: a view can only be made of files that are there."""
    from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415 -- nobody else needs it

    place = prefix.partition("://")[2]

    class Elsewhere(LocalFileSystem):  # type: ignore[misc]  # fsspec ships no types
        """The lake, under the prefix."""

        protocol = prefix.partition("://")[0]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            _, _, found = path.rpartition("://")
            return str(home) + found.removeprefix(place) if found.startswith(place) else found

        def glob(self, path: str, **options: Any) -> list[str]:  # noqa: ANN401 -- as fsspec has it
            """Return the files, under the prefix; `**` lists folders too."""
            # Neither name is a pattern, whatever it looks like.
            here = escape(str(home)) + path.rpartition("://")[2].removeprefix(escape(place))
            local = LocalFileSystem()
            found = (each for each in local.glob(here, **options) if local.isfile(each))
            return [prefix + each.removeprefix(str(home)) for each in found]

    connection.register_filesystem(Elsewhere())


def definitions(prefix: str, zone: str, home: Path, until: str = NOW) -> Iterator[str]:
    """Yield the statements that make all views: over the lake under a prefix, and those in `sql/`.

    The days are those of a time zone. The folder of the warehouse tells of tables that nothing installed has.
    """
    sources = schema.sources(home)
    tables = [table for source in sources for table in source.tables.values()]
    yield from (f"CREATE SCHEMA IF NOT EXISTS {source.name}" for source in sources)
    # What looks at a view binds it again, and that of a table finds its files each time: until the others are
    # made, empty ones stand in for these.
    yield from (f"CREATE OR REPLACE VIEW {table.qualified} AS\n{table.no_rows}" for table in tables)
    yield from views.statements(zone)
    for table in tables:
        yield f"CREATE OR REPLACE VIEW {table.qualified} AS\n{query(table, prefix, until)}"
        yield from table.comments("VIEW")


def query(table: Table, prefix: str, until: str = NOW) -> str:
    """Return the rows of a table in the lake, as of a moment in microseconds since 1970.

    Of each partition the newest version whose time has come is read; for a transaction that is older than all
    of them, the oldest. A file's name is `<partition>.<since>.parquet`.
    """
    folder = f"{escape(prefix.rstrip('/'))}/{VERSIONS}"
    # All files, as `**` lists them: without links, which stand where a file is about to go.
    files = literal(f"{folder}/{table.schema}/{table.name}/**")
    commits = literal(f"{folder}/*{COMMIT}")
    columns = ",\n    ".join(
        f"CAST({quote(name)} AS JSON) AS {quote(name)}" if column.type == "json" else quote(name)
        for name, column in table.columns.items()
    )
    return f"""SELECT
    {columns}
FROM read_parquet({files}, filename = '_file', union_by_name = true, hive_partitioning = false)
WHERE _file IN (
    SELECT coalesce(max(file) FILTER (WHERE CAST(split_part(file, '.', -2) AS BIGINT) <= {until}), min(file))
    FROM glob({files})
    WHERE split_part(file, '.', -2) IN (
        SELECT split_part(split_part(file, '/', -1), '.', 1) FROM glob({commits})
    )
    GROUP BY split_part(file, '.', -3)
)"""


def _remove_changes(path: Path) -> None:
    """Remove what somebody who has opened the file for writing has changed: it counts for whoever opens it.

    Raises EnvironmentFaultError.
    """
    with writable(path.parent):
        for left in changes(path):
            remove(left)


def _seen(path: Path) -> list[int]:
    """By what a file is known that nobody has touched: its size, its time in nanoseconds and its inode."""
    told = path.lstat()
    return [told.st_size, told.st_mtime_ns, told.st_ino]


def _is_noted(record: Path, path: Path, digest: str) -> bool:
    """Whether the record says that the file was made by these definitions, and is as it was made."""
    with suppress(OSError):
        return record.read_bytes() == msgspec.json.encode([digest, *_seen(path)])
    return False


def _note(record: Path, path: Path, digest: str) -> None:
    """Remember it. Where that cannot be done, the file is made anew next time."""
    aside = record.with_suffix(PART)
    with suppress(OSError):
        aside.write_bytes(msgspec.json.encode([digest, *_seen(path)]))
        aside.chmod(0o666 & ~umask())
        aside.replace(record)
