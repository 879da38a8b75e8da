"""The Cogniac simulator answers like the API it stands for, with data that is believable and reproducible."""

import asyncio
import re
from datetime import UTC, datetime
from statistics import fmean
from typing import Literal

import cogniac
import httpx
import msgspec
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from support.cogniac_simulator import SMALL, Param, Record, by_type, everything, logged_in, pages, tied

from etl.demo import timeline
from etl.demo.cogniac.simulator import FOREIGN_APPLICATION, ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.script import Clock
from etl.demo.server import serve

pytestmark = pytest.mark.usefixtures("no_credentials")


def test_a_served_app_is_reachable_only_inside_the_block() -> None:
    """`serve` yields a loopback address with a slash at its end, and nothing answers there afterwards."""
    with serve(Response("here")) as url:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        assert httpx.get(url).text == "here"

    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_answers_are_dated_by_the_clock_that_is_given() -> None:
    """Their only `Date` is its time, which may be any."""
    with serve(Response("here"), Clock(2_000_000_000)) as url:
        answer = httpx.get(url)

    assert ["Wed, 18 May 2033 03:33:20 GMT"] == answer.headers.get_list("date")


def test_a_hanging_or_cut_answer_does_not_hold_up_the_end() -> None:
    """A response that never comes, or breaks off, is cut when the block ends, in silence."""

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/cut":
            await Response("half", headers={"content-length": "8"})(scope, receive, send)
        await asyncio.Event().wait()

    with serve(hang) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, timeout=0.1)
        with pytest.raises(httpx.TransportError):
            httpx.get(url + "cut", timeout=0.1)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two simulators of one seed agree in every byte, after `advance` too; another seed gives other data."""

    def content(seed: int) -> bytes:
        simulator, neurons = CogniacSimulator(seed, SMALL), NeuronsSimulator(seed, NeuronsSize(media=12))
        simulator.advance(records=20, corrections=20)
        neurons.advance(2)
        files = [
            neurons.asset_bytes(one["media_id"], name) for one in neurons.truth() for name in one["results"]
        ]
        return msgspec.json.encode(
            [everything(simulator), simulator.subjects(), list(neurons.truth()), files]
        )

    assert content(7) == content(7)
    assert content(7) != content(8)


@pytest.mark.parametrize("records", [0, 1, 400, 3000])
def test_a_simulated_plant_has_exactly_the_records_asked_for(records: int) -> None:
    """Whatever the size, the records start in March 2026 and fit a month, in order of their change."""
    simulator = CogniacSimulator(1, CogniacSize(records=records))

    shares = [list(simulator.truth(one["application_id"])) for one in simulator.applications()]
    times = [record["updated_at"] for share in shares for record in share]

    assert len(times) == records
    assert all(1772431200 < at < 1772431200 + 30 * 86400 + 60 for at in times)
    assert all(share == sorted(share, key=lambda record: record["updated_at"]) for share in shares)


def test_a_record_changed_when_its_latest_assertion_was_made() -> None:
    """`updated_at` is that of the latest assertion; a few records share it; nights are quiet."""
    simulator = CogniacSimulator(1, CogniacSize(records=3000))

    for record in everything(simulator):
        assert record["updated_at"] == max(one["created_at"] for one in record["detections"])
    for one in simulator.applications():
        times = [record["updated_at"] for record in simulator.truth(one["application_id"])]
        assert len(set(times)) < len(times)
    hours = [datetime.fromtimestamp(record["updated_at"], UTC).hour for record in everything(simulator)]
    assert sum(8 <= hour < 16 for hour in hours) > 5 * sum(hour < 5 for hour in hours)


def test_the_plant_shows_every_shape_that_was_documented_or_reported() -> None:
    """Boxes as list and object, leading zeros, JSON as text, frames of videos, captures, foci."""
    records = everything(CogniacSimulator(1, CogniacSize(records=6000)))
    said = [one for record in records for one in record["detections"]]
    media = [record["media"] for record in records]
    foci = [{*(record["focus"] or {"none": 0})} for record in records]

    shapes = {(one["app_data_type"], type(one["app_data"]).__name__) for one in said}
    assert shapes == {
        *(
            (None, "NoneType"),
            ("ocr", "str"),
            ("count", "float"),
            ("count", "int"),
            ("system-override", "str"),
        ),
        *((kind, shape) for kind in ("box_set", "raw") for shape in ("list", "dict", "str")),
        *((kind, "str") for kind in ("points", "segment_list")),
        *(("points", "dict"), ("segment_list", "list")),
    }
    assert any(one["app_data_type"] == "ocr" and one["app_data"].startswith("0") for one in said)
    assert any(one["app_id"] is None and one["model_id"] is None and "uncal_prob" not in one for one in said)
    assert {type(one["custom_data"]).__name__ for one in media} == {"NoneType", "dict", "str"}
    assert any(one["frame"] and one["parent_media_ids"] == [one["parent_media_id"]] for one in media)
    assert any(one["video"] and one["num_frames"] for one in media)
    assert [foci.count(shape) > 0 for shape in ({"none"}, {"box"}, {"box", "frame"})] == [True] * 3
    assert len({one["model_id"] for one in said}) > 20


def test_people_correct_what_the_model_was_unsure_of() -> None:
    """Probabilities keep off the threshold, least where people spoke, beside or instead of the model."""
    simulator = CogniacSimulator(1, CogniacSize(records=6000))
    application = next(
        one for one in simulator.applications() if one["type"] == "classification" and one["active"]
    )
    distance: dict[bool, list[float]] = {True: [], False: []}
    beside = set()
    for record in simulator.truth(application["application_id"]):
        people = [one for one in record["detections"] if one["user_id"]]
        model = [one for one in record["detections"] if one["model_id"]]
        beside |= (
            {{one["subject_uid"] for one in people} <= {one["subject_uid"] for one in model}}
            if people
            else set()
        )
        thresholds = application["detection_thresholds"]
        distance[bool(people)] += [abs(one["probability"] - thresholds[one["subject_uid"]]) for one in model]
        assert all(one["prev_prob"] is not None and one["user_id"].endswith("@example.com") for one in people)

    assert fmean(distance[False]) > 0.3 > fmean(distance[True])
    assert beside == {True, False}


def test_the_next_link_is_printed_as_the_service_prints_it() -> None:
    """`next` repeats every parameter after `?&`, and pins `end`, to two decimals, where none was given."""
    simulator = CogniacSimulator(1, SMALL, clock=lambda: 1790000000.567)
    application_id = by_type(simulator, "box_detection")
    with logged_in(simulator) as client:
        path = f"1/applications/{application_id}/detections"
        first = client.get(path).json()
        asked = client.get(path, params={"start": "5", "end": "1789999999.987654", "limit": "500"}).json()
        link = first["paging"]["next"]
        assert link == client.get(path).json()["paging"]["next"]
        assert client.get(link.replace("?&", "?")).json() == client.get(link).json()

    base, _, query = link.partition("?&")
    last = first["data"][-1]["updated_at"]
    assert base == f"{client.base_url}{path}"
    assert dict(part.split("=") for part in query.split("&")) == {
        "start": "0",
        "end": "1790000000.57",
        "limit": "10",
        "cursor": f"{last:.6f}",
        "probability_upper": "1.0",
        "probability_lower": "0.0",
        "only_model": "True",
        **dict.fromkeys(("reverse", "abridged_media", "only_user", "consensus_none"), "False"),
    }
    assert len(first["data"]) == 10
    assert len(asked["data"]) == 100
    assert {"end=1789999999.99", "start=5.0", "limit=100"} <= set(asked["paging"]["next"].split("&"))


def test_flags_choose_whose_assertions_are_shown() -> None:
    """With no flag the model's alone; with both explicitly false all; `true` and `True` are the same."""
    simulator = CogniacSimulator(1, SMALL)
    application_id = by_type(simulator, "ocr")
    truth = list(simulator.truth(application_id))

    def only(who: str) -> list[Record]:
        kept = [{**record, "detections": [x for x in record["detections"] if x[who]]} for record in truth]
        return [record for record in kept if record["detections"]]

    with logged_in(simulator) as client:

        def ask(**params: Param) -> list[Record]:
            return [record for page in pages(client, application_id, limit=100, **params) for record in page]

        assert ask() == ask(only_model="true") == only("model_id")
        assert ask(only_user="True") == only("user_id")
        assert ask(only_user="False", only_model="false") == truth
        assert ask(only_model="False", reverse="true") == truth[::-1]
        both = client.get(f"1/applications/{application_id}/detections?only_user=True&only_model=True")
        assert both.status_code == 400


