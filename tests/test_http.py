"""Asking an API: what is tried again and for how long, what is refused, and what an error says."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import count

import hostile
import httpx
import pytest
import stamina
import stamina.instrumentation
from conftest import DEFAULTS
from starlette.types import Receive, Scope, Send
from support.transport import scripted

from etl.demo.server import serve
from etl.errors import ClientError, SourceError
from etl.extract.address import Reach
from etl.extract.deadline import within
from etl.extract.http import Api, RetryableError, _Pauses
from etl.extract.stream import RequestStats
from etl.setting import Secret
from etl.sources.cogniac.login import Login
from etl.sources.neurons.login import KeyHeader

KEY = "open-sesame"
ATTEMPTS = 3
TIMEOUT_SECONDS = 30.0  # seconds after which a test fails that would wait for ever
SHARE = 4 * 2**20
"""Bytes that a file may have: of 16 megabytes half, for two requests in flight."""
NOT_HTTPS = "the API named an address that is not https, on 192.0.2.1: refused"


@dataclass(frozen=True)
class Answer:
    """What the server sends, once."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    unsent: int = 0
    """Bytes that are announced, but never come."""


OK = Answer(body=b'{"a": 1}')


class Server:
    """Gives these answers one after the other, and then the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the next answer."""
        self.bodies.append((await receive()).get("body", b""))
        self.asked.append(f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?"))
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"content-length": str(len(answer.body) + answer.unsent), **answer.headers}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": answer.body})


@contextmanager
def asking(
    base: str | None, budget: float = 120, key: str = KEY, rate: tuple[int, float] | None = None
) -> Iterator[tuple[Api, RequestStats]]:
    """An API that is asked with a key, or files without one where there is no base; with its stats."""
    settings = replace(DEFAULTS, concurrency=2, retry_budget=budget, body_memory=16)
    auth = KeyHeader(Secret(key)) if base else None
    reach = Reach("http://127.0.0.1")
    with closing(
        Api(base, settings, auth=auth, secrets=[Secret(key)], hint="check KEY", rate=rate, reach=reach)
    ) as api:
        yield api, RequestStats()


def complaint(base: str | None, path: str, budget: float = 120, key: str = KEY) -> tuple[type, str, int]:
    """How a GET that fails does so: the error, its text, and the requests that were made."""
    with asking(base, budget, key) as (api, request_stats):
        ask = partial(api.get, dict) if base else api.download
        with pytest.raises(SourceError) as caught:
            ask(path, request_stats)
    return caught.type, str(caught.value), request_stats.requests


@pytest.fixture(autouse=True)
def _here_and_without_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine is asked, and nothing waits between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield
    stamina.instrumentation.set_on_retry_hooks([])


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


HOURS = format_datetime(datetime.now(UTC) + timedelta(hours=10), usegmt=True)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0"}, 0.5, 1.5),
        ({"Retry-After": HOURS}, 30_000, 36_000),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.5, 1.5),
        ({"Retry-After": "soon"}, 0.5, 1.5),
        ({}, 0.5, 1.5),
    ],
    ids=["seconds", "at once", "hours", "long ago", "no time", "nothing"],
)
def test_an_api_says_when_to_come_back(said: dict[str, str], least: float, most: float) -> None:
    """Retry-After is obeyed, in seconds or as a date; without it the first wait is about a second."""
    server = Server(Answer(429, headers=said))
    stamina.set_testing(False)
    stamina.instrumentation.set_on_retry_hooks([refuse_to_wait])
    with (
        serve(server) as url,
        asking(url, 36_000) as (api, request_stats),
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


def test_a_link_keeps_its_query() -> None:
    """The address of a next page is asked for as it was given; parameters make a query of their own."""
    server = Server(OK)
    with serve(server) as url, asking(url) as (api, request_stats):
        api.get(dict, f"{url}1/x?start=5.50&key=a%2Fb", request_stats)
        api.get(dict, "1/y", request_stats, {"limit": "2"})

    assert ["/1/x?start=5.50&key=a%2Fb", "/1/y?limit=2"] == server.asked


@pytest.mark.parametrize("link", ["{there}x", "{here}@{host}x", "{here}\\@{host}x"])
def test_a_page_on_another_host_is_refused_before_anything_is_sent(link: str) -> None:
    """The key goes to the configured host and port alone, however an address is written."""
    own, other = Server(OK), Server(OK)
    with serve(own) as here, serve(other) as there:
        named = link.format(here=here.rstrip("/"), there=there, host=there.removeprefix("http://"))
        _, text, _ = complaint(here, named)

    assert f"GET {here.rstrip('/')} names a page on another host, 127.0.0.1: refused" == text
    assert [] == own.asked + other.asked


@pytest.mark.parametrize("base", [None, "https://api.example"])
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_nothing_is_asked_for_in_the_clear(base: str | None, scheme: str) -> None:
    """An address that is not https is asked for on this machine alone."""
    assert NOT_HTTPS == complaint(base, f"{scheme}://192.0.2.1/x")[1]


def test_a_request_with_a_key_is_not_redirected() -> None:
    """The key is not carried on to where an API redirects."""
    other = Server(OK)
    with serve(other) as there, serve(Server(Answer(302, headers={"Location": there}))) as url:
        assert (ClientError, f"GET {url}1/x answered 302", 1) == complaint(url, "/1/x")

    assert [] == other.asked


def test_a_post_is_repeated_with_its_body_and_read_like_any_page() -> None:
    """What reads by POST may be asked again; its answer may be packed, and is counted."""
    packed = Answer(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})
    server = Server(Answer(503), packed)
    with serve(server) as url, asking(url) as (api, request_stats):
        found = api.post(dict[str, int], "/search", request_stats, {"after": 7, "words": ["ä"]})

    assert {"a": 1} == found
    assert [b'{"after":7,"words":["\xc3\xa4"]}'] * 2 == server.bodies
    assert ["application/json"] * 2 == [each["content-type"] for each in server.headers]
    assert (2, 1, 10) == (request_stats.requests, request_stats.retries, request_stats.bytes)


