"""One request: through which proxy it goes, whose certificate counts, and what is left of a broken answer."""

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import httpx
import pyarrow as pa
import pytest
from conftest import DEFAULTS
from support.transport import HERE, TLS, asked, asking, saying, scripted, small

from etl.config import Settings
from etl.errors import ClientError
from etl.extract.address import InvalidRequestError
from etl.extract.deadline import within
from etl.extract.encoding import CHUNK
from etl.extract.http import Api
from etl.extract.memory import TooLargeError
from etl.extract.stream import RequestStats
from etl.extract.transport import MOST_HOSTS, Exchange
from etl.setting import Secret
from etl.sources.neurons.login import KeyHeader

pytestmark = pytest.mark.usefixtures("no_proxies")


def settings() -> Settings:
    """What an API must be told."""
    return replace(DEFAULTS, concurrency=1, retry_budget=0, body_memory=16)


@contextmanager
def trickling(begins: bytes, pieces: int, seconds: float) -> Iterator[str]:
    """The address of a server that encrypts, and sends so many bytes more, each after a while."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(2**16)
            connection.sendall(begins)
            for _ in range(pieces):
                if over.wait(seconds):
                    return
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()


def test_an_encrypted_answer_that_comes_byte_by_byte_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline is for all of it, not for each byte."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    begins = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"
    with (
        trickling(begins, 50, 0.1) as url,
        asking() as client,
        within(0.5),
        pytest.raises(httpx.TransportError, match=r"^timed out$"),
    ):
        client.get(f"{url}/x", extensions=small())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
BROKEN = {
    "103": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, [1, 1], "answered 103, and what follows"),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", [1, 1], "read length"),
    "no chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx", [1, 1], "read length"),
    "coding": (OK.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n"), [2], "Error -3"),
    "nothing": (b"\r\n\r\n", [1, 1], "BadStatusLine"),
}


@pytest.mark.parametrize(("answer", "connections", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_is_left_of_a_broken_answer_is_no_answer_to_the_next(
    answer: bytes, connections: list[int], reason: str
) -> None:
    """It may pass, so it is a failure; its connection is used again only where it was read to its end."""
    with scripted(answer, OK.replace(b"body", b"mine")) as (url, used), asking() as client:
        told = small()
        with pytest.raises(httpx.TransportError) as caught:
            client.get(f"{url}/a?signature=s", extensions=told)
        second = client.get(f"{url}/b", extensions=small())

    assert (b"mine", connections, ("s",)) == (second.content, used, told["exchange"].sent())
    assert str(caught.value).startswith(reason)


def test_an_answer_that_is_too_large_is_not_read_on() -> None:
    """Be it a redirect; and the next request has a connection of its own."""
    for status in (b"200 OK", b"302 Found\r\nLocation: /b"):
        large = b"HTTP/1.1 %s\r\nContent-Length: 9000000\r\n\r\n" % status + b"x" * 4_000_000
        with scripted(large, OK) as (url, connections), asking(redirects=True) as client:
            with pytest.raises(TooLargeError):
                client.get(f"{url}/a", extensions=small())
            second = client.get(f"{url}/b", extensions=small())

        assert (b"body", [1, 1]) == (second.content, connections)


@pytest.mark.parametrize("location", [b"https://[x/y", b"mailto:somebody", b"https://a/\x01", b"//[::1"])
def test_a_redirect_to_what_is_no_address_is_refused(location: bytes) -> None:
    """However it is broken."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
    with (
        scripted(moved) as (url, _),
        closing(Api(None, settings(), reach=HERE)) as api,
        pytest.raises(ClientError) as caught,
    ):
        api.download(f"{url}/a", RequestStats())

    assert f"GET {url}/a failed: redirected to what is no address" == str(caught.value)


@pytest.mark.parametrize("key", ["a\r", "a\nb", "caf\u00e9"])
def test_a_key_that_no_request_can_carry_is_not_sent(key: str) -> None:
    """Nor does the error tell it."""
    with saying() as host, pytest.raises(InvalidRequestError) as caught:
        asked(f"http://{host}/x", auth=KeyHeader(Secret(key)))

    assert "the key holds characters that no request can carry" == str(caught.value)


def test_an_address_is_judged_as_it_is_written_and_as_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two parsers can take different parts of it for the host; what is sent goes by the second."""
    judged: list[str] = []
    monkeypatch.setattr(Api, "_judge", lambda _api, url: judged.append(url))
    with saying() as host, closing(Api(None, settings(), reach=HERE)) as api:
        body, _ = api.download(f"HTTP://{host}/a b", RequestStats())

    assert [f"HTTP://{host}/a b", f"http://{host}/a%20b"] == judged
    assert b"GET /a%20b HTTP/1.1 None" == body


def test_an_exchange_tells_what_was_sent() -> None:
    """The values of headers and query, so that no error shows them, whatever the answer repeats."""
    with saying() as host:
        told = small()
        with asking() as client:
            client.get(
                f"http://{host}/x?token=t%20u&limit=5", headers={"Authorization": "Bearer s"}, extensions=told
            )

    assert ("Bearer s", "t u", "5") == told["exchange"].sent()


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """No cookie that an answer sets, no login that stands in a link, no reader's own headers."""
    cookie = OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b; Path=/\r\n")
    with heard(cookie, cookie) as (host, requests), asking() as client:
        for _ in range(2):
            client.get(f"http://user:password@{host}/x", extensions=small())

    names = ["host", "accept", "accept-encoding", "connection", "user-agent"]
    assert [sorted(names)] * 2 == [sorted(each) for each in requests]
    assert ["zstd, gzip"] * 2 == [each["accept-encoding"] for each in requests]


