"""A PostgreSQL server of this machine's packages, on loopback, with a database for each test."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from conftest import TABLES

from etl import views

adbc: Any = import_module("adbc_driver_postgresql.dbapi")
PASSWORD = "geheimes/w0rt"
"""Of the role that publishes, which is no superuser."""
IN_URL = "geheimes%2Fw0rt"
MARTS = [view.qualified for view in views.views() if view.schema == "mart"]
BY_THE_CLOCK = "age_hours"
"""What columns are called that say something else each time."""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Database:
    """A database of a server."""

    name: str
    port: int
    folder: Path
    """Where the server has its data."""

    @property
    def url(self) -> str:
        """The address for the role that publishes."""
        return f"postgresql://writer:{IN_URL}@127.0.0.1:{self.port}/{self.name}"

    @contextmanager
    def connected(self, *, autocommit: bool = True) -> Iterator[Any]:
        """A cursor of the superuser, whose transaction is undone at the end where it has one."""
        address = f"postgresql://postgres:{IN_URL}@127.0.0.1:{self.port}/{self.name}"
        with (
            closing(adbc.connect(address, autocommit=autocommit)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("SET TimeZone = 'UTC'")
            yield cursor

    def ask(self, query: str) -> Rows:
        """The answer to a query."""
        with self.connected() as cursor:
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]

    def do(self, *statements: str) -> None:
        """Have something done."""
        with self.connected() as cursor:
            for each in statements:
                cursor.execute(each)

    def seen(self) -> dict[str, Rows]:
        """All rows of all tables and marts that are here, sorted."""
        with self.connected() as cursor:
            cursor.execute(
                "SELECT format('%s.%s', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') "
                "AND tablename NOT LIKE 'published%'"
            )
            found = {}
            for (name,) in cursor.fetchall():
                cursor.execute(f"SELECT * FROM {name}")  # noqa: S608 -- a name of our own
                found[name] = in_order(cursor.fetch_arrow_table())
        return found


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    folder: Path
    port: int
    binaries: Path

    def database(self, name: str) -> Database:
        """A new database that the role may make schemas in."""
        Database("postgres", self.port, self.folder).do(f"CREATE DATABASE {name}")
        made = Database(name, self.port, self.folder)
        made.do(
            f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO writer",
            "GRANT pg_read_all_stats TO postgres",
        )
        return made

    @property
    def pid(self) -> int:
        """The process that takes connections."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Stop it at once, as a machine does that fails."""
        self.control("stop", "-m", "immediate")

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """Let one of its processes do nothing."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def control(self, *arguments: str) -> None:
        """Have it started or stopped."""
        as_its_user(self.binaries / "pg_ctl", "-D", self.folder / "data", "-w", *arguments)


@contextmanager
def serving_postgres() -> Iterator[Server]:
    """A server; AssertionError where none is installed: `apt-get install postgresql`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(path).parent for path in filter(None, [shutil.which("initdb")])
    ]
    assert found, "the tests of PostgreSQL need its server: apt-get install postgresql"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The folder of pytest is closed to other users, and the server refuses to be root's.
    folder = Path(tempfile.mkdtemp(prefix="sightglass-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            (folder / "password").chmod(0o644)
        server = Server(folder, port, found[-1])
        as_its_user(
            *(server.binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-E", "UTF8"),
            *("--locale=C", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"),
        )
        server.start()
        try:
            Database("postgres", port, folder).do(f"CREATE ROLE writer LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_its_user(*command: object) -> None:
    """Run a command as the user that the server is of."""
    other = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    words = [*(other if os.geteuid() == 0 else ()), *map(str, command)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd="/")


def published(home: Path) -> dict[str, Rows]:
    """All rows of all tables and marts that readers of the lake see, sorted."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        return {
            name: in_order(reader.sql(f"SELECT * FROM {name}").to_arrow_table())  # noqa: S608
            for name in [*TABLES, *MARTS]
        }


def in_order(found: pa.Table) -> Rows:
    """The rows of a table, sorted; each value behind the name of its column."""
    named = found.cast(pa.schema([(each.name, plain(each.type)) for each in found.schema])).to_pylist()
    rounded = (
        {name: as_added_up(value) for name, value in row.items() if not name.endswith(BY_THE_CLOCK)}
        for row in named
    )
    return sorted((tuple(sorted(row.items())) for row in rounded), key=repr)


def as_added_up(value: object) -> object:
    """A value without the last digits of a number, which depend on the order in which it was added up."""
    return float(f"{value:.9e}") if isinstance(value, float) else value


def plain(kind: pa.DataType) -> pa.DataType:
    """The Arrow type without what the two name differently."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
