"""Which records of a batch changed the tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from etl.compute import pc


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many records of a batch changed the tables, and how."""

    inserted: int
    updated: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The records of a batch that changed the tables."""

    records: Any
    """Their numbers, an Arrow array."""
    are_new: Any
    """For each whether it was inserted, an Arrow array."""

    def among(self, numbers: Iterable[tuple[int, int]]) -> Outcome:
        """How many there are among the records from a number up to, without it, another."""
        inserted = updated = 0
        for first, after in numbers:
            within = pc.and_(pc.greater_equal(self.records, first), pc.less(self.records, after))
            new = pc.sum(pc.and_(within, self.are_new)).as_py() or 0
            inserted, updated = inserted + new, updated + (pc.sum(within).as_py() or 0) - new
        return Outcome(inserted, updated)
