"""The rows of one table that are to be written, and what the load stage must know of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from etl.compute import pc
from etl.schema import Source, Table, quote

ROW = "_row"
"""Numbers the incoming rows of one table."""
HAS_CONTENT = "_says_something"
"""Name of the column that says whether an incoming row holds more than its key."""
CARRIED = "_carried_at"
"""Name of the column that says when an incoming row was carried, where it has no time of its own."""
FALSE = pa.scalar(value=False)


@dataclass(frozen=True)
class Batch:
    """The rows of one table, an Arrow table, and what is declared of them."""

    source: Source
    table: Table
    rows: Any

    @cached_property
    def most_selective(self) -> str:
        """The key column with the most different values among the rows."""
        return max(self.table.key, key=lambda name: int(pc.count_distinct(self.rows[name]).as_py()))

    @cached_property
    def is_plain(self) -> bool:
        """Whether no key comes twice: there is nothing to choose among.

        A row that comes without its parts, as that of a file which could not be read, brings none of them.
        """
        keys = self.rows.group_by(self.table.key, use_threads=False).aggregate([])
        return len(keys) == len(self.rows)

    @property
    def is_whole(self) -> str:
        """The expression that says of an incoming row whether it is a full one."""
        return f"{quote(self.table.whole_by)} IS NOT NULL" if self.table.whole_by else "true"

    @property
    def copies(self) -> Table | None:
        """The table that lists when rows were carried, where they have no time of their own."""
        return self.source.copies_of(self.table)

    @property
    def parts(self) -> list[Table]:
        """The tables whose rows are replaced together with a row."""
        return self.source.parts_of(self.table)

    @property
    def versions(self) -> Table | None:
        """The table that lists the versions of a row, where a history is kept."""
        return self.source.versions_of(self.table)


def prepared(table: Table, rows: Any) -> Any:  # noqa: ANN401 -- pyarrow ships no types
    """Return the rows with what is to be known of each: parts are told apart by their records."""
    if table.declared.part_of:
        return rows
    numbered = rows.append_column(ROW, pa.arange(0, len(rows)))
    return numbered.append_column(HAS_CONTENT, _has_content(table, rows))


def _has_content(table: Table, rows: Any) -> pa.Array:  # noqa: ANN401 -- pyarrow ships no types
    """Whether a row holds more than its key: an abridged object must not wipe what is known."""
    others = [rows[name] for name in [*table.content, "_extra"] if name not in table.key]
    said = pa.repeat(FALSE, len(rows))
    for column in sorted(others, key=lambda each: int(each.null_count)):
        if pc.all(said).as_py():
            break
        said = pc.or_(said, pc.is_valid(column))
    return said
