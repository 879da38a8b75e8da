"""The events of a run, for the log."""

from collections.abc import Iterable
from logging import ERROR, INFO, WARNING
from typing import TYPE_CHECKING

from etl import __version__
from etl.event import event
from etl.load.stream_stats import StreamStats, stats_json

if TYPE_CHECKING:
    from etl.pipeline.run import Report


def begun(run_id: str, sources: Iterable[str]) -> None:
    """Tell that a run has begun."""
    event("run.begun", run_id=run_id, version=__version__, sources=list(sources))


def streams_ended(run_id: str, streams: Iterable[StreamStats]) -> None:
    """Tell how the streams of a source ended."""
    for each in streams:
        level = WARNING if each.status == "failed" or each.notice else INFO
        event("stream.ended", level, run_id=run_id, **stats_json(each))


def ended(report: "Report") -> None:
    """Tell how a run ended, and what it leaves to be seen to."""
    named = {"run_id": report.run_id}
    if report.gaps:
        event("run.gaps", gaps=report.gaps, **named)
    for each in report.held_back:
        event(
            "run.held_back", WARNING, source=each.source, what=each.what, held=each.held, of=each.of, **named
        )
    if report.newly_quarantined:
        event("run.quarantined", WARNING, newly_quarantined=report.newly_quarantined, **named)
    seconds = {stage: round(spent, 3) for stage, spent in report.stages.seconds.items()}
    level = WARNING if report.exit_code else INFO
    event("run.ended", level, status=report.status, exit_code=report.exit_code, seconds=seconds, **named)


def failed(run_id: str, exit_code: int) -> None:
    """Tell that a run failed as a whole; why is told by the command."""
    event("run.ended", ERROR, status="failed", exit_code=exit_code, run_id=run_id)
