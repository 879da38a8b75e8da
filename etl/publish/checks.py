"""What must hold before readers see a version: keys, parents, books and floors.

What was published before has passed; so keys and parents are looked at of the rows loaded since.
"""

from collections.abc import Iterable, Iterator, Mapping

from duckdb import DuckDBPyConnection

from etl import schema
from etl.errors import Unsound
from etl.load.sql import equal, names
from etl.publish.lake import Change, State
from etl.schema import LINEAGE_TIME, Table, quote

AT_ONCE = 2_000_000
"""Keys that are compared in one go, within the memory that DuckDB is given."""


def check(connection: DuckDBPyConnection, tables: Mapping[str, Table], change: Change, state: State) -> None:
    """Unsound names all that does not hold."""
    problems = [
        *_books(connection),
        *(found for table in tables.values() for found in _floor(table, change, state)),
    ]
    for name, table in tables.items():
        if change.fresh[name]:
            problems += _keys(connection, table, state.loaded_until)
            problems += _orphans(connection, table, tables.values(), state.loaded_until)
    if problems:
        raise Unsound(
            f"not published, readers keep the version they have: {'; '.join(problems)}; where that is as it "
            "should be, `sightglass publish --force` publishes it"
        )


def _books(connection: DuckDBPyConnection) -> Iterator[str]:
    for row in connection.execute(schema.statement("publish/unbalanced")).fetchall():
        yield f"the books do not balance for {' '.join(filter(None, row))}"


def _floor(table: Table, change: Change, state: State) -> Iterator[str]:
    rows = sum(each.rows for each in change.tables[table.qualified])
    floor = table.floor * state.rows(table) if table.floor <= 1 else table.floor
    if rows < floor:
        yield f"{table.qualified} has {rows:,} rows, fewer than {floor:,.0f}"


def _keys(connection: DuckDBPyConnection, table: Table, loaded_until: int) -> Iterator[str]:
    """Keys that stand for two rows."""
    key = names(table.key)
    recent = _recent(table, loaded_until)
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table.qualified} WHERE {recent}").fetchall()
    parts = count // AT_ONCE + 1
    for part in range(parts) if count else ():
        share = f"hash({key}) % {parts} = {part}" if parts > 1 else "true"
        found = connection.execute(
            f"SELECT {key} FROM {table.qualified} SEMI JOIN "
            f"(SELECT {key} FROM {table.qualified} WHERE {recent} AND {share}) USING ({key}) "
            f"WHERE {share} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        ).fetchall()
        for row in found:
            yield f"{table.qualified} has two rows of the key {row}"
            return


def _orphans(
    connection: DuckDBPyConnection, table: Table, tables: Iterable[Table], loaded_until: int
) -> Iterator[str]:
    """Rows of a part without the row that they are part of."""
    whole = _whole(table, tables)
    if whole is None:
        return
    found = connection.execute(
        f"SELECT {names(table.key)} FROM {table.qualified} AS part WHERE {_recent(table, loaded_until)} "
        f"AND NOT EXISTS (FROM {whole.qualified} AS whole WHERE {equal(whole.key, 'whole', 'part')}) LIMIT 1"
    ).fetchall()
    for row in found:
        yield f"{table.qualified} has the row {row}, but {whole.qualified} none that it belongs to"


def _whole(table: Table, tables: Iterable[Table]) -> Table | None:
    """The nearest table that the rows of this one belong to."""
    if not table.declared.part_of:
        return None
    family = {table.declared.part_of}
    above = [
        each
        for each in tables
        if each.schema == table.schema
        and (each.name in family or each.declared.part_of in family)
        and set(each.key) < set(table.key)
    ]
    return max(above, key=lambda each: len(each.key))


def _recent(table: Table, loaded_until: int) -> str:
    """The condition that a row was loaded since; small tables without that time are looked at whole."""
    if LINEAGE_TIME not in table.columns:
        return "true"
    return f"{quote(LINEAGE_TIME)} > make_timestamptz({loaded_until})"
