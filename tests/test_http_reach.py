"""Where requests go, with the key and without it, and what an error shows of them."""

import gzip

import pytest
from support.asking import ATTEMPTS, KEY, OK, Answer, Server, asking, complaint
from support.transport import scripted

from etl.demo.server import serve
from etl.errors import ClientError, SourceError

pytestmark = pytest.mark.usefixtures("no_pauses")
NOT_HTTPS = "the API named an address that is not https, on 192.0.2.1: refused"


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
