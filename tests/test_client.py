"""One GET: through which proxy it goes, and whose certificate it trusts."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from etl.extract.client import Answer, Client, Failed, Impossible

TLS = Path(__file__).parent / "samples" / "tls"
"""A certificate for 127.0.0.1 that nobody else trusts, valid until 2126, and its key."""
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


def asked(url: str, headers: dict[str, str] | None = None) -> Answer:
    """What comes of a GET."""
    with closing(Client(1, lambda _: None, redirects=False)) as client:
        return client.get(url, headers or {}, 1000)


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine is asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("written", "user"), [("http://{}", None), ("{}", None), ("http://a:b@{}", "Basic YTpi")]
)
def test_the_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, user: str | None
) -> None:
    """The host itself, which is not even there, is left to the proxy; who asks is told to it alone."""
    with saying() as proxy:
        monkeypatch.setenv(name, written.format(proxy))
        answer = asked("http://elsewhere.test/x?y=1")

    assert f"GET http://elsewhere.test/x?y=1 HTTP/1.1 {user}" == answer.body.decode()


def test_a_host_that_needs_no_proxy_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`no_proxy` names it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    with saying() as host:
        assert b"GET /x HTTP/1.1 None" == asked(f"http://{host}/x").body


def test_a_certificate_counts_where_the_environment_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own authority is named by SSL_CERT_FILE; others are refused."""
    with saying(tls=True) as host:
        with pytest.raises(Failed) as caught:
            asked(f"https://{host}/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        answer = asked(f"https://{host}/x")

    assert str(caught.value).startswith(UNTRUSTED)
    assert b"GET /x HTTP/1.1 None" == answer.body


@pytest.mark.parametrize("key", ["a\r", "a\nb", "caf\u00e9"])
def test_a_key_that_no_request_can_carry_is_not_sent(key: str) -> None:
    """Nor does the error tell it."""
    with saying() as host, pytest.raises(Impossible) as caught:
        asked(f"http://{host}/x", {"X-API-Key": key})

    assert "the key holds characters that no request can carry" == str(caught.value)


def test_an_answer_tells_what_was_sent() -> None:
    """The values of headers and query, so that no error shows them, whatever the answer repeats."""
    with saying() as host:
        answer = asked(f"http://{host}/x?token=t%20u&limit=5", {"Authorization": "Bearer s"})

    assert ("Bearer s", "t u", "5") == answer.sent