def test_a_post_that_fails_is_told_without_what_its_body_held() -> None:
    """A server may repeat what it was sent; a redirect is not followed, and no other host is asked."""
    told = Answer(400, b'{"message": "no page page-token-1 of 12345678 for KEY open-sesame"}')
    server = Server(told, Answer(302, headers={"Location": "http://127.0.0.1:1/"}))
    said = []
    with serve(server) as url, asking(url) as (api, request_stats):
        for where in ("1/x?token=t", "1/x", "http://127.0.0.1:1/x"):
            with pytest.raises(SourceError) as caught:
                api.post(dict, where, request_stats, {"page": {"next": ["page-token-1"]}})
            said.append(str(caught.value))

    assert [
        f"POST {url}1/x answered 400: no page *** of 12345678 for KEY ***",
        f"POST {url}1/x answered 302",
        f"GET {url.rstrip('/')} names a page on another host, 127.0.0.1: refused",
    ] == said


def test_a_download_follows_redirects_and_carries_no_key() -> None:
    """Links are for anybody who holds them, wherever they lead."""
    files = Server(Answer(body=b"a;b", headers={"Content-Type": "text/csv; charset=utf-8"}))
    with serve(files) as there:
        links = Server(Answer(302, headers={"Location": f"{there}a.csv?signature=s"}))
        with serve(links) as url, asking(None) as (api, request_stats):
            found = api.download(f"{url}a", request_stats)

    assert (b"a;b", "text/csv") == found
    assert ["/a.csv?signature=s"] == files.asked
    assert set() == {"x-api-key", "authorization", "cookie"} & {*files.headers[0], *links.headers[0]}


@pytest.mark.parametrize(
    ("location", "said"),
    [("http://192.0.2.1/x", NOT_HTTPS), ("/a", "GET {url}a failed: more than 20 redirects")],
)
def test_a_download_is_not_led_astray(location: str, said: str) -> None:
    """A redirect into the clear is refused, and one that goes round in circles ends."""
    with serve(Server(Answer(302, headers={"Location": location}))) as url:
        assert said.format(url=url) == complaint(None, f"{url}a?signature=s")[1]


@pytest.mark.parametrize(
    ("path", "message", "shown"),
    [
        ("1/x?token=t", f"key {KEY} is wrong", "1/x answered 400: key *** is wrong"),
        (f"1/{KEY}/x", "", "1/***/x answered 400"),
        ("1/x?token=t", "no https://a/b?token=t", "1/x answered 400: no https://a/b"),
    ],
)
def test_an_error_shows_neither_secrets_nor_queries(path: str, message: str, shown: str) -> None:
    """Not even those that the server repeats."""
    with serve(Server(Answer(400, f'{{"message": "{message}"}}'.encode()))) as url:
        assert f"GET {url}{shown}" == complaint(url, path)[1]


def test_an_answer_that_is_none_is_told_without_what_it_repeats() -> None:
    """What was sent may stand in what a broken proxy says instead of an answer."""
    garbage = f"WHAT? {KEY} signature-1\r\n\r\n".encode()
    with scripted(*[garbage] * ATTEMPTS) as (url, _):
        _, text, _ = complaint(url, "/1/x?token=signature-1")

    assert f"GET {url}/1/x failed: WHAT? *** ***" == text


def test_an_error_about_a_key_that_cannot_be_sent_does_not_show_it() -> None:
    """A key with a stray line end, as editors leave it, fails without being told to everybody."""
    with serve(Server(OK)) as url:
        assert KEY not in complaint(url, "/1/x", key=f"{KEY}\r")[1]


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
