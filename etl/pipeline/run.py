"""Extract, transform, load, publish: what each command does, from its beginning to its end."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from pathlib import Path

import duckdb

from etl.config import Settings
from etl.errors import (
    OK,
    QUARANTINED,
    CheckFailedError,
    ConfigError,
    EnvironmentFaultError,
    SightglassError,
    SourceError,
    code_of,
    worst,
)
from etl.extract.forgotten import load
from etl.extract.log import RAW, Log
from etl.extract.stream import SETTLE_QUARANTINE, Action, Reread, Session
from etl.load import lock
from etl.load.accounts import ACCOUNT, admitted
from etl.load.migrating import notices
from etl.load.run_store import (
    HeldBack,
    QuarantineEntry,
    RunStore,
    loaded_before,
    quarantine_entries,
)
from etl.load.stream_stats import StreamStats
from etl.load.warehouse import NAME, Warehouse, make_folder, opened
from etl.pipeline import run_events
from etl.pipeline.log_applier import recover
from etl.pipeline.missing import missing, remember_plugins, usable
from etl.pipeline.sessions import connect, known_source, refuse_timeless
from etl.pipeline.source_loader import LOAD_LIMITS, LoadLimits, Progress, RunContext, SourceLoader
from etl.pipeline.stages import Stages
from etl.process import code_if_told, interruptible, share_arenas, spare
from etl.publish import Published, bring_former, publish
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits
from etl.publish.targets import targets
from etl.redact import Redactor

LATE_INTERRUPTS = 3
"""Interrupts that may still be under way when a run is told that none follows."""


@dataclass(slots=True)
class Report:
    """What a run did."""

    run_id: str
    started_at: datetime
    command: str = "run"
    """What runs: run, backfill or replay."""
    finished_at: datetime | None = None
    status: str = "running"
    exit_code: int = OK
    streams: list[StreamStats] = field(default_factory=list)
    newly_quarantined: int = 0
    marked: dict[str, int] = field(default_factory=dict)
    """Rows that were marked, by as what: deleted, listed again."""
    unknown: list[str] = field(default_factory=list)
    """Undeclared fields met, as source.stream:place/field."""
    gaps: int = 0
    held_back: list[HeldBack] = field(default_factory=list)
    """What waits until somebody confirms it."""
    skipped: list[str] = field(default_factory=list)
    """Sources without credentials."""
    lapsed: list[str] = field(default_factory=list)
    """Of these, the sources that were loaded before."""
    missing: dict[str, str] = field(default_factory=dict)
    """Sources of other packages that could not be loaded, and why."""
    published: Published | None = None
    """What readers got to see; None where a check held it back."""
    failed_checks: str | None = None
    """Which checks those were."""
    is_log_damaged: bool = False
    """Whether parts of the log were set aside."""
    log_notices: list[str] = field(default_factory=list)
    """What is damaged or missing in the log, and asked for again."""
    migrated: list[str] = field(default_factory=list)
    """What became of tables that another version had made."""
    stages: Stages = field(default_factory=Stages)
    """Where the time went."""


def run(  # noqa: PLR0913 -- the last is given by tests alone
    settings: Settings,
    wanted: Sequence[str],
    now: Callable[[], datetime],
    progress: Progress,
    reread: Reread | None = None,
    *,
    limits: LoadLimits = LOAD_LIMITS,
) -> Report:
    """Load what is new of the wanted sources, or of all with credentials; SightglassError where it cannot.

    With `reread`, that is loaded again instead, and cursors stay.
    """
    report = begun(now(), "backfill" if reread else "run")
    with ExitStack() as stack:
        sessions, report.skipped = connect(settings, wanted)
        report.missing = missing(settings.home, wanted or settings.sources)
        refuse_timeless(sessions if reread else ())
        for session in sessions.values():
            stack.callback(session.close)

        def admit(warehouse: Warehouse) -> None:
            for name, session in sessions.items():
                sessions[name] = admitted(warehouse, name, session, report.run_id)
            report.lapsed = [name for name in report.skipped if loaded_before(warehouse, name)]

        warehouse, run_store = stack.enter_context(entered(settings, report, now, admit))
        run_events.begun(report.run_id, sessions)
        context = RunContext(
            settings, warehouse, run_store, now, report.started_at, progress, reread, report.stages, limits
        )
        for name, session in sessions.items():
            read(SourceLoader(context, name), session, report)
        judge(report)
    run_events.ended(report)
    return report


def replay(
    settings: Settings, ids: Sequence[str], now: Callable[[], datetime]
) -> tuple[Report, list[QuarantineEntry]]:
    """Load what was refused and is accepted now, of these ids or of all that is open; and what is not.

    ConfigError where there is no warehouse.
    """
    must_exist(settings)
    report = begun(now(), "replay")
    still: list[QuarantineEntry] = []

    def admit(warehouse: Warehouse) -> None:
        # Before anything is entered: a wrong id makes no run.
        if ids:
            quarantine_entries(warehouse, ids)

    with entered(settings, report, now, admit, reports=False) as (warehouse, run_store):
        context = RunContext(
            settings, warehouse, run_store, now, report.started_at, lambda _stats, _pending: None
        )
        # Newest first: what has no version of its own is not overwritten by what was sent before it.
        found = [each for each in reversed(quarantine_entries(warehouse, ids)) if each.state == "open"]
        loaders = {name: SourceLoader(context, name) for name in dict.fromkeys(each.source for each in found)}
        for name, loader in loaders.items():
            still += loader.replay([each for each in found if each.source == name])
        report.streams = [stats for loader in loaders.values() for stats in loader.all_stats]
        report.exit_code = QUARANTINED if still else OK
        report.status = "partial" if still else "ok"
    return report, still


def dismiss(settings: Settings, quarantine_id: str, now: datetime) -> tuple[list[str], Published]:
    """Close one refusal; notices of the log, and what was published. ConfigError where there is none."""
    must_exist(settings)
    with lock.hold(settings.home, now), writable(settings.home) as warehouse:
        (entry,) = quarantine_entries(warehouse, [quarantine_id])
        run_store = RunStore(warehouse, begun(now).run_id)
        context = RunContext(settings, warehouse, run_store, lambda: now, now, lambda _stats, _pending: None)
        notices, _ = _recover(warehouse, settings)
        about = {"quarantine_id": quarantine_id, "state": "dismissed"}
        SourceLoader(context, entry.source).act([Action(SETTLE_QUARANTINE, about)])
        published = publish(warehouse, settings)
    return notices, published


def confirm(settings: Settings, what: str, source: str, now: datetime) -> None:
    """Let the next run do what runs hold back; ConfigError where nothing of the kind is."""
    known_source(source)
    must_exist(settings)
    with lock.hold(settings.home, now), writable(settings.home) as warehouse:
        is_held = any(
            held is not None for held, _ in warehouse.ask("etl/confirmation", source=source, what=what)
        )
        if what != ACCOUNT and not is_held:
            raise ConfigError(f"no {what} of {source} are held back: there is nothing to confirm")
        with warehouse.transaction():
            warehouse.run("etl/confirm", source=source, what=what, now=now)


def publish_again(
    settings: Settings,
    now: datetime,
    *,
    force: bool = False,
    limits: PublishLimits = PUBLISH_LIMITS,
) -> Published:
    """Let readers see the warehouse as it is; CheckFailedError where a check fails, unless forced.

    Whatever the limits, every file is read again.
    """
    must_exist(settings)
    with lock.hold(settings.home, now), writable(settings.home) as warehouse:
        return publish(warehouse, settings, force=force, limits=replace(limits, reread_bytes=inf))


def _recover(warehouse: Warehouse, settings: Settings) -> tuple[list[str], bool]:
    """Apply what earlier runs have sealed and not applied; what is to be known of it.

    The second answer says whether parts were set aside as damaged.
    """
    # At once: all that looks at what is published would find nothing until this run has ended.
    bring_former(settings)
    remember_plugins(settings.home)
    redact = Redactor(each.reveal() for each in settings.secrets)
    found = [recover(warehouse, Log(settings.home / RAW / name), name, redact) for name in usable()]
    notices = [notice for each in found for notice in each.notices]
    if load(settings.home).pending:
        notices.append(
            "what was to be forgotten may still be there: `sightglass forget` was killed; run it again"
        )
    return notices, any(each.is_damaged for each in found)


def must_exist(settings: Settings) -> None:
    """ConfigError where there is no warehouse."""
    if not (settings.home / NAME).exists():
        raise ConfigError(f"there is no warehouse in {settings.home} yet: run `sightglass run`")


def begun(now: datetime, command: str = "run") -> Report:
    """Return the report of a run that begins, with a name for it."""
    return Report(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", now, command)


@contextmanager
def writable(home: Path) -> Iterator[Warehouse]:
    """Provide the warehouse, closed at the end.

    Where a signal comes, what became of the run is entered first.
    """
    share_arenas()
    with opened(home) as warehouse, interruptible(warehouse, is_wanted_after=True):
        yield warehouse


@contextmanager
def entered(
    settings: Settings,
    report: Report,
    now: Callable[[], datetime],
    admit: Callable[[Warehouse], None] = lambda _warehouse: None,
    *,
    reports: bool = True,
) -> Iterator[tuple[Warehouse, RunStore]]:
    """Provide the warehouse, held by this run alone, and the store of runs, where it is entered.

    `admit` looks at the warehouse before anything is written; ConfigError where nothing is to be. A run
    that reports what was refused does so for those before it that could not.
    """
    targets(settings)  # where one is named that cannot be, no API is asked
    make_folder(settings.home)
    with lock.hold(settings.home, report.started_at) as holder, writable(settings.home) as warehouse:
        run_store, is_entered = RunStore(warehouse, report.run_id), False
        try:
            admit(warehouse)
            run_store.start(report.started_at, report.command)
            is_entered = True
            report.migrated += notices(warehouse.migrated)
            with report.stages.measured("recover"):
                report.log_notices, report.is_log_damaged = _recover(warehouse, settings)
            if reports:
                # Nobody was told of what they refused, and it counts as new only once.
                report.newly_quarantined = run_store.refused_by(holder.unreported)
                holder.enter(report.run_id)
            yield warehouse, run_store
        except BaseException as error:
            if not is_entered and isinstance(error, (ConfigError, EnvironmentFaultError)):
                raise
            run_events.failed(report.run_id, _code(error))
            spare()
            warehouse.roll_back()
            # Where even this cannot be written, the next run enters it.
            with suppress(SightglassError):
                _enter_failure(run_store, report, now(), _code(error), is_entered=is_entered)
            raise
        _conclude(warehouse, settings, report, run_store, now())


def _enter_failure(
    run_store: RunStore, report: Report, ended: datetime, code: int, *, is_entered: bool
) -> None:
    """Enter that the run failed, again where an interrupt of what came before reaches this, or its commit."""
    for _ in range(LATE_INTERRUPTS):
        with suppress(duckdb.InterruptException, EnvironmentFaultError):
            if not is_entered:
                run_store.start(report.started_at, report.command)
            run_store.finish(ended, "failed", code, report.unknown)
            return


def _conclude(
    warehouse: Warehouse, settings: Settings, report: Report, run_store: RunStore, ended: datetime
) -> None:
    """Enter how the run ended, and let readers see what it loaded."""
    report.gaps, report.held_back, report.finished_at = run_store.gaps(), run_store.held_back(), ended
    run_store.finish(ended, report.status, report.exit_code, report.unknown)
    try:
        with report.stages.measured("publish"):
            report.published = publish(warehouse, settings)
        code = report.published.exit_code
    except CheckFailedError as error:
        report.failed_checks, code = str(error), error.exit_code
    if code:
        report.status, report.exit_code = "partial", worst([report.exit_code, code])
        run_store.finish(ended, report.status, report.exit_code, report.unknown)


def read(loader: SourceLoader, session: Session, report: Report) -> None:
    """Load one source, and report what came of it however it ends."""
    try:
        with report.stages.reading(loader.name):
            loader.read(session)
    finally:
        report.streams += loader.all_stats
        run_events.streams_ended(report.run_id, loader.all_stats)
        report.newly_quarantined += loader.newly_quarantined
        report.marked |= loader.marked
        report.unknown += loader.unknown


def _code(error: BaseException) -> int:
    """Return the exit code with which the command will leave because of this."""
    return code_if_told() or code_of(error)


def judge(report: Report) -> None:
    """Set status and exit code from what happened to the streams."""
    failed = [stats for stats in report.streams if stats.status == "failed"]
    codes = [
        *[SourceError.exit_code] * bool(failed),
        *[QUARANTINED] * bool(report.newly_quarantined or report.is_log_damaged),
        *[ConfigError.exit_code] * bool(report.lapsed or report.missing),
    ]
    report.exit_code = worst(codes)
    report.status = "ok"
    if codes:
        report.status = "failed" if failed and len(failed) == len(report.streams) else "partial"