@pytest.mark.parametrize("inclusive", [True, False])
def test_bounds_are_strict_unless_read_otherwise(*, inclusive: bool) -> None:
    """Records exactly at `start` or `end` are shown only by the inclusive readings."""
    simulator = CogniacSimulator(
        1, SMALL, variant=ApiVariant(start_inclusive=inclusive, end_inclusive=inclusive)
    )
    at = 1772600000.25
    with logged_in(simulator) as client:
        application_id = tied(simulator, 3)
        found = [pages(client, application_id, **{bound: at}) for bound in ("start", "end")]

    assert [len(page) for (page,) in found] == ([3, 3] if inclusive else [0, 0])


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize(
    ("cursor", "expected"),
    [("exact", "01 23 4"), ("skips", "01 "), ("repeats", "01 23 4")],
)
def test_a_page_edge_among_equal_times_is_read_in_three_ways(
    *, cursor: Literal["exact", "skips", "repeats"], expected: str, reverse: bool
) -> None:
    """Equal times are told apart or lost; a page of one time only never names itself as the next."""
    simulator = CogniacSimulator(1, SMALL, variant=ApiVariant(cursor=cursor))
    with logged_in(simulator) as client:
        found = pages(client, tied(simulator, 5), limit=2, reverse=reverse)

    names = " ".join("".join(record["media"]["media_id"][1] for record in page) for page in found)
    assert names == (expected.translate(str.maketrans("01234", "43210")) if reverse else expected)


