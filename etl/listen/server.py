"""The server: takes over sockets that listen already, gives slow clients no hold, and ends without a loss."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from etl.listen.address import BACKLOG
from etl.listen.commit import GroupCommit
from etl.listen.receiver import Receiver

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REQUEST_SECONDS = 30.0
"""How long a request may take to come, from its first byte, or from the connection, to its last."""
KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle between two posts."""
IDLE_SECONDS = 0.25
"""How long an idle connection may still bring a request once the listener is to end."""
DRAIN_SECONDS = 10.0
"""How long posts that are being received or stored may take then."""
POLL_SECONDS = 0.02
SWITCH_SECONDS = 0.001
"""How long one thread may keep the other from running: the loop must not hold up what is on disk."""
MOST_FILES = 65_536
SPARE_FILES = 64
"""Files that are open for other things than connections."""


def listen(
    listeners: list[socket.socket], receiver: Receiver, commit: GroupCommit, tls: ssl.SSLContext | None
) -> None:
    """Receive posts until told to stop by SIGTERM or SIGINT; then store what was answered, and close."""
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner() as runner:
            runner.run(_Server(receiver, tls).serve(listeners))
    finally:
        commit.end()


class _Connection(H11Protocol):
    """A connection on which each request must have come within a time, however slowly it comes."""

    most = 0
    """Connections at a time."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 -- as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
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


class _Server(uvicorn.Server):
    """A server that ends at once, and only after it has answered what it has accepted."""

    def __init__(self, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
        _Connection.most = _most_connections()
        config = uvicorn.Config(
            receiver,
            http=_Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            backlog=BACKLOG,
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,  # it would show the secret
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        super().__init__(config)
        self._receiver = receiver
        self._told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the server, and nothing else."""
        loop = asyncio.get_running_loop()
        # What goes wrong with one connection is its client's to notice: no traceback.
        loop.set_exception_handler(lambda _loop, _context: None)
        obeyed = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        for each in obeyed:
            loop.add_signal_handler(each, self._stop)
        yield

    def _stop(self) -> None:
        # Who says it twice does not want to wait.
        self.force_exit = self.should_exit
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Refresh the Date header every second until told to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept what has connected, answer what is on its way, and close."""
        self._receiver.is_ending = True
        loop = asyncio.get_running_loop()
        for _ in range(2):
            await asyncio.sleep(0)  # a turn of the loop, which accepts all that waits
        for each in sockets or []:
            # Not by asyncio's server: it would drop what was accepted in this turn.
            loop.remove_reader(each.fileno())
            each.close()
        began = loop.time()
        while self.server_state.connections and not self.force_exit:
            took = loop.time() - began
            for connection in list(self.server_state.connections):
                is_busy = not isinstance(connection, _Connection) or connection.is_receiving()
                if took > (DRAIN_SECONDS if is_busy else IDLE_SECONDS):
                    connection.transport.abort()
            await asyncio.sleep(POLL_SECONDS)


def _most_connections() -> int:
    """Return for how many connections there are files, after asking for as many as are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return (allowed if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES
