"""One GET over connections that are kept, through the proxies that the environment names."""

import os
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError
from urllib3.util import parse_url

from etl import __version__

CHUNK = 2**20
"""Bytes that are read at once: nearly all pages and files are smaller."""
MOST_REDIRECTS = 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TIMEOUT = urllib3.Timeout(connect=10, read=60)
ALWAYS = {
    "User-Agent": f"sightglass/{__version__}",
    "Accept": "*/*",
    **urllib3.make_headers(accept_encoding=True),
}


class Failed(Exception):
    """No answer came, or not the whole of it; the text says why, and may show what was sent."""

    def __init__(self, reason: str, sent: Sequence[str]) -> None:
        super().__init__(reason)
        self.sent = sent
        """As `Answer.sent`."""


class Impossible(Exception):
    """What cannot be asked for; the text says why."""


class TooLarge(Exception):
    """The body is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a GET."""

    url: str
    """The address that answered."""
    status: int
    headers: Mapping[str, str]
    """By their names, in any case."""
    body: bytes
    sent: tuple[str, ...]
    """What the requests behind it carried and nobody else should see: values of headers and of queries."""


class Client:
    """Asks any host, and keeps so many connections to each; safe to use from any thread."""

    def __init__(self, connections: int, judge: Callable[[str], None], *, redirects: bool) -> None:
        """`judge` is told every address before anything is sent there, and raises what it thinks of it."""
        self._connections = connections
        self._judge = judge
        self._redirects = MOST_REDIRECTS if redirects else 0
        self._proxies = getproxies()
        self._managers: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of all connections."""
        for each in self._managers.values():
            each.clear()

    def get(self, url: str, headers: Mapping[str, str], largest: int) -> Answer:
        """The answer to a GET, of at most so many bytes; else Failed, Impossible or TooLarge."""
        sent = tuple(value for name, value in headers.items() if name not in ALWAYS)
        if not all(value.isascii() and value.isprintable() for value in sent):
            raise Impossible("the key holds characters that no request can carry")
        for _ in range(self._redirects + 1):
            url = self._judged(url)
            sent += tuple(value for _, value in parse_qsl(urlsplit(url).query))
            manager = self._manager(self._proxy(url), secure=url.startswith("https:"))
            try:
                status, found, body = _asked(manager, url, {**ALWAYS, **headers}, largest)
            except (HTTPError, ValueError) as error:
                # ValueError: http.client's, of chunks whose size is no number.
                raise Failed(_reason(error), sent) from error
            location = found.get("location") if self._redirects and status in REDIRECTS else None
            if not location:
                return Answer(url, status, found, body, sent)
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise Impossible("redirected to what is no address") from error
        raise Impossible(f"more than {self._redirects} redirects")

    def _judged(self, url: str) -> str:
        """The address as it is asked for, if it may be."""
        self._judge(url)
        try:
            asked = parse_url(url).url
        except LocationParseError as error:
            raise Impossible("this is no address") from error
        # What reads it here may take another part of it for the host.
        self._judge(asked)
        return asked

    def _proxy(self, url: str) -> str:
        """The proxy to ask through; empty where there is none."""
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if not proxy:
            return ""
        spared = [each.strip() for each in self._proxies.get("no", "").split(",")]
        if "*" in spared or any(map(proxy_bypass, (parts.netloc, parts.hostname or ""))):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _manager(self, proxy: str, *, secure: bool) -> urllib3.PoolManager:
        """What keeps connections through this proxy, or through none."""
        with self._lock:
            if (proxy, secure) not in self._managers:
                # Only where it is needed: to read the certificates takes longer than many a run.
                context = _trusting() if secure or proxy.startswith("https:") else None
                self._managers[proxy, secure] = (
                    _through(proxy, self._connections, context)
                    if proxy
                    else urllib3.PoolManager(maxsize=self._connections, ssl_context=context)
                )
            return self._managers[proxy, secure]


def _through(proxy: str, connections: int, context: ssl.SSLContext | None) -> urllib3.ProxyManager:
    try:
        user = parse_url(proxy).auth_decoded_joined
        headers = urllib3.make_headers(proxy_basic_auth=user, proxy_basic_auth_encoding="utf-8")
        return urllib3.ProxyManager(
            proxy,
            proxy_headers=headers,
            maxsize=connections,
            ssl_context=context,
            proxy_ssl_context=context,
        )
    except (HTTPError, ValueError):
        # Without the cause: it shows the address, in which a password can stand.
        raise Impossible("the proxy that the environment names is no http:// or https:// address") from None


def _trusting() -> ssl.SSLContext:
    """What certificates are held to: those that OpenSSL's settings name, else those that come along."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Impossible(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {reason}") from error


def _asked(
    manager: urllib3.PoolManager, url: str, headers: Mapping[str, str], largest: int
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body."""
    response = manager.request(
        "GET", url, headers=headers, redirect=False, retries=False, preload_content=False, timeout=TIMEOUT
    )
    try:
        return response.status, response.headers, _body(response, largest)
    except BaseException:
        response.close()
        raise


def _body(response: urllib3.BaseHTTPResponse, largest: int) -> bytes:
    if response.status < HTTPStatus.OK:
        # Of these http.client knows one only, and takes what follows for the answer to the next request.
        raise ProtocolError(f"answered {response.status}, and what follows was not waited for")
    packed = "content-encoding" in response.headers
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK, decode_content=packed):
        chunks.append(chunk)
        size += len(chunk)
        if size > largest:
            raise TooLarge
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _reason(error: Exception) -> str:
    """What is behind an error, in one line."""
    if isinstance(error, urllib3.exceptions.TimeoutError) and not error.__cause__:
        return "timed out"
    behind = error.__cause__ or next((each for each in error.args if isinstance(each, Exception)), error)
    return " ".join(str(behind).split()) or type(behind).__name__
