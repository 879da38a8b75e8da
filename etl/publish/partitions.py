"""How a table is cut into files: by month, and a month with many rows by time within it.

What a partition holds is known by a digest that adds up: the digest of a month is the sum of those of its
partitions. So one pass over a table finds the months that have changed, and only these are looked into.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from duckdb import DuckDBPyConnection

from etl.load.relation import relation
from etl.publish.state import Partition
from etl.schema import Table, quote

MODULUS = 2**61 - 1
"""Keeps a digest within 64 bits."""

WHOLE = "all"
TIMELESS = "none"


def cut(
    connection: DuckDBPyConnection, table: Table, known: Sequence[Partition], most: int
) -> list[Partition]:
    """Return the partitions of a table as it is now, each of about so many rows at most.

    Those that are equal to a known one hold the same rows.
    """
    cutter = _Cutter(connection, table, most)
    made = cutter.by_time(known) if table.by_month else [cutter.measured(Partition(WHOLE))]
    # What the table was cut into before and is not any more is emptied: its rows would be seen twice.
    names = {each.name for each in made}
    return [*made, *(Partition(each.name, each.start, each.end) for each in known if each.name not in names)]


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Cuts a table by time."""

    connection: DuckDBPyConnection
    table: Table
    most: int
    """Rows of a piece; a partition is cut once it has twice as many."""

    def by_time(self, known: Sequence[Partition]) -> list[Partition]:
        """Return the partitions of a table that is cut by time."""
        before: dict[str, list[Partition]] = {}
        for each in sorted(known, key=lambda one: one.name):
            if each.start is not None or each.name == TIMELESS:
                before.setdefault(_month(each), []).append(each)
        found = {each.name: each for each in self._months()}
        for name, partitions in before.items():
            found.setdefault(name, Partition(name, partitions[0].start, partitions[-1].end))
        if not found:
            return [Partition(TIMELESS)]
        made: list[Partition] = []
        for name, month in sorted(found.items()):
            made += self._of_month(month, before.get(name, []))
        return made

    def measured(self, each: Partition) -> Partition:
        """Return the partition with what it holds now."""
        ((rows, digest),) = self.connection.execute(
            f"SELECT count(*), {_digest(self.table)} FROM {relation(self.table)} "
            f"WHERE {condition(self.table, each)}"
        ).fetchall()
        return Partition(each.name, each.start, each.end, rows, digest)

    def _measured_together(self, pieces: Sequence[Partition]) -> list[Partition]:
        """Return pieces of a month with what they hold now, by one look at the month."""
        if any(before.end != after.start for before, after in pairwise(pieces)):
            return [self.measured(each) for each in pieces]
        time = quote(self.table.by_month)
        ends = " ".join(
            f"WHEN {time} < make_timestamptz({each.end}) THEN {place}" for place, each in enumerate(pieces)
        )
        whole = Partition("", pieces[0].start, pieces[-1].end)
        rows = self.connection.execute(
            f"SELECT CASE {ends} END AS piece, count(*), {_digest(self.table)} FROM {relation(self.table)} "
            f"WHERE {condition(self.table, whole)} GROUP BY piece"
        ).fetchall()
        found = {piece: told for piece, *told in rows}
        return [
            Partition(each.name, each.start, each.end, *found.get(place, (0, 0)))
            for place, each in enumerate(pieces)
        ]

    def _of_month(self, month: Partition, known: Sequence[Partition]) -> Iterator[Partition]:
        """Yield the partitions of a month, cut where they were cut, and anew where one grew too large."""
        if known and (month.rows, month.digest) == (
            sum(each.rows for each in known),
            sum(each.digest for each in known) % MODULUS,
        ):
            yield from known
        elif month.start is None or (len(known) <= 1 and month.rows <= 2 * self.most):
            yield month
        else:
            for now in self._measured_together(known or [month]):
                yield from [now] if now.rows <= 2 * self.most else self._divided(now)

    def _months(self) -> Iterator[Partition]:
        """Each month of the table that has rows, as one partition; rows without a time stand apart."""
        # Grouped by the number of the month, in UTC: date_trunc of times with a zone takes ten times as long.
        time = f"make_timestamp(epoch_us({quote(self.table.by_month)}))"
        rows = self.connection.execute(
            f"SELECT strftime(min({time}), '%Y-%m'), epoch_us(date_trunc('month', min({time}))), "
            f"epoch_us(date_trunc('month', min({time})) + INTERVAL 1 MONTH), count(*), {_digest(self.table)} "
            f"FROM {relation(self.table)} GROUP BY 12 * year({time}) + month({time})"
        ).fetchall()
        for name, start, end, count, digest in rows:
            yield Partition(name or TIMELESS, start, end, count, digest)

    def _divided(self, each: Partition) -> Iterator[Partition]:
        """Yield the partition in pieces; rows of one time stay together."""
        time, most = quote(self.table.by_month), self.most
        # A piece begins with the time of which one row is the first of so many. Times are counted before they
        # are put in order: there are fewer of them than rows.
        firsts = self.connection.execute(
            f"SELECT strftime(moment, '%Y-%m-%dT%H%M%S-%f'), epoch_us(moment) AS first "
            f"FROM (SELECT moment, rows, sum(rows) OVER (ORDER BY moment) AS until "
            f"FROM (SELECT {time} AS moment, count(*) AS rows FROM {relation(self.table)} "
            f"WHERE {condition(self.table, each)} GROUP BY moment)) "
            f"WHERE (until - 1) // {most} * {most} >= until - rows ORDER BY first"
        ).fetchall()
        # The first piece begins where the partition began, whenever its first row is.
        edges = [(each.name, each.start), *firsts[1:]]
        ends = [*(first for _, first in edges[1:]), each.end]
        for (name, start), end in zip(edges, ends, strict=True):
            yield self.measured(Partition(name, start, end))


def condition(table: Table, each: Partition) -> str:
    """Return the SQL condition that a row belongs to the partition."""
    if each.name == WHOLE:
        return "true"
    if not table.by_month:
        # It was cut by months before: what it held is in the whole.
        return "false"
    time = quote(table.by_month)
    if each.start is None:
        return f"{time} IS NULL"
    return f"{time} >= make_timestamptz({each.start}) AND {time} < make_timestamptz({each.end})"


def digested(table: Table) -> list[str]:
    """Return the columns that tell whether rows have changed: every change of a row changes one of these."""
    return [name for name in table.maintained if name not in table.key] or table.small


def _digest(table: Table) -> str:
    """Return what the rows hold as one number."""
    columns = digested(table)
    return f"CAST(coalesce(sum(hash({', '.join(map(quote, columns))})), 0) % {MODULUS} AS BIGINT)"


def _month(each: Partition) -> str:
    """Return the name of the month that the partition is, or is a piece of."""
    day, is_piece, _ = each.name.partition("T")
    return day.rpartition("-")[0] if is_piece else day
