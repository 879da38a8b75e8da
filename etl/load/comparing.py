"""What an API holds, held against what is stored: by loading it once more into scratch tables.

Of each batch the rows that are stored of the same keys are copied, the batch is written over them as a run
would write it, and what has changed by that is what differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from etl.compute import pc
from etl.load.batch import CARRIED
from etl.load.completing import columns_of, family, roots
from etl.load.copies import carried
from etl.load.differences import Difference
from etl.load.relation import relation
from etl.load.save import Lineage, save
from etl.load.soundness import content, shown, without_retired
from etl.load.sql import equal, names
from etl.load.stored import STORED, Stored
from etl.schema import Source, Table, quote
from etl.transform.flatten import EXTRA, RECORD
from etl.values import SECOND, moment

AT, HASH = "_at", "_hash"
"""Names of the columns that say when a record changed, and which record it is."""
LINEAGE = Lineage("", datetime(1970, 1, 1, tzinfo=UTC))
ABSENT, MORE, OTHER = "the API has it, the table has not", "the API does not say so", "differs in"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the API was asked for."""

    stream: str
    partition: str
    since: int = 0
    until: int | None = None
    """What changed before or after these times, in microseconds since 1970, is not compared: it is not
    wanted, or came after the runs; None where nobody knows when they read it."""
    follows_time: bool = True
    """Whether runs have read all that changed until then; else a newer version is for the next to find."""