@contextmanager
def heard(*answers: bytes) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The host of a server that sends these over one connection, and the headers of each request."""
    requests: list[dict[str, str]] = []

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            for answer in answers:
                lines = connection.recv(2**16).decode().split("\r\n")[1:-2]
                requests.append(
                    {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
                )
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", requests


def packed_answer(encoding: str, body: bytes) -> bytes:
    """An answer in a content encoding."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_is_unpacked_once(encoding: str) -> None:
    """What is in it may be packed itself, and is handed on as it is."""
    inner = gzip.compress(b"body")
    outer = gzip.compress(inner) if encoding == "gzip" else pa.compress(inner, codec="zstd", asbytes=True)
    with scripted(packed_answer(encoding, outer)) as (url, _):
        answer = asked(url)

    assert (inner, None) == (answer.content, answer.headers.get("content-encoding"))


@pytest.mark.parametrize("second", ["gzip", "br"])
def test_a_body_that_was_packed_twice_is_refused(second: str) -> None:
    """However that is said: nobody asked for it."""
    named = f"gzip\r\nContent-Encoding: {second}"
    for encoding in (named, f"gzip, {second}"):
        with scripted(packed_answer(encoding, gzip.compress(b"body"))) as (url, _):
            with pytest.raises(httpx.TransportError) as caught:
                asked(url)

            assert f"answered in the encoding gzip, {second}, which was not asked for" == str(caught.value)


LARGE = bytes(50_000_000)
BOMBS = {
    "gzip": gzip.compress(LARGE, 1),
    "deflate": zlib.compress(LARGE, 1),
    "zstd": pa.compress(LARGE, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize(("encoding", "bomb"), BOMBS.items(), ids=BOMBS)
def test_a_small_body_that_unpacks_to_a_large_one_is_unpacked_no_further(encoding: str, bomb: bytes) -> None:
    """Than a piece beyond what it may have; the next request is answered."""
    sizes: list[int] = []

    def up_to_three_megabytes(size: int) -> None:
        sizes.append(size)
        if size > 3 * CHUNK:
            raise TooLargeError

    with scripted(packed_answer(encoding, bomb), OK) as (url, _), asking() as client:
        with pytest.raises(TooLargeError):
            client.get(f"{url}/a", extensions={"exchange": Exchange(up_to_three_megabytes)})
        second = client.get(f"{url}/b", extensions=small())

    assert (b"body", True) == (second.content, 3 * CHUNK < max(sizes) <= 4 * CHUNK)
    assert all(after - before <= CHUNK for before, after in pairwise([0, *sizes]))


@pytest.mark.parametrize(("window", "expected"), [(8, b"body"), (16, None)])
def test_a_body_that_takes_much_memory_to_unpack_is_refused(window: int, expected: bytes | None) -> None:
    """Of zstd no more than 8 MB must be held at a time, as RFC 9659 has it."""
    descriptor = bytes([(window.bit_length() - 1 + 20 - 10) << 3])
    frame = b"\x28\xb5\x2f\xfd\x00" + descriptor + (len(b"body") << 3 | 1).to_bytes(3, "little") + b"body"
    with scripted(packed_answer("zstd", frame)) as (url, _), suppress(httpx.TransportError):
        assert expected == asked(url).content
        return

    assert expected is None


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    """The next request has one of its own, and no attempt is lost."""
    with closed_after(OK, OK) as (url, is_closed), asking() as client:
        found = [client.get(f"{url}/a", extensions=small()).content]
        assert is_closed.wait(60)
        found.append(client.get(f"{url}/b", extensions=small()).content)

    assert [b"body"] * 2 == found


@contextmanager
def closed_after(*answers: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A server that closes the connection after each answer, without saying so.

    Yields its address, and what tells that it has closed one.
    """
    is_closed = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            for answer in answers:
                with listener.accept()[0] as connection:
                    connection.recv(2**16)
                    connection.sendall(answer)
                is_closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", is_closed


def test_connections_to_many_hosts_are_let_go_of() -> None:
    """Links may lead to any number of hosts: connections are kept to the last of them."""
    with ExitStack() as servers:
        hosts = [servers.enter_context(scripted(OK, OK)) for _ in range(MOST_HOSTS + 1)]
        client = servers.enter_context(asking())
        for url, _ in [*hosts, hosts[-1], hosts[0]]:
            assert b"body" == client.get(f"{url}/a", extensions=small()).content

    assert [1, 1] == hosts[0][1]
    assert [2] == hosts[-1][1]
