"""Complete what the log gave with what it does not hold any more: rows of runs that were pruned from it.

A key counts as a whole: where one row of it, or one version, was written by a run that the log does not hold
in full, all that is known of it is taken from the former warehouse, its parts, history and versions too. All
other keys have begun within the log, so that replaying gives the same.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from etl import schema
from etl.load.relation import LINEAGE, MARK, is_marked
from etl.load.sql import deletion, names
from etl.load.warehouse import Warehouse
from etl.schema import SYSTEM, Source, Table, literal, quote

FORMER = "former"
"""Name under which the former warehouse is attached."""
RUN_TABLES = ("runs", "run_streams", "run_days", "migrations")
"""Tables of the system that tell of runs, also of those that brought nothing to be logged."""
OF_ACCOUNTS = ("accounts", "confirmations")
"""Tables of the system that tell whose data it is, and what was confirmed."""
BY_SOURCE = ("cursors", "gaps", "stretches")
"""Tables of the system whose rows follow from the parts of a source, as long as none of them is missing."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of the rows in which a log and the former warehouse differ."""

    taken: dict[str, int] = field(default_factory=dict)
    """By table, rows that the log does not hold any more, taken from the former warehouse."""
    withheld: dict[str, int] = field(default_factory=dict)
    """By table, rows that the log gives and the former warehouse has not, of runs after which a part is lost:
    it may have taken them away, so they stay away."""


def complete(
    warehouse: Warehouse, source: Source, held: Collection[str], doubtful: Collection[str], *, is_whole: bool
) -> Completed:
    """Take from the former warehouse what the log of a source lacks, and leave out what it may have undone.

    `held` are the runs that the log holds in full, `doubtful` those after the beginning of which a part is
    lost; `is_whole` says that no part of it was ever removed.
    """
    taken: dict[str, int] = {}
    withheld: dict[str, int] = {}
    # Where no part was ever removed, what the log does not give is none of what was received.
    for root in () if is_whole else roots(source):
        withheld[root.qualified] = _find_withheld(warehouse, root, doubtful)
        _find_uncovered(warehouse, source, root, held)
        for table in family(source, root):
            taken[table.qualified] = _replace(warehouse, table, columns_of(source, table), root.key)
    taken["etl.quarantine"] = _settle_entries(warehouse, source, held, doubtful)
    of_source = f"source = {literal(source.name)}"
    for name in () if is_whole and not any(taken.values()) else BY_SOURCE:
        taken[f"{SYSTEM}.{name}"] = _copy(warehouse, name, of_source)
    # Numbers are never used twice, also where all parts of the last ones are gone.
    newer = f"applied > (SELECT coalesce(max(applied), 0) FROM {SYSTEM}.log WHERE {of_source})"
    if warehouse.connection.execute(f"FROM {FORMER}.{SYSTEM}.log WHERE {of_source} AND {newer}").fetchall():
        _copy(warehouse, "log", of_source)
    return Completed(*({name: count for name, count in each.items() if count} for each in (taken, withheld)))


def bring_quarantine(warehouse: Warehouse, source: Source, held: Collection[str]) -> None:
    """Take over, before anything is replayed, what runs refused first that the log does not hold: as open."""
    warehouse.connection.execute(
        f"INSERT INTO {SYSTEM}.quarantine BY NAME "
        f"SELECT * REPLACE ('open' AS state) FROM {FORMER}.{SYSTEM}.quarantine "
        f"WHERE source = {literal(source.name)} AND run_id NOT IN {_list(held)}"
    )


def copy_source(warehouse: Warehouse, source: Source) -> None:
    """Take all of a source from the former warehouse, and all that is known of its streams."""
    for table in source.tables.values():
        columns = columns_of(source, table)
        warehouse.connection.execute(
            f"INSERT INTO {table.qualified} ({columns}) SELECT {columns} FROM {FORMER}.{table.qualified}"
        )
    for name in (*BY_SOURCE, "log", "quarantine"):
        _copy(warehouse, name, f"source = {literal(source.name)}")


