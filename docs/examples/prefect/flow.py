"""Sightglass in Prefect: a flow that loads what is new, and shows how it went as artifacts.

`python flow.py` serves it every ten minutes. Settings are those of the command: SIGHTGLASS_HOME, COG_API_KEY
and others, from the environment or from ./sightglass.toml.
"""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.states import State

import sightglass

COUNTS = ("source", "stream", "partition", "inserted", "updated", "quarantined")
QUESTIONS = {
    "gaps": "SELECT source, stream, key, what, since, error FROM etl.gaps",
    "quarantine": "SELECT source, stream, reason, path, seen_at FROM etl.quarantine WHERE state = 'open'",
}


def is_busy(_task: object, _run: object, state: State) -> bool:
    """Whether another run holds the warehouse: nothing else is cured by trying again at once."""
    return isinstance(state.result(raise_on_failure=False), sightglass.BusyError)


@task(retries=5, retry_delay_seconds=60, retry_condition_fn=is_busy)
def load() -> sightglass.RunReport:
    """Load what is new."""
    return sightglass.run()


@task
def show(report: sightglass.RunReport) -> None:
    """Make artifacts of the counts of each stream, and of the first rows of what is missing or refused."""
    streams = [
        {name: getattr(each, name) for name in COUNTS}
        | {"cursor": str(each.cursor or ""), "error": each.error or ""}
        for each in report.streams
    ]
    how = f"Run {report.run_id}: {report.status}, {report.published or 'not published'}"
    create_table_artifact(streams, key="sightglass-streams", description=how)
    if not report.published:
        return
    with sightglass.open() as warehouse:
        for name, question in QUESTIONS.items():
            rows = warehouse.sql(f"{question} ORDER BY ALL LIMIT 100").arrow().to_pylist()
            shown = [{column: str(value) for column, value in row.items()} for row in rows]
            create_table_artifact(shown, key=f"sightglass-{name}", description=f"First rows of etl.{name}")


@flow(name="sightglass")
def load_all() -> None:
    """Load and show; it fails where `sightglass run` would leave with another exit code than 0."""
    report = load()
    show(report)
    if not report.ok:
        raise RuntimeError("\n".join(report.problems))
    get_run_logger().info("run %s: %s", report.run_id, report.published)


if __name__ == "__main__":
    load_all.serve("every-ten-minutes", cron="*/10 * * * *", limit=1)
