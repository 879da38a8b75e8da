"""What a run did, for programs: what `run --json` prints, and what whoever runs it from Python gets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from etl.errors import OK
from etl.load.run_store import HeldBack
from etl.load.stream_stats import StreamReport
from etl.publish import Published
from etl.values import json_value

if TYPE_CHECKING:
    from etl.pipeline.run import Report


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    run_id: str
    status: str
    """ok, partial or failed."""
    exit_code: int
    """0 where all went well, 2 where a setting is to be seen to, 3 where a source kept failing, 4 where data
    was quarantined or not published: the worst of these."""
    started_at: datetime
    finished_at: datetime | None
    streams: tuple[StreamReport, ...]
    published: Published | None
    """What readers got to see; None where a check held it back."""
    gaps: int
    """What is known to be missing, as `etl.gaps` lists it."""
    newly_quarantined: int
    marked: Mapping[str, int]
    """Rows that were marked, by as what: deleted, listed again."""
    unknown_fields: tuple[str, ...]
    """Fields that nobody declared, as source.stream:place/field; what they hold is kept in `_extra`."""
    held_back: tuple[HeldBack, ...]
    """What waits until somebody confirms it."""
    skipped: tuple[str, ...]
    """Sources without credentials."""
    lapsed: tuple[str, ...]
    """Of these, the sources that were loaded before."""
    missing: Mapping[str, str]
    """Sources of other packages that could not be loaded, and why."""
    log_notices: tuple[str, ...]
    """What is damaged or missing in the log, and asked for again."""
    migrated: tuple[str, ...]
    """What became of tables that another version had made."""
    failed_checks: str | None
    """The checks that held publishing back; None where none did."""
    seconds: Mapping[str, float]
    """Seconds of each stage; they work side by side."""

    @property
    def ok(self) -> bool:
        """Whether all went well; nothing new is also well."""
        return self.exit_code == OK

    @property
    def problems(self) -> tuple[str, ...]:
        """Why not all went well, a line each, as the command says it; empty where all did."""
        return () if self.ok else tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        for name in self.lapsed:
            yield f"{name} skipped, it has no credentials and was loaded before"
        for each in self.streams:
            if each.error:
                named = " ".join(filter(None, [each.source, each.stream, each.partition]))
                yield f"{named} failed: {each.error}"
        if self.newly_quarantined:
            yield f"newly quarantined, see etl.quarantine: {self.newly_quarantined:,}"
        if self.failed_checks:
            yield self.failed_checks
        yield from self.log_notices
        if self.published:
            yield from self.published.warnings()

    def as_json(self) -> dict[str, Any]:
        """Return what `run --json` prints, as JSON holds it."""
        found: dict[str, Any] = json_value(self)
        return found


def run_report(report: "Report") -> RunReport:
    """Return the report of a run that has come to its end."""
    return RunReport(
        run_id=report.run_id,
        status=report.status,
        exit_code=report.exit_code,
        started_at=report.started_at,
        finished_at=report.finished_at,
        streams=tuple(stats.report() for stats in report.streams),
        published=report.published,
        gaps=report.gaps,
        newly_quarantined=report.newly_quarantined,
        marked=dict(report.marked),
        unknown_fields=tuple(report.unknown),
        held_back=tuple(report.held_back),
        skipped=tuple(report.skipped),
        lapsed=tuple(report.lapsed),
        missing=dict(report.missing),
        log_notices=tuple(report.log_notices),
        migrated=tuple(report.migrated),
        failed_checks=report.failed_checks,
        seconds={stage: round(seconds, 3) for stage, seconds in report.stages.seconds.items()},
    )
