"""Read a stream anew from its beginning; what the API holds no more goes, once all of it was read."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from etl import schema
from etl.config import Settings
from etl.errors import QUARANTINED, ConfigError, SourceError, worst
from etl.extract.stream import (
    BEGIN_REFRESH,
    END_REFRESH,
    MARK_RANGE,
    Action,
    Bundle,
    Checkpoint,
    Delivery,
    RequestStats,
    Reread,
    Session,
    SourceContext,
    Stream,
    Watermark,
)
from etl.load.accounts import admitted
from etl.load.refreshing import refreshable
from etl.load.warehouse import Warehouse
from etl.pipeline.run import Report, begun, entered, judge, read
from etl.pipeline.sessions import connect, known_source
from etl.pipeline.source_loader import LOAD_LIMITS, LoadLimits, Progress, RunContext, SourceLoader
from etl.publish import FEWER
from etl.values import furthest, micros_of

AHEAD = timedelta(hours=1)
"""How far after now, by the API's clock, it is read: what changes meanwhile moves to the end of the list."""
MOST_GONE = 0.1
"""The share of a stream's rows that may go at once, unless that is asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read anew."""

    source: str
    stream: str
    partition: str | None = None
    """None for all of them."""
    most: float = MOST_GONE
    """The share of the rows that may go."""


def wanted(text: str, partition: str | None, *, force: bool) -> Wanted:
    """Return the stream that is meant; ConfigError where there is none, or it cannot be read anew."""
    source, _, stream = text.partition(".")
    known_source(source)
    declared = schema.source(source)
    names = {table.declared.stream for table in declared.tables.values() if table.declared.stream}
    possible = ", ".join(f"{source}.{name}" for name in sorted(names) if refreshable(declared, name))
    if stream not in names or not refreshable(declared, stream):
        what = "no stream" if stream not in names else "no stream that can be read anew by itself"
        raise ConfigError(f"{text} is {what}: there are {possible}")
    if stream in declared.timeless():
        raise ConfigError(f"{text} cannot be read anew: its cursor is no time")
    return Wanted(source, stream, partition, 1.0 if force else MOST_GONE)


def refresh(
    settings: Settings,
    what: Wanted,
    now: Callable[[], datetime],
    progress: Progress,
    *,
    limits: LoadLimits = LOAD_LIMITS,
) -> Report:
    """Read a stream anew; SightglassError where it cannot be. Readers see it all at once, at the end."""
    report = begun(now(), "refresh")
    with ExitStack() as stack:
        sessions, _ = connect(settings, [what.source])
        session = sessions[what.source]
        stack.callback(session.close)
        chosen = [session]

        def admit(warehouse: Warehouse) -> None:
            chosen[0] = admitted(warehouse, what.source, session, report.run_id)

        warehouse, run_store = stack.enter_context(entered(settings, report, now, admit))
        (settings.home / FEWER).touch()
        reread = Reread(0, micros_of(report.started_at + AHEAD))
        context = RunContext(
            settings, warehouse, run_store, now, report.started_at, progress, reread, report.stages, limits
        )
        loader = SourceLoader(context, what.source)
        anew = _Anew(chosen[0], what)
        read(loader, anew, report)
        loader.act([Action(END_REFRESH, {})])
        if not anew.found and not any(each.status == "failed" for each in report.streams):
            raise ConfigError(f"{what.source}.{what.stream} has no {what.partition or 'part that is read'}")
        judge(report)
        if any("held back, " in (each.notice or "") for each in report.streams):
            report.exit_code, report.status = worst([report.exit_code, QUARANTINED]), "partial"
    return report


@dataclass(slots=True)
class _Anew:
    """A session of which one stream alone is read, with the lists that lead to it."""

    session: Session
    what: Wanted
    found: list[str] = field(default_factory=list)
    """The partitions that are read."""

    def streams(self, source_context: SourceContext) -> Iterator[list[Stream]]:
        """Yield the stream, and lists that it may depend on."""
        for group in self.session.streams(source_context):
            chosen = [self._chosen(each) if self._is_meant(each) else each for each in group]
            left = [new for new, old in zip(chosen, group, strict=True) if new is not old or old.is_list]
            if left:
                yield left

    def close(self) -> None:
        """Close the session."""
        self.session.close()

    def _is_meant(self, stream: Stream) -> bool:
        of_it = self.what.partition in (None, stream.partition)
        return stream.name == self.what.stream and of_it

    def _chosen(self, stream: Stream) -> Stream:
        self.found.append(stream.partition)
        return replace(stream, deliver=partial(self._deliver, stream))

    def _deliver(self, stream: Stream, checkpoint: Checkpoint, stats: RequestStats) -> Iterator[Bundle]:
        """Yield what the stream delivers, between the words that it is read anew.

        SourceError where it is not certain that it was all.
        """
        yield [Action(BEGIN_REFRESH, {})]
        whole, newest = replace(checkpoint, end=checkpoint.end + stream.ahead), _Newest()
        yield from newest.noted(stream.deliver(whole, stats))
        if newest.at is not None:
            # What changed while several read it may have moved behind the last of them.
            yield from newest.noted(stream.deliver(replace(whole, start=newest.at), stats))
        if newest.is_doubtful:
            raise SourceError("not all of it can be listed, so nothing was taken away")
        yield [Action(END_REFRESH, {"most": self.what.most, "until_us": whole.end})]


@dataclass(slots=True)
class _Newest:
    """How far a stream was read, and whether all of it was."""

    at: int | None = None
    """The newest time up to which it was read; None where it is not read by time."""
    is_doubtful: bool = False

    def noted(self, bundles: Iterator[Bundle]) -> Iterator[Bundle]:
        """Yield what a stream delivers."""
        for bundle in bundles:
            self.is_doubtful = self.is_doubtful or any(map(_is_doubtful, bundle))
            times = [each.at for each in bundle if isinstance(each, Watermark)]
            self.at = furthest((self.at, *times))
            yield bundle


def _is_doubtful(delivery: Delivery) -> bool:
    """Whether this says that something may be there that was not listed."""
    if isinstance(delivery, Action):
        return delivery.name not in (
            MARK_RANGE,
            "mark_listed",
            "note_fetched",
            "bind_account",
            "forget_confirmation",
        )
    return isinstance(delivery, Watermark) and (delivery.holds or bool(delivery.notice))
