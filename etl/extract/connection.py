"""Connections on which every wait ends with the deadline of the request, to addresses that may be reached.

What waits does so in a socket: so connecting, TLS, a proxy's tunnel, headers, interim answers, chunks and
trailers are all held to the deadline here, whatever reads or writes them.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from etl.extract.address import Impossible
from etl.extract.deadline import left

CONNECT_SECONDS = 10.0
WAIT_SECONDS = 60.0
"""How long nothing may come before another attempt is worth more."""

Admit = Callable[[str], None]
"""Told the address that is about to be connected to; raises Impossible where that must not be."""

_admit: ContextVar[Admit] = ContextVar("admit", default=lambda _address: None)


@contextmanager
def admitting(admit: Admit) -> Iterator[None]:
    """Have this thread connect only to what is admitted."""
    token = _admit.set(admit)
    try:
        yield
    finally:
        _admit.reset(token)


class DeadlineSocket(socket.socket):
    """A socket that waits no longer than to the deadline."""

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
        self.settimeout(min(WAIT_SECONDS, left()))


class DeadlineTLS(DeadlineSocket, ssl.SSLSocket):
    """The same, encrypted; OpenSSL holds each of its calls to the timeout as a whole."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as the socket has it
        """Agree upon keys."""
        self._limit()
        super().do_handshake(block)


class _Plain(HTTPConnection):
    """A connection in the clear."""

    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _TLS(HTTPSConnection):
    """An encrypted connection."""

    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _PlainPool(HTTPConnectionPool):
    """Connections in the clear to one host."""

    ConnectionCls = _Plain


class _TLSPool(HTTPSConnectionPool):
    """Encrypted connections to one host."""

    ConnectionCls = _TLS


POOLS = {"http": _PlainPool, "https": _TLSPool}
"""By scheme, what keeps connections to one host."""


def _connected(connection: HTTPConnection) -> socket.socket:
    """A socket that is connected to the first address that answers, of those that are admitted."""
    # The host with the dot at its end, by which resolvers look in no other domain.
    host, failed = connection._dns_host.strip("[]"), OSError("the name has no address")  # noqa: SLF001
    try:
        found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except UnicodeError as error:
        raise Impossible("this is no address") from error
    for family, kind, protocol, _, place in found:
        # What is looked up again can be another address: the one that is judged is connected to.
        _admit.get()(str(place[0]))
        made = DeadlineSocket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                made.setsockopt(*cast("tuple[int, int, int]", option))
            made.settimeout(min(CONNECT_SECONDS, left()))
            made.connect(place)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    if isinstance(failed, TimeoutError):
        raise ConnectTimeoutError(connection, "timed out") from failed
    raise NewConnectionError(connection, str(failed)) from failed
