"""Which tables refer to which: what `sightglass dbt` tests and `docs/tables.md` draws."""

from collections.abc import Iterator
from dataclasses import dataclass

from etl.schema import Source, Table


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that hold the key of another one, its parent."""

    table: Table
    parent: Table
    columns: tuple[str, ...]
    """Named alike on both sides: the key of the parent."""
    is_part: bool
    """Whether rows stand and go with the row that they belong to, so that none can be without it."""


def foreign_keys(source: Source) -> Iterator[ForeignKey]:
    """Yield what the tables of a source refer to, in their order.

    A part refers to its whole. Besides, a column refers to the table whose whole key is a column of the same
    name, unless the whole says so already.
    """
    lone = {each.key[0]: each for each in source.tables.values() if len(each.key) == 1}
    for table in source.tables.values():
        whole = source.tables.get(table.declared.part_of)
        if whole is not None:
            yield ForeignKey(table, whole, whole.key, is_part=True)
        inherited = whole.key if whole is not None else ()
        for name in table.columns:
            parent = lone.get(name, table)
            if parent is not table and name not in inherited:
                yield ForeignKey(table, parent, (name,), is_part=False)
