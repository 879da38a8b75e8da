"""Apply parts of the log to a warehouse, as the runs that received them would have done it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from etl import schema
from etl.extract.log import DAMAGED, Log, Part
from etl.extract.log_reader import DamagedPartError
from etl.extract.stream import THE_RUN
from etl.load.commit import Batch, Committer
from etl.load.run_store import RunStore
from etl.load.warehouse import Warehouse
from etl.pipeline.transform_worker import PartTransformer
from etl.redact import Redactor
from etl.transform.part_rows import PartRows, merge
from etl.values import datetime_of


@dataclass(slots=True)
class Recovery:
    """What became of parts that an earlier run has sealed and not applied."""

    applied: int
    """Return the number of the last part that is applied."""
    notices: list[str] = field(default_factory=list)
    """What is missing or damaged, and asked for again."""
    is_damaged: bool = False
    """Whether parts were set aside: what a backfill or a replay has brought is not asked for again."""


class LogApplier:
    """Applies parts of one source in their order, batch by batch."""

    def __init__(self, warehouse: Warehouse, log: Log, source: str, redact: Redactor) -> None:
        self.warehouse = warehouse
        self.log = log
        self.source = schema.source(source)
        self._redact = redact
        self._run_id = ""
        self._transformer = PartTransformer(log, source)
        self._committer = self._new_committer()

    def apply(self, parts: Iterable[Part], *, moves_cursors: bool = True) -> Iterator[Part]:
        """Apply each batch of these parts as one transaction, and yield its last part.

        Where parts before them are missing, no cursor may move: it would pass what these held. Raises
        DamagedPartError at the first part that is not as it was written; the batch it is in is not applied.
        """
        pending: list[tuple[Part, PartRows]] = []
        for part in parts:
            if pending and (part.is_undone or pending[-1][0].run_id != part.run_id):
                yield self._commit(pending, moves_cursors=moves_cursors)
                pending = []
            if part.is_undone:
                yield self._pass_over(part)
                continue
            pending.append((part, self._rows(part)))
            if pending[-1][1].head.ends_batch:
                yield self._commit(pending, moves_cursors=moves_cursors)
                pending = []
        if pending:
            yield self._commit(pending, moves_cursors=moves_cursors)

    def _pass_over(self, part: Part) -> Part:
        """Leave out what an undone run has received."""
        with self.warehouse.transaction():
            RunStore(self.warehouse, part.run_id).apply_log(self.source.name, part.number)
        return part

    def _rows(self, part: Part) -> PartRows:
        """Return the rows, and all else, in a part."""
        if self._run_id != part.run_id:
            # As in each run, no undeclared field is known at the beginning.
            self._run_id = part.run_id
            self._transformer = PartTransformer(self.log, self.source.name)
            self._committer = self._new_committer()
        rows = self._transformer.rows(part)
        if rows.is_of_run:
            run = rows.head.run
            RunStore(self.warehouse, run.run_id).know(datetime_of(run.started_at), run.version)
        return rows

    def _commit(self, parts: Sequence[tuple[Part, PartRows]], *, moves_cursors: bool) -> Part:
        """Commit the parts as one batch, on behalf of the run that has received them."""
        part, rows = parts[-1]
        streams, whole = merge(rows for _, rows in parts)
        for each in streams:
            if each.name != THE_RUN:
                self._committer.resume(each.name, each.partition)
        moves = moves_cursors and rows.head.moves_cursors
        self._committer.commit(Batch(datetime_of(rows.head.sealed_at), streams, whole, part.number, moves))
        return part

    def _new_committer(self) -> Committer:
        run_store = RunStore(self.warehouse, self._run_id)
        return Committer(self.warehouse, run_store, self.source, self._transformer.transformer, self._redact)


def recover(warehouse: Warehouse, log: Log, source: str, redact: Redactor) -> Recovery:
    """Apply what an earlier run has sealed and not applied, and remove what it had not sealed.

    A part that is damaged, and those after it, are set aside: no cursor has moved over what they hold. Nor
    does one move by parts that others are missing before: these are asked for again.
    """
    run_store = RunStore(warehouse, "")
    applied = run_store.log_applied(source)
    log.clean(applied)
    # An undo that was killed has taken them out of the tables, and may not have come to this.
    log.undo(run_store.undone())
    recovery, left = Recovery(applied), log.parts(applied)
    if not left:
        return recovery
    following = [part for place, part in enumerate(left, start=applied + 1) if part.number == place]
    beyond = left[len(following) :]
    if beyond:
        recovery.notices.append(
            f"the log of {source} lacks parts before number {beyond[0].number:,}: they are asked for again"
        )
    applier = LogApplier(warehouse, log, source, redact)
    try:
        for part in applier.apply(following):
            recovery.applied = part.number
        for part in applier.apply(beyond, moves_cursors=False):
            recovery.applied = part.number
    except DamagedPartError as error:
        recovery.is_damaged = True
        recovery.notices.append(f"the log is damaged, what it held since is asked for again: {error}")
        for part in left:
            if part.number > recovery.applied:
                with suppress(OSError):
                    part.entry.rename(part.entry.with_name(part.entry.name + DAMAGED))
    run_store.close_dead_streams()
    return recovery