def former_number(warehouse: Warehouse, source: Source) -> int:
    """Return the number of the last part that the former warehouse has applied; 0 where it has none."""
    rows = warehouse.connection.execute(
        f"SELECT coalesce(max(applied), 0) FROM {FORMER}.{SYSTEM}.log WHERE source = {literal(source.name)}"
    ).fetchall()
    return int(rows[0][0])


def forget_places(warehouse: Warehouse, source: Source) -> None:
    """Let the next run read all streams of a source from their beginnings."""
    for name in ("cursors", "stretches"):
        warehouse.connection.execute(f"DELETE FROM {SYSTEM}.{name} WHERE source = {literal(source.name)}")


def copy_runs(warehouse: Warehouse) -> None:
    """Take from the former warehouse what is known of its runs.

    Of a stream whose counts do not add up there, what was replayed stays; where nothing was, they are mended.
    """
    execute, table = warehouse.connection.execute, schema.source(SYSTEM).tables["run_streams"]
    unbalanced = schema.statement("publish/unbalanced").replace(
        table.qualified, f"{FORMER}.{table.qualified}"
    )
    execute(
        f"CREATE OR REPLACE TEMP TABLE replayed AS FROM {table.qualified} "
        f"SEMI JOIN ({unbalanced}) USING ({names(table.key)})"
    )
    for name in (*RUN_TABLES, *OF_ACCOUNTS):
        _copy(warehouse, name, "true")
    execute(deletion(table, table.key, "replayed"))
    execute(f"INSERT INTO {table.qualified} BY NAME FROM replayed")
    warehouse.run("etl/mend_counts")


def copy_runs_but(warehouse: Warehouse, undone: Sequence[str], replayed: Collection[str]) -> None:
    """Take from the former warehouse what is known of its runs, of which some are undone.

    What these have done to accounts and confirmations is not taken, of the sources whose log was replayed.
    """
    for name in RUN_TABLES:
        _copy(warehouse, name, "true")
    for name in OF_ACCOUNTS:
        _copy(warehouse, name, f"source NOT IN {_list(replayed)}")
    for name in ("runs", "streams"):
        warehouse.run(f"etl/undo_{name}", runs=list(undone))
    for source in replayed:
        for name in ("confirmations", "quarantine"):
            warehouse.run(f"etl/undo_{name}", source=source, runs=list(undone))


def roots(source: Source) -> Iterator[Table]:
    """Yield the tables whose rows are written for themselves, not as something that belongs to others."""
    for table in source.tables.values():
        if not (table.declared.part_of or table.declared.is_derived):
            yield table


def family(source: Source, root: Table) -> Sequence[Table]:
    """Return a table with all those that tell more of its rows."""
    parts = source.parts_of(root)
    others = [source.history_of(part) for part in parts]
    others += [source.versions_of(root), source.copies_of(root), *source.following(root)]
    return [root, *parts, *filter(None, others)]


def _find_withheld(warehouse: Warehouse, root: Table, doubtful: Collection[str]) -> int:
    """Gather the keys that replaying gives and the former warehouse lacks, of these runs; how many.

    A table that was declared since is no sign of anything: it is empty there.
    """
    execute, key = warehouse.connection.execute, names(root.key)
    is_new = (
        f"NOT EXISTS (FROM {FORMER}.{root.qualified}) AND EXISTS (FROM {FORMER}.{SYSTEM}.migrations "
        f"WHERE table_name = {literal(root.qualified)} AND change = 'made')"
    )
    execute(
        f"CREATE OR REPLACE TEMP TABLE withheld AS "
        f"SELECT {key} FROM {root.qualified} ANTI JOIN {FORMER}.{root.qualified} USING ({key}) "
        f"WHERE _run_id IN {_list(doubtful)} AND NOT ({is_new})"
    )
    ((count,),) = execute("SELECT count(*) FROM withheld").fetchall()
    return int(count)


