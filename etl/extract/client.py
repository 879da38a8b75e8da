"""One GET over connections that are kept, through the proxies that the environment names."""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from etl import __version__

CHUNK = 2**20
"""Bytes that are read at once: nearly all pages and files are smaller."""
MOST_REDIRECTS = 20
TIMEOUT = urllib3.Timeout(connect=10, read=60)
ALWAYS = {
    "User-Agent": f"sightglass/{__version__}",
    "Accept": "*/*",
    **urllib3.make_headers(accept_encoding=True),
}


class Failed(Exception):
    """No answer came, or not the whole of it; the text says why, and may show what was sent."""


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
    """What the requests behind it carried: the values of their own headers and of their queries."""


class Client:
    """Asks over at most so many connections to a host; safe to use from any thread."""

    def __init__(self, connections: int, judge: Callable[[str], None], *, redirects: bool) -> None:
        """`judge` is told every address before anything is sent there, and raises what it thinks of it."""
        self._connections = connections
        self._judge = judge
        self._redirects = MOST_REDIRECTS if redirects else 0
        self._proxies = getproxies()
        self._open: list[urllib3.PoolManager] = []
        # Made when needed: to read the certificates takes longer than many a run.
        self._manager = cache(self._made)

    def close(self) -> None:
        """Let go of all connections."""
        for each in self._open:
            each.clear()

    def get(self, url: str, headers: Mapping[str, str], largest: int) -> Answer:
        """The answer to a GET, of at most so many bytes; else Failed, Impossible or TooLarge."""
        sent = tuple(headers.values())
        if not all(value.isascii() and value.isprintable() for value in sent):
            raise Impossible("the key holds characters that no request can carry")
        for _ in range(self._redirects + 1):
            url = self._judged(url)
            sent += tuple(value for _, value in parse_qsl(urlsplit(url).query))
            try:
                response = self._manager(self._proxy(url), url.startswith("https:")).request(
                    "GET",
                    url,
                    headers={**ALWAYS, **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    timeout=TIMEOUT,
                )
                location = response.get_redirect_location() if self._redirects else None
                if not location:
                    body = _body(response, largest)
                    return Answer(url, response.status, response.headers, body, sent)
                response.drain_conn()
            except HTTPError as error:
                raise Failed(_reason(error)) from error
            url = urljoin(url, location)
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
        if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _made(self, proxy: str, secure: bool) -> urllib3.PoolManager:  # noqa: FBT001 -- cached by place
        context = _trusting() if secure else None
        if proxy:
            user = parse_url(proxy).auth
            made: urllib3.PoolManager = urllib3.ProxyManager(
                proxy,
                proxy_headers=urllib3.make_headers(proxy_basic_auth=user) if user else None,
                maxsize=self._connections,
                ssl_context=context,
            )
        else:
            made = urllib3.PoolManager(maxsize=self._connections, ssl_context=context)
        self._open.append(made)
        return made


def _trusting() -> ssl.SSLContext:
    """What certificates are held to: those that OpenSSL's settings name, else those that come along."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)


def _body(response: urllib3.BaseHTTPResponse, largest: int) -> bytes:
    packed = "content-encoding" in response.headers
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK, decode_content=packed):
        chunks.append(chunk)
        size += len(chunk)
        if size > largest:
            response.close()
            raise TooLarge
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _reason(error: HTTPError) -> str:
    """What is behind an error, without the addresses that it names."""
    if isinstance(error, urllib3.exceptions.TimeoutError) and not error.__cause__:
        return "timed out"
    behind = error.__cause__ or next((each for each in error.args if isinstance(each, Exception)), None)
    return str(behind or error)
