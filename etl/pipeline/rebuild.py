"""Make the tables anew from the log, without asking any API."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from etl import schema
from etl.config import Settings
from etl.errors import OK, QUARANTINED, CheckFailedError, EnvironmentFaultError
from etl.extract.forgotten import pass_on
from etl.extract.log import RAW, Log, Part
from etl.extract.log_reader import DamagedPartError
from etl.files import reason, remedy, sync
from etl.load import lock
from etl.load.completing import (
    FORMER,
    bring_quarantine,
    complete,
    copy_runs,
    copy_source,
    forget_places,
    former_number,
)
from etl.load.run_store import RunStore
from etl.load.warehouse import NAME, Warehouse, make_folder, opened
from etl.pipeline.log_applier import LogApplier, PartApplier, recover
from etl.pipeline.missing import must_be_there
from etl.process import interruptible
from etl.publish import FEWER, REBUILT, Published, publish
from etl.redact import Redactor
from etl.schema import literal

ASIDE = lock.REBUILD
"""Folder in which the tables are made before they take the place of the former ones."""
UNFINISHED = "unfinished"
"""A file in the folder that is rebuilt into, until all is there: until then it may be begun again."""
KEPT = ".former"
"""What the name of a warehouse ends with that `--log-alone` has put aside."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did."""

    sources: list[str]
    parts: dict[str, int] = field(default_factory=dict)
    """By source, the parts of the log that were applied."""
    taken: dict[str, int] = field(default_factory=dict)
    """By table, rows that the log does not hold any more, taken from the former warehouse."""
    withheld: dict[str, int] = field(default_factory=dict)
    """By table, rows that the log gives and the former warehouse has not, left out because a later part is
    lost, which may have taken them away."""
    incomplete: list[str] = field(default_factory=list)
    """Sources whose log does not begin with their first load, where no warehouse has the rest."""
    damaged: list[str] = field(default_factory=list)
    published: Published | None = None
    failed_checks: str | None = None
    exit_code: int = OK


@dataclass(frozen=True, slots=True)
class Held:
    """What the log of a source holds."""

    runs: set[str]
    """The runs all of whose parts are there."""
    doubtful: set[str]
    """The runs after the first part of which one is lost: it may have undone what they brought."""
    is_whole: bool
    """Whether the first part is there, and each after it."""


def rebuild(
    settings: Settings, wanted: Sequence[str], into: Path | None, now: Callable[[], datetime], *, alone: bool
) -> Rebuilt:
    """Replay the log of these sources, or of all, into empty tables, and publish them.

    They take the place of the former ones, or come into another folder. What the log does not hold any more
    is taken from the former warehouse, unless `alone`. Raises EnvironmentFaultError where there is nothing to
    rebuild from.
    """
    report = Rebuilt(list(wanted) or schema.names())
    home = settings.home
    if not home.is_dir():
        raise _nothing_in(home)
    must_be_there(home)
    _refuse_inside(into, home)
    make_folder(into or home)
    with lock.hold(home, now()), _held_too(into, now()):
        if into is not None:
            pass_on(home, into)
        has_former = not alone and _bring_up_to_date(settings, report)
        logs = {name: Log(home / RAW / name) for name in schema.names()}
        if not has_former and not any(log.parts() for log in logs.values()):
            raise _nothing_in(home)
        folder = (into or home) / ASIDE
        clear_aside(folder)
        with opened(folder) as warehouse, interruptible(warehouse, is_wanted_after=True):
            fill(warehouse, settings, logs, report, has_former=has_former)
            RunStore(warehouse, "").close_dead(now())
            warehouse.connection.execute("CHECKPOINT")
        bring_in(into or home, folder, alone=alone and into is None)
        _publish(settings if into is None else settings.at(into), report)
    if report.incomplete:
        report.exit_code = QUARANTINED
    return report


def fill(
    warehouse: Warehouse, settings: Settings, logs: Mapping[str, Log], report: Rebuilt, *, has_former: bool
) -> None:
    """Fill an empty warehouse from the logs, and with what the former one has besides."""
    warehouse.connection.execute("SET threads = 1")
    if has_former:
        former = literal(str(settings.home / NAME))
        warehouse.connection.execute(f"ATTACH {former} AS {FORMER} (READ_ONLY)")
    redact = Redactor(each.reveal() for each in settings.secrets)
    for name, log in logs.items():
        if name in report.sources:
            _rebuild_source(LogApplier(warehouse, log, name, redact), report, has_former=has_former)
        elif has_former:
            with warehouse.all_memory(), warehouse.transaction():
                copy_source(warehouse, schema.source(name))
    if has_former:
        with warehouse.all_memory(), warehouse.transaction():
            copy_runs(warehouse)
        warehouse.connection.execute(f"DETACH {FORMER}")


def _rebuild_source(applier: LogApplier, report: Rebuilt, *, has_former: bool) -> None:
    """Replay the log of a source, and take what it lacks from the former warehouse."""
    parts, name, warehouse = applier.log.parts(), applier.source.name, applier.warehouse
    applied = former_number(warehouse, applier.source) if has_former else 0
    if has_former:
        bring_quarantine(warehouse, applier.source, held_in(parts, set(), applied).runs)
    bad = replay(applier, parts, report.damaged)
    held = held_in(parts, bad, applied)
    report.parts[name] = len(parts) - len(bad)
    if has_former:
        with warehouse.all_memory(), warehouse.transaction():
            completed = complete(warehouse, applier.source, held.runs, held.doubtful, is_whole=held.is_whole)
        report.withheld |= completed.withheld
        for table, count in completed.taken.items():
            report.taken[table] = report.taken.get(table, 0) + count
    elif not held.is_whole:
        report.incomplete.append(name)
        # What came before the log begins is to be asked for again.
        forget_places(warehouse, applier.source)


