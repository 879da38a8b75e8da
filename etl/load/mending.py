"""Make room for what is read again: what is left of a row that was lost, or has a time that it never had."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from etl import schema
from etl.load.completing import roots
from etl.load.differences import Difference
from etl.load.sql import deletion, equal, names
from etl.load.warehouse import Warehouse
from etl.schema import SYSTEM, Source, Table, quote


def make_room(warehouse: Warehouse, source: Source, differences: Iterable[Difference]) -> None:
    """Remove, inside the open transaction, what would stand beside the rows that are to be read again.

    Of a row that is not there: its parts, its version of that time, and what its history says from that time
    on. A row that is newer than the API says goes with its parts. What came before stays.
    """
    every = list(differences)
    for root in roots(source):
        named = [each for each in every if each.table == root.qualified and each.place == "api"]
        if named:
            _make_room(warehouse, source, root, named)


def forget_cursors_ahead(warehouse: Warehouse, source: Source) -> None:
    """Let streams be read from their beginnings whose cursors are beyond all data."""
    name = f"{source.name}/cursors_ahead"
    for stream, partition, *_ in warehouse.run(name) if schema.has_statement(name) else ():
        warehouse.execute(
            f"DELETE FROM {SYSTEM}.cursors "
            "WHERE source = $source AND stream = $stream AND partition = $partition",
            source=source.name,
            stream=stream,
            partition=partition,
        )


def _make_room(warehouse: Warehouse, source: Source, root: Table, named: Sequence[Difference]) -> None:
    connection, key = warehouse.connection, names(root.key)
    at = f"stored.{quote(root.version)}" if root.version else "CAST(NULL AS TIMESTAMPTZ)"
    rows = [[*(each.key[name] for name in root.key), each.at, each.stored_at] for each in named]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    connection.register("named", pa.table(columns, [*root.key, "said_at", "stored_at"]))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE lost AS SELECT {key}, CAST(said_at AS TIMESTAMPTZ) AS said_at, "
        "CAST(stored_at AS TIMESTAMPTZ) AS stored_at FROM named"
    )
    connection.unregister("named")
    # A run may have brought another one since.
    connection.execute(
        f"DELETE FROM lost WHERE EXISTS (FROM {root.qualified} AS stored "
        f"WHERE {equal(root.key, 'stored', 'lost')} AND coalesce({at} <> lost.stored_at, true))"
    )
    for each in (*source.parts_of(root), root):
        connection.execute(deletion(each, root.key, "lost"))
    versions = source.versions_of(root)
    if versions is not None:
        connection.execute(f"{deletion(versions, root.key, 'lost')} AND {at} >= lost.said_at")
    for part in source.parts_of(root):
        kept = source.history_of(part)
        if kept is not None:
            connection.execute(f"{deletion(kept, root.key, 'lost')} AND valid_from >= lost.said_at")
            connection.execute(
                f"UPDATE {kept.qualified} AS stored SET valid_to = lost.said_at FROM lost "
                f"WHERE {equal(root.key, 'stored', 'lost')} AND coalesce(valid_to > lost.said_at, true)"
            )