class Comparison:
    """Holds batches of one source against what is stored."""

    def __init__(self, stored: Stored, source: Source) -> None:
        self._connection = stored.scratch()
        self._source = source
        self._retired = dict(stored.ask("load/retired"))
        """By table, the columns whose values a migration put into `_extra`."""
        self.records = 0
        """Records that were compared."""

    def compare(self, asked: Asked, tables: Mapping[str, Any]) -> list[Difference]:
        """Return what differs of a batch, Arrow tables by table name."""
        tables = self._until(asked, tables)
        chosen = [table for table in roots(self._source) if table.name in tables and len(tables[table.name])]
        if not chosen:
            return []
        self._connection.begin()
        try:
            for root in chosen:
                self._copy(root, self._about(root, tables))
            save(self._connection, self._source, tables, LINEAGE)
            found = [each for root in chosen for each in self._found(asked, root)]
        finally:
            # The next batch begins with empty tables.
            self._connection.rollback()
        self.records += max(len(tables[root.name]) for root in chosen)
        return found

    def _until(self, asked: Asked, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the rows of the records that had changed by then."""
        record = next((root for root in roots(self._source) if _is_record(root, tables)), None)
        if record is None or not record.version:
            return tables
        rows = tables[record.name]
        at = rows[record.version].cast(pa.int64())
        until = 2**62 if asked.until is None else asked.until
        is_wanted = pc.and_(pc.less_equal(at, until), pc.greater_equal(at, asked.since))
        kept = rows[RECORD].filter(pc.fill_null(is_wanted, fill_value=True))
        return {
            name: each.filter(pc.is_in(each[RECORD], value_set=kept.combine_chunks()))
            for name, each in tables.items()
        }

    def _about(self, root: Table, tables: Mapping[str, Any]) -> pa.Table:
        """Return the keys that are asked for, with the time and the hash of the record each came in."""
        rows, hashed = tables[root.name], root
        carrier = self._source.carrier_of(root)
        at = rows[root.version] if root.version else pa.nulls(len(rows), pa.timestamp("us", "UTC"))
        hashes: Any = pa.nulls(len(rows), pa.int64())
        if carrier is not None:
            at, hashed = carried(self._source, root, tables)[CARRIED], carrier
        if name := hashed.declared.record_hash:
            records = tables[hashed.name]
            places = pc.index_in(rows[RECORD], value_set=records[RECORD].combine_chunks())
            hashes = records[name].combine_chunks().take(places)
        return rows.select(root.key).append_column(AT, at).append_column(HASH, hashes)

    def _copy(self, root: Table, about: pa.Table) -> None:
        """Copy what is stored of these keys, and keep it beside what the batch is written over."""
        execute, key = self._connection.execute, names(root.key)
        self._connection.register("incoming", about)
        execute(
            f"CREATE OR REPLACE TEMP TABLE asked_{root.name} AS "
            f"SELECT {key}, max({AT}) AS {AT}, list({HASH}) AS hashes FROM incoming GROUP BY {key}"
        )
        self._connection.unregister("incoming")
        for table in family(self._source, root):
            columns = columns_of(self._source, table)
            execute(
                f"INSERT INTO {table.qualified} ({columns}) SELECT {columns} "
                f"FROM {STORED}.{table.qualified} SEMI JOIN asked_{root.name} USING ({key})"
            )
            execute(f"CREATE OR REPLACE TEMP TABLE before_{table.name} AS FROM {relation(table)}")

    def _found(self, asked: Asked, root: Table) -> Iterator[Difference]:
        """Yield what has changed of the rows of a table and of those that belong to them."""
        named: set[tuple[str, ...]] = set()
        absent: set[tuple[str, ...]] = set()
        for table in family(self._source, root):
            is_derived = table.declared.is_derived
            rows = self._changed(root, table)
            told = set()
            for row in rows:
                of_root = tuple(row[name] for name in root.key)
                is_told = of_root in (named if is_derived else absent)
                if is_told or not self._counts(asked, root, row):
                    continue
                told.add(of_root)
                if table is root and row["is_absent"]:
                    # What belongs to it need not be named.
                    absent.add(of_root)
                yield _difference(asked, table, row)
            named |= told
        yield from self._redated(asked, root, named)

    def _changed(self, root: Table, table: Table) -> list[dict[str, Any]]:
        """Return the rows of a table that have come, gone or changed, by their keys."""
        compared = content(table)
        texts = ", ".join(
            [shown(table.key), *_texts(table, compared, self._retired.get(table.qualified, ()))]
        )
        differing = ", ".join(
            f"CASE WHEN made.{quote(name)} IS DISTINCT FROM before.{quote(name)} THEN '{name}' END"
            for name in compared
        )
        return _dicts(
            self._connection.execute(
                f"""
                WITH made AS MATERIALIZED (SELECT {texts} FROM {relation(table)}),
                before AS MATERIALIZED (SELECT DISTINCT {texts} FROM before_{table.name}),
                changed AS (
                    SELECT
                        {names(table.key)},
                        before.{quote(table.key[0])} IS NULL AS is_absent,
                        made.{quote(table.key[0])} IS NULL AS is_more,
                        list_filter([{differing or "NULL"}], lambda name: name IS NOT NULL) AS columns
                    FROM made FULL JOIN before USING ({names(table.key)})
                )
                SELECT changed.*, {self._known(root)}
                FROM changed
                JOIN asked_{root.name} AS asked ON {_same_text(root, "changed", "asked")}
                LEFT JOIN before_{root.name} AS root ON {equal(root.key, "root", "asked")}
                WHERE is_absent OR is_more OR len(columns) > 0
                ORDER BY ALL"""
            )
        )

    def _known(self, root: Table) -> str:
        """Return the columns that tell how a record and what is stored of its key are related."""
        holder = self._source.carrier_of(root) or root
        hashes, version = holder.declared.record_hash, root.version
        return f"""
            epoch_us(asked.{AT}) AS at,
            root.{quote(root.key[0])} IS NULL AS lacks_root,
            {
            f"list_has_any(hashes, (SELECT list({quote(hashes)}) FROM before_{holder.name}))"
            if hashes
            else "false"
        } AS is_same,
            {f"epoch_us(root.{quote(version)})" if version else "NULL"} AS stored_at"""

    def _counts(self, asked: Asked, root: Table, row: Mapping[str, Any]) -> bool:
        """Whether the record was so when the runs read it: else the API has changed it since."""
        if row["is_same"] or row["lacks_root"]:
            return True
        if not root.version:
            return False
        return asked.follows_time or (row["stored_at"] or 0) >= row["at"]

    def _redated(self, asked: Asked, root: Table, named: set[tuple[str, ...]]) -> Iterator[Difference]:
        """Yield rows that a run made of the very same record, and that have another time."""
        if not root.version or not root.declared.record_hash:
            return
        found = _dicts(
            self._connection.execute(
                f"""
                SELECT {shown(root.key, "asked")}, epoch_us(asked.{AT}) AS at, false AS is_absent,
                    false AS is_more, epoch_us(root.{quote(root.version)}) AS stored_at,
                    ['{root.version}'] AS columns
                FROM asked_{root.name} AS asked
                JOIN before_{root.name} AS root ON {equal(root.key, "root", "asked")}
                WHERE list_contains(hashes, root.{quote(root.declared.record_hash)})
                    AND asked.{AT} IS DISTINCT FROM root.{quote(root.version)}
                ORDER BY ALL"""
            )
        )
        for row in found:
            if tuple(row[name] for name in root.key) not in named:
                yield _difference(asked, root, row)


def refused(asked: Asked, source: str, reason: str, window: tuple[int, int] | None) -> Difference:
    """Return that a record in a window is refused, and is not in quarantine."""
    since, until = window or (None, None)
    return Difference(
        place="api",
        what=f"the API has a record that is refused and not in quarantine: {reason}",
        source=source,
        stream=asked.stream,
        partition=asked.partition,
        since=moment(since),
        until=moment(until),
    )


def _difference(asked: Asked, table: Table, row: Mapping[str, Any]) -> Difference:
    what = ABSENT if row["is_absent"] else MORE if row["is_more"] else f"{OTHER} {', '.join(row['columns'])}"
    at = row["at"]
    first = None if at is None else at // SECOND * SECOND
    return Difference(
        place="api",
        what=what,
        source=table.schema,
        stream=asked.stream,
        partition=asked.partition,
        table=table.qualified,
        key={name: str(row[name]) for name in table.key},
        at=moment(at),
        stored_at=None if at is None or (row["stored_at"] or 0) <= at else moment(row["stored_at"]),
        since=moment(first),
        until=None if first is None else moment(first + SECOND),
    )


def _is_record(root: Table, tables: Mapping[str, Any]) -> bool:
    return root.name in tables and bool(root.declared.record_hash)


def _texts(table: Table, columns: Sequence[str], retired: Sequence[str]) -> Iterator[str]:
    """Yield columns to be selected, JSON as text: it has no order and no equality of its own."""
    for name in columns:
        if name == EXTRA and retired:
            yield f"{without_retired(retired)} AS {EXTRA}"
        elif table.columns[name].type == "json":
            yield f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}"
        else:
            yield quote(name)


def _same_text(root: Table, left: str, right: str) -> str:
    return " AND ".join(f"{left}.{quote(name)} = CAST({right}.{quote(name)} AS VARCHAR)" for name in root.key)


def _dicts(found: DuckDBPyConnection) -> list[dict[str, Any]]:
    columns = [each[0] for each in found.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
