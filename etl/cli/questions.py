"""Queries of the page of `sightglass ui`, answered side by side as `sightglass sql` answers them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from etl.cli.answers import cell_of, csv_lines, write_parquet
from etl.cli.cells import rows
from etl.cli.output import hidden
from etl.cli.report import pictures_of
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError, SightglassError
from etl.publish.arrow_types import distinct
from etl.publish.bi import enough_memory, open_bi
from etl.publish.layout import BI
from etl.publish.query import relation_of
from etl.publish.report import page
from etl.schema import statement
from etl.ui.app import Refused

MOST_ROWS = 1_000
"""Rows of an answer that are shown."""
MOST_CHARACTERS = 10_000
"""Of a cell that are shown."""
MOST_SHOWN = 2_000_000
"""Characters of an answer that are shown."""
CELL_CHARACTERS = 10
"""As which a cell counts beside what it holds: a page of empty ones is large too."""
MOST_COLUMNS = 2_000
"""Columns of an answer that is shown."""
AT_ONCE = 8
"""Queries that work at a time."""
QUERY_SECONDS = 300.0
"""How long a query may take."""
POLL_SECONDS = 0.02
"""How often one is interrupted: what begins just after an interrupt does not notice it."""
STUCK_SECONDS = 5.0
"""How long a query is waited for that was stopped."""

UNKNOWN = (0,)
"""The stamp of no file: the next query opens it anew."""

Cursor = duckdb.DuckDBPyConnection


class Questions:
    """What is published, asked by several threads; nothing can be changed by it, and no other file read."""

    def __init__(
        self,
        settings: Settings,
        folder: Path | None,
        warn: Callable[[str], object],
        seconds: float = QUERY_SECONDS,
    ) -> None:
        """Take an empty folder for answers that are downloaded, which are refused where there is none.

        EnvironmentFaultError if nothing is published.
        """
        self._settings, self._folder, self._warn, self._seconds = settings, folder, warn, seconds
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._seen: tuple[int, ...] = ()
        self._working: dict[str, Cursor] = {}
        self._ends: dict[str, str] = {}
        """Why each query that is to end is to."""
        self._is_ending = False
        self._connection = self._newest()

    def ask(self, key: str, query: str) -> dict[str, Any]:
        """Return the first rows of an answer, each value as the text of it. Raises Refused."""
        began = time.perf_counter()
        with self._asking(key, query) as relation:
            columns = _columns(relation)
            found, is_all, left = list[list[str | None]](), True, MOST_SHOWN
            # One more tells that there are more; without a limit many more are fetched at once.
            for row in rows(relation.limit(MOST_ROWS + 1)):
                if len(found) == MOST_ROWS or left < 0:
                    is_all = False
                    break
                found.append([None if value is None else _short(cell_of(value)) for value in row])
                left -= sum(CELL_CHARACTERS + len(each or "") for each in found[-1])
            seconds = time.perf_counter() - began
            return {"columns": columns, "rows": found, "is_all": is_all, "seconds": round(seconds, 3)}

    def saved(self, key: str, query: str, form: str) -> BinaryIO:
        """Return the whole answer as a file of CSV or Parquet that has no name any more. Raises Refused."""
        if self._folder is None:
            raise Refused("this machine has no folder for temporary files; let TMPDIR name one")
        path = self._folder / f"{threading.get_ident()}.{form}"
        with self._asking(key, query) as relation:
            try:
                if form == "parquet":
                    write_parquet(relation, path, self._settings.home)
                else:
                    with path.open("w", encoding="utf-8", newline="") as file:
                        file.writelines(csv_lines(relation))
                return path.open("rb")
            except (OSError, EnvironmentFaultError) as error:
                raise _not_saved(error) from error
            finally:
                with suppress(OSError):
                    path.unlink()

    def catalog(self) -> list[dict[str, Any]]:
        """Return each table with what is said of it, and its columns."""
        with self._cursor() as cursor:
            found = cursor.execute(statement("ui/catalog")).fetchall()
        names = ("schema", "table", "about", "columns")
        return [dict(zip(names, row, strict=True)) for row in found]

    def report(self) -> str:
        """Return the report as `sightglass report` makes it. Raises Refused."""
        with self._cursor() as cursor:
            return page(cursor, datetime.now(UTC), pictures_of(self._settings))

    def stop(self, key: str, why: str = "it was stopped") -> None:
        """Let a query end, if it is still at work."""
        until, meant = time.monotonic() + STUCK_SECONDS, self._working.get(key)
        while time.monotonic() < until:
            with self._lock:
                if meant is None or self._working.get(key) is not meant:
                    return  # it has ended; what is asked under its name since is another one
                self._ends.setdefault(key, why)
                meant.interrupt()
            time.sleep(POLL_SECONDS)  # an interrupt that comes before the query begins is lost

    def end(self) -> None:
        """Let all queries end, and begin no other."""
        self._is_ending = True
        for key in tuple(self._working):
            self.stop(key)

    def close(self) -> None:
        """Let go of what is open."""
        self._open.close()

    @contextmanager
    def _asking(self, key: str, query: str) -> Iterator[duckdb.DuckDBPyRelation]:
        with self._cursor(key) as cursor:
            relation = relation_of(cursor, query)
            if relation is None:
                raise Refused("it asks for nothing")
            yield relation

    @contextmanager
    def _cursor(self, key: str = "") -> Iterator[Cursor]:
        """Provide a connection to what is published now. Raises Refused for all that goes wrong with it."""
        key = key or token_hex()
        with self._lock:
            if self._is_ending or len(self._working) >= AT_ONCE:
                raise Refused(f"{AT_ONCE} queries are at work; stop one of them, or wait")
            if key in self._working:
                raise Refused("a query under this name is at work")  # whoever stops one must mean that one
            self._connection = self._newest()
            cursor = self._connection.cursor()
            self._working[key] = cursor
        timer = threading.Timer(self._seconds, self.stop, (key, f"it took more than {self._seconds:.0f} s"))
        timer.daemon = True
        timer.start()
        try:
            with enough_memory(self._settings):
                yield cursor
        except RecursionError as error:
            raise Refused("it, or its answer, is nested too deep") from error
        except (duckdb.Error, pa.ArrowException, OSError, SightglassError) as error:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                self._seen = UNKNOWN  # DuckDB answers nothing more until it is opened anew
            raise _refused(error, self._ends.get(key, "")) from error
        finally:
            timer.cancel()
            with self._lock:
                del self._working[key]
                self._ends.pop(key, None)
            cursor.close()

    def _newest(self) -> Cursor:
        """Return a connection to the file that is there now: one of an earlier version shows old views."""
        seen = _stamp(self._settings.home / BI)
        if self._seen and (seen == self._seen or self._working):
            return self._connection
        self._open.close()
        self._seen = ()
        connection = self._open.enter_context(open_bi(self._settings, self._warn))
        self._seen = seen or UNKNOWN
        return connection


def _columns(relation: duckdb.DuckDBPyRelation) -> list[dict[str, str]]:
    """Return names and types of columns. Raises Refused where they are too many to show."""
    if len(relation.columns) > MOST_COLUMNS:
        raise Refused(f"it has {len(relation.columns):,} columns, of which {MOST_COLUMNS:,} can be shown")
    names = distinct(relation.columns)
    return [
        {"name": _short(name), "type": _short(str(kind))}
        for name, kind in zip(names, relation.types, strict=True)
    ]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        told = path.stat()
    except OSError:
        return ()
    return told.st_ino, told.st_mtime_ns


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"


def _not_saved(error: OSError | EnvironmentFaultError) -> Refused:
    fault = error if isinstance(error, OSError) else error.__cause__
    # Arrow's own texts name the file.
    why = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else str(error)
    return Refused(f"no file can be made of it: {why}; let TMPDIR name a folder with room for it")


def _refused(error: Exception, why: str) -> Refused:
    """Return what people are told of a query that failed."""
    if why:
        return Refused(why)
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, ConfigError):
        text = text.removeprefix("the query failed: ")
    return Refused(hidden(text))
