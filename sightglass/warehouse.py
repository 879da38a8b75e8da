"""What is published in a folder, to be asked from Python."""

import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from duckdb import DuckDBPyConnection, DuckDBPyRelation, Error, OutOfMemoryException

from etl.config import Settings
from etl.errors import QueryError, SightglassError
from etl.pipeline.warehouse_status import WarehouseStatus, warehouse_status
from etl.process import InterruptedByHand
from etl.publish.arrow_types import arrow_reader
from etl.publish.bi import enough_memory
from etl.publish.layout import BI
from etl.publish.query import Parameters, failed, relation_of
from etl.publish.reading import BiConnection
from etl.publish.spill import spill_folder
from etl.redact import Redactor
from sightglass.settings import Given, hiding_secrets, settings_of
from sightglass.tables import Catalog, Table

if TYPE_CHECKING:
    import polars as pl

MART = "mart"
STAGING = "staging"
OUT_OF_MEMORY = "Out of Memory Error"
"""How what DuckDB says begins where it has too little."""


class ClosedError(SightglassError):
    """The warehouse is closed, or was opened by the process that this one was forked from."""


class Answer:
    """The answer to a query, which is asked anew each time that it is looked at.

    Whatever takes Arrow takes it as it is: `polars.DataFrame(answer)`, `pyarrow.table(answer)`.
    """

    def __init__(self, warehouse: "Warehouse", query: str, parameters: Parameters) -> None:
        self._warehouse = warehouse
        self._query = query
        self._parameters = parameters
        with warehouse._asking(query, parameters) as (_, relation):  # noqa: SLF001 -- one module
            self._columns = tuple(relation.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as the query has them."""
        return self._columns

    def reader(self) -> pa.RecordBatchReader:
        """Return all rows, batch by batch while they are worked out, whatever their number.

        Columns of one name are told apart by a number. Raises QueryError where they cannot be worked out, as
        does each batch.
        """
        return pa.RecordBatchReader.from_batches(*self._batches())

    def arrow(self) -> pa.Table:
        """Return all rows as a table of Arrow: times with microseconds in UTC, JSON as text."""
        schema, batches = self._batches()
        return pa.Table.from_batches(batches, schema)

    def polars(self) -> "pl.DataFrame":
        """Return all rows as a frame of polars."""
        import polars as pl  # noqa: PLC0415 -- it takes time to import

        found = pl.from_arrow(self.arrow())
        assert isinstance(found, pl.DataFrame)  # noqa: S101 -- as tables are
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows as Python has them: times are aware, of UTC."""
        return [*self]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for batch in self._batches()[1]:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return all rows as whatever speaks Arrow's protocol takes them."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        with self._warehouse._asking(self._query, self._parameters) as (_, relation):  # noqa: SLF001 -- one module
            return str(relation)

    def _batches(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        with self._warehouse._asking(self._query, self._parameters) as (cursor, relation):  # noqa: SLF001 -- one module
            found = arrow_reader(relation)
        schema = pa.schema([each.with_type(_in_utc(each.type)) for each in found.schema])
        return schema, (each.cast(schema) for each in self._warehouse._guarded(cursor, found))  # noqa: SLF001 -- one module


def _in_utc(kind: pa.DataType) -> pa.DataType:
    """Return the type of a time as the files name it; DuckDB calls the same zone Etc/UTC."""
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind


class Warehouse:
    """What is published in a folder; `sightglass.open` opens it.

    Safe to use from several threads, and beside runs. Each statement sees the newest version, and nothing of
    another one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.notices = list[str]()
        """What was to be said when it was opened."""
        self._stack = ExitStack()
        self._spill = self._stack.enter_context(spill_folder())
        self._lock = RLock()
        self._pid = os.getpid()
        self._opened: BiConnection | None = BiConnection(settings, self._spill, warn=self.notices.append)
        self._known: tuple[BiConnection, Catalog] | None = None
        """The tables of a connection: to list them, DuckDB looks into each."""
        self._closed = weakref.finalize(self, _close, self._stack, self._pid)

    @property
    def home(self) -> Path:
        """The folder."""
        return self._settings.home

    def sql(self, query: str, parameters: Parameters = None) -> Answer:
        """Return the answer to a query, which is worked out when rows are taken from it.

        `parameters` stand for `?` or `$1` in it, by their order, or for `$name`, by name. Nothing can be
        changed by it, and no file but those of this warehouse be read. Raises QueryError where it is wrong.
        """
        return Answer(self, query, parameters)

    def arrow(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        parameters: Parameters = None,
    ) -> pa.Table:
        """Return the rows of a table or mart as a table of Arrow, held in memory: all columns, or these.

        `where` is a condition in SQL: `"probability >= $least"`, with `parameters={"least": 0.9}`. What is
        too large to be held, `sql(...).reader()` gives in batches. Raises QueryError for what is not there.
        """
        found = self._table(table)
        return self.sql(found.query(columns, where), parameters).arrow()

    def polars(self, table: str) -> "pl.LazyFrame":
        """Return a table or mart as a lazy frame of polars: of what is not asked for, nothing is read.

        Of a table it scans the files of the version that is the newest now, which stay SIGHTGLASS_LAKE_GRACE
        seconds (600) after the next has come: collect it within these. A mart is worked out by DuckDB when
        it is collected, of the newest version then. Raises QueryError for what is not there.
        """
        found = self._table(table)
        from sightglass import lazy  # noqa: PLC0415 -- polars takes time to import

        scanned = lazy.scanned(self.home, found.name)
        if scanned is not None:
            return scanned
        return lazy.of_answer(lambda columns, rows: self.sql(found.query(columns, rows=rows)))

    def duckdb(self) -> DuckDBPyConnection:
        """Return a connection of your own to what is published, for reading, which outlives this.

        It sees frames and files of yours as well: take `sql` for queries of others.
        """
        self._must_be_open()
        return BiConnection(self._settings, self._spill, is_fenced=False).cursor()

    @property
    def tables(self) -> Catalog:
        """The tables by name (`cogniac.detections`), with their columns and what these hold."""
        return self._catalog().of_schemas(lambda schema: schema not in (MART, STAGING))

    @property
    def marts(self) -> Catalog:
        """The marts by name, with or without `mart.`, with the question that each answers and its columns."""
        return self._catalog().of_schemas(lambda schema: schema == MART)

    def status(self, max_age: timedelta | None = None, *, with_disk: bool = False) -> WarehouseStatus:
        """Return how each stream stands: what `sightglass status --json` prints.

        Streams whose last good run is older than `max_age` are late. `with_disk` adds what stands on the
        disk.
        """
        self._must_be_open()
        return warehouse_status(self._settings, datetime.now(UTC), max_age, with_disk=with_disk)

    def close(self) -> None:
        """Close it; what was taken from it stays."""
        with self._lock:
            if self._opened is not None:
                self._opened.connection.close()
            self._opened = None
            self._closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sightglass.Warehouse {str(self.home)!r}{' (closed)' if self._opened is None else ''}>"

    @contextmanager
    def _asking(
        self, query: str, parameters: Parameters
    ) -> Iterator[tuple[DuckDBPyConnection, DuckDBPyRelation]]:
        """Provide the answer to a query on a connection of its own; QueryError where it is wrong."""
        cursor = self._cursor()
        with self._told(cursor):
            relation = relation_of(cursor, query, parameters)
            if relation is None:
                raise QueryError("the query failed: it asks for nothing")
            yield cursor, relation

    def _guarded(self, cursor: DuckDBPyConnection, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Yield batches, and raise what goes wrong in one as whoever asks is told of it."""
        while True:
            with self._told(cursor):
                try:
                    batch = batches.read_next_batch()
                except StopIteration:
                    return
            yield batch

    @contextmanager
    def _told(self, cursor: DuckDBPyConnection) -> Iterator[None]:
        """Turn what DuckDB raises inside into errors that say what to do; Ctrl-C ends it."""
        with InterruptedByHand(lambda: [cursor]), enough_memory(self._settings):
            try:
                yield
            except OutOfMemoryException:
                raise
            except (Error, pa.ArrowException, OSError, RecursionError) as error:
                # Arrow has an OSError of its own for whatever DuckDB could not work out.
                if str(error).startswith(OUT_OF_MEMORY):
                    raise OutOfMemoryException(str(error)) from error
                raise failed(error) from error

    def _cursor(self) -> DuckDBPyConnection:
        with self._lock:
            return self._newest().cursor()

    def _newest(self) -> BiConnection:
        opened = self._must_be_open()
        if opened.is_outdated():
            self._opened = opened = BiConnection(self._settings, self._spill)
        return opened

    def _must_be_open(self) -> BiConnection:
        if self._opened is None:
            raise ClosedError(f"the warehouse {self.home} is closed: open it again")
        if self._pid != os.getpid():
            raise ClosedError(f"the warehouse {self.home} was opened by another process: open it in this one")
        return self._opened

    def _catalog(self) -> Catalog:
        with self._lock:
            opened = self._newest()
            if self._known is None or self._known[0] is not opened:
                self._known = opened, Catalog.read(opened.cursor(), self)
            return self._known[1]

    def _table(self, name: str) -> Table:
        """Return a table or mart; QueryError where there is none of this name."""
        return self._catalog()[name]


def _close(stack: ExitStack, pid: int) -> None:
    """Let go of what is spilled; a process that was forked from this one leaves it alone."""
    if os.getpid() == pid:
        stack.close()


def open_warehouse(home: str | os.PathLike[str] | None, settings: Given) -> Warehouse:
    """Do what `sightglass.open` says."""
    if home is not None and Path(home).name == BI and Path(home).is_file():
        home = Path(home).parent
    found = settings_of(settings, home)
    with hiding_secrets(Redactor(each.reveal() for each in found.secrets)):
        return Warehouse(found)
