"""Connections on which every wait ends with the deadline of the request, to addresses that may be reached.

What waits does so in a socket: so connecting, TLS, a proxy's tunnel, headers, interim answers, chunks and
trailers are all held to the deadline here, whatever reads or writes them.
"""

import http.client
import io
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from etl.extract.address import InvalidRequestError
from etl.extract.deadline import left

CONNECT_SECONDS = 10.0
WAIT_SECONDS = 60.0
"""How long nothing may come before another attempt is worth more."""
RECORD = 2**14
"""Bytes that TLS sends together, at most."""

Admit = Callable[[str], None]
"""Told the address that is about to be connected to; raises InvalidRequestError where that must not be."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that the environment names."""

    host: str
    port: int
    secure: bool
    authorization: str
    """The header that tells it who asks; empty where it need not know."""


@dataclass(frozen=True, slots=True)
class Route:
    """How one host is reached."""

    host: str
    port: int
    secure: bool
    proxy: Proxy | None
    context: ssl.SSLContext | None
    """What certificates are held to, where TLS is spoken with anybody on the way."""
    admit: Admit


class DeadlineSocket(socket.socket):
    """A socket that waits no longer than to the deadline."""

    waits = True
    """False while only what is here already is to be taken."""

    def recv(self, *args: Any) -> bytes:  # noqa: ANN401 -- as the socket has them
        """Receive bytes."""
        self._limit()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:  # noqa: ANN401
        """Receive bytes into a buffer."""
        self._limit()
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:  # noqa: ANN401
        """Send some of the bytes."""
        self._limit()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:  # noqa: ANN401
        """Send all of the bytes."""
        self._limit()
        super().sendall(*args)

    def _limit(self) -> None:
        self.settimeout(min(WAIT_SECONDS, left()) if self.waits else 0.0)


class DeadlineTLS(DeadlineSocket, ssl.SSLSocket):
    """The same, encrypted; OpenSSL holds each of its calls to the timeout as a whole."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as the socket has it
        """Agree upon keys."""
        self._limit()
        super().do_handshake(block)


class NestedTLS:
    """TLS within TLS, to a host behind an encrypted proxy: `ssl` wraps plain sockets alone.

    Has as much of a socket as http.client asks for.
    """

    def __init__(self, outer: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._readers, self._is_closed = 0, False
        self._step(self._tls.do_handshake)

    def sendall(self, data: Any) -> None:  # noqa: ANN401 -- as the socket has it
        """Send all of the bytes."""
        self._step(self._tls.write, data)

    def recv_into(self, buffer: memoryview) -> int:
        """Receive bytes into a buffer; 0 at the end."""
        try:
            return cast("int", self._step(self._tls.read, len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Open a reader that leaves the connection open when it is closed."""
        self._readers += 1
        return io.BufferedReader(_Readable(self))

    def fileno(self) -> int:
        """Return the file descriptor of the outer connection."""
        return self._outer.fileno()

    def close(self) -> None:
        """Close the outer connection, once the last reader is closed."""
        self._is_closed = True
        self.let_go(readers=0)

    def let_go(self, readers: int = 1) -> None:
        """Note that so many readers are closed."""
        self._readers -= readers
        if self._is_closed and not self._readers:
            self._outer.close()

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 -- whatever the step gives
        """Do one step, and pass on what it sends and wants to receive."""
        while True:
            try:
                result = step(*args)
                wants = False
            except ssl.SSLWantReadError:
                result, wants = None, True
            if self._outgoing.pending:
                self._outer.sendall(self._outgoing.read())
            if not wants:
                return result
            if received := self._outer.recv(RECORD):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()


class _Readable(io.RawIOBase):
    """What one answer is read from."""

    def __init__(self, connection: NestedTLS) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- any buffer
        return self._connection.recv_into(memoryview(buffer))

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection.let_go()


