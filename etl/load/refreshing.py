"""Take away what an API holds no more, once a stream was read anew from its beginning to its end.

Which keys came stands in a schema of its own, from the first batch of such a run to the last: so a run that
was killed and one that was not, and a rebuild, take away the same. Another run begins with an empty list.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from etl.load import history
from etl.load.sql import deletion, names
from etl.load.warehouse import Warehouse
from etl.schema import Source, Table, literal, quote

ALWAYS_ALLOWED = 1
"""Rows that may go whatever share of all they are."""


class Departure(NamedTuple):
    """Rows that a stream which was read anew has not brought."""

    stream: str
    partition: str
    table: str
    gone: int
    stored: int
    """How many there are, those included."""

    def is_usual(self, most: float) -> bool:
        """Whether they are no more than that share of all."""
        return self.gone <= max(ALWAYS_ALLOWED, most * self.stored)


class Asked(NamedTuple):
    """What was read anew."""

    stream: str
    partition: str
    until_us: int | None
    """Only what changed before this time, in microseconds since 1970; None for all of it."""


def refreshable(source: Source, stream: str) -> list[Table]:
    """Return the tables whose rows stand for whole records of a stream that can be read anew."""
    return [table for table in source.of_stream(stream) if table.declared.record_hash]


class Refreshing:
    """What one run has seen of a stream that it reads anew."""

    def __init__(self, warehouse: Warehouse, run_id: str, source: Source) -> None:
        self._warehouse = warehouse
        self._run_id = run_id
        self._source = source
        self._streams: set[str] | None = None

    def begin(self, stream: str) -> None:
        """Note that a stream is read anew."""
        execute = self._warehouse.execute
        execute("CREATE SCHEMA IF NOT EXISTS refresh")
        execute("CREATE TABLE IF NOT EXISTS refresh.begun (run_id VARCHAR, stream VARCHAR)")
        execute("CREATE TABLE IF NOT EXISTS refresh.seen (name VARCHAR, hash UBIGINT)")
        if execute("FROM refresh.begun WHERE run_id <> $run_id LIMIT 1", run_id=self._run_id):
            execute("DELETE FROM refresh.begun")
            execute("DELETE FROM refresh.seen")
        execute("INSERT INTO refresh.begun VALUES ($run_id, $stream)", run_id=self._run_id, stream=stream)
        self._streams = None

    def see(self, stream: str, tables: Mapping[str, Any]) -> None:
        """Note the rows, Arrow tables by name, that came of a stream, if it is read anew."""
        if stream not in self._begun():
            return
        for table in refreshable(self._source, stream):
            self._warehouse.connection.register("came", tables[table.name])
            came = f"SELECT DISTINCT {literal(table.qualified)}, {_hash(table)} FROM came"
            self._warehouse.execute(f"INSERT INTO refresh.seen {came}")
            self._warehouse.connection.unregister("came")

    def end(self, asked: Asked, loaded_at: object, may_go: Callable[[Departure], bool]) -> tuple[int, int]:
        """Take away the rows that were asked for and did not come, as far as they may go.

        How many went, and how many would but for that.
        """
        gone = held = 0
        if asked.stream not in self._begun():
            return gone, held
        for table in refreshable(self._source, asked.stream):
            # Where a stream has partitions, each has a cursor and the first column of the key of its own.
            of_it = f"{quote(table.key[0])} = $partition" if len(table.key) > 1 else "true"
            version = quote(table.version) if table.version else "CAST(NULL AS TIMESTAMPTZ)"
            self._warehouse.execute(
                f"""
                CREATE OR REPLACE TEMP TABLE outcome AS
                SELECT {names(table.key)}, {version} AS stored_version, 'changed' AS kind
                FROM {table.qualified}
                WHERE {of_it} AND coalesce({version} < make_timestamptz($until_us), true)
                    AND {_hash(table)} NOT IN (
                        SELECT hash FROM refresh.seen WHERE name = {literal(table.qualified)}
                    )""",
                partition=asked.partition,
                until_us=asked.until_us,
            )
            ((count,),) = self._warehouse.execute("SELECT count(*) FROM outcome")
            ((stored,),) = self._warehouse.execute(
                f"SELECT count(*) FROM {table.qualified} WHERE {of_it}", partition=asked.partition
            )
            if not may_go(Departure(asked.stream, asked.partition, table.qualified, count, stored)):
                held += count
                continue
            gone += count
            for statement in self._statements(table) if count else ():
                self._warehouse.execute(statement, run_id=self._run_id, loaded_at=loaded_at)
        return gone, held

    def _statements(self, table: Table) -> Iterator[str]:
        yield from history.end(self._source, table)
        for each in (*self._source.parts_of(table), table):
            yield deletion(each, table.key, "outcome")

    def _begun(self) -> set[str]:
        """Return the streams that this run reads anew."""
        if self._streams is None:
            query = "SELECT DISTINCT stream FROM refresh.begun WHERE run_id = $run_id"
            found = self._warehouse.execute(query, run_id=self._run_id) if self._is_there() else []
            self._streams = {stream for (stream,) in found}
        return self._streams

    def _is_there(self) -> bool:
        """Whether any refresh was ever begun here: a rebuild has the former warehouse beside this one."""
        return bool(
            self._warehouse.execute(
                "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() "
                "AND schema_name = 'refresh' AND table_name = 'begun'"
            )
        )

    def over(self) -> None:
        """Forget what was seen; nothing was where no stream was found that is to be read anew."""
        for name in ("begun", "seen") if self._is_there() else ():
            self._warehouse.execute(f"DELETE FROM refresh.{name}")
        self._streams = None


def _hash(table: Table) -> str:
    """Return the expression of a number that two keys do not share by chance, whatever version made it."""
    key = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in table.key)
    return f"md5_number_lower(concat_ws(chr(31), {key}))"
