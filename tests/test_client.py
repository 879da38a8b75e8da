"""One GET: through which proxy it goes, whose certificate counts, and what is left of a broken answer."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from etl.extract.address import Impossible, Reach
from etl.extract.client import Answer, Client, Failed
from etl.extract.deadline import within
from etl.extract.memory import TooLarge

TLS = Path(__file__).parent / "samples" / "tls"
"""A certificate for 127.0.0.1 that nobody else trusts, valid until 2126, and its key."""
KNOWN = "Basic YTpwQHNz"
"""How a proxy is told of user a with the password p@ss."""
UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"


class Says(BaseHTTPRequestHandler):
    """Answers each request with its first line, and whether a proxy was told who asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = f"{self.requestline} {self.headers.get('Proxy-Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        """Open a tunnel for whom the proxy knows."""
        host, port = self.path.split(":")
        self.close_connection = True
        self.send_response(200 if self.headers.get("Proxy-Authorization") == KNOWN else 407)
        self.end_headers()
        with socket.create_connection((host, int(port))) as there:
            other = {self.connection: there, there: self.connection}
            while True:
                for end in select.select(list(other), [], [])[0]:
                    if not (data := end.recv(2**16)):
                        return
                    other[end].sendall(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def saying(*, tls: bool = False) -> Iterator[str]:
    """The address of a server, as host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def scripted(*answers: bytes) -> Iterator[tuple[str, list[int]]]:
    """The address of a server that sends these, one for each request; and how many each connection got."""
    left, asked = list(answers), list[int]()

    def serve() -> None:
        with suppress(OSError):
            while left:
                connection, _ = listener.accept()
                asked.append(0)
                with suppress(ConnectionError), connection:
                    while left and connection.recv(2**16):
                        asked[-1] += 1
                        connection.sendall(left.pop(0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked


HERE = Reach("http://127.0.0.1")


@contextmanager
def asking(*, redirects: bool = False) -> Iterator[Client]:
    """A client that goes anywhere on this machine."""
    with closing(Client(1, lambda _: None, HERE, follows_links=redirects)) as client:
        yield client


def up_to_a_thousand(size: int) -> None:
    """Take no larger body."""
    if size > 1000:
        raise TooLarge


def asked(url: str, headers: dict[str, str] | None = None, *, redirects: bool = False) -> Answer:
    """What comes of a GET of at most a thousand bytes."""
    with asking(redirects=redirects) as client:
        return client.get(url, headers or {}, up_to_a_thousand)


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine is asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("written", "user"), [("http://{}", None), ("{}", None), ("http://a:p%40ss@{}", KNOWN)]
)
def test_the_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, user: str | None
) -> None:
    """The host itself, which is not even there, is left to the proxy; who asks is told to it alone."""
    with saying() as proxy:
        monkeypatch.setenv(name, written.format(proxy))
        answer = asked("http://elsewhere.test/x?y=1")

    assert f"GET http://elsewhere.test/x?y=1 HTTP/1.1 {user}" == answer.body.decode()


@pytest.mark.parametrize("spared", ["localhost,127.0.0.1", ".elsewhere.test, *"])
def test_a_host_that_needs_no_proxy_is_asked_itself(monkeypatch: pytest.MonkeyPatch, spared: str) -> None:
    """`no_proxy` names it, or all."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", spared)
    with saying() as host:
        assert b"GET /x HTTP/1.1 None" == asked(f"http://{host}/x").body


def test_what_is_asked_for_in_secret_passes_a_proxy_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is told who asks, and opens a tunnel; the host's own certificate counts behind it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    with saying(tls=True) as host, saying() as proxy:
        monkeypatch.setenv("https_proxy", f"http://a:p%40ss@{proxy}")
        answer = asked(f"https://{host}/x")

    assert b"GET /x HTTP/1.1 None" == answer.body


@pytest.mark.parametrize("proxy", ["http://a:secret@127.0.0.1:99999", "socks5://a:secret@127.0.0.1:1"])
def test_a_proxy_that_is_none_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """Asking again would not help, and errors are kept."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(Impossible) as caught:
        asked("http://127.0.0.1:1/x")

    assert "the proxy that the environment names is no http:// or https:// address" == str(caught.value)
    assert caught.value.__cause__ is None


def test_a_certificate_counts_where_the_environment_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own authority is named by SSL_CERT_FILE; others are refused."""
    with saying(tls=True) as host:
        with pytest.raises(Failed) as caught:
            asked(f"https://{host}/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        answer = asked(f"https://{host}/x")

    assert str(caught.value).startswith(UNTRUSTED)
    assert b"GET /x HTTP/1.1 None" == answer.body


@pytest.mark.parametrize(("name", "reason"), [("gone.pem", "No such file"), ("key.pem", "[X509")])
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    """The setting is wrong: it is said so, and not tried again."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / name))
    with pytest.raises(Impossible) as caught:
        asked("https://127.0.0.1:1/x")

    assert str(caught.value).startswith(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {reason}")


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
        pytest.raises(Failed, match=r"^timed out$"),
    ):
        client.get(f"{url}/x", {}, up_to_a_thousand)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
BROKEN = {
    "103": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, [1, 1], "answered 103, and what follows"),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", [1, 1], "read length"),
    "coding": (OK.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n"), [2], "Error -3"),
    "nothing": (b"\r\n\r\n", [1, 1], "BadStatusLine"),
}


@pytest.mark.parametrize(("answer", "connections", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_is_left_of_a_broken_answer_is_no_answer_to_the_next(
    answer: bytes, connections: list[int], reason: str
) -> None:
    """It may pass, so it is a failure; its connection is used again only where it was read to its end."""
    with scripted(answer, OK.replace(b"body", b"mine")) as (url, used), asking() as client:
        with pytest.raises(Failed) as caught:
            client.get(f"{url}/a?signature=s", {}, up_to_a_thousand)
        second = client.get(f"{url}/b", {}, up_to_a_thousand)

    assert (b"mine", connections, ("s",)) == (second.body, used, caught.value.sent)
    assert str(caught.value).startswith(reason)


def test_an_answer_that_is_too_large_is_not_read_on() -> None:
    """Be it a redirect; and the next request has a connection of its own."""
    for status in (b"200 OK", b"302 Found\r\nLocation: /b"):
        large = b"HTTP/1.1 %s\r\nContent-Length: 9000000\r\n\r\n" % status + b"x" * 4_000_000
        with scripted(large, OK) as (url, connections), asking(redirects=True) as client:
            with pytest.raises(TooLarge):
                client.get(f"{url}/a", {}, up_to_a_thousand)
            second = client.get(f"{url}/b", {}, up_to_a_thousand)

        assert (b"body", [1, 1]) == (second.body, connections)


def test_a_redirect_to_what_is_no_address_is_refused() -> None:
    """However it is broken."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://[x/y\r\nContent-Length: 0\r\n\r\n"
    with scripted(moved) as (url, _), pytest.raises(Impossible, match="redirected to what is no address"):
        asked(f"{url}/a", redirects=True)


@pytest.mark.parametrize("key", ["a\r", "a\nb", "caf\u00e9"])
def test_a_key_that_no_request_can_carry_is_not_sent(key: str) -> None:
    """Nor does the error tell it."""
    with saying() as host, pytest.raises(Impossible) as caught:
        asked(f"http://{host}/x", {"X-API-Key": key})

    assert "the key holds characters that no request can carry" == str(caught.value)


def test_an_address_is_judged_as_it_is_written_and_as_it_is_asked_for() -> None:
    """Two parsers can take different parts of it for the host; what is sent goes by the second."""
    judged: list[str] = []
    with saying() as host, closing(Client(1, judged.append, HERE, follows_links=False)) as client:
        answer = client.get(f"HTTP://{host}/a b", {}, up_to_a_thousand)

    assert [f"HTTP://{host}/a b", f"http://{host}/a%20b"] == judged
    assert b"GET /a%20b HTTP/1.1 None" == answer.body


def test_an_answer_tells_what_was_sent() -> None:
    """The values of headers and query, so that no error shows them, whatever the answer repeats."""
    with saying() as host:
        answer = asked(f"http://{host}/x?token=t%20u&limit=5", {"Authorization": "Bearer s"})

    assert ("Bearer s", "t u", "5") == answer.sent
