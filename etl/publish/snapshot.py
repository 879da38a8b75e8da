"""One DuckDB file with all that is published: tables with keys, marts, comments, as of one version."""

import os
from contextlib import ExitStack
from pathlib import Path

import duckdb

from etl import schema
from etl.config import Settings
from etl.errors import EnvironmentFaultError
from etl.load.duckdb_errors import first_line, is_full
from etl.process import interruptible, scratch
from etl.publish.bi import STORAGE, enough_memory, query
from etl.publish.files import readable, remove, replaced
from etl.publish.lake import Lake
from etl.publish.opened import CHANGES, changes, opened_for_writing
from etl.schema import literal
from etl.views import statements


def write_snapshot(settings: Settings, path: Path) -> str:
    """Write the newest published version into a file that needs nothing else; since when it is the newest."""
    lake = Lake(settings.home)
    with readable(settings.home):
        version = lake.newest()
    if not version:
        raise EnvironmentFaultError(
            f"nothing is published in {settings.home} yet: run `sightglass run`, or name another --home"
        )
    try:
        refuse_own(settings.home, path)
        _refuse_opened(path)
        with replaced(path) as aside, enough_memory(settings):
            _write(aside, settings.home, version, settings)
            lake.require(version)
            _refuse_opened(path)
            # DuckDB would make these changes of the former file in this one, for whoever opens it.
            for left in changes(path):
                remove(left)
    except (duckdb.Error, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        if isinstance(error, duckdb.Error) and is_full(error):
            why += "; make room"
        raise EnvironmentFaultError(f"cannot write {path}: {why}") from error
    return version


def _write(aside: Path, home: Path, version: str, settings: Settings) -> None:
    spill, *logs = (aside.with_name(f"{aside.name}{end}") for end in (".tmp", *CHANGES))
    with ExitStack() as stack, interruptible(duckdb.connect()) as connection:
        for each in (spill, *logs):
            stack.enter_context(scratch(each))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{settings.sql_memory}MB'")
        connection.execute(f"SET temp_directory = {literal(str(spill))}")
        connection.execute(f"ATTACH {literal(str(aside))} AS snapshot (STORAGE_VERSION '{STORAGE}')")
        connection.execute("USE snapshot")
        _fill(connection, str(home), version, settings.time_zone)
        connection.execute("USE memory")
        connection.execute("DETACH snapshot")


def refuse_own(home: Path, path: Path) -> None:
    """Keep all in the folder of the warehouse, and what is no file, from being overwritten by mistake."""
    # `resolve` raises what is no OSError where links lead in a circle. A link in the home is its own, too.
    folder, place, named = (Path(os.path.realpath(each)) for each in (home, path, path.parent))
    if place.is_relative_to(folder) or named.is_relative_to(folder):
        raise EnvironmentFaultError(f"{path} is where Sightglass keeps its own files; name another")
    # /dev/stdout leads to a file where a shell has put one there.
    is_stream = path.is_symlink() and named.parts[1:2] in {("dev",), ("proc",)}
    if is_stream or (path.exists() and not path.is_file()):
        raise EnvironmentFaultError(f"{path} is no file that could be replaced; name another")


def _refuse_opened(path: Path) -> None:
    """Refuse a file that somebody may still change: by its name, that would change the one in its place."""
    opened = opened_for_writing(path)
    if opened is not None:
        raise EnvironmentFaultError(f"{opened} has opened {path} for writing: end that, or name another FILE")


def _fill(connection: duckdb.DuckDBPyConnection, home: str, version: str, zone: str) -> None:
    for source in schema.sources(Path(home)):
        connection.execute(f"CREATE SCHEMA {source.name}")
        for table in source.tables.values():
            for statement in table.ddl(keyed=True):
                connection.execute(statement)
            connection.execute(
                f"INSERT INTO {table.qualified} BY NAME {query(table, home, str(int(version)))}"
            )
    for statement in statements(zone):
        connection.execute(statement)
