"""Sightglass in Airflow: a DAG that loads what is new every ten minutes, and tells what is missing.

Put it into the folder of the DAGs. Settings are those of the command: SIGHTGLASS_HOME, COG_API_KEY and
others, from the environment of the workers. These must all run on the machine that has the warehouse.
"""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Metadata, dag, task
from airflow.sdk.exceptions import AirflowFailException

import sightglass

WAREHOUSE = Asset("sightglass")
"""DAGs with `schedule=[WAREHOUSE]` run after each load."""


@task(retries=5, retry_delay=timedelta(minutes=1), outlets=[WAREHOUSE])
def load() -> Generator[Metadata, None, dict[str, Any]]:
    """Load what is new. It is tried again where another run holds the warehouse, and only there.

    What it yields goes with the event of the asset, what it returns to tasks that ask for it.
    """
    try:
        report = sightglass.run()
    except sightglass.BusyError:
        raise
    except sightglass.SightglassError as error:
        raise AirflowFailException(str(error)) from error
    if not report.ok:
        raise AirflowFailException("\n".join(report.problems))
    changed = sum(each.inserted + each.updated for each in report.streams)
    yield Metadata(WAREHOUSE, {"run_id": report.run_id, "changed": changed})
    return report.as_json()


@task(trigger_rule="all_done")
def look() -> dict[str, int]:
    """Count by stream what is missing and asked for again; fail while something is in quarantine."""
    with sightglass.open() as warehouse:
        ((refused,),) = warehouse.sql("SELECT count(*) FROM etl.quarantine WHERE state = 'open'")
        gaps = warehouse.sql("SELECT source || ' ' || stream, count(*) FROM etl.gaps GROUP BY ALL")
        if refused:
            raise AirflowFailException(f"in quarantine, see etl.quarantine: {refused:,}")
        return dict(gaps)


@dag(
    dag_id="sightglass",
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # one run loads all that earlier ones have missed
    max_active_runs=1,
)
def load_all() -> None:
    """Load, then look, whatever became of the load."""
    load() >> look()


load_all()
