"""What tests of several files share with `test_cogniac_simulator`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.server import serve

SMALL = CogniacSize(records=400)


Record = dict[str, Any]


Param = str | float | bool


@contextmanager
def logged_in(simulator: CogniacSimulator, tenant: str | None = None) -> Iterator[httpx.Client]:
    """A client that holds a token of the simulator's tenant."""
    with serve(simulator.app) as url, httpx.Client(base_url=url) as client:
        key = {"Authorization": f"Key {simulator.api_key}"}
        answer = client.get("1/token", params={"tenant_id": tenant or simulator.tenant_id}, headers=key)
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def pages(client: httpx.Client, application_id: str, **params: Param) -> list[list[Record]]:
    """Every page of a list of detections, by following `next`."""
    link, found = f"1/applications/{application_id}/detections", []
    while link:
        body = client.get(link, params=params or None).json()
        found.append(body["data"])
        link, params = body["paging"].get("next"), {}
    return found


def by_type(simulator: CogniacSimulator, kind: str) -> str:
    """The id of the first application of a type."""
    found: str = next(one["application_id"] for one in simulator.applications() if one["type"] == kind)
    return found


def tied(simulator: CogniacSimulator, count: int) -> str:
    """An application whose only records, m0, m1, ..., all changed at the same time."""
    simulator.put_application({"application_id": "ties", "name": "Ties", "type": "classification"})
    for number in range(count):
        media = {"media_id": f"m{number}"}
        simulator.put("ties", {"media": media, "focus": None, "detections": [], "updated_at": 1772600000.25})
    return "ties"


def everything(simulator: CogniacSimulator) -> list[Record]:
    """All records of all applications."""
    return [record for one in simulator.applications() for record in simulator.truth(one["application_id"])]
