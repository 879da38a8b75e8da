"""Apply parts of the log to a warehouse, as the runs that received them would have done it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from etl.sources import source_module
from etl.transform.batch import Transformer
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


class PartApplier:
    """Applies parts of one source in their order, batch by batch; `read` makes the rows of one."""

    def __init__(
        self, warehouse: Warehouse, source: str, redact: Redactor, read: Callable[[Part], PartRows]
    ) -> None:
        self.warehouse = warehouse
        self.source = schema.source(source)
        self._read = read
        self._redact = redact
        self._run_id = ""
        self._transformer = Transformer(source_module(source), self.source)
        self._committer = self.new_committer("")

    def apply(self, parts: Iterable[Part], *, moves_cursors: bool = True) -> Iterator[Part]:
        """Apply each batch of these parts as one transaction, and yield its last part.

        Where parts before them are missing, no cursor may move: it would pass what these held. Raises
        DamagedPartError at the first part that is not as it was written; the batch it is in is not applied.
        """
        pending: list[tuple[Part, PartRows]] = []
        for part in parts:
            if pending and (part.is_undone or pending[-1][0].run_id != part.run_id):
                yield self.commit(pending, moves_cursors=moves_cursors)
                pending = []
            if part.is_undone:
                yield self._pass_over(part)
                continue
            pending.append((part, self._rows(part)))
            if pending[-1][1].head.ends_batch:
                yield self.commit(pending, moves_cursors=moves_cursors)
                pending = []
        if pending:
            yield self.commit(pending, moves_cursors=moves_cursors)

    def _pass_over(self, part: Part) -> Part:
        """Leave out what an undone run has received."""
        with self.warehouse.transaction():
            RunStore(self.warehouse, part.run_id).apply_log(self.source.name, part.number)
        return part

    def _rows(self, part: Part) -> PartRows:
        """Return the rows, and all else, in a part."""
        if self._run_id != part.run_id:
            self._run_id = part.run_id
            self._committer = self.new_committer(part.run_id)
        rows = self._read(part)
        if rows.is_of_run:
            run = rows.head.run
            RunStore(self.warehouse, run.run_id).know(datetime_of(run.started_at), run.version)
        return rows

    def commit(self, parts: Sequence[tuple[Part, PartRows]], *, moves_cursors: bool) -> Part:
        """Commit the parts as one batch, on behalf of the run that has received them."""
        part, rows = parts[-1]
        streams, whole = merge(rows for _, rows in parts)
        for each in streams:
            if each.name != THE_RUN:
                self._committer.resume(each.name, each.partition)
        moves = moves_cursors and rows.head.moves_cursors
        self._committer.commit(Batch(datetime_of(rows.head.sealed_at), streams, whole, part.number, moves))
        return part

    def new_committer(self, run_id: str) -> Committer:
        """Return what commits on behalf of a run."""
        run_store = RunStore(self.warehouse, run_id)
        return Committer(self.warehouse, run_store, self.source, self._transformer, self._redact)


class LogApplier(PartApplier):
    """Applies parts of a log that is on this machine."""

    def __init__(self, warehouse: Warehouse, log: Log, source: str, redact: Redactor) -> None:
        super().__init__(warehouse, source, redact, PartTransformer(log, source).rows)
        self.log = log


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
