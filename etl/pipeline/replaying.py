"""Whether the tables equal their log: it is replayed aside, and the one held against the other."""

from collections.abc import Mapping
from pathlib import Path

from etl import schema
from etl.config import Settings
from etl.extract.log import RAW, Log
from etl.extract.log_check import LogState
from etl.load.completing import FORMER
from etl.load.differences import Difference
from etl.load.replayed import differing
from etl.load.warehouse import NAME, opened
from etl.pipeline.rebuild import Rebuilt, fill
from etl.process import interruptible
from etl.schema import literal

TABLES = "tables"
"""Folder of the tables that are made of the log."""


def replayed_differences(
    settings: Settings, states: Mapping[str, LogState], aside: Path
) -> tuple[list[Difference], list[str]]:
    """Return where tables differ from what their log gives, and what could not be proven of which source."""
    notes = [
        f"the tables of {name} were not held against the log, of which not all is applied"
        for name, state in states.items()
        if state.unapplied
    ]
    notes += [
        f"the log of {name} holds nothing: the tables cannot be held against it"
        for name, state in states.items()
        if not state.unapplied and not state.last
    ]
    report = Rebuilt([name for name, state in states.items() if not state.unapplied and state.last])
    if not report.sources:
        return [], notes
    (aside / TABLES).mkdir()
    with opened(aside / TABLES) as warehouse, interruptible(warehouse):
        logs = {name: Log(settings.home / RAW / name) for name in report.sources}
        fill(warehouse, settings, logs, report, has_former=True)
        warehouse.connection.execute(f"ATTACH {literal(str(settings.home / NAME))} AS {FORMER} (READ_ONLY)")
        with warehouse.all_memory():
            found = [
                one
                for name in logs
                for one in differing(
                    warehouse.connection, schema.source(name), is_whole=states[name].is_whole
                )
            ]
    for name in logs:
        if taken := _listed(report.taken, name):
            notes.append(f"the log of {name} does not hold all any more; rows that it cannot prove: {taken}")
        if withheld := _listed(report.withheld, name):
            notes.append(
                f"the log of {name} has lost parts that may have taken away what earlier ones brought; "
                f"rows that these give and the tables do not hold: {withheld}"
            )
    return found, notes


def _listed(counts: Mapping[str, int], source: str) -> str:
    """Return how many rows there are of which tables of a source."""
    of_source = {table: count for table, count in counts.items() if table.startswith(f"{source}.")}
    return ", ".join(f"{count:,} of {table}" for table, count in sorted(of_source.items()))