def test_the_repeating_cursor_sends_the_records_of_the_edge_again() -> None:
    """Under `repeats` a page begins with the records that share the last time of the page before."""
    simulator = CogniacSimulator(1, SMALL, variant=ApiVariant(cursor="repeats"))
    with logged_in(simulator) as client:
        application_id = tied(simulator, 2)
        simulator.put(
            application_id, {"media": {"media_id": "m9"}, "detections": [], "updated_at": 1772600000.0}
        )
        found = pages(client, application_id, limit=2)

    assert [[record["media"]["media_id"] for record in page] for page in found] == [
        ["m9", "m0"],
        ["m0", "m1"],
    ]


def test_a_user_of_several_tenants_sees_one_at_a_time() -> None:
    """All tenants are listed to key, password and token; a token shows nothing of another tenant."""
    simulator = CogniacSimulator(1, SMALL, tenants=("one", "two"))
    application_id = by_type(simulator, "ocr")
    with logged_in(simulator, "two") as client:
        for path in ("1/users/current/tenants", "/1/users/current/tenants"):
            body = client.get(str(client.base_url) + path).json()
            assert [one["tenant_id"] for one in body["tenants"]] == ["one", "two"]
        assert client.get("1/tenants/current/applications").json() == {"data": []}
        assert client.get(f"1/applications/{application_id}").status_code == 404
        assert client.get("1/tenants/one").status_code == 404


