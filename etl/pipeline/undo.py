"""Undo runs: the tables as they were before them, made from the log without their parts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from etl import schema
from etl.config import Settings
from etl.errors import OK, CheckFailedError, ConfigError, EnvironmentFaultError, worst
from etl.extract.log import RAW, Log, Part
from etl.extract.log_reader import DamagedPartError, read
from etl.extract.stream import Page, PushedSource
from etl.files import reason, remedy
from etl.load import lock
from etl.load.completing import FORMER, copy_runs_but, copy_source
from etl.load.run_store import RunStore
from etl.load.warehouse import NAME, Warehouse, opened
from etl.pipeline.log_applier import LogApplier, recover
from etl.pipeline.missing import must_be_there
from etl.pipeline.rebuild import ASIDE, bring_in, clear_aside
from etl.process import interruptible
from etl.publish import Published, publish
from etl.redact import Redactor
from etl.schema import literal
from etl.sources import source_module

NAMES_SHOWN = 5
"""Later runs that people are told the names of."""


@dataclass(slots=True)
class Undone:
    """What an undo did."""

    run_id: str
    runs: list[str] = field(default_factory=list)
    """All that were undone, the oldest first; none where the run was undone before."""
    parts: dict[str, int] = field(default_factory=dict)
    """By source, the parts of the log that nothing is made of any more."""
    posts: int = 0
    """Posts that the inbox got back."""
    log_notices: list[str] = field(default_factory=list)
    published: Published | None = None
    failed_checks: str | None = None
    exit_code: int = OK


def undo(settings: Settings, run_id: str, now: Callable[[], datetime], *, with_later: bool) -> Undone:
    """Make the tables what they were before a run, and publish them.

    ConfigError where there is no such run, where later ones have brought something and are not to be undone
    with it, and where the log does not hold all that the tables were made of: then nothing is changed.
    """
    home, report = settings.home, Undone(run_id)
    if not (home / NAME).exists():
        raise ConfigError(f"there is no warehouse in {home} yet: no run was ever there")
    must_be_there(home)
    redact = Redactor(each.reveal() for each in settings.secrets)
    with lock.hold(home, now()):
        logs = {name: Log(home / RAW / name) for name in schema.names()}
        with _open(settings) as warehouse:
            for name, log in logs.items():
                report.log_notices += recover(warehouse, log, name, redact).notices
            with warehouse.transaction():
                RunStore(warehouse, "").close_dead(now())
            report.runs = _to_undo(warehouse, run_id, with_later=with_later)
            own = {name: _of(log, report.runs) for name, log in logs.items()}
            _require_whole(warehouse, logs, report.runs, own)
            warehouse.connection.execute("CHECKPOINT")
        report.parts = {name: len(parts) for name, parts in own.items() if parts}
        if report.runs:
            report.posts = _give_back(settings, logs, own)
            _make(settings, report, redact)
            bring_in(home, home / ASIDE, fewer=True)
        with _open(settings) as warehouse:
            for log in logs.values():
                # The next run does so as well where this is killed before.
                log.undo(RunStore(warehouse, "").undone())
            try:
                report.published = publish(warehouse, settings)
                report.exit_code = worst([report.exit_code, report.published.exit_code])
            except CheckFailedError as error:
                report.failed_checks, report.exit_code = str(error), error.exit_code
    return report


@contextmanager
def _open(settings: Settings) -> Iterator[Warehouse]:
    with opened(settings.home) as warehouse, interruptible(warehouse, is_wanted_after=True):
        yield warehouse


def _to_undo(warehouse: Warehouse, run_id: str, *, with_later: bool) -> list[str]:
    """Return a run with all after it, which were made of what it has left; none where it is undone."""
    found = warehouse.ask("etl/runs_from", run_id=run_id)
    if not found:
        raise ConfigError(f"there is no run {run_id}: `FROM etl.runs` names all that were")
    if found[0][1] == "undone":
        return []
    runs = [run for run, _ in found]
    brought = {run for (run,) in warehouse.ask("etl/runs_with_rows", runs=runs)}
    later = [run for run in runs[1:] if run in brought]
    if later and not with_later:
        more = f" and {len(later) - NAMES_SHOWN:,} more" if len(later) > NAMES_SHOWN else ""
        raise ConfigError(
            f"later runs have brought something as well: {', '.join(later[:NAMES_SHOWN])}{more}; the tables "
            "as they were before this one are without them too: --with-later undoes all of them"
        )
    return runs


def _of(log: Log, runs: Sequence[str]) -> list[Part]:
    return [part for part in log.parts() if part.run_id in runs] if runs else []


def _require_whole(
    warehouse: Warehouse, logs: Mapping[str, Log], runs: Sequence[str], own: Mapping[str, Sequence[Part]]
) -> None:
    """ConfigError where the log of a source to which these runs have brought something lacks a part."""
    changed = {source for (source,) in warehouse.ask("etl/sources_changed", runs=list(runs))}
    for name, log in logs.items():
        if not own[name] and name not in changed:
            continue
        applied = RunStore(warehouse, "").log_applied(name)
        numbers = {part.number for part in log.parts()}
        lacking = [number for number in range(1, applied + 1) if number not in numbers]
        if lacking or not own[name]:
            raise ConfigError(
                f"this cannot be undone exactly, so nothing was: the log of {name} does not hold all that "
                f"its tables were made of (parts that are missing: {len(lacking):,}); with "
                "SIGHTGLASS_RAW_DAYS=forever it keeps what is received from then on"
            )


def _give_back(settings: Settings, logs: Mapping[str, Log], own: Mapping[str, Sequence[Part]]) -> int:
    """Give back what was pushed, for nobody sends it again; how much that is."""
    count = 0
    for name, parts in own.items():
        source = source_module(name)
        if not hasattr(source, "give_back"):
            continue
        pages = (
            delivery
            for part in parts
            for received in _read(logs[name], part)
            for delivery in received
            if isinstance(delivery, Page)
        )
        try:
            count += cast("PushedSource", source).give_back(settings.home, pages)
        except OSError as error:
            raise EnvironmentFaultError(
                f"cannot write the inbox: {reason(error)}; {remedy(error)}"
            ) from error
    return count


def _read(log: Log, part: Part) -> Iterator[Sequence[object]]:
    try:
        yield from (each.bundle for each in read(log, part).received)
    except DamagedPartError as error:
        raise _damaged(error) from error


def _damaged(error: DamagedPartError) -> EnvironmentFaultError:
    return EnvironmentFaultError(f"this cannot be undone, so nothing was: the log is damaged: {error}")


def _make(settings: Settings, report: Undone, redact: Redactor) -> None:
    """Make the tables aside, of the parts of all other runs."""
    folder = settings.home / ASIDE
    clear_aside(folder)
    with opened(folder) as warehouse, interruptible(warehouse, is_wanted_after=True):
        warehouse.connection.execute("SET threads = 1")
        former = literal(str(settings.home / NAME))
        warehouse.connection.execute(f"ATTACH {former} AS {FORMER} (READ_ONLY)")
        for name in schema.names():
            if name not in report.parts:
                with warehouse.all_memory(), warehouse.transaction():
                    copy_source(warehouse, schema.source(name))
                continue
            log = Log(settings.home / RAW / name, report.runs)
            try:
                for _ in LogApplier(warehouse, log, name, redact).apply(log.parts()):
                    pass
            except DamagedPartError as error:
                raise _damaged(error) from error
        with warehouse.all_memory(), warehouse.transaction():
            copy_runs_but(warehouse, report.runs, report.parts)
        warehouse.connection.execute(f"DETACH {FORMER}")
        warehouse.connection.execute("CHECKPOINT")
