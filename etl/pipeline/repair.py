"""Heal what `verify` has named: the log, the tables, the lake, and last what only the APIs can give again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from etl import schema
from etl.config import Settings
from etl.errors import OK, QUARANTINED, CheckFailedError, EnvironmentFaultError, worst
from etl.extract.log import RAW, Log
from etl.extract.log_check import checked, set_aside
from etl.extract.stream import Reread
from etl.files import reason, remedy
from etl.load import lock
from etl.load.comparing import ABSENT
from etl.load.differences import Difference
from etl.load.mending import forget_cursors_ahead, make_room
from etl.load.run_store import RunStore
from etl.pipeline.log_applier import recover
from etl.pipeline.rebuild import Rebuilt, rebuild
from etl.pipeline.run import Report, must_exist, publish_again, run, writable
from etl.pipeline.source_loader import Progress
from etl.pipeline.windows import Windows, named
from etl.publish import REBUILT, Published
from etl.publish.compare import is_damage
from etl.redact import Redactor
from etl.schema import SYSTEM
from etl.values import micros_of

FILES = "assets"
"""The stream of files that belong to records."""


@dataclass(slots=True)
class Repaired:
    """What a repair did."""

    set_aside: int = 0
    """Parts of the log that are lost, and known to be so from now on."""
    rebuilt: Rebuilt | None = None
    """What was made anew of the log."""
    windows: Windows = field(default_factory=dict)
    """What was read again, by stream and partition."""
    records: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    """Which records of a list were, with the names of their files; None stands for all of them."""
    log_notices: list[str] = field(default_factory=list)
    read: Report | None = None
    published: Published | None = None
    failed_checks: str | None = None
    exit_code: int = OK


def repair(
    settings: Settings, differences: Sequence[Difference], now: Callable[[], datetime], progress: Progress
) -> Repaired:
    """Heal these differences and touch nothing else; what was interrupted is done again by the next one.

    The APIs are asked last, and only for what these differences name there.
    """
    report = Repaired()
    of = {place: [each for each in differences if each.place == place] for place in ("log", "lake", "api")}
    inside = [each for each in differences if each.place in ("tables", "runs")]
    must_exist(settings)
    if of["log"]:
        _mend_log(settings, _sources(of["log"]), report, now)
    if inside:
        report.rebuilt = rebuild(settings, _sources(inside), None, now, alone=False)
        report.failed_checks = report.rebuilt.failed_checks
    if inside or of["api"]:
        _make_room(settings, inside, of["api"], now)
    if of["api"]:
        report.windows, report.records = named(of["api"]), _records(of["api"])
        reread = Reread(0, micros_of(now()), _with_lists(report.windows), report.records)
        report.read = run(settings, _sources(of["api"]), now, progress, reread)
        report.failed_checks = report.read.failed_checks
    if of["lake"] or of["log"] or report.failed_checks:
        _publish(settings, of["lake"], report, now)
    report.exit_code = _code(report)
    return report


def _code(report: Repaired) -> int:
    """Return the exit code: that a check failed counts only where it still does."""
    codes = [CheckFailedError.exit_code] * bool(report.failed_checks)
    codes += [QUARANTINED] * bool(report.rebuilt and report.rebuilt.incomplete)
    codes += [report.published.exit_code] if report.published else []
    if report.read and not report.read.failed_checks:
        codes.append(report.read.exit_code)
    return worst(codes)


def _sources(differences: Iterable[Difference]) -> list[str]:
    """Return the sources that are named; all where one is of no source."""
    found = {each.source for each in differences}
    return schema.names() if found - {*schema.names()} else sorted(found)


def _mend_log(
    settings: Settings, sources: Sequence[str], report: Repaired, now: Callable[[], datetime]
) -> None:
    """Apply what is sealed, and note which parts are lost that were applied."""
    redact = Redactor(each.reveal() for each in settings.secrets)
    with lock.hold(settings.home, now()), writable(settings.home) as warehouse:
        for name in sources:
            log = Log(settings.home / RAW / name)
            report.log_notices += recover(warehouse, log, name, redact).notices
            applied = RunStore(warehouse, "").log_applied(name)
            for fault in checked(log, applied).faults:
                try:
                    set_aside(log, fault, f"{now():%Y-%m-%d}")
                except OSError as error:
                    raise EnvironmentFaultError(
                        f"cannot write in {log.folder}: {reason(error)}; {remedy(error)}"
                    ) from error
                report.set_aside += fault.last - fault.first + 1


def _make_room(
    settings: Settings,
    inside: Sequence[Difference],
    outside: Sequence[Difference],
    now: Callable[[], datetime],
) -> None:
    """Take away what would be in the way of what is read again."""
    with lock.hold(settings.home, now()), writable(settings.home) as warehouse, warehouse.transaction():
        for name in schema.names():
            source = schema.source(name)
            make_room(warehouse, source, outside)
            if any(each.table == f"{SYSTEM}.cursors" and each.source == name for each in inside):
                forget_cursors_ahead(warehouse, source)


def _with_lists(windows: Windows) -> Windows:
    """Return the windows, and the lists that they need."""
    lists = {("applications", ""), ("subjects", "")}
    return {**windows, ("applications", ""): [(0, 0)]} if lists & windows.keys() else windows


def _records(differences: Iterable[Difference]) -> dict[str, Sequence[str] | None]:
    """Return the records of lists to be asked for by their ids, each with the files of it that are named.

    Of one that is not stored these are all.
    """
    found: dict[str, Sequence[str] | None] = {}
    for each in differences:
        if not each.key or schema.has_statement(f"{each.source}/edges"):
            continue
        record, *rest = each.key.values()
        named_before = found.setdefault(record, [])
        if each.what == ABSENT and each.stream != FILES and not rest:
            found[record] = None
        elif named_before is not None and each.stream == FILES:
            found[record] = [*named_before, *rest]
    return found


def _publish(
    settings: Settings, differences: Sequence[Difference], report: Repaired, now: Callable[[], datetime]
) -> None:
    """Let the lake hold what the warehouse holds, whatever it held."""
    if differences and not all(map(is_damage, differences)):
        # What is published has the lineage of what is stored, and holds something else.
        (settings.home / REBUILT).touch()
    try:
        report.published = publish_again(settings, now())
        report.failed_checks = None
    except CheckFailedError as error:
        report.failed_checks = str(error)
