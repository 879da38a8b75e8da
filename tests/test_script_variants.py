"""What a script lets happen to a client of either simulator while it reads, over real sockets."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp
from support.cogniac_simulator import logged_in, pages
from support.cogniac_variants import EMPTY, T, first_page, holding, names
from support.neurons_simulator import served
from support.neurons_variants import LIST, TEN_MEDIA, ids

from etl.demo.cogniac.simulator import CogniacSimulator
from etl.demo.neurons.simulator import NeuronsSimulator
from etl.demo.script import FOREVER, LOGIN_PAGE, Answer, Clock, CutOff, Hang, Reset, Rule, Script
from etl.demo.server import serve

DETECTIONS = "/detections$"


def statuses(client: httpx.Client, path: str, count: int) -> list[int]:
    """How so many requests in a row are answered."""
    return [client.get(path).status_code for _ in range(count)]


def test_a_rule_acts_from_its_nth_request_on_so_many_times() -> None:
    """Only requests that match its path and query count, and all others are answered by the API."""
    simulator = CogniacSimulator(1, EMPTY)
    script = Script(
        Rule(path="current$", nth=2, times=2, answer=Answer(status=503)),
        Rule(path="version", query="x=[1-9]", times=FOREVER, answer=Response("mine", 418)),
    )
    with logged_in(simulator) as client:
        simulator.fault = script

        assert statuses(client, "1/tenants/current", 5) == [200, 503, 503, 200, 200]
        assert [client.get(f"1/version?x={x}").status_code for x in range(3)] == [200, 418, 418]

    assert script.acted == [2, 2]
    script.check()


def test_of_several_rules_all_act_and_the_first_answers() -> None:
    """A request counts for every rule it matches, whatever comes of it."""
    done: list[str] = []
    simulator = CogniacSimulator(1, EMPTY)
    simulator.fault = script = Script(
        Rule(path="version", do=partial(done.append, "first")),
        Rule(path="version", times=2, do=partial(done.append, "second"), answer=Answer(status=500)),
        Rule(path="version", nth=2, answer=Answer(status=502)),
        Rule(path="version", nth=3, answer=Answer(status=504)),
    )
    with serve(simulator.app) as url, httpx.Client(base_url=url) as client:
        assert statuses(client, "1/version", 4) == [500, 500, 504, 200]

    assert done == ["first", "second", "second"]
    assert script.acted == [1, 2, 1, 1]


def test_a_script_counts_right_for_many_clients_at_once() -> None:
    """Of requests that come at the same time, on two servers, exactly so many meet the rule."""
    cogniac, neurons = CogniacSimulator(1, EMPTY), NeuronsSimulator(size=TEN_MEDIA)
    script = Script(Rule(path="", nth=5, times=20, answer=Answer(status=500)))
    cogniac.fault = neurons.fault = neurons.file_watch.fault = script
    with serve(cogniac.app) as url, serve(neurons.files) as files_url, httpx.Client() as client:
        addresses = [f"{url}1/version", f"{files_url}none/none"] * 30
        with ThreadPoolExecutor(8) as pool:
            answers = [answer.status_code for answer in pool.map(client.get, addresses)]

    assert script.acted == [20]
    assert answers.count(500) == 20
    assert {*answers} == {200, 403, 500}


def test_a_test_learns_what_never_happened_and_what_went_wrong() -> None:
    """`check` names idle rules; what a rule's action raises is a 500 to the client, and raised by `check`."""
    simulator = CogniacSimulator(1, EMPTY)
    idle = Rule(path="never")
    simulator.fault = script = Script(Rule(path="version", do=lambda: simulator.bump("none", "none")), idle)
    with serve(simulator.app) as url:
        with pytest.raises(AssertionError, match=r"never happened: .*path='version'.*path='never'"):
            script.check()
        assert httpx.get(f"{url}1/version").status_code == 500
        with pytest.raises(KeyError, match="none"):
            script.check()
        assert httpx.get(f"{url}1/version").status_code == 200


def test_a_record_bumped_while_it_is_paged_comes_again() -> None:
    """Both versions are served, the new one on a later page."""
    simulator = CogniacSimulator(1, EMPTY, record_served=True)
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 1, T + 2)
        old = next(iter(simulator.truth(application_id)))
        bump = partial(simulator.bump, application_id, "m0", at=T + 1.5)
        simulator.fault = script = Script(Rule(path=DETECTIONS, nth=2, do=bump))
        found = pages(client, application_id, limit=1)

    script.check()
    assert names(found) == ["m0", "m1", "m0", "m2"]
    assert (found[0], simulator.served(application_id)) == ([old], [page[0] for page in found])
    assert found[0][0]["updated_at"] < found[2][0]["updated_at"] == T + 1.5


def test_a_record_may_arrive_late_behind_the_page_that_would_have_held_it() -> None:
    """The scan that is under way has passed its time; the next one sees it."""
    simulator = CogniacSimulator(1, EMPTY)
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 10, T + 20)
        late = partial(simulator.late, application_id, 15)
        simulator.fault = script = Script(Rule(path=DETECTIONS, query="cursor=", nth=2, do=late))
        found = pages(client, application_id, limit=1)
        later = pages(client, application_id, limit=1)

    script.check()
    assert names(found) == ["m0", "m1", "m2"]
    assert names(later) == ["m0", f"LATE{1:024d}", "m1", "m2"]


