"""Answers about something else than was asked for: named, and taken for what they are."""

import json
from pathlib import Path
from typing import Any

from conftest import rows
from hostile import DETECTIONS, cogniac, of_cogniac, record, serving


def test_an_application_under_another_id_than_was_asked_for_is_named(tmp_path: Path) -> None:
    """A server that does not tell cases apart answers `A1` with `a1`, of which nothing is read."""
    routes = {
        "/1/applications/A1": {"application_id": "a1", "active": True},
        DETECTIONS: {"data": [record(1)], "paging": {}},
    }
    with serving(cogniac(routes)) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json", SIGHTGLASS_COGNIAC_APPLICATIONS="A1")

    said = "SIGHTGLASS_COGNIAC_APPLICATIONS names what cannot be read: A1 (answered with a1)"
    assert (3, [said]) == (ran.code, [row["error"] for row in rows(tmp_path / "home", "etl.gaps")])


def test_an_application_that_is_listed_no_more_is_named(tmp_path: Path) -> None:
    """It is gone, or the key has lost its right to it: either way its detections are not read."""
    routes: dict[str, Any] = {DETECTIONS: {"data": [record(1)], "paging": {}}}
    with serving(cogniac(routes)) as server:
        run = of_cogniac(tmp_path, server)
        first = run("run", "--json")
        server.instead["/1/tenants/[^/]+/applications"] = {"data": []}
        second = run("run", "--json")

    told = [
        [each["notice"] for each in json.loads(ran.out)["streams"] if each["stream"] == "applications"]
        for ran in (first, second)
    ]
    notice = (
        "not listed any more, so their detections are not read: a1; where they are gone for good, "
        "`sightglass refresh cogniac applications` takes them out"
    )
    assert (0, 0, [[None], [notice]]) == (first.code, second.code, told)
