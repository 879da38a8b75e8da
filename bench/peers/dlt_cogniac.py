"""dlt loads a served corpus into DuckDB: `python -m bench.peers.dlt_cogniac URL FOLDER APPLICATION ...`.

Configured as its documentation says is fastest: see `settings` in `bench/first_load.py`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

KEY = ["application_id", "media_id", "focus_key"]


def pages(url: str, application_id: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the records of an application page by page, each with the three fields that identify it."""
    client = RESTClient(url, auth=BearerTokenAuth("bench.token"), paginator=JSONLinkPaginator("paging.next"))
    asked = {"start": "0", "limit": "100", "reverse": "False", "only_user": "False", "only_model": "False"}
    for page in client.paginate(
        f"1/applications/{application_id}/detections", params=asked, data_selector="data"
    ):
        for record in page:
            focus = record["focus"]
            record["application_id"] = application_id
            record["media_id"] = record["media"]["media_id"]
            record["focus_key"] = "" if focus is None else json.dumps(focus, sort_keys=True)
        yield list(page)


def main(url: str, folder: Path, applications: list[str]) -> None:
    """Load all applications, and say how many rows there are."""
    pipeline = dlt.pipeline(
        "cogniac",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="cogniac",
    )
    resources = [
        dlt.resource(
            pages,
            name=f"results_{application_id}",
            table_name="results",
            primary_key=KEY,
            write_disposition={"disposition": "merge", "strategy": "delete-insert"},
            parallelized=True,
        )(url, application_id)
        for application_id in applications
    ]
    pipeline.run(resources, loader_file_format="parquet")
    with pipeline.sql_client() as client:
        counts = {
            name: next(iter(client.execute_sql(f"SELECT count(*) FROM {table}") or []))[0]
            for name, table in (("results", "results"), ("detections", "results__detections"))
        }
    trace: Any = pipeline.last_trace
    steps = {
        step.step: round((step.finished_at - step.started_at).total_seconds(), 2)
        for step in trace.steps
        if step.finished_at
    }
    sys.stdout.write(json.dumps({**counts, "steps": steps}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
