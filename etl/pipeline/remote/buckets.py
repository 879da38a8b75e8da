"""Of what came of a part, what belongs to which bucket; and as bytes, to be sent from worker to worker.

Rows are where the hash of the bucket's column says. Actions are for every bucket, for they may concern any.
What was refused has no place among them: it is for the bucket `CONTROL`, which holds no rows.
"""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from etl.compute import pc
from etl.extract.stream import FORGET_GAPS, LIST_GAPS, MARK_RANGE
from etl.load.copies import carried
from etl.schema import Source
from etl.transform.batch import RejectedRecord
from etl.transform.part_rows import PartRows, RowSet, StreamBatch, Tables
from etl.transform.shape import TooManyNamesError

CONTROL = -1
"""The bucket of what concerns no row: what was refused, and how that was settled."""
OF_THE_RUNS = {MARK_RANGE, LIST_GAPS, FORGET_GAPS}
"""Actions that tell later runs what to ask for, and change no table of a source."""
COMPRESSION = "zstd"

Alone = Callable[[str, RejectedRecord], Mapping[str, Any]]
"""Returns the tables of a stream that a refused record gives by itself; none where it is refused still."""
Homes = dict[tuple[str, int], set[int]]
"""By stream and identity of a refused record, the buckets that its rows would be in."""


def number_of(source: Source, buckets: int) -> int:
    """Return how many buckets the rows of a source are spread over."""
    return buckets if source.is_spread else 1


class Spread:
    """Knows in which of so many buckets a row of a source is."""

    def __init__(self, source: Source, buckets: int) -> None:
        self._source = source
        self.buckets = number_of(source, buckets)

    def places(self, name: str, rows: pa.Table) -> pa.Array:
        """Return the bucket of each row of a table."""
        if self.buckets == 1:
            return pa.repeat(pa.scalar(0, pa.int32()), len(rows))
        column = rows[self._source.bucket_of(self._source.tables[name])]
        texts = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
        found = [zlib.crc32(each.encode()) % self.buckets for each in texts.dictionary.to_pylist()]
        return pa.array(found, pa.int32()).take(texts.indices)

    def kept(self, tables: Mapping[str, Any], bucket: int) -> Tables:
        """Return the rows of the tables of a stream that are in a bucket."""
        return {
            name: rows.filter(pc.equal(self.places(name, rows), bucket))
            for name, rows in self._with_carriers(tables).items()
        }

    def by_bucket(self, tables: Mapping[str, Any]) -> list[Tables]:
        """Return for each bucket the rows of a stream that are in it, in the order in which they came."""
        by_bucket: list[Tables] = [{} for _ in range(self.buckets)]
        for name, rows in self._with_carriers(tables).items():
            places = self.places(name, rows)
            together = rows.take(pc.sort_indices(places))
            counts = dict(zip(*(each.to_pylist() for each in places.value_counts().flatten()), strict=True))
            first = 0
            for bucket in range(self.buckets):
                by_bucket[bucket][name] = together.slice(first, counts.get(bucket, 0))
                first += counts.get(bucket, 0)
        return by_bucket

    def _with_carriers(self, tables: Mapping[str, Any]) -> Tables:
        """Return tables whose rows say themselves when they were carried: what says so may be elsewhere."""
        return {name: carried(self._source, self._source.tables[name], tables) for name in tables}


def shares(rows: PartRows, spread: Spread, alone: Alone) -> Iterator[tuple[int, PartRows]]:
    """Yield what of a part belongs to each bucket, to `CONTROL` last."""
    homes = _homes(rows.streams, spread, alone)
    row_sets = [RowSet() for _ in range(spread.buckets)]
    for name, (tables,) in rows.rows.tables.items():
        again = set[int]().union(*(found for (of, _), found in homes.items() if of == name))
        for bucket, some in enumerate(spread.by_bucket(tables)):
            if any(map(len, some.values())) or bucket in again:
                row_sets[bucket].tables[name] = [some]
                row_sets[bucket].numbers[name] = rows.rows.numbers[name]
    for bucket, row_set in enumerate(row_sets):
        streams = [_of_bucket(each, row_set, bucket, homes) for each in rows.streams]
        yield bucket, _share(rows, streams, row_set)
    yield CONTROL, _control(rows)


def _control(rows: PartRows) -> PartRows:
    """Return what was refused, with the tables of its streams, which have no rows there."""
    streams = [
        replace(
            each,
            contributions={name: brought for name, brought in each.contributions.items() if brought.rejected},
            actions=_actions(each),
        )
        for each in rows.streams
    ]
    row_set = RowSet()
    for name in {name for each in streams for name in each.contributions}:
        (tables,) = rows.rows.tables[name]
        row_set.add(
            name, {table: each.slice(0, 0) for table, each in tables.items()}, rows.rows.numbers[name]
        )
    return _share(rows, streams, row_set)


def _homes(streams: Iterable[StreamBatch], spread: Spread, alone: Alone) -> Homes:
    """Find the buckets of the rows of refused records that would be accepted by themselves.

    These are replayed there, should somebody ask for it.
    """
    return {
        (name, id(reject)): {
            bucket
            for table, made in alone(name, reject).items()
            for bucket in spread.places(table, made).to_pylist()
        }
        for each in streams
        for name, brought in each.contributions.items()
        for reject in brought.rejected
        if isinstance(reject.why, TooManyNamesError) and not reject.whole
    }


def _of_bucket(each: StreamBatch, row_set: RowSet, bucket: int, homes: Homes) -> StreamBatch:
    """Return what a stream has brought to a bucket."""
    contributions = {
        name: replace(
            brought,
            rejected=[one for one in brought.rejected if bucket in homes.get((name, id(one)), ())],
        )
        for name, brought in each.contributions.items()
        if name in row_set.tables
    }
    return replace(each, contributions=contributions, actions=_actions(each))


def _actions(each: StreamBatch) -> list[Any]:
    return [action for action in each.actions if action.name not in OF_THE_RUNS]


def _share(rows: PartRows, streams: list[StreamBatch], row_set: RowSet) -> PartRows:
    """Return a part with these rows; little more than its head where it concerns nothing there."""
    head = msgspec.structs.replace(rows.head, files=[], streams=[])
    concerned = bool(row_set.tables) or any(each.actions for each in streams)
    # Which runs there were is no matter of the tables.
    return PartRows(head, streams if concerned else [], row_set, is_of_run=False)


def packed(rows: PartRows) -> bytes:
    """Return a share as bytes."""
    tables = {
        name: {table: _ipc(each) for table, each in some[0].items()}
        for name, some in rows.rows.tables.items()
    }
    return pickle.dumps((rows.head, rows.streams, rows.rows.numbers, tables), protocol=5)


def unpacked(content: bytes) -> PartRows:
    """Return the share that `packed` has made bytes of."""
    # Made by our own version, in the same cluster.
    head, streams, numbers, tables = pickle.loads(content)  # noqa: S301
    made = {
        name: [{table: pa.ipc.open_stream(each).read_all() for table, each in some.items()}]
        for name, some in tables.items()
    }
    return PartRows(head, streams, RowSet(made, numbers), is_of_run=False)


def _ipc(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())
