"""Prove or disprove that every record an API held is in its table exactly once, or named as missing."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from etl import schema
from etl.config import Settings
from etl.errors import OK, QUARANTINED, ConfigError, SourceError, worst
from etl.extract.forgotten import load
from etl.extract.log import RAW, Log
from etl.extract.log_check import LogState, checked
from etl.load import lock
from etl.load.accounts import admitted
from etl.load.differences import Difference
from etl.load.soundness import unsound
from etl.load.stored import Stored, stored
from etl.load.warehouse import make_folder
from etl.pipeline.asking import Answers, Asking
from etl.pipeline.missing import must_be_there
from etl.pipeline.replaying import replayed_differences
from etl.pipeline.windows import Scope
from etl.process import interruptible
from etl.publish.compare import lake_differences
from etl.sources import source_module


@dataclass(slots=True)
class Verified:
    """What was looked at, and what differs."""

    sources: list[str]
    seed: int | None = None
    """By which windows were drawn; None where all were asked for."""
    differences: list[Difference] = field(default_factory=list)
    asked: dict[str, Answers] = field(default_factory=dict)
    """By source, what came of asking its API."""
    unasked: list[str] = field(default_factory=list)
    """What could not be asked, and why."""
    notes: list[str] = field(default_factory=list)
    """What could be proven, and what not."""
    gaps: dict[str, int] = field(default_factory=dict)
    """By source, what is named as missing."""
    exit_code: int = OK


def verify(settings: Settings, wanted: Sequence[str], now: Callable[[], datetime], scope: Scope) -> Verified:
    """Look at these sources, or at all, outside and inside; nothing that is stored is changed.

    Raises BusyError while a run works, ConfigError where the warehouse is another account's.
    """
    if not wanted:
        must_be_there(settings.home)
    report = Verified(list(wanted) or schema.names(), None if scope.sample is None else scope.seed)
    if not settings.home.is_dir():
        raise ConfigError(f"there is no folder {settings.home}: run `sightglass run`, or name another --home")
    with lock.hold(settings.home, now()), _aside(settings.home / lock.VERIFY) as aside:
        states: dict[str, LogState] = {}
        with stored(settings.home, aside, settings.sql_memory) as found, interruptible(found):
            for name in report.sources:
                states[name] = _check_log(settings.home, found, name, report)
                report.gaps[name] = found.ask("verify/gaps", source=name)[0][0]
            _check_tables(settings.home, found, report)
            tables = {
                table.qualified: table
                for source in (*report.sources, schema.SYSTEM)
                for table in schema.source(source).tables.values()
            }
            report.differences += lake_differences(found.connection, settings.home, tables)
            for name in report.sources:
                answers = _answers(settings, found, Asking(settings, found, name, scope, now))
                report.asked[name] = answers
                report.differences += answers.differences
                report.unasked += answers.unasked
        if scope.quick:
            report.notes.append("the tables were not held against the log, for that was not wanted")
        else:
            differences, notes = replayed_differences(settings, states, aside)
            report.differences += differences
            report.notes += notes
    codes = [QUARANTINED] * bool(report.differences) + [SourceError.exit_code] * bool(report.unasked)
    report.exit_code = worst(codes)
    return report


def drawn_seed() -> int:
    """Return a seed for who names none."""
    return secrets.randbelow(10**6)


def _check_log(home: Path, found: Stored, name: str, report: Verified) -> LogState:
    """Name what is wrong with the log of a source, and what it is known not to hold."""
    rows = found.ask("etl/log_applied", source=name)
    state = checked(Log(home / RAW / name), int(rows[0][0]) if rows else 0)
    for fault in state.faults:
        file = str(fault.part.entry.relative_to(home)) if fault.part else f"{RAW}/{name}"
        what = fault.what.replace(f"{home}/", "")
        report.differences.append(Difference(place="log", what=what, source=name, file=file))
    if state.unapplied:
        what = f"{state.unapplied:,} parts are sealed, and no run has applied them"
        report.differences.append(Difference(place="log", what=what, source=name, file=f"{RAW}/{name}"))
    if state.first > 1:
        report.notes.append(f"the log of {name} begins with part {state.first:,}: earlier ones were pruned")
    if state.aside:
        report.notes.append(f"the log of {name} lacks parts that are known to be lost: {len(state.aside):,}")
    return state


def _check_tables(home: Path, found: Stored, report: Verified) -> None:
    """Name what is wrong with the tables by themselves."""
    forgotten, sources = load(home), list(map(schema.source, report.sources))
    if forgotten.pending:
        report.notes.append("`sightglass forget` was killed: run it again, before anything is mended")
    # What was the newest may have been of whom nothing is kept.
    report.differences += unsound(found.connection, sources, knows_newest=not forgotten)


def _answers(settings: Settings, found: Stored, asking: Asking) -> Answers:
    """Hold what is stored of a source against its API."""
    module = source_module(asking.name)
    session = module.connect(settings)
    if session is None:
        is_loaded = found.ask("etl/account", source=asking.name)
        why = [f"{asking.name}: it has no credentials: set {module.LOGIN}"]
        return Answers(unasked=why if is_loaded else [])
    try:
        return asking.ask(admitted(found, asking.name, session, ""))
    finally:
        session.close()


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Provide an empty folder that is gone at the end."""
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
