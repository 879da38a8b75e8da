"""Subjects that applications name: each is asked for until the API has said what it knows of it."""

import json
from pathlib import Path

import pytest
from conftest import rows
from hostile import DETECTIONS, Answer, Request, Said, cogniac, of_cogniac, record, serving

PAGE = {"data": [record(1)], "paging": {}}
NAMED = ["cat", "dog,brown", "a/b", "gone"]
ONE = "/1/subjects/.*"


def one(asked: Request) -> Said:
    """A subject by its id; `gone` is not there, `secret` is another tenant's."""
    uid = asked.path.removeprefix("/1/subjects/")
    refused = {"gone": Answer(b"{}", 404), "secret": Answer(b"{}", 403)}
    return refused.get(uid, {"subject_uid": uid.replace("%2C", ",").replace("%2F", "/")})


def of_ids(asked: Request) -> Said:
    """Subjects whose ids stand between the commas; none without ids."""
    ids = asked.query.get("ids", "").split(",")
    return {"data": [{"subject_uid": each} for each in ids if each in NAMED[:3]]}


@pytest.mark.parametrize(
    ("listed", "requests"), [({"data": []}, 4), (of_ids, 2)], ids=["none of the ids", "those that fit"]
)
def test_a_subject_that_no_list_has_is_asked_for_by_itself(
    tmp_path: Path, listed: Said, requests: int
) -> None:
    """Where a list knows no ids, or an id holds the comma that parts them; one that is gone is no gap."""
    applications = [{"application_id": "a1", "active": True, "output_subjects": NAMED}]
    routes = {DETECTIONS: PAGE, ONE: one, "/1/tenants/[^/]+/subjects": listed}
    with serving(cogniac(routes, applications=applications)) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")
        asked = sum(each.path.startswith("/1/subjects/") for each in server.asked)

    uids = sorted(row["subject_uid"] for row in rows(tmp_path / "home", "cogniac.subjects"))
    assert (0, sorted(NAMED[:3]), []) == (ran.code, uids, rows(tmp_path / "home", "etl.gaps"))
    assert (requests, json.loads(ran.out)["status"]) == (asked, "ok")


@pytest.mark.parametrize("uid", ["secret", "elk"])
def test_a_subject_that_cannot_be_read_is_named(tmp_path: Path, uid: str) -> None:
    """Another tenant's, or one for which another is answered: the run goes on without it."""
    applications = [{"application_id": "a1", "active": True, "input_subjects": [uid, "cat"]}]
    routes = {DETECTIONS: PAGE, "/1/subjects/elk": {"subject_uid": "ELK"}, ONE: one}
    with serving(cogniac(routes, applications=applications)) as server:
        ran = of_cogniac(tmp_path, server)("run")

    said = {
        "secret": f"GET {server.url}1/subjects/secret answered 403; check COG",
        "elk": "answered with another",
    }
    assert ["cat"] == [row["subject_uid"] for row in rows(tmp_path / "home", "cogniac.subjects")]
    assert (0, True) == (ran.code, f"subjects cannot be read: {uid} ({said[uid]}" in ran.err)
