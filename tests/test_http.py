"""Asking an API: what is tried again and for how long, and what an error says."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count

import hostile
import httpx
import pytest
import stamina
import stamina.instrumentation
from support.asking import ATTEMPTS, OK, SHARE, Answer, Server, asking, complaint

from etl.demo.server import serve
from etl.errors import ClientError, SourceError
from etl.extract.deadline import within
from etl.extract.http import RetryableError, _Pauses
from etl.sources.cogniac.login import Login

pytestmark = pytest.mark.usefixtures("no_pauses")
TIMEOUT_SECONDS = 30.0  # seconds after which a test fails that would wait for ever

PASSING = {str(status): Answer(status, b"busy") for status in (408, 429, 500, 502, 503, 504)} | {
    "cut off": Answer(body=b'{"a"', unsent=4),
    "no JSON": Answer(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}),
    "half a JSON": Answer(body=b'{"a": '),
    "no text": Answer(body=b'{"a": "\xff"}'),
    "not compressed": Answer(body=b"plain", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_trouble_that_may_pass_is_met_by_another_attempt(trouble: Answer) -> None:
    """The caller gets the answer as if nothing had been."""
    server = Server(trouble, trouble, OK)
    with serve(server) as url, asking(url) as (api, request_stats):
        answer = api.get(dict, "/1/x", request_stats)

    assert {"a": 1} == answer
    assert ["/1/x"] * 3 == server.asked


def test_the_meter_counts_what_an_answer_took() -> None:
    """Each attempt is a request, all but the first are retries, and bodies count uncompressed."""
    packed = Answer(body=gzip.compress(OK.body), headers={"Content-Encoding": "gzip"})
    with serve(Server(Answer(503, b"busy"), packed)) as url, asking(url) as (api, request_stats):
        for _ in range(2):
            api.get(dict, "/1/x", request_stats)

    assert (3, 1, len(b"busy") + 2 * len(OK.body)) == (
        request_stats.requests,
        request_stats.retries,
        request_stats.bytes,
    )


CUT = "IncompleteRead(4 bytes read, 4 more expected)"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Answer(503, b'{"message": "over  loaded"}'), "answered 503: over loaded"),
        (Answer(500, b"<h1>no</h1>"), "answered 500"),
        (PASSING["no JSON"], "answered text/html that is not JSON"),
        (Answer(body=b""), "answered something that is not JSON"),
        (PASSING["cut off"], f"failed: {CUT}"),
    ],
)
def test_trouble_that_does_not_pass_is_told_after_the_last_attempt(trouble: Answer, said: str) -> None:
    """The error names the request, without its query, and what the last attempt met."""
    with serve(Server(trouble)) as url:
        _, text, requests = complaint(url, "/1/x?start=5")

    assert (f"GET {url}1/x {said}", ATTEMPTS) == (text, requests)


def test_an_api_that_is_not_there_is_named() -> None:
    """Where nothing listens the error says so, after as many attempts."""
    with serve(Server(OK)) as gone:
        pass
    _, text, requests = complaint(gone, "/1/x")

    assert (f"GET {gone}1/x failed: [Errno 111] Connection refused", ATTEMPTS) == (text, requests)


def test_without_a_budget_nothing_is_tried_again() -> None:
    """SIGHTGLASS_RETRY_BUDGET=0 means one attempt."""
    with serve(Server(Answer(503))) as url:
        assert 1 == complaint(url, "/1/x", budget=0)[2]


class WaitsError(Exception):
    """Raised in place of waiting: for how many seconds it would have been."""


def refuse_to_wait(details: stamina.instrumentation.RetryDetails) -> None:
    """Leave the retries where they would wait."""
    raise WaitsError(details.wait_for)


HOURS = format_datetime(datetime.now(UTC) + timedelta(hours=9), usegmt=True)
IN_AN_HOUR = datetime.now(UTC) + timedelta(hours=1)
OTHER_CLOCK = {"Date": "Sat, 07 Mar 2026 23:59:50 GMT", "Retry-After": "Sun, 08 Mar 2026 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "7 "}, 7, 7),
        ({"Retry-After": "7.5"}, 7.5, 7.5),
        ({"Retry-After": f"{IN_AN_HOUR:%A, %d-%b-%y %H:%M:%S GMT}"}, 3_000, 3_600),
        ({"Retry-After": f"{IN_AN_HOUR:%a %b %e %H:%M:%S %Y}"}, 3_000, 3_600),
        (OTHER_CLOCK, 10, 10),
        ({"Retry-After": "0"}, 0.5, 1.5),
        ({"Retry-After": HOURS}, 30_000, 36_000),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.5, 1.5),
        ({"Retry-After": "soon"}, 0.5, 1.5),
        ({}, 0.5, 1.5),
    ],
    ids=[
        *("seconds", "a blank", "a fraction", "with a weekday", "as C has it", "by its own clock"),
        *("at once", "hours", "long ago", "no time", "nothing"),
    ],
)
def test_an_api_says_when_to_come_back(said: dict[str, str], least: float, most: float) -> None:
    """Retry-After is obeyed, in seconds or as a date; without it the first wait is about a second."""
    routes = {"/1/x": hostile.Answer(status=429, headers=said)}
    stamina.set_testing(False)
    stamina.instrumentation.set_on_retry_hooks([refuse_to_wait])
    with (
        hostile.serving(routes) as server,
        asking(server.url, 36_000) as (api, request_stats),
        pytest.raises(WaitsError) as caught,
    ):
        api.get(dict, "/1/x", request_stats)

    assert least <= caught.value.args[0] <= most


@pytest.mark.parametrize(
    "wait",
    ["121", "9" * 20, "9" * 5000, HOURS, "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["seconds", "many", "too many digits", "hours", "for ever"],
)
def test_a_wait_beyond_the_budget_ends_at_once(wait: str) -> None:
    """Who is told to come back after the budget need not wait to know that it failed."""
    with serve(Server(Answer(429, b'{"detail": "slow down"}', {"Retry-After": wait}))) as url:
        _, text, requests = complaint(url, "/1/x", budget=120)

    assert (f"GET {url}1/x answered 429: slow down", 1) == (text, requests)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"message": "no such field"}', ": no such field"),
        (401, b'{"detail": "bad key"}', ": bad key; check KEY"),
        (403, b"", "; check KEY"),
        (404, b'["gone", 1]', ': ["gone",1]'),
        (405, b'{"message": "' + b"x" * 400 + b'"}', f": {'x' * 300}"),
        (409, b'{"message": null}', ""),
        (501, b"<html>no</html>", ""),
    ],
)
def test_a_wrong_request_fails_at_once_in_the_vendors_words(status: int, body: bytes, said: str) -> None:
    """Asking again would not help: the message is passed on, on one line that is not too long."""
    with serve(Server(Answer(status, body))) as url:
        assert (ClientError, f"GET {url}1/x answered {status}{said}", 1) == complaint(url, "/1/x")


def test_a_key_that_is_refused_is_not_sent_again() -> None:
    """There is no other key to try."""
    server = Server(Answer(401))
    with serve(server) as url:
        complaint(url, "/1/x")

    assert ["/1/x"] == server.asked


def test_json_of_another_shape_is_not_asked_for_again() -> None:
    """An API that answers something else than documented will do so the next time."""
    said = "answered JSON of another shape than documented: Expected `object`, got `array`"
    with serve(Server(Answer(body=b"[1]"))) as url:
        assert (SourceError, f"GET {url}1/x {said}", 1) == complaint(url, "/1/x")


def test_a_body_without_end_is_not_read_to_the_end() -> None:
    """A file larger than its share is refused with what to raise, and not asked for again."""
    with serve(Server(Answer(body=b"x" * (SHARE + 1)))) as url:
        _, text, requests = complaint(None, f"{url}film?signature=s")

    said = f"sent more than the {SHARE:,} bytes that SIGHTGLASS_BODY_MEMORY leaves for a file: raise it"
    assert (f"GET {url}film {said}", 1) == (text, requests)


def test_a_wait_for_the_rate_of_a_host_comes_on_top() -> None:
    """A budget that is shorter than the time for which the rate is stated is enough for all requests."""
    with serve(Server(OK)) as url, asking(url, 0.2, rate=(1, 0.5)) as (api, request_stats):
        found = [api.get(dict, "/1/x", request_stats) for _ in range(3)]

    assert ([{"a": 1}] * 3, 3) == (found, request_stats.requests)


def test_a_wait_for_the_login_of_another_thread_counts() -> None:
    """Who has no time left goes, and the login goes on."""
    login, begun, over = Login("http://127.0.0.1", "Key a:b", "t1"), threading.Event(), threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/1/token":
            return httpx.Response(200, json=request.headers["authorization"])
        begun.set()
        over.wait(TIMEOUT_SECONDS)
        return httpx.Response(200, json={"access_token": "t"})

    with (
        httpx.Client(auth=login, transport=httpx.MockTransport(answer), trust_env=False) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(client.get, "http://127.0.0.1/1/x")
        begun.wait(TIMEOUT_SECONDS)
        with within(0.01), pytest.raises(TimeoutError, match="the login took all the time"):
            client.get("http://127.0.0.1/1/x")
        over.set()
        assert "Bearer t" == first.result(TIMEOUT_SECONDS).json()


def test_an_attempt_that_is_cut_short_does_not_hide_the_one_before_it() -> None:
    """What an API answered says more than that the rest of the budget was too short."""
    number = count()

    def answers(_request: hostile.Request) -> hostile.Said:
        busy = hostile.Answer(b'{"message": "busy"}', 503)
        return hostile.Bytes(b"", held=True) if next(number) else busy

    with hostile.serving({"/1/x": answers}) as server:
        _, text, requests = complaint(server.url, "/1/x", budget=2)

    assert (f"GET {server.url}1/x answered 503: busy", 2) == (text, requests)


def test_no_attempt_is_waited_for_beyond_the_deadline() -> None:
    """Pauses grow, and the last one is left out where the budget would be over after it."""
    pauses = _Pauses()
    with within(1000):
        found = [pauses.before_another(RetryableError("busy")) for _ in range(9)]
    with within(10):
        last = pauses.before_another(RetryableError("busy"))

    least = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [True] * 9 == [
        isinstance(pause, timedelta) and low <= pause.total_seconds() <= low + 1
        for pause, low in zip(found, least, strict=True)
    ]
    assert last is False
