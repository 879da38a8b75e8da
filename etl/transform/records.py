"""Pages to the rows of a stream: whole blocks at once, and what a block complains of record by record.

A block is decoded, completed and laid out by whole columns, and complains without saying of which record. It
is then halved until few are left, which are looked at one by one: what comes of them, refusals and their
reasons included, is what would come of all of them one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa

from etl.errors import RecordError
from etl.extract.stream import Enrich, Page
from etl.schema import Table
from etl.transform.blocks import RecordBlock
from etl.transform.columns import integers
from etl.transform.decode import Decoder
from etl.transform.flatten import PlacedRecordError, flatten, flatten_levels
from etl.transform.pages import BLOCK, LARGEST_RECORD, Read, Refuse, Repeats, blocks, decoded, of_size
from etl.transform.recognize import RecordHasher

SMALLEST_BLOCK = 50
"""Records that are not halved any more."""

HOPELESS = 10
"""Blocks that complain one after the other, halves included, from which on none is tried for a while."""
PAUSE = 4_000
"""Records until the next block is tried."""

COMPLAINTS = (
    PlacedRecordError,
    RecordError,
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    OverflowError,
)

Made = dict[str, list[pa.Table]]
"""By table its rows, an Arrow table for each place they stand at."""


class RecordTables:
    """Makes the tables of one stream's records; remembers the undeclared fields it met."""

    def __init__(self, tables: list[Table], enrich: Enrich | None, hasher: RecordHasher) -> None:
        self.tables = tables
        self.decoder = Decoder(tables, enrich)
        self.hasher = hasher
        self._takes_blocks = enrich is None or enrich.columns is not None
        self._complaints = 0
        self._pause = 0

    def make(
        self, pages: Iterable[Page], refuse: Refuse, mismatch: Refuse
    ) -> tuple[dict[str, pa.Table], int]:
        """Return the Arrow tables by name, and how many records they were made of.

        `refuse` is told each record that cannot be decoded, `misfit` each that can be and fits no table.
        """
        load = _Load(self, refuse, mismatch)
        for block in blocks(pages):
            load.add(block)
        return load.finish()

    @property
    def tries_blocks(self) -> bool:
        """Whether a block is worth trying."""
        return self._takes_blocks and self._pause <= 0

    def passed(self, records: int) -> None:
        """Note that so many records were looked at one by one."""
        self._pause -= records

    def of_block(self, raws: Sequence[bytes], context: Mapping[str, str], first: int) -> Made | None:
        """Return the rows of records that are like most.

        None where one of them must be looked at by itself.
        """
        try:
            levels = RecordBlock(raws, context, self.decoder).levels
            made = flatten_levels(levels, self.tables, self.decoder.root, first)
        except COMPLAINTS:
            self._complaints += 1
            self._pause = PAUSE if self._complaints >= HOPELESS else 0
            return None
        self._complaints = 0
        return self.hashed(made, self.hasher.hashes(raws, context))

    def hashed(self, made: Made, hashes: Sequence[int]) -> Made:
        """Return the rows with the hash of their record, where a table is declared to hold it."""
        for table in self.tables:
            if name := table.declared.record_hash:
                column = integers(hashes)
                # Such a table has one row for each record, in their order.
                made[table.name] = [rows.append_column(name, column) for rows in made[table.name]]
        return made


