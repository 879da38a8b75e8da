"""Recognize records that come just as they are stored, by their hash: they need not be logged again.

The hash stands in the row that a record was made into. So a record that is recognized is, byte for byte, what
its row was made of last, under the same declarations.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import msgspec
from xxhash import xxh3_64_intdigest

from etl.declaration import Declaration
from etl.extract.stream import Page, as_received, one_line
from etl.extract.stream import Source as SourceModule
from etl.schema import Source
from etl.values import Cursor, canonical

MEANING = b"2"
"""To be changed when the same declarations come to mean other rows: what is stored is then made anew."""

Redact = Callable[[str, bytes], bytes]
"""The record of a stream without what changes each time it is sent, such as the signatures of links."""


class SteadySource(SourceModule, Protocol):
    """What a module offers besides when `redact` leaves out more than what changes by itself."""

    def steady(self, stream: str, record: bytes) -> bytes:
        """Return the record without what changes each time it is sent, and tells of no change."""


def steady(source: SourceModule) -> Redact:
    """Return how a source leaves out what changes by itself: as `redact` does, unless it says otherwise."""
    return cast("SteadySource", source).steady if hasattr(source, "steady") else source.redact


class RecordHasher:
    """Hashes the records of one stream together with what their requests said."""

    def __init__(self, source: Source, stream: str, redact: Redact) -> None:
        self.stream = stream
        self._redact = redact
        shapes = [_shape(table.declared) for table in source.of_stream(stream)]
        self._shape = hashlib.sha256(b"\n".join([MEANING, *shapes])).hexdigest()
        self._seeds: dict[bytes, int] = {}

    def hashes(self, records: Iterable[bytes], context: Mapping[str, str]) -> "array[int]":
        """Return the hashes of records of one context, each on one line.

        XXH3 with 64 bits, as signed integers.
        """
        told = canonical(dict(context))
        if told not in self._seeds:
            self._seeds[told] = xxh3_64_intdigest(told + self._shape.encode())
        seed, stream, redact = self._seeds[told], self.stream, self._redact
        unsigned = array(
            "Q", (xxh3_64_intdigest(redact(stream, as_received(each)), seed) for each in records)
        )
        return array("q", unsigned.tobytes())


def _shape(declared: Declaration) -> bytes:
    """Return what of a declaration decides which rows a record becomes: all but what it says to people."""
    said = msgspec.to_builtins(declared)
    for each in (said, *said["columns"].values()):
        each.pop("doc")
        each.pop("unit", None)
    return canonical(said)


class Recognizer:
    """Knows the hashes of stored records of one stream, with their versions as cursors have them."""

    def __init__(
        self, hasher: RecordHasher | None = None, known: Mapping[int, Cursor | None] | None = None
    ) -> None:
        self._hasher = hasher
        self._known = known or {}

    def split(self, page: Page) -> tuple[Page, Sequence[Cursor | None]]:
        """Return the page without the records that are stored just as they are, and the versions of these."""
        if not self._known or self._hasher is None or page.stream != self._hasher.stream:
            return page, []
        records = page.records
        hashes = self._hasher.hashes(map(one_line, records), page.context)
        new = [record for record, each in zip(records, hashes, strict=True) if each not in self._known]
        repeated = [self._known[each] for each in hashes if each in self._known]
        return (Page(page.stream, new, page.context), repeated) if repeated else (page, [])
