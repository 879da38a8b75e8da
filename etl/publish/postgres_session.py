"""A connection to PostgreSQL, with limits of time, whose errors are one line that says what to do."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, unquote

import pyarrow as pa

from etl.errors import ConfigError, TargetError
from etl.publish.targets.postgres import SECONDS, URL
from etl.schema import statement
from etl.setting import Secret, is_loopback, passwords_of

HOST = r"(?:\[[\w:%]+\]|[\w.%-]*)(?::\d+)?"
ADDRESS = re.compile(
    rf"postgres(?:ql)?://(?:[^@/?]*@)?(?P<hosts>{HOST}(?:,{HOST})*)"
    r"(?:/(?P<name>[^/?@]*))?(?:\?(?P<query>[^@]*))?"
)
"""An address of which every part is where it seems to be: else part of a password could pass for a host."""
LOCK_SECONDS = 60
"""How long a lock is waited for that a reader's statement, or a killed publish, still holds."""
OPTIONS = {
    "connect_timeout": "10",
    "application_name": "sightglass",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""What the library is told where the address says nothing else; the last in milliseconds, else seconds."""
SAID = (
    re.compile(r"ERROR: +([^\n]*)"),
    re.compile(r"\[libpq\] (?:Failed to connect: )?([^\n]*)"),
    re.compile(r"(?:FATAL|PANIC): +([^\n]*)"),
)
"""Where in a text of the library stands what the server, or the library for it, has to say; the first that is
there, for the library repeats the statement before what the server has said of it."""
GRANT = "let the owner of the database run: GRANT CREATE, TEMPORARY ON DATABASE ... TO the user"
FOR_DATABASE, OF_DATABASE = "42501 of the database", re.compile(r"\b(database|schema)\b", re.ASCII)
"""A state of our own, and by which word of the server it is told from that of a single table."""
OWN = "let the tables be the user's own again, without policies"
REMEDIES = {
    "28": f"see to user and password in {URL}",
    "3D": f"create the database, or name another in {URL}",
    "23503": "drop the constraint that somebody has added",
    FOR_DATABASE: GRANT,
    "42501": OWN,
    "53": "make room on the server",
    "57014": f"give it more time by {SECONDS}",
    "55P03": "somebody reads or changes the table for long: end that",
    "2BP01": "drop what was made of it, and make it again after the next run",
}
"""What to do, by the beginning of the SQLSTATE."""
UNCONNECTED = f"see whether the server is up, and to {URL}"


def library() -> Any:  # noqa: ANN401 -- an extra, which ships no types that are always there
    """Return what speaks with PostgreSQL; ConfigError where the extra is not installed."""
    try:
        return import_module("adbc_driver_postgresql.dbapi")
    except ImportError as error:
        raise ConfigError(
            f"{URL} needs {error.name or error}: pip install 'sightglass-etl[postgres]'"
        ) from error


def check_address(url: Secret) -> None:
    """ConfigError where this is no address of a database; nothing of it is shown."""
    if ADDRESS.fullmatch(url.reveal()) is None:
        raise ConfigError(
            f"{URL} must be an address such as postgresql://user:password@host:5432/database, "
            "in which each of @ / : ? of a password is written as %40 %2F %3A %3F"
        )


def place_of(url: Secret) -> str:
    """Return host and database, as people are told them."""
    found = ADDRESS.fullmatch(url.reveal())
    hosts, name = (found["hosts"], found["name"]) if found else ("", "")
    return f"PostgreSQL {unquote(hosts)}/{unquote(name or '')}"


def with_options(url: str) -> str:
    """Return the address with all that it leaves open: limits of time, and encryption beyond this machine."""
    found = ADDRESS.fullmatch(url)
    query = found["query"] or "" if found else ""
    given = dict(parse_qsl(query, keep_blank_values=True))
    hosts = [*(found["hosts"] if found else "").split(","), given.get("host", ""), given.get("hostaddr", "")]
    names = [unquote(re.sub(r":\d*$", "", host)).strip("[]") for host in hosts]
    is_here = all(not name or name.startswith("/") or is_loopback(name) for name in names)
    is_here |= "PGSSLMODE" in os.environ  # which the address would beat
    wanted = OPTIONS | ({} if is_here else {"sslmode": "require"})
    more = "&".join(f"{name}={value}" for name, value in wanted.items() if name not in given)
    return f"{url}{'&' if query else '' if url.endswith('?') else '?'}{more}"


class Session:
    """One connection, in a transaction that ends with `commit` or is undone.

    Everything raises TargetError.
    """

    def __init__(self, url: Secret, seconds: int) -> None:
        """Connect; a statement may take so many seconds."""
        self._url = url
        self.moved = time.monotonic()
        """When the last statement began, by the clock that never goes back."""
        self.is_abandoned = False
        """Whether nobody waits for it any more: then nothing further is asked."""
        self._library = library()
        with self._told(UNCONNECTED):
            self._connection = self._library.connect(with_options(url.reveal()), autocommit=False)
        self._cursor = self._connection.cursor()
        try:
            self._set_up(seconds)
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Return what a query answers."""
        with self._told():
            self._cursor.execute(sql, values or None)
            # All is read at once: until then the server may not have done it.
            return [tuple(row) for row in self._cursor.fetchall()]

    def run(self, name: str, *values: str) -> list[tuple[Any, ...]]:
        """Return what the query in `sql/postgres/<name>.sql` answers."""
        return self.rows(statement(f"postgres/{name}"), *values)

    def execute(self, sql: str, *values: str) -> None:
        """Have something done that answers nothing."""
        with self._told():
            self._cursor.execute(sql, values or None)

    def do(self, name: str, *values: str) -> None:
        """Have done what `sql/postgres/<name>.sql` says."""
        self.execute(statement(f"postgres/{name}"), *values)

    def append(self, table: str, batch: pa.RecordBatch, *, temporary: bool) -> None:
        """Add rows to a table; its name is qualified, but for a temporary one."""
        schema, _, name = table.rpartition(".")
        where = {"temporary": True} if temporary else {"db_schema_name": schema}
        with self._told():
            self._cursor.adbc_ingest(name, batch, mode="append", **where)

    def commit(self) -> None:
        """Let everybody see what was done, at one moment."""
        with self._told():
            self._connection.commit()

    @contextmanager
    def autocommit(self) -> Iterator[None]:
        """Do without a transaction what cannot be done in one."""
        with self._told():
            self._connection.rollback()
            self._connection.adbc_connection.set_autocommit(True)
        yield

    def close(self) -> None:
        """Let go of the connection, and of what was not committed."""
        for each in (self._cursor, self._connection):
            # Of a connection that is gone nothing is to be saved, and the server undoes it by itself.
            with suppress(Exception):
                each.close()

    def _set_up(self, seconds: int) -> None:
        """Set the limits, and see whether the server can hold the tables."""
        for setting in (
            f"statement_timeout = '{seconds}s'",
            f"lock_timeout = '{min(LOCK_SECONDS * 1_000, seconds * 500)}ms'",
            f"idle_in_transaction_session_timeout = '{2 * seconds}s'",
            "client_encoding = 'UTF8'",
            "standard_conforming_strings = on",
            "search_path = pg_catalog",
            "TimeZone = 'UTC'",
        ):
            self.execute(f"SET {setting}")
        self.run("notice_dead_clients")
        ((encoding, is_copy),) = self.run("server")
        if encoding != "UTF8":
            raise TargetError(f"the database has the encoding {encoding}: name one that was made with UTF8")
        if is_copy:
            raise TargetError(f"the server is a copy that takes no changes: name the first one in {URL}")

    @contextmanager
    def _told(self, remedy: str = "") -> Iterator[None]:
        """Let what goes wrong inside be told in one line."""
        if self.is_abandoned:
            raise TargetError("it was given up")
        self.moved = time.monotonic()
        try:
            yield
        except self._library.Error as error:
            raise TargetError(self._line(error, remedy)) from None

    def _line(self, error: Any, remedy: str) -> str:  # noqa: ANN401 -- an error of the library
        """Return in one line what went wrong and what to do, without the password."""
        text = str(error)
        found = next(filter(None, (each.search(text) for each in SAID)), None)
        said = found[1] if found else text.partition("\n")[0]
        state = str(error.sqlstate or "")
        # No state comes with what is refused while connecting.
        if "password authentication failed" in said:
            state = "28"
        if state == "42501" and OF_DATABASE.search(said):
            state = FOR_DATABASE
        known = next((each for start, each in REMEDIES.items() if state.startswith(start)), remedy)
        line = f"{said.strip()}{f'; {known}' if known else ''}"
        for secret in (self._url, *passwords_of(self._url)):
            line = line.replace(secret.reveal(), "***")
        return line
