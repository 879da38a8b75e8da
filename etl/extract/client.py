"""One GET over connections that are kept, through the proxies that the environment names."""

import io
import os
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError
from urllib3.util import parse_url

from etl import __version__
from etl.extract.address import Impossible, Reach, literal
from etl.extract.connection import POOLS, WAIT_SECONDS, DeadlineTLS, admitting
from etl.extract.memory import Grow

CHUNK = 2**20
"""Bytes that are read at once: nearly all pages and files are smaller."""
MOST_REDIRECTS = 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ALWAYS = {"User-Agent": f"sightglass/{__version__}", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
"""Only what can be told to be whole is accepted: both of these say where they end."""
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""By content encoding, what tells zlib which it is."""


class Failed(Exception):
    """No answer came, or not the whole of it; the text says why, and may show what was sent."""

    def __init__(self, reason: str, sent: Sequence[str]) -> None:
        super().__init__(reason)
        self.sent = sent
        """As `Answer.sent`."""


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

    def __init__(
        self, connections: int, judge: Callable[[str], None], reach: Reach, *, follows_links: bool
    ) -> None:
        """`judge` is told every address before anything is sent there, and raises what it thinks of it.

        Links, and what they redirect to, lead to where `reach` allows it; other requests tell it where the
        API is, and are not redirected.
        """
        self._connections = connections
        self._judge = judge
        self._reach = reach
        self._follows_links = follows_links
        self._proxies = getproxies()
        self._managers: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of all connections."""
        for each in self._managers.values():
            each.clear()

    def get(self, url: str, headers: Mapping[str, str], grow: Grow) -> Answer:
        """The answer to a GET, in time for the deadline; else Failed, Impossible, or what `grow` raises.

        `grow` is told how large the body is while it comes.
        """
        sent = tuple(value for name, value in headers.items() if name not in ALWAYS)
        if not all(value.isascii() and value.isprintable() for value in sent):
            raise Impossible("the key holds characters that no request can carry")
        redirects = MOST_REDIRECTS if self._follows_links else 0
        for _ in range(redirects + 1):
            url = self._judged(url)
            sent += tuple(value for _, value in parse_qsl(urlsplit(url).query))
            try:
                status, found, body = self._asked(url, headers, grow)
            except (HTTPError, OSError, ValueError, zlib.error) as error:
                # ValueError: http.client's, of chunks whose size is no number.
                raise Failed(_reason(error), sent) from error
            location = found.get("location") if redirects and status in REDIRECTS else None
            if not location:
                return Answer(url, status, found, body, sent)
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise Impossible("redirected to what is no address") from error
        raise Impossible(f"more than {redirects} redirects")

    def _asked(
        self, url: str, headers: Mapping[str, str], grow: Grow
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body."""
        proxy = self._proxy(url)
        manager = self._manager(proxy, secure=url.startswith("https:"))
        admit = self._reach.check if self._follows_links else self._reach.add
        if proxy:
            # The proxy looks names up: what they lead to is seen there alone.
            address = literal(urlsplit(url).hostname or "")
            if address is not None:
                admit(address)
        with admitting((lambda _address: None) if proxy else admit):
            response = manager.request(
                "GET",
                url,
                headers={**ALWAYS, **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=WAIT_SECONDS,
            )
        try:
            return response.status, response.headers, _body(response, grow)
        except BaseException:
            response.close()
            raise

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
                manager = (
                    _through(proxy, self._connections, context)
                    if proxy
                    else urllib3.PoolManager(maxsize=self._connections, ssl_context=context)
                )
                manager.pool_classes_by_scheme = POOLS
                self._managers[proxy, secure] = manager
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
        context = ssl.create_default_context(
            cafile=file or (None if folder else certifi.where()), capath=folder
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise Impossible(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {reason}") from error
    context.sslsocket_class = DeadlineTLS
    return context


def _body(response: urllib3.BaseHTTPResponse, grow: Grow) -> bytes:
    if response.status < HTTPStatus.OK:
        # Of these http.client knows one only, and takes what follows for the answer to the next request.
        raise ProtocolError(f"answered {response.status}, and what follows was not waited for")
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    # Parts that are joined at the end would be there twice.
    body = io.BytesIO()
    while chunk := response.read(CHUNK, decode_content=False):
        for piece in (chunk,) if unpack is None else unpack.unpacked(chunk):
            grow(body.tell() + len(piece))
            body.write(piece)
    if unpack is not None and not unpack.is_whole and (body.tell() or response.status == HTTPStatus.OK):
        raise ProtocolError("the compressed body breaks off")
    return body.getvalue()


class _Unpacker:
    """Unpacks a compressed body, and knows whether its end has come."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._member = zlib.decompressobj(bits)
        self._begun = False

    @property
    def is_whole(self) -> bool:
        """Whether what has come ends where a compressed body may end."""
        return self._begun and self._member.eof

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        """What is in the next part of the body, in pieces of bounded size; zlib.error where it is damaged."""
        if not self._begun and self._bits > 0 and not _has_header(packed, self._bits):
            # Some servers send `deflate` without the header that it is defined with.
            self._bits = -15
            self._member = zlib.decompressobj(self._bits)
        while packed:
            if self._member.eof:
                # Files that were compressed one by one may stand one after the other, padded with zeros.
                packed = packed.lstrip(b"\0")
                if not packed:
                    return
                self._member = zlib.decompressobj(self._bits)
            self._begun = True
            yield self._member.decompress(packed, CHUNK)
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


def _has_header(packed: bytes, bits: int) -> bool:
    return bits != WINDOW_BITS["deflate"] or (packed[:1] == b"\x78" or not packed)


def _unpacker(encoding: str) -> _Unpacker | None:
    """What unpacks a body of this encoding; None where it is not packed."""
    named = encoding.strip().lower()
    if named in ("", "identity"):
        return None
    if named not in WINDOW_BITS:
        raise ProtocolError(f"answered in the encoding {named[:20]}, which was not asked for")
    return _Unpacker(WINDOW_BITS[named])


def _reason(error: Exception) -> str:
    """What is behind an error, in one line."""
    if isinstance(error, urllib3.exceptions.TimeoutError) and not error.__cause__:
        return "timed out"
    behind = error.__cause__ or next((each for each in error.args if isinstance(each, Exception)), error)
    said = " ".join(str(behind).split()) or type(behind).__name__
    # Of a handshake it is said where in the source of OpenSSL's binding it was.
    return "timed out" if said.endswith("timed out") else said