def test_errors_carry_the_services_numbers() -> None:
    """Each refusal has its status and a message that ends in a number between hash signs."""
    simulator = CogniacSimulator(1, CogniacSize(records=1))
    key = {"Authorization": f"Key {simulator.api_key}"}
    with logged_in(simulator) as client:

        def answer(path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
            got = client.get(path, headers=headers)
            return got.status_code, re.sub(r".*?(## \d+ ##)?$", r"\1", got.json()["message"])

        nobody = f"Bearer {client.get('1/token?tenant_id=', headers=key).json()['access_token']}"
        assert client.get("1/applications/none/detections").json() == {
            "message": "Invalid Input: Application not found. ## 0402073 ##"
        }
        assert answer("1/applications/none") == (404, "## 0402002 ##")
        assert answer(f"1/applications/{FOREIGN_APPLICATION}") == (404, "## 0402005 ##")
        assert answer("1/token?tenant_id=none", key) == (400, "## 0100011 ##")
        assert answer("1/token?tenant_id=", {"Authorization": "Key no"}) == (401, "## 0100006 ##")
        assert answer("1/tenants/current", {"Authorization": "Basic !"}) == (401, "## 0100006 ##")
        assert answer("1/tenants/current", {"Authorization": nobody}) == (403, "## 0100011 ##")
        assert answer("1/media/none") == (404, "## 0202005 ##")
        assert answer("nowhere") == (404, "")


def test_expired_tokens_are_refused_until_a_new_one_is_minted() -> None:
    """`expire_tokens` refuses every token so far, and the SDK recovers by itself."""
    simulator = CogniacSimulator(1, SMALL)
    with logged_in(simulator) as client:
        simulator.expire_tokens()
        assert client.get("1/tenants/current").status_code == 401
        options = {
            "api_key": simulator.api_key,
            "tenant_id": simulator.tenant_id,
            "url_prefix": str(client.base_url),
        }
        connection = cogniac.CogniacConnection(**options)
        abandoned = connection.session  # the SDK opens another and leaves this one open
        simulator.expire_tokens()
        assert len(connection.get_all_applications()) == 6
        abandoned.close()
        connection.session.close()


def test_a_fault_answers_first_and_every_request_is_logged() -> None:
    """`fault` may answer instead of the API, and `requests` tells what came and what it was answered."""
    simulator = CogniacSimulator(1, SMALL)
    with logged_in(simulator) as client:
        simulator.fault = lambda request: Response("no", 503) if "detections" in request.url.path else None
        client.get("1/applications/x/detections?limit=3")
        client.get("1/tenants/current")

    log = [(one.method, one.path, one.query, one.status) for one in simulator.requests]
    tenant = f"tenant_id={simulator.tenant_id}"
    assert log == [
        ("GET", "/1/token", tenant, 200),
        ("GET", "/1/applications/x/detections", "limit=3", 503),
        ("GET", "/1/tenants/current", "", 200),
    ]
    assert all(one.has_credentials for one in simulator.requests)


def test_applications_are_paged_only_when_asked() -> None:
    """Without `limit` all applications come at once; with it, `last_key` leads to the rest."""
    simulator = CogniacSimulator(1, CogniacSize(applications=8, records=0))
    with logged_in(simulator) as client:
        path = "1/tenants/current/applications"
        assert client.get(path).json() == {"data": simulator.applications()}
        first = client.get(path, params={"limit": 5}).json()
        rest = client.get(path, params={"limit": 5, "last_key": first["last_key"]}).json()
        uid = simulator.subjects()[3]["subject_uid"]
        chosen = client.get("1/tenants/current/subjects", params={"ids": f"{uid},none"}).json()["data"]

    assert [*first["data"], *rest["data"]] == simulator.applications()
    assert "last_key" not in rest
    assert chosen == [simulator.subjects()[3]]


def test_advance_adds_and_corrects_after_everything_so_far() -> None:
    """New records and new versions of old ones come later than all that was; the rest stays as it is."""
    simulator = CogniacSimulator(1, SMALL)
    before = {msgspec.json.encode(record) for record in everything(simulator)}
    newest = timeline.seconds(simulator.newest)

    simulator.advance(records=30, corrections=20)

    after = everything(simulator)
    fresh = [record for record in after if msgspec.json.encode(record) not in before]
    assert len(after) == 430
    assert len(before) - (len(after) - len(fresh)) in range(15, 21)  # one may be corrected twice
    assert all(record["updated_at"] > newest for record in fresh)


def test_a_record_put_by_hand_wins_over_the_generated_one() -> None:
    """`put` replaces by medium and focus, whatever the record holds; `remove` leaves no trace."""
    simulator = CogniacSimulator(1, SMALL)
    application_id = next(
        one["application_id"] for one in simulator.applications() if one["name"] == "Label condition"
    )
    truth = list(simulator.truth(application_id))
    mine = {**truth[5], "detections": "not even a list"}

    simulator.put(application_id, mine)
    assert list(simulator.truth(application_id)) == [*truth[:5], mine, *truth[6:]]

    del mine["updated_at"]
    simulator.put(application_id, mine)
    latest = list(simulator.truth(application_id))[-1]
    assert latest == {**mine, "updated_at": latest["updated_at"]}

    simulator.remove(application_id, mine["media"]["media_id"], mine["focus"])
    simulator.remove(application_id, truth[6]["media"]["media_id"], truth[6]["focus"])
    assert list(simulator.truth(application_id)) == [*truth[:5], *truth[7:]]
