"""The server: takes over sockets that listen already, gives slow clients no hold, and ends without a loss."""

import asyncio
import contextlib
import socket
import ssl
import sys

from etl.http_server import Connection, Server, most_connections
from etl.listen.address import BACKLOG
from etl.listen.commit import GroupCommit
from etl.listen.receiver import Receiver

KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle between two posts."""
IDLE_SECONDS = 0.25
"""How long an idle connection may still bring a request once the listener is to end."""
DRAIN_SECONDS = 10.0
"""How long posts that are being received or stored may take then."""
POLL_SECONDS = 0.02
SWITCH_SECONDS = 0.001
"""How long one thread may keep the other from running: the loop must not hold up what is on disk."""


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


class _Server(Server):
    """A server that ends at once, and only after it has answered what it has accepted."""

    def __init__(self, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            receiver,
            most_connections(),
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._receiver = receiver
        self._told = asyncio.Event()

    def told_to_stop(self) -> None:
        """End the wait for the next second."""
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
                is_busy = not isinstance(connection, Connection) or connection.is_receiving()
                if took > (DRAIN_SECONDS if is_busy else IDLE_SECONDS):
                    connection.transport.abort()
            await asyncio.sleep(POLL_SECONDS)
