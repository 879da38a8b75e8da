"""A server of HTTP/1.1 that a signal ends, and on which slow or many clients have no hold."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REQUEST_SECONDS = 30.0
"""How long a request may take to come, from its first byte, or from the connection, to its last."""
MOST_FILES = 65_536
SPARE_FILES = 64
"""Files that are open for other things than connections."""


class BoundedListener(socket.socket):
    """A socket that listens, and closes at once what connects while too much is connected.

    Before anything else is done with it: who connects and does not shake hands for TLS is no connection to
    anybody else, and takes a file all the same.
    """

    def __init__(self, listener: socket.socket, connected: WeakSet[socket.socket], most: int) -> None:
        """Take the place of a listener; `connected` is shared by all that have this limit together."""
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self._connected = connected
        self._most = most

    def accept(self) -> tuple[socket.socket, Any]:
        """Return who has connected; BlockingIOError where nobody has, or it was closed."""
        accepted, place = super().accept()
        if len(self._connected) >= self._most:
            accepted.close()
            raise BlockingIOError
        return _Connected(accepted, self._connected), place


class _Connected(socket.socket):
    """A connection that counts until it is closed."""

    def __init__(self, accepted: socket.socket, connected: WeakSet[socket.socket]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._connected = connected
        connected.add(self)

    def close(self) -> None:
        """Close it."""
        self._connected.discard(self)
        super().close()


class Connection(H11Protocol):
    """A connection on which each request must have come within a time, however slowly it comes."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 -- as uvicorn has it
        """Wait for its first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in what has come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._forget()

    def is_receiving(self) -> bool:
        """Whether a request has begun to come, or is worked at."""
        return self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])

    def _watch(self) -> None:
        """See that what is being received has a deadline, which more bytes do not move."""
        is_awaited = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if not is_awaited or self.timeout_keep_alive_task is not None:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """A server of so many connections at a time, at most, that a signal ends, and nothing else."""

    def __init__(self, app: Callable[..., Any], most: int, **more: Any) -> None:  # noqa: ANN401 -- as uvicorn has it
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,  # it would show the address, in which a secret stands
            proxy_headers=False,
            server_header=False,
            **more,
        )
        super().__init__(config)
        self._most = most

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer who connects to these sockets, until told to stop."""
        connected = WeakSet[socket.socket]()
        await super().serve([BoundedListener(each, connected, self._most) for each in sockets or []])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the server."""
        loop = asyncio.get_running_loop()
        # What goes wrong with one connection is its client's to notice: no traceback.
        loop.set_exception_handler(lambda _loop, _context: None)
        for each in SIGNALS:
            # Who starts a command in the background, or with nohup, has it ignore signals.
            if signal.getsignal(each) is not signal.SIG_IGN:
                loop.add_signal_handler(each, self._stop)
        yield

    def _stop(self) -> None:
        # Who says it twice does not want to wait.
        self.force_exit = self.should_exit
        self.should_exit = True
        self.told_to_stop()

    def told_to_stop(self) -> None:
        """Do what else is to be done when the server is to end."""


def most_connections() -> int:
    """Return for how many connections there are files, after asking for as many as are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return (allowed if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES
