"""Pages in blocks, without what they repeat of each other; records decoded one by one, or refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xxhash import xxh3_64_intdigest

from etl.errors import RecordError
from etl.extract.stream import Page, as_received
from etl.transform.decode import Decoder

BLOCK = 400
"""Records to make rows of at a time: so few fit the processor's cache, and use the memory of those before."""

LARGEST_RECORD = 16 * 2**20
"""Bytes of a record, and of what the quarantine holds whole: each is held in memory many times over."""

Refuse = Callable[[bytes, Mapping[str, str], RecordError], None]
"""Told each record that does not fit, what the request said of it, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Read:
    """The records of a page that could be decoded, each as received and as an object."""

    context: Mapping[str, str]
    raws: Sequence[bytes]
    records: Sequence[Any]


class Repeats:
    """What a page may repeat of the one before it.

    A page that is asked for by time repeats the end of the one before. What was taken from there just as it
    is need not be taken again: a page lists a record once, so nothing newer lies between.
    """

    def __init__(self, context: Mapping[str, str] | None = None, taken: Iterable[bytes] = ()) -> None:
        self._context = context
        self._taken = _by_digest(taken)

    def split(self, page: Page) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Return the records that were taken from the page before, and the others."""
        if page.context != self._context:
            return [], page.records
        known = [raw for raw in page.records if _is_among(raw, self._taken)]
        return known, [raw for raw in page.records if raw not in known] if known else page.records


def blocks(pages: Iterable[Page]) -> Iterator[list[Page]]:
    """Yield the pages in lists of one context and a block of records each, or of one page that is longer."""
    some: list[Page] = []
    held = 0
    for page in pages:
        is_enough = held >= BLOCK or held + len(page.records) > 2 * BLOCK
        if some and (is_enough or page.context != some[0].context):
            yield some
            some, held = [], 0
        some.append(page)
        held += len(page.records)
    if some:
        yield some


def of_size(raws: Sequence[bytes], context: Mapping[str, str], refuse: Refuse) -> Sequence[bytes]:
    """Return the records that are not too large; the others are refused."""
    if max(map(len, raws), default=0) <= LARGEST_RECORD:
        return raws
    for raw in raws:
        if len(raw) > LARGEST_RECORD:
            why = (
                f"record of {len(raw):,} bytes is larger than {LARGEST_RECORD:,}, only its beginning is kept"
            )
            refuse(raw, context, RecordError(why))
    return [raw for raw in raws if len(raw) <= LARGEST_RECORD]


def decoded(context: Mapping[str, str], raws: Sequence[bytes], decoder: Decoder, refuse: Refuse) -> Read:
    """Return what could be decoded of some records; the others are refused."""
    records = decoder.decode_all(raws, context)
    if records is not None:
        return Read(context, raws, records)
    taken, records = [], []
    for raw in raws:
        received = as_received(bytes(raw))
        try:
            records.append(decoder.decode(received, context))
        except RecordError as why:
            refuse(received, context, why)
            continue
        taken.append(raw)
    return Read(context, taken, records)


def _by_digest(raws: Iterable[bytes]) -> Mapping[int, bytes]:
    """Return records by what tells nearly all of them apart, and is sooner made than a hash of Python's."""
    return {xxh3_64_intdigest(raw): raw for raw in raws}


def _is_among(raw: bytes, by_digest: Mapping[int, bytes]) -> bool:
    """Whether the record is one of these; one that merely shares its digest is none."""
    found = by_digest.get(xxh3_64_intdigest(raw))
    return found is not None and bytes(found) == bytes(raw)
