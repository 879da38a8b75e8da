"""Pages to decoded records, a few at a time; repeats are left out, what does not fit is refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.errors import Unfit
from etl.extract.stream import Page, as_received
from etl.transform.decode import Decoder

FEW = 400
"""Records to make rows of at a time: so few fit the processor's cache, and use the memory of those before."""

LARGEST_RECORD = 16 * 2**20
"""Bytes of a record, and of what the quarantine holds whole: each is held in memory many times over."""

Refuse = Callable[[bytes, Mapping[str, str], Unfit], None]
"""Told each record that does not fit, what the request said of it, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Read:
    """The records of a page that could be decoded, each as received and as an object."""

    context: Mapping[str, str]
    raws: Sequence[bytes]
    records: Sequence[Any]


def read(pages: Iterable[Page], decoder: Decoder, refuse: Refuse) -> Iterator[Read]:
    """What could be decoded of each page, a few records at a time.

    A page that is asked for by time repeats the end of the one before it. What was taken from there just
    as it is need not be taken again: a page lists a record once, so nothing newer lies between.
    """
    before: Mapping[int, Sequence[bytes]] = {}
    context: Mapping[str, str] | None = None
    for page in pages:
        known = [raw for raw in page.records if _is_among(raw, before)] if page.context == context else []
        fresh = [raw for raw in page.records if raw not in known] if known else page.records
        if max(map(len, fresh), default=0) > LARGEST_RECORD:
            fresh = _of_size(fresh, page.context, refuse)
        taken = list(known)
        for first in range(0, len(fresh), FEW):
            # Decoded, records take many times as much: of a long page few are there at once.
            made = _decoded(page.context, fresh[first : first + FEW], decoder, refuse)
            taken += made.raws
            yield made
        before, context = _by_size(taken), page.context


def few(reads: Iterable[Read]) -> Iterator[list[Read]]:
    """The same in lists of a few records."""
    some: list[Read] = []
    for each in reads:
        some.append(each)
        if sum(len(one.raws) for one in some) >= FEW:
            yield some
            some.clear()
    if some:
        yield some


def _of_size(raws: Sequence[bytes], context: Mapping[str, str], refuse: Refuse) -> Sequence[bytes]:
    """The records that are not too large; the others are refused."""
    for raw in raws:
        if len(raw) > LARGEST_RECORD:
            why = (
                f"record of {len(raw):,} bytes is larger than {LARGEST_RECORD:,}, only its beginning is kept"
            )
            refuse(raw, context, Unfit(why))
    return [raw for raw in raws if len(raw) <= LARGEST_RECORD]


def _decoded(context: Mapping[str, str], raws: Sequence[bytes], decoder: Decoder, refuse: Refuse) -> Read:
    records = decoder.decode_all(raws, context)
    if records is not None:
        return Read(context, raws, records)
    taken, records = [], []
    for raw in raws:
        received = as_received(bytes(raw))
        try:
            records.append(decoder.decode(received, context))
        except Unfit as why:
            refuse(received, context, why)
            continue
        taken.append(raw)
    return Read(context, taken, records)


def _by_size(raws: Iterable[bytes]) -> Mapping[int, Sequence[bytes]]:
    """Records by their length: to compare those of one length is less work than to hash them all."""
    found: dict[int, list[bytes]] = {}
    for raw in raws:
        found.setdefault(len(raw), []).append(raw)
    return found


def _is_among(raw: bytes, by_size: Mapping[int, Sequence[bytes]]) -> bool:
    return any(bytes(raw) == bytes(each) for each in by_size.get(len(raw), ()))
