"""What httpx sends by: http.client over connections that are kept, through the environment's proxies."""

import base64
import http.client
import logging
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import httpx
import msgspec

from etl import __version__
from etl.extract.address import InvalidRequestError, Reach, literal
from etl.extract.body import Sink, is_cut, is_whole, read_body
from etl.extract.connection import Admit, Connection, DeadlineTLS, Proxy, Route, StrictResponse
from etl.extract.encoding import ACCEPTED
from etl.extract.memory import Grow

MOST_REDIRECTS = 20
MOST_HOSTS = 10
"""To so many hosts connections are kept: links may lead to any number of them."""
ALWAYS = {"User-Agent": f"sightglass/{__version__}", "Accept": "*/*", "Accept-Encoding": ACCEPTED}
NOBODYS_SECRET = frozenset(
    {
        *(b"user-agent", b"accept", b"accept-encoding", b"connection", b"host"),
        *(b"content-type", b"content-length"),
    }
)
BY_THE_WAY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers about how a body was sent, which are untrue of the body that is handed on."""
NO_PROXY_ADDRESS = "the proxy that the environment names is no http:// or https:// address"
DEFAULT_PORTS = {"http": 80, "https": 443}

# It would tell whole addresses, signatures included, where a program that imports this one logs.
logging.getLogger("httpx").setLevel(logging.WARNING)

Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What belongs to all requests that one request leads to: of its login, and to where it is redirected.

    Travels as the extension `exchange` of each of them.
    """

    grow: Grow
    """Told how large a body is while it comes; raises what it thinks of that."""
    sink: Sink | None = None
    """What takes in the body of an answer that is no refusal, in place of the memory."""
    requests: list[httpx.Request] = field(default_factory=list)
    """Those that were sent, or were about to be."""

    @property
    def repeats(self) -> int:
        """How many of them were sent once more, with a token that was renewed."""
        return len(self.requests) - len(set(map(id, self.requests)))

    def sent(self) -> tuple[str, ...]:
        """Return what was sent and nobody else should see: values of headers, of queries and of bodies."""
        return tuple(
            value
            for request in self.requests
            for value in (
                *(
                    value.decode()
                    for name, value in request.headers.raw
                    if name.lower() not in NOBODYS_SECRET
                ),
                *(value for _, value in request.url.params.multi_items()),
                *_texts(request.content),
            )
        )


class _NoCookies(httpx.Cookies):
    """Takes no cookies, and looks for none: that would be a tenth of what a request takes."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Client(httpx.Client):
    cookies = property(lambda _client: _NoCookies())


def open_client(
    transport: httpx.BaseTransport, *, auth: httpx.Auth | None, follows_links: bool
) -> httpx.Client:
    """Open a client that sends only what it is told to: no cookies, nothing of .netrc or of addresses."""
    return _Client(
        # Not None: then a name and password that stand in a link would be sent as a login.
        auth=auth or httpx.Auth(),
        headers=ALWAYS,
        follow_redirects=follows_links,
        max_redirects=MOST_REDIRECTS,
        transport=transport,
        trust_env=False,
    )


class Transport(httpx.BaseTransport):
    """Sends requests to any host, and keeps so many connections to each; safe to use from any thread.

    Bodies come whole and unpacked, in time for the deadline; else httpx.TransportError is raised. Where
    nothing proves that one is whole, the extensions `is_whole` and `is_cut` of the answer say so. Raises
    InvalidRequestError too, and what `judge` and the exchange's `grow` raise.
    """

    def __init__(
        self, connections: int, judge: Callable[[str], None], reach: Reach, *, follows_links: bool
    ) -> None:
        """`judge` is told every address before anything is sent there, and raises what it thinks of it.

        Links, and what they redirect to, lead to where `reach` allows it; other requests tell it where the
        API is.
        """
        self._connections = connections
        self._judge = judge
        self._admit: Admit = reach.check if follows_links else reach.add
        self._proxies = getproxies()
        self._hosts: dict[Origin, _Host] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            for host in self._hosts.values():
                host.close()
            self._hosts.clear()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, and wait for the whole answer."""
        exchange: Exchange = request.extensions["exchange"]
        sent = request.headers.raw
        exchange.requests.append(request)
        self._judge(str(request.url))
        if not all(value.isascii() and value.decode("ascii").isprintable() for _, value in sent):
            raise InvalidRequestError("the key holds characters that no request can carry")
        if not _names_a_host(request.url):
            is_first = len(exchange.requests) == 1
            raise InvalidRequestError(
                "this is no address" if is_first else "redirected to what is no address"
            )
        host = self._host(request.url)
        connection = self._taken(host)
        is_kept = False
        try:
            _send(connection, request, host.route)
            with cast("StrictResponse", connection.getresponse()) as response:
                try:
                    body = read_body(response, exchange.grow, exchange.sink)
                    is_kept = response.isclosed()
                finally:
                    # What is damaged inside can have been received to its end all the same.
                    is_kept = is_kept or (response.isclosed() and response.length == 0)
                    is_kept = is_kept and not response.surplus
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise _named(error) from error
        finally:
            self._returned(host, connection, is_kept=is_kept and connection.sock is not None)
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name.lower() not in BY_THE_WAY
        ]
        ends = {"is_whole": is_whole(response), "is_cut": is_cut(response)}
        return httpx.Response(response.status, headers=headers, content=body, extensions=ends)

    def _host(self, url: httpx.URL) -> "_Host":
        """Return what is kept of the host of an address."""
        # Of its name in ASCII, as resolvers and certificates have it.
        origin = url.scheme, url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
        with self._lock:
            if origin not in self._hosts:
                while len(self._hosts) >= MOST_HOSTS:
                    self._hosts.pop(next(iter(self._hosts))).close()
                self._hosts[origin] = _Host(self._route(url, origin))
            return self._hosts[origin]

    def _route(self, url: httpx.URL, origin: Origin) -> Route:
        scheme, host, port = origin
        secure = scheme == "https"
        proxy = self._proxy(scheme, url.netloc.decode("ascii"), host)
        if proxy is None:
            return Route(host, port, secure, None, _trusting() if secure else None, self._admit)
        # The proxy looks names up: what they lead to is seen there alone.
        address = literal(host)
        if address is not None:
            self._admit(address)
        context = _trusting() if secure or proxy.secure else None
        return Route(host, port, secure, proxy, context, lambda _address: None)

    def _proxy(self, scheme: str, netloc: str, host: str) -> Proxy | None:
        """Return the proxy to ask through."""
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        if not proxy:
            return None
        spared = [each.strip() for each in self._proxies.get("no", "").split(",")]
        if "*" in spared or any(map(proxy_bypass, (netloc, host))):
            return None
        return _proxy_at(proxy if "://" in proxy else f"http://{proxy}")

    def _taken(self, host: "_Host") -> Connection:
        """Return a connection that nobody else uses: one that was kept, or a new one."""
        while True:
            with self._lock:
                if not host.idle:
                    return Connection(host.route)
                connection = host.idle.pop()
            if not connection.is_dropped:
                return connection
            connection.close()

    def _returned(self, host: "_Host", connection: Connection, *, is_kept: bool) -> None:
        """Keep the connection for the next request, if nothing is left in it and there is room."""
        with self._lock:
            if is_kept and not host.is_closed and len(host.idle) < self._connections:
                host.idle.append(connection)
                return
        connection.close()


