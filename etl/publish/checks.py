"""What must hold before readers see a version: keys, parents, counts and floors.

What was published before has passed; so keys and parents are looked at of the rows loaded since.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from duckdb import DuckDBPyConnection

from etl import schema
from etl.errors import CheckFailedError
from etl.load.relation import followed, relation
from etl.load.sql import names
from etl.publish.lake import Change
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits
from etl.publish.state import State
from etl.schema import LINEAGE_TIME, Table, quote

NAMED_STREAMS = 3
"""Streams that are named where their counts do not add up."""
ONE = "ORDER BY ALL LIMIT 1"
"""In order: else DuckDB 2.0.0 can wait for ever where a materialized CTE of many rows meets a limit."""


def check(
    connection: DuckDBPyConnection,
    tables: Mapping[str, Table],
    change: Change,
    state: State,
    limits: PublishLimits = PUBLISH_LIMITS,
) -> None:
    """CheckFailedError names all that does not hold."""
    summed_up = dict(connection.execute(schema.statement("publish/summed_up")).fetchall())
    problems = [
        *_age(connection, state),
        *_run_store(connection),
        *(
            found
            for name, table in tables.items()
            for found in _floor(table, change, state, summed_up.get(name, 0))
        ),
    ]
    for name, table in tables.items():
        if any(each.rows for each in change.tables[name] if each.name in change.changed[name]):
            recent = _recent(table, state.loaded_until)
            problems += _keys(connection, table, recent, limits)
            problems += _orphans(connection, table, tables.values(), recent, limits)
    if problems:
        raise CheckFailedError(
            f"not published, readers keep the version they have: {'; '.join(problems)}; where that is as it "
            "should be, `sightglass publish --force` publishes it"
        )


def _run_store(connection: DuckDBPyConnection) -> Iterator[str]:
    for row in connection.execute(schema.statement("publish/unbalanced")).fetchmany(NAMED_STREAMS):
        yield f"the counts of a run do not add up for {' '.join(filter(None, row))}"


def _age(connection: DuckDBPyConnection, state: State) -> Iterator[str]:
    """Look whether the warehouse is older than what was published from it."""
    lacks = schema.statement("publish/lacks_run")
    if state.newest_run and connection.execute(lacks, {"run_id": state.newest_run}).fetchall()[0][0]:
        yield (
            f"the warehouse does not know the run {state.newest_run}, which is published: it is older, "
            "restored from a backup perhaps, or another one"
        )


def _floor(table: Table, change: Change, state: State, summed_up: int) -> Iterator[str]:
    """Look whether there are as many rows as there must be, with those of which the sums are kept."""
    rows = sum(each.rows for each in change.tables[table.qualified]) + summed_up
    floor = table.floor * state.rows(table) if table.floor <= 1 else table.floor
    if rows < floor:
        yield f"{table.qualified} has {rows:,} rows, fewer than {floor:,.0f}"


def _keys(connection: DuckDBPyConnection, table: Table, recent: str, limits: PublishLimits) -> Iterator[str]:
    """Keys that stand for two rows; of versions that only follow from other rows, the keys are theirs."""
    if followed(table) and not connection.execute(f"SELECT true FROM {table.qualified} LIMIT 1").fetchall():
        return
    key = names(table.key)
    count, how, near = _near(connection, table, table.key, recent, limits)
    parts = count // limits.keys_per_pass + 1
    for part in range(parts) if count else ():
        share = f"hash({key}) % {parts} = {part}" if parts > 1 else "true"
        if near == "true" and not _same_hashes(connection, table, share):
            continue
        found = connection.execute(
            f"WITH recent AS {how} (SELECT {key} FROM {relation(table)} WHERE {recent} AND {share}), "
            f"near AS {how} (SELECT {key} FROM {relation(table)} WHERE {near} AND {share}) "
            f"SELECT {_shown(table)} FROM near SEMI JOIN recent USING ({key}) GROUP BY {key} "
            f"HAVING count(*) > 1 {ONE}"
        ).fetchall()
        for row in found:
            yield f"{table.qualified} has two rows of the key {row}"
            return


def _same_hashes(connection: DuckDBPyConnection, table: Table, share: str) -> bool:
    """Whether two rows have the same hash of the key: where none have, no key comes twice."""
    ((found,),) = connection.execute(
        f"SELECT count(*) > count(DISTINCT hash({names(table.key)})) FROM {relation(table)} WHERE {share}"
    ).fetchall()
    return bool(found)


def _near(
    connection: DuckDBPyConnection, table: Table, key: Sequence[str], since: str, limits: PublishLimits
) -> tuple[int, str, str]:
    """How many rows are recent, how to read what has to do with them, and which rows may have their keys.

    Of few, one column is looked at, on which alone DuckDB filters while it scans: the time if it belongs to
    the key, as tables are nearly in its order, else the first column with about the most different values.
    """
    ((rows, count),) = connection.execute(
        f"SELECT (SELECT count(*) FROM {relation(table)}), count(*) FROM {relation(table)} WHERE {since}"
    ).fetchall()
    if count > limits.selective_share * rows:
        return count, "NOT MATERIALIZED", "true"
    most_selective = quote(
        table.by_month if table.by_month in key else _most_selective(connection, table, key, since)
    )
    return count, "MATERIALIZED", f"{most_selective} IN (SELECT {most_selective} FROM recent)"


def _most_selective(connection: DuckDBPyConnection, table: Table, key: Sequence[str], since: str) -> str:
    """Return the first column of a key that has about the most different values in the recent rows."""
    distinct = ", ".join(f"approx_count_distinct({quote(name)})" for name in key)
    (values,) = connection.execute(f"SELECT {distinct} FROM {relation(table)} WHERE {since}").fetchall()
    return next(name for value, name in zip(values, key, strict=True) if 10 * value >= max(values))


def _orphans(
    connection: DuckDBPyConnection, table: Table, tables: Iterable[Table], recent: str, limits: PublishLimits
) -> Iterator[str]:
    """Rows of a part without the row that they are part of."""
    whole = _whole(table, tables)
    if whole is None:
        return
    count, how, near = _near(connection, table, whole.key, recent, limits)
    if not count:
        return
    if near == "true" and not _strange_hashes(connection, table, whole, recent):
        return
    found = connection.execute(
        f"WITH recent AS {how} (SELECT {names(table.key)} FROM {relation(table)} WHERE {recent}), "
        f"near AS {how} (SELECT {names(whole.key)} FROM {whole.qualified} WHERE {near}) "
        f"SELECT {_shown(table)} FROM recent ANTI JOIN near USING ({names(whole.key)}) {ONE}"
    ).fetchall()
    for row in found:
        yield f"{table.qualified} has the row {row}, but {whole.qualified} none that it belongs to"


def _strange_hashes(connection: DuckDBPyConnection, table: Table, whole: Table, recent: str) -> bool:
    """Whether a recent row has a hash of the key of its whole that no row of that has."""
    of_key = f"hash({names(whole.key)}) AS of_key"
    ((found,),) = connection.execute(
        f"SELECT count(*) > 0 FROM (SELECT {of_key} FROM {relation(table)} WHERE {recent}) "
        f"ANTI JOIN (SELECT {of_key} FROM {whole.qualified}) USING (of_key)"
    ).fetchall()
    return bool(found)


def _shown(table: Table) -> str:
    """Return the key as Python can show it, which knows no time zones of DuckDB's."""
    return ", ".join(
        f"CAST({quote(name)} AS VARCHAR)" if table.columns[name].type == "timestamp" else quote(name)
        for name in table.key
    )


def _whole(table: Table, tables: Iterable[Table]) -> Table | None:
    """Return the nearest table that the rows of this one belong to."""
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
    """Return the condition that a row was loaded since.

    Small tables without that time are looked at whole.
    """
    if LINEAGE_TIME not in table.columns:
        return "true"
    return f"{quote(LINEAGE_TIME)} > make_timestamptz({loaded_until})"