def test_a_medium_deleted_between_two_pages_moves_all_later_ones() -> None:
    """The one that slips over the edge of the pages is seen by neither."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    every = simulator.media_ids()
    with served(simulator) as client:
        script = Script(Rule(path="/media$", nth=2, do=partial(simulator.remove, every[0])))
        simulator.fault = script
        found = [ids(client, limit=5), ids(client, limit=5, offset=5)]

    script.check()
    assert found == [every[:5], every[6:]]


def test_a_medium_deleted_between_the_list_and_its_asset_has_no_file() -> None:
    """The link that the list gave leads to 404, like the medium itself."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    first = simulator.media_ids()[0]
    with served(simulator) as client:
        script = Script(Rule(path=f"^/{first}/", do=partial(simulator.remove, first)))
        simulator.file_watch.fault = script
        medium = client.get(LIST).json()["media"][0]

        assert httpx.get(medium["results"]["heat"]).status_code == 404
        assert client.get(f"{LIST}/{first}").status_code == 404
    script.check()


def test_tokens_may_expire_in_the_middle_of_a_scan() -> None:
    """The page is refused until a new token is minted, which opens the same link."""
    simulator = CogniacSimulator(1, EMPTY)
    key = {"Authorization": f"Key {simulator.api_key}"}
    with logged_in(simulator) as client:
        application_id = holding(simulator, T, T + 1)
        simulator.fault = script = Script(Rule(path=DETECTIONS, nth=2, do=simulator.expire_tokens))
        link = first_page(client, application_id, limit=1)["paging"]["next"]
        assert statuses(client, link, 2) == [401, 401]
        token = client.get(f"1/token?tenant_id={simulator.tenant_id}", headers=key).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert names([client.get(link).json()["data"]]) == ["m1"]

    script.check()


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 502, 503])
def test_an_error_may_come_once_or_several_times(status: int) -> None:
    """It carries JSON that both clients can read, and afterwards all is well."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    with served(simulator) as client:
        simulator.fault = Script(Rule(path="media", times=2, answer=Answer(status=status)))
        answers = [client.get(LIST) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["message"] == answers[0].json()["detail"] == "It was the script."
    assert "retry-after" not in answers[0].headers


def test_too_many_requests_may_say_when_to_come_again() -> None:
    """In seconds, as an HTTP date, or in words that mean nothing."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    simulator = CogniacSimulator(1, EMPTY)
    answers = (
        Answer(status=429, retry_after=7),
        Answer(status=429, retry_after=soon),
        Answer(status=429, retry_after="soon"),
    )
    simulator.fault = Script(
        *(Rule(path="version", nth=nth, answer=answer) for nth, answer in enumerate(answers, start=1))
    )
    with serve(simulator.app) as url:
        said = [httpx.get(f"{url}1/version").headers["retry-after"] for _ in range(3)]

    assert (said[0], parsedate_to_datetime(said[1]), said[2]) == ("7", soon, "soon")


def test_a_page_of_html_may_come_with_status_200() -> None:
    """As from a proxy that wants a login."""
    simulator = CogniacSimulator(1, EMPTY)
    simulator.fault = Script(Rule(path="version", answer=LOGIN_PAGE))
    with serve(simulator.app) as url:
        answer = httpx.get(f"{url}1/version")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("answer", "error", "message", "logged"),
    [
        (CutOff(sent=b"half", missing=4), httpx.RemoteProtocolError, "received 4 bytes, expected 8", 200),
        (Reset(), httpx.ReadError, "reset", 0),
        (Hang(), httpx.ReadTimeout, "timed out", 0),
        (Hang(most_s=0.05), httpx.ReadError, "reset", 0),
    ],
)
def test_an_answer_may_never_be_whole(
    answer: ASGIApp, error: type[Exception], message: str, logged: int
) -> None:
    """It breaks off, its connection is reset, or it does not come; a new connection works as before."""
    simulator = CogniacSimulator(1, EMPTY)
    simulator.fault = script = Script(Rule(path="version", answer=answer))
    with serve(simulator.app) as url, httpx.Client(base_url=url, timeout=0.5) as client:
        with pytest.raises(error, match=message):
            client.get("1/version")
        assert client.get("1/version").status_code == 200
        wait_until(lambda: len(simulator.requests) == 2)

    script.check()
    assert sorted(seen.status for seen in simulator.requests) == sorted([logged, 200])


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as something holds, which another thread is about to bring about."""
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline


def test_a_hanging_request_does_not_hold_up_the_server() -> None:
    """The server ends although a client still waits, and the client is told by its connection."""
    simulator = CogniacSimulator(1, EMPTY)
    simulator.fault = script = Script(Rule(path="version", answer=Hang()))
    with ThreadPoolExecutor(1) as pool:
        with serve(simulator.app) as url:
            waiting: Any = pool.submit(httpx.get, f"{url}1/version", timeout=60)
            wait_until(lambda: script.acted == [1])
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert isinstance(waiting.exception(), httpx.TransportError)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_asset_link_may_fail_once(status: int) -> None:
    """The file server refuses a good link, and opens it when asked again."""
    simulator = NeuronsSimulator(size=TEN_MEDIA)
    with served(simulator) as client:
        simulator.file_watch.fault = Script(Rule(path=r"_heat\.", answer=Answer(status=status)))
        link = client.get(LIST).json()["media"][0]["results"]["heat"]

        assert [httpx.get(link).status_code for _ in range(2)] == [status, 200]


def test_links_may_expire_between_the_list_and_the_download() -> None:
    """A rule lets time pass on the simulator's clock: the second file of the list comes too late."""
    clock = Clock(1790000000.0)
    simulator = NeuronsSimulator(size=TEN_MEDIA, clock=clock, link_lifetime=30)
    with served(simulator) as client:
        script = Script(Rule(path=".", nth=2, do=partial(clock.advance, 31)))
        simulator.file_watch.fault = script
        results = client.get(LIST).json()["media"][0]["results"]

        assert [httpx.get(results[name]).status_code for name in ("heat", "fog")] == [200, 403]
    script.check()
