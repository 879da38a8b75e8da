"""Proxies of the environment, certificates, and what passes between in secret."""

import httpx
import pytest
from support.transport import KNOWN, TLS, asked, asking, saying, small

from etl.extract.address import InvalidRequestError

pytestmark = pytest.mark.usefixtures("no_proxies")
UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"


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

    assert f"GET http://elsewhere.test/x?y=1 HTTP/1.1 {user}" == answer.text


@pytest.mark.parametrize("spared", ["localhost,127.0.0.1", ".elsewhere.test, *"])
def test_a_host_that_needs_no_proxy_is_asked_itself(monkeypatch: pytest.MonkeyPatch, spared: str) -> None:
    """`no_proxy` names it, or all."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", spared)
    with saying() as host:
        assert b"GET /x HTTP/1.1 None" == asked(f"http://{host}/x").content


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_asked_for_in_secret_passes_a_proxy_unread(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The proxy is told who asks, and opens a tunnel; the host's own certificate counts behind it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    with saying(tls=True) as host, saying(tls=scheme == "https") as proxy:
        monkeypatch.setenv("https_proxy", f"{scheme}://a:p%40ss@{proxy}")
        with asking() as client:
            answers = [client.get(f"https://{host}/{path}", extensions=small()) for path in "xy"]

    assert [b"GET /x HTTP/1.1 None", b"GET /y HTTP/1.1 None"] == [each.content for each in answers]


def test_a_tunnel_that_the_proxy_refuses_is_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent to a host through a proxy that wants to know who asks; that may pass."""
    with saying() as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        with pytest.raises(httpx.TransportError) as caught:
            asked("https://127.0.0.1:9/x")

    assert "Tunnel connection failed: 407 Proxy Authentication Required" == str(caught.value)


@pytest.mark.parametrize("user", [None, "a:p%40ss"])
def test_a_proxy_may_be_spoken_to_in_secret(monkeypatch: pytest.MonkeyPatch, user: str | None) -> None:
    """Also where what is asked for is not."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    with saying(tls=True) as proxy:
        monkeypatch.setenv("http_proxy", f"https://{user}@{proxy}" if user else f"https://{proxy}")
        answer = asked("http://elsewhere.test/x")

    assert f"GET http://elsewhere.test/x HTTP/1.1 {KNOWN if user else None}" == answer.text


def test_an_answer_that_ends_a_nested_connection_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is let go of before its last answer is read."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    with saying(tls=True) as host, saying(tls=True) as proxy:
        monkeypatch.setenv("https_proxy", f"https://a:p%40ss@{proxy}")
        with asking() as client:
            answers = [
                client.get(f"https://{host}/x", headers={"Connection": "close"}, extensions=small())
                for _ in range(2)
            ]

    assert [b"GET /x HTTP/1.1 None"] * 2 == [each.content for each in answers]


@pytest.mark.parametrize("proxy", ["http://a:secret@127.0.0.1:99999", "socks5://a:secret@127.0.0.1:1"])
def test_a_proxy_that_is_none_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """Asking again would not help, and errors are kept."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(InvalidRequestError) as caught:
        asked("http://127.0.0.1:1/x")

    assert "the proxy that the environment names is no http:// or https:// address" == str(caught.value)
    assert caught.value.__cause__ is None


def test_a_certificate_counts_where_the_environment_trusts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own authority is named by SSL_CERT_FILE; others are refused."""
    with saying(tls=True) as host:
        with pytest.raises(httpx.TransportError) as caught:
            asked(f"https://{host}/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        answer = asked(f"https://{host}/x")

    assert str(caught.value).startswith(UNTRUSTED)
    assert b"GET /x HTTP/1.1 None" == answer.content


@pytest.mark.parametrize(("name", "reason"), [("gone.pem", "No such file"), ("key.pem", "[X509")])
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    """The setting is wrong: it is said so, and not tried again."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / name))
    with pytest.raises(InvalidRequestError) as caught:
        asked("https://127.0.0.1:1/x")

    assert str(caught.value).startswith(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {reason}")