class StrictResponse(http.client.HTTPResponse):
    """An answer that tells whether its end was announced, and what came behind it.

    Its chunks have sizes: of one that is negative, http.client would read to the end.
    """

    is_framed = False
    """Whether it says how long its body is; else the end of the connection is the end of it, or of a part."""
    surplus = b""
    """The beginning of what has come behind a body that was read to its announced end."""

    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **named)
        self._socket = sock

    def begin(self) -> None:
        """Read up to the body."""
        super().begin()
        self.is_framed = bool(self.chunked) or self.length is not None

    def _close_conn(self) -> None:
        if self.length == 0 and isinstance(self._socket, DeadlineSocket):
            self.surplus = _here(self._socket, self.fp)
        super()._close_conn()  # type: ignore[misc]

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise http.client.HTTPException("read length of a chunk is negative")
        return size


class Connection(http.client.HTTPConnection):
    """A connection by one route."""

    response_class: type[StrictResponse] = StrictResponse

    def __init__(self, route: Route) -> None:
        super().__init__(route.host, route.port)
        self._route = route

    def connect(self) -> None:
        """Connect, through the proxy's tunnel where there is one, and agree upon keys."""
        route = self._route
        made = _connected(route.proxy or route, route.admit)
        try:
            if route.proxy and route.proxy.secure:
                made = _encrypted(made, route.context, route.proxy.host)
            if route.proxy and route.secure:
                _open_tunnel(made, route)
            if route.secure:
                made = _encrypted(made, route.context, route.host)
        except BaseException:
            made.close()
            raise
        self.sock = made

    @property
    def is_dropped(self) -> bool:
        """Whether the other side has closed it meanwhile, or sent what nobody asked for."""
        if self.sock is None:
            return True
        found = select.poll()
        found.register(self.sock.fileno(), select.POLLIN)
        return bool(found.poll(0))


def _here(made: DeadlineSocket, reader: io.BufferedReader) -> bytes:
    """Return what has been received beyond what was read, without waiting for any."""
    made.waits = False
    try:
        return reader.peek(1)
    except (OSError, ValueError):
        return b""
    finally:
        made.waits = True


def _connected(to: Route | Proxy, admit: Admit) -> socket.socket:
    """Return a socket that is connected to the first address that answers, of those that are admitted."""
    failed = OSError("the name has no address")
    try:
        found = socket.getaddrinfo(to.host, to.port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except UnicodeError as error:
        raise InvalidRequestError("this is no address") from error
    for family, kind, protocol, _, place in found:
        # What is looked up again can be another address: the one that is judged is connected to.
        admit(str(place[0]))
        made = DeadlineSocket(family, kind, protocol)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.settimeout(min(CONNECT_SECONDS, left()))
            made.connect(place)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    raise failed


def _encrypted(made: socket.socket, context: ssl.SSLContext | None, host: str) -> socket.socket:
    """Return the connection, encrypted, to the host that a certificate proves."""
    if context is None:
        raise AssertionError("a route with TLS has no certificates to hold it to")
    # The dot keeps resolvers from looking in other domains; certificates are without it.
    named = host.rstrip(".")
    if isinstance(made, ssl.SSLSocket):
        return cast("socket.socket", NestedTLS(made, context, named))
    return context.wrap_socket(made, server_hostname=named)


def _open_tunnel(made: socket.socket, route: Route) -> None:
    """Have the proxy pass on what follows; OSError where it does not."""
    host = f"[{route.host}]" if ":" in route.host else route.host
    lines = [f"CONNECT {host}:{route.port} HTTP/1.1", f"Host: {host}:{route.port}"]
    if route.proxy and route.proxy.authorization:
        lines.append(f"Proxy-Authorization: {route.proxy.authorization}")
    made.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    with http.client.HTTPResponse(made, method="CONNECT") as response:
        response.begin()
        if response.status != HTTPStatus.OK:
            raise OSError(f"Tunnel connection failed: {response.status} {response.reason}")