def replay(applier: PartApplier, parts: Sequence[Part], damaged: list[str]) -> set[int]:
    """Apply the parts; the numbers of those that could not be, with the rest of their runs.

    What is wrong with which is added to `damaged`.
    """
    bad: set[int] = set()
    left = list(parts)
    while left:
        done = left[0].number - 1
        try:
            for part in applier.apply(left):
                done = part.number
            break
        except DamagedPartError as error:
            damaged.append(str(error))
            left = [part for part in left if part.number > done]
            run = left[0].run_id
            bad |= {part.number for part in left if part.run_id == run}
            left = [part for part in left if part.run_id != run]
    return bad


def held_in(parts: Sequence[Part], bad: set[int], applied: int) -> Held:
    """Return what the log holds: not a run of which a part is missing, nor one of which that may be so.

    `applied` is the number of the last part that the former warehouse has applied.
    """
    broken, last_lost = {part.run_id for part in parts if part.number in bad}, max(bad, default=0)
    numbers = [0, *(part.number for part in parts), max([applied, *(part.number for part in parts)]) + 1]
    runs = ["", *(part.run_id for part in parts), ""]
    for before, after, earlier, later in zip(numbers, numbers[1:], runs, runs[1:], strict=False):
        if after != before + 1:
            broken |= {earlier, later}
            last_lost = max(last_lost, after - 1)
    doubtful = {part.run_id for part in parts if part.number < last_lost}
    return Held({*runs} - broken - {""}, doubtful, is_whole=bool(parts) and not broken)


def _bring_up_to_date(settings: Settings, report: Rebuilt) -> bool:
    """Apply to the former warehouse what is sealed, and leave all of it in one file; whether there is one."""
    if not (settings.home / NAME).exists():
        return False
    redact = Redactor(each.reveal() for each in settings.secrets)
    with opened(settings.home) as warehouse, interruptible(warehouse, is_wanted_after=True):
        for name in schema.names():
            report.damaged += recover(warehouse, Log(settings.home / RAW / name), name, redact).notices
        warehouse.connection.execute("CHECKPOINT")
    return True


@contextmanager
def _held_too(into: Path | None, now: datetime) -> Iterator[None]:
    """Hold the other folder as well, where there is one; EnvironmentFaultError where it has a warehouse."""
    if into is None:
        yield
        return
    with lock.hold(into, now):
        # One into which a run has loaded has a log of its own.
        is_unfinished = (into / UNFINISHED).exists() and not (into / RAW).exists()
        if (into / NAME).exists() and not is_unfinished:
            raise _taken(into)
        (into / UNFINISHED).touch()
        yield
        (into / UNFINISHED).unlink()


def _refuse_inside(into: Path | None, home: Path) -> None:
    """Raise EnvironmentFaultError for a folder in that of the warehouse: what runs make there is removed."""
    if into is None:
        return
    if into.resolve() == home.resolve():
        raise _taken(into)
    if into.resolve().is_relative_to(home.resolve()):
        raise EnvironmentFaultError(f"{into} is in the folder of the warehouse: name one outside of it")


def _nothing_in(home: Path) -> EnvironmentFaultError:
    return EnvironmentFaultError(
        f"there is neither a warehouse nor a log in {home}: run `sightglass run`, or name another --home"
    )


def _taken(into: Path) -> EnvironmentFaultError:
    return EnvironmentFaultError(f"{into} has a warehouse already: name an empty folder")


def clear_aside(folder: Path) -> None:
    """Provide an empty folder for what is made."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)


def _take_place(made: Path, former: Path) -> None:
    """Let the tables that were made take the place of the former ones, at one moment."""
    try:
        sync(made)
        # All of it is in the file: a log of DuckDB's that was left here would be worked into the other file.
        with suppress(FileNotFoundError):
            former.with_name(f"{former.name}.wal").unlink()
        made.replace(former)
        sync(former.parent)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write in {former.parent}: {reason(error)}; {remedy(error)}"
        ) from error


def bring_in(home: Path, folder: Path, *, alone: bool = False, fewer: bool = False) -> None:
    """Let what was made take the place of the former warehouse, and have all of it published anew.

    `alone` keeps the former one, for the log may not hold all that was in it. `fewer` says that rows were
    taken away on purpose.
    """
    if alone:
        _keep_former(home)
        (home / REBUILT).write_text(KEPT)
    for name in (REBUILT, *([FEWER] if fewer else ())):
        (home / name).touch()
    _take_place(folder / NAME, home / NAME)
    shutil.rmtree(folder, ignore_errors=True)


def _keep_former(home: Path) -> None:
    """Give the warehouse and its log a second name, which they keep when another takes its place."""
    kept, word = home / f"{NAME}{KEPT}", home / REBUILT
    try:
        is_kept = kept.exists() and word.exists() and word.read_bytes() == KEPT.encode()
        # After one that was killed, what stands in its place was made of the log.
        if is_kept or not (home / NAME).exists():
            return
        for end in (".wal", ""):
            kept.with_name(f"{kept.name}{end}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                os.link(home / f"{NAME}{end}", home / f"{kept.name}{end}", follow_symlinks=False)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot write in {home}: {reason(error)}; {remedy(error)}") from error


def _publish(settings: Settings, report: Rebuilt) -> None:
    with opened(settings.home) as warehouse, interruptible(warehouse, is_wanted_after=True):
        try:
            report.published = publish(warehouse, settings)
            report.exit_code = report.published.exit_code
        except CheckFailedError as error:
            report.failed_checks, report.exit_code = str(error), error.exit_code
