"""Apply parts of the log to a warehouse, as the runs that received them would have done it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl import schema
from etl.extract.log import DAMAGED, Head, Log, Part
from etl.extract.log_reader import DamagedPart, read
from etl.extract.stream import Action
from etl.load.books import Books
from etl.load.commit import SETTLE_REFUSAL, THE_RUN, Batch, Committer, StreamBatch, merge, stream_batch
from etl.load.warehouse import Warehouse
from etl.redact import Redactor
from etl.registry import source_module
from etl.transform.batch import Transformer
from etl.values import datetime_of

if TYPE_CHECKING:
    from etl.extract.log_writer import Received
    from etl.extract.stream import Delivery


def _settles(received: "Received") -> bool:
    """Whether somebody has settled a refusal by hand, which is no run."""
    return all(isinstance(each, Action) and each.name == SETTLE_REFUSAL for each in received.bundle)


@dataclass(slots=True)
class Recovery:
    """What became of parts that an earlier run has sealed and not applied."""

    applied: int
    """Number of the last part that is applied."""
    notices: list[str] = field(default_factory=list)
    """What is missing or damaged, and asked for again."""
    is_damaged: bool = False
    """Whether parts were set aside: what a backfill or a replay has brought is not asked for again."""


class LogApplier:
    """Applies parts of one source in their order, batch by batch."""

    def __init__(self, warehouse: Warehouse, source: str, redact: Redactor) -> None:
        self.warehouse = warehouse
        self.source = schema.source(source)
        self._redact = redact
        self._run_id = ""
        self._transformer = self._new_transformer()
        self._committer = Committer(warehouse, Books(warehouse, ""), self.source, self._transformer, redact)

    def apply(self, log: Log, parts: Iterable[Part], *, moves_cursors: bool = True) -> Iterator[Part]:
        """Apply each batch of these parts as one transaction, and yield its last part.

        Where parts before them are missing, no cursor may move: it would pass what these held. Raises
        DamagedPart at the first part that is not as it was written; the batch it is in is not applied.
        """
        pending: list[tuple[Part, Head, list[StreamBatch]]] = []
        for part in parts:
            if pending and pending[-1][0].run_id != part.run_id:
                yield self._commit(pending, moves_cursors=moves_cursors)
                pending = []
            pending.append((part, *self._read(log, part)))
            if pending[-1][1].ends_batch:
                yield self._commit(pending, moves_cursors=moves_cursors)
                pending = []
        if pending:
            yield self._commit(pending, moves_cursors=moves_cursors)

    def _read(self, log: Log, part: Part) -> tuple[Head, list[StreamBatch]]:
        """The rows, and all else, in a part."""
        head, received = read(log, part)
        if self._run_id != part.run_id:
            # As in each run, no undeclared field is known at the beginning.
            self._run_id, self._transformer = part.run_id, self._new_transformer()
            books = Books(self.warehouse, part.run_id)
            if any(not _settles(each) for each in received):
                books.know(datetime_of(head.run.started_at), head.run.version)
            self._committer = Committer(self.warehouse, books, self.source, self._transformer, self._redact)
        delivered: list[list[Delivery]] = [[] for _ in head.streams]
        for each in received:
            delivered[each.by] += each.bundle
        batches = [stream_batch(each) for each in head.streams]
        for batch, some in zip(batches, delivered, strict=True):
            batch.take(some, self._transformer, self.source)
        return head, batches

    def _commit(self, parts: Sequence[tuple[Part, Head, list[StreamBatch]]], *, moves_cursors: bool) -> Part:
        """Commit the parts as one batch, on behalf of the run that has received them."""
        part, head, _ = parts[-1]
        streams = merge(streams for _, _, streams in parts)
        for each in streams:
            if each.name != THE_RUN:
                self._committer.resume(each.name, each.partition)
        moves = moves_cursors and head.moves_cursors
        self._committer.commit(Batch(datetime_of(head.sealed_at), streams, part.number, moves))
        return part

    def _new_transformer(self) -> Transformer:
        return Transformer(source_module(self.source.name), self.source)


def recover(warehouse: Warehouse, log: Log, source: str, redact: Redactor) -> Recovery:
    """Apply what an earlier run has sealed and not applied, and remove what it had not sealed.

    A part that is damaged, and those after it, are set aside: no cursor has moved over what they hold. Nor
    does one move by parts that others are missing before: these are asked for again.
    """
    books = Books(warehouse, "")
    applied = books.log_applied(source)
    log.clean(applied)
    recovery, left = Recovery(applied), log.parts(applied)
    if not left:
        return recovery
    following = [part for place, part in enumerate(left, start=applied + 1) if part.number == place]
    beyond = left[len(following) :]
    if beyond:
        recovery.notices.append(
            f"the log of {source} lacks parts before number {beyond[0].number:,}: they are asked for again"
        )
    applier = LogApplier(warehouse, source, redact)
    try:
        for part in applier.apply(log, following):
            recovery.applied = part.number
        for part in applier.apply(log, beyond, moves_cursors=False):
            recovery.applied = part.number
    except DamagedPart as error:
        recovery.is_damaged = True
        recovery.notices.append(f"the log is damaged, what it held since is asked for again: {error}")
        for part in left:
            if part.number > recovery.applied:
                with suppress(OSError):
                    part.entry.rename(part.entry.with_name(part.entry.name + DAMAGED))
    books.close_dead_streams()
    return recovery
