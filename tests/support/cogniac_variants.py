"""What tests of several files share with `test_cogniac_variants`."""

from typing import Any

import httpx

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from support.cogniac_simulator import Param, Record

T = 1772600000
EMPTY = CogniacSize(records=0)
MOST_PAGES = 400


def holding(simulator: CogniacSimulator, *times: float, name: str = "some") -> str:
    """An application whose only records, m0, m1, ..., changed at these times."""
    simulator.put_application({"application_id": name, "name": name, "type": "classification"})
    for number, at in enumerate(times):
        media = {"media_id": f"m{number}", "filename": f"{number}.jpg"}
        simulator.put(name, {"media": media, "focus": None, "detections": []}, at=at)
    return name


def names(found: list[list[Record]]) -> list[str]:
    """The ids of the media on each page, in one word."""
    return ["".join(record["media"]["media_id"] for record in page) for page in found]


def first_page(client: httpx.Client, application_id: str, **params: Param) -> Any:  # noqa: ANN401 -- any JSON
    """The first page of a list of detections."""
    return client.get(f"1/applications/{application_id}/detections", params=params).json()
