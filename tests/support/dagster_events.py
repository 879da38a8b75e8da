"""What Dagster knows of its newest run, as JSON; started by the Python that has Dagster.

It goes by DAGSTER_HOME.
"""

import json
import sys

from dagster import DagsterEventType, DagsterInstance


def main() -> None:
    """Print the metadata of each materialization, each check with its rows, and how steps failed."""
    materialized, checks, failures = {}, {}, []
    with DagsterInstance.get() as instance:
        (record,) = instance.get_run_records(limit=1)
        for entry in instance.all_logs(record.dagster_run.run_id):
            event = entry.dagster_event
            if event is None:
                continue
            if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
                metadata = event.materialization.metadata
                materialized[event.asset_key.to_user_string()] = {
                    name: each.value for name, each in metadata.items() if isinstance(each.value, str | int)
                }
            elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                found = event.asset_check_evaluation_data
                name = f"{found.asset_key.to_user_string()} {found.check_name}"
                checks[name] = {"passed": found.passed, "severity": found.severity.value}
            elif event.event_type == DagsterEventType.STEP_FAILURE:
                failures.append(event.step_failure_data.user_failure_data.description)
        status = record.dagster_run.status.value
    json.dump(
        {"status": status, "materialized": materialized, "checks": checks, "failures": failures}, sys.stdout
    )


main()