def _find_uncovered(warehouse: Warehouse, source: Source, root: Table, held: Collection[str]) -> None:
    """Gather the keys of which the log does not hold all, and those that are withheld."""
    key, runs = names(root.key), _list(held)
    found = [
        f"SELECT {key} FROM {FORMER}.{table.qualified} WHERE _run_id NOT IN {runs}"
        for table in family(source, root)
    ]
    # What happened to these may have followed from what is missing.
    found.append("FROM withheld")
    found.append(f"SELECT {key} FROM {FORMER}.{root.qualified} ANTI JOIN {root.qualified} USING ({key})")
    marks = [name for name in root.maintained if name not in LINEAGE and name != root.declared.record_hash]
    found += [
        f"SELECT {key} FROM {FORMER}.{root.qualified} AS former "
        f"JOIN {root.qualified} AS made USING ({key}) "
        f"WHERE former.{quote(name)} IS DISTINCT FROM made.{quote(name)}"
        for name in marks
    ]
    warehouse.connection.execute(f"CREATE OR REPLACE TEMP TABLE uncovered AS {' UNION '.join(found)}")


def columns_of(source: Source, table: Table, without: str = "") -> str:
    """All columns of a table, the mark of its versions too, but for one."""
    columns = [*table.columns, *([MARK] if is_marked(source, table) else [])]
    return names(name for name in columns if name != without)


def _replace(warehouse: Warehouse, table: Table, columns: str, key: Sequence[str]) -> int:
    """Take all rows of the gathered keys from the former warehouse; how many there were."""
    execute = warehouse.connection.execute
    execute(deletion(table, key, "uncovered"))
    rows = execute(
        # A row that is there twice, to the last column, is never meant.
        f"INSERT INTO {table.qualified} ({columns}) SELECT DISTINCT {columns} "
        f"FROM {FORMER}.{table.qualified} SEMI JOIN uncovered USING ({names(key)})"
    ).fetchall()
    return int(rows[0][0])


def _copy(warehouse: Warehouse, name: str, which: str) -> int:
    """Take rows of a table of the system from the former warehouse; how many there were."""
    execute = warehouse.connection.execute
    execute(f"DELETE FROM {SYSTEM}.{name} WHERE {which}")
    rows = execute(
        f"INSERT INTO {SYSTEM}.{name} BY NAME SELECT DISTINCT * FROM {FORMER}.{SYSTEM}.{name} WHERE {which}"
    ).fetchall()
    return int(rows[0][0])


def _settle_entries(
    warehouse: Warehouse, source: Source, held: Collection[str], doubtful: Collection[str]
) -> int:
    """Let what was refused be as settled as it was; how many rows the log does not hold.

    What a run refused that the log holds, and is accepted now, stays listed as replayed; as it was where its
    rows may be withheld, so that they can be loaded by a replay.
    """
    execute, runs, of_source = warehouse.connection.execute, _list(held), f"source = {literal(source.name)}"
    accepted = f"run_id IN {runs} AND run_id NOT IN {_list(doubtful)}"
    execute(
        f"INSERT INTO {SYSTEM}.quarantine BY NAME "
        f"SELECT * REPLACE (CASE WHEN {accepted} THEN 'replayed' ELSE state END AS state) "
        f"FROM {FORMER}.{SYSTEM}.quarantine AS former WHERE {of_source} "
        f"AND quarantine_id NOT IN (SELECT quarantine_id FROM {SYSTEM}.quarantine)"
    )
    execute(
        f"UPDATE {SYSTEM}.quarantine AS kept SET state = former.state "
        f"FROM {FORMER}.{SYSTEM}.quarantine AS former "
        f"WHERE former.quarantine_id = kept.quarantine_id AND kept.state = 'open' AND kept.{of_source}"
    )
    rows = execute(
        f"SELECT count(*) FROM {SYSTEM}.quarantine WHERE {of_source} AND run_id NOT IN {runs}"
    ).fetchall()
    return int(rows[0][0])


def _list(texts: Collection[str]) -> str:
    """Return the texts as a list that a value can be looked for in."""
    return f"({', '.join(map(literal, sorted(texts)))})" if texts else "('')"