class _Host:
    """How a host is reached, and the connections to it that nobody uses."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.idle: list[Connection] = []
        self.is_closed = False

    def close(self) -> None:
        """Close what nobody uses, and keep nothing from now on."""
        self.is_closed = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()


def _names_a_host(url: httpx.URL) -> bool:
    """Whether every parser finds the same host in an address: one judges it, another is connected by."""
    host = url.raw_host.decode("ascii")
    is_quoted = "%" in host and ":" not in host
    return not is_quoted and urlsplit(str(url)).hostname == host


def _send(connection: Connection, request: httpx.Request, route: Route) -> None:
    """Send a request; a proxy is told all of the address, and who asks."""
    target, headers = request.url.raw_path, request.headers.raw
    if route.proxy and not route.secure:
        target = b"http://" + request.url.netloc + target
        if route.proxy.authorization:
            headers = [*headers, (b"Proxy-Authorization", route.proxy.authorization.encode("ascii"))]
    connection.putrequest(request.method, target.decode("ascii"), skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders(request.read() or None)


def _texts(body: bytes) -> list[str]:
    """Return the texts in a body that was sent, a form or JSON."""
    try:
        waiting, found = [msgspec.json.decode(body)], list[str]()
    except msgspec.DecodeError:
        return [value for _, value in parse_qsl(body.decode(errors="replace"))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str):
            found.append(value)
    return found


def _proxy_at(address: str) -> Proxy:
    try:
        parts = urlsplit(address)
        default = DEFAULT_PORTS[parts.scheme]
        port = parts.port or default
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    except (KeyError, ValueError):
        # Without the cause: it shows the address, in which a password can stand.
        raise InvalidRequestError(NO_PROXY_ADDRESS) from None
    if not parts.hostname:
        raise InvalidRequestError(NO_PROXY_ADDRESS)
    basic = "" if user == ":" else f"Basic {base64.b64encode(user.encode()).decode()}"
    return Proxy(parts.hostname, port, parts.scheme == "https", basic)


def _trusting() -> ssl.SSLContext:
    """Return what certificates are held to.

    Those that OpenSSL's settings name, else those that come along.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    # Once for all hosts: to read the certificates takes longer than many a run.
    try:
        context = ssl.create_default_context(
            cafile=file or (None if folder else certifi.where()), capath=folder
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidRequestError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {reason}") from error
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = DeadlineTLS
    return context


def _named(error: Exception) -> httpx.TransportError:
    """Return the error as httpx has it; its text says in one line what is behind it."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, TimeoutError):
        # Of a handshake it is said where in the source of OpenSSL's binding it was.
        return httpx.ReadTimeout("timed out" if said.endswith("timed out") else said)
    return httpx.ReadError(said)