class _Load:
    """What has become of the pages so far."""

    def __init__(self, owner: RecordTables, refuse: Refuse, mismatch: Refuse) -> None:
        self._owner = owner
        self._refuse = refuse
        self._mismatch = mismatch
        self._repeats = Repeats()
        self._made = [owner.hashed(flatten([], owner.tables, owner.decoder.root), [])]
        self._taken = 0
        self._held: list[Read] = []
        """What was decoded record by record, and is no rows yet."""

    def add(self, pages: Sequence[Page]) -> None:
        """Take pages of one context: together, or each for itself."""
        if len(pages) == 1 or not self._together(pages):
            for page in pages:
                self._alone(page)

    def finish(self) -> tuple[dict[str, pa.Table], int]:
        """All tables, and how many records they were made of."""
        self._flush()
        tables = {}
        for table in self._owner.tables:
            by_place = zip(*(each[table.name] for each in self._made), strict=True)
            tables[table.name] = pa.concat_tables(chain.from_iterable(by_place))
        return tables, self._taken

    def _together(self, pages: Sequence[Page]) -> bool:
        """Take the pages as one block; False where it complains, and nothing is taken."""
        repeats, raws = self._repeats, list[bytes]()
        for page in pages:
            # As if all of them were good: else nothing of this counts.
            known, fresh = repeats.split(page)
            raws += fresh
            repeats = Repeats(page.context, [*known, *fresh])
        if not self._block(raws, pages[0].context):
            return False
        self._repeats = repeats
        return True

    def _alone(self, page: Page) -> None:
        known, fresh = self._repeats.split(page)
        fresh = of_size(fresh, page.context, self._refuse)
        taken = list(known)
        for first in range(0, len(fresh), BLOCK):
            # Decoded, records take many times as much: of a long page few are there at once.
            taken += self._some(fresh[first : first + BLOCK], page.context)
        self._repeats = Repeats(page.context, taken)

    def _some(self, raws: Sequence[bytes], context: Mapping[str, str]) -> Sequence[bytes]:
        """Take records of one context; those of them that could be decoded."""
        if self._block(raws, context):
            return raws
        if len(raws) > SMALLEST_BLOCK and self._owner.tries_blocks:
            middle = len(raws) // 2
            return [*self._some(raws[:middle], context), *self._some(raws[middle:], context)]
        read = decoded(context, raws, self._owner.decoder, self._refuse)
        self._owner.passed(len(raws))
        self._held.append(read)
        if sum(len(each.raws) for each in self._held) >= BLOCK:
            self._flush()
        return read.raws

    def _block(self, raws: Sequence[bytes], context: Mapping[str, str]) -> bool:
        if max(map(len, raws), default=0) > LARGEST_RECORD or not self._owner.tries_blocks:
            return False
        self._flush()
        made = self._owner.of_block(raws, context, self._taken)
        if made is None:
            return False
        self._made.append(made)
        self._taken += len(raws)
        return True

    def _flush(self) -> None:
        """Make rows of what was decoded record by record."""
        if not self._held:
            return
        owner = self._owner
        make = partial(flatten, tables=owner.tables, root=owner.decoder.root, first=self._taken)
        found, bad = _made([record for each in self._held for record in each.records], make)
        origins = [(raw, each.context) for each in self._held for raw in each.raws]
        for index, why in bad.items():
            self._mismatch(*origins[index], why)
        fit = [origin for index, origin in enumerate(origins) if index not in bad]
        hashes = [each for raw, context in fit for each in owner.hasher.hashes([raw], context)]
        self._made.append(owner.hashed(found, hashes))
        self._taken += len(fit)
        self._held = []


def _made(
    records: Sequence[Any], make: Callable[[Sequence[Any]], Made]
) -> tuple[Made, dict[int, RecordError]]:
    """Return what `make` makes of the records that it does not complain of, and the others.

    Their place and why.
    """
    try:
        return make(records), {}
    except PlacedRecordError:
        bad = dict(_bad(records, make))
        return make([record for index, record in enumerate(records) if index not in bad]), bad


def _bad(
    records: Sequence[Any], make: Callable[[Sequence[Any]], object], first: int = 0
) -> Iterator[tuple[int, RecordError]]:
    """Yield the records that `make` complains of, found by halving; their place and why."""
    try:
        make(records)
    except PlacedRecordError as bad:
        if len(records) == 1:
            yield first, bad.why
            return
        middle = len(records) // 2
        yield from _bad(records[:middle], make, first)
        yield from _bad(records[middle:], make, first + middle)
