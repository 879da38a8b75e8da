"""Serve an ASGI application on loopback for as long as a block lasts."""

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE_S = 0.2  # a request that hangs on purpose must not hold up the end of a test
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time, so that closing sends a reset


@contextlib.contextmanager
def serve(app: ASGIApp, clock: Callable[[], float] | None = None, port: int = 0) -> Iterator[str]:
    """Yield the base URL, with a trailing slash, of `app` served on a port of 127.0.0.1; 0: any that is free.

    Its answers are dated by the clock, in seconds since 1970; by that of this machine where none is given.
    OSError where something else listens there.
    """
    # Only where the protocol is named does asyncio send at once; else a small answer waits 40 ms for an ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        # Else a port that is named is taken for a minute after its last connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, bool(port))
        listener.bind(("127.0.0.1", port))
        listener.listen()  # only now is it certain that nobody else listens there
        port = listener.getsockname()[1]
        server = _Server(app if clock is None else _dated(app, clock), is_dated=clock is not None)
        thread = threading.Thread(target=server.live, args=(listener,), name=f"serve-{port}", daemon=True)
        thread.start()
        server.listening.wait()
        if not server.started:
            thread.join()
            raise RuntimeError(f"nothing listens on 127.0.0.1:{port}: the server ended while starting")
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.stop()
            thread.join()


def _dated(app: ASGIApp, clock: Callable[[], float]) -> ASGIApp:
    """Return the application with the time of a clock as the `Date` of its answers."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(clock(), usegmt=True).encode()
                message = {**message, "headers": [*message.get("headers", ()), (b"date", date)]}
            await send(message)

        await app(scope, receive, dated)

    return answer


class _Server(uvicorn.Server):
    """A server that says when it listens, and stops at once instead of at its next tick."""

    def __init__(self, app: ASGIApp, *, is_dated: bool) -> None:
        """`is_dated` says that the application dates its answers itself."""
        config = uvicorn.Config(
            app,
            http="h11",  # httptools, where it is installed, may read //1/users/current/tenants as a host
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            date_header=not is_dated,
            timeout_keep_alive=60,  # at uvicorn's 5 s a slow test meets connections closed in its hands
        )
        super().__init__(config)
        self.listening = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def live(self, listener: socket.socket) -> None:
        """Serve until `stop`; `listening` is set in any case, `started` says whether it worked."""
        try:
            self.run(sockets=[listener])
        finally:
            self.listening.set()

    def stop(self) -> None:
        """Ask the server, from any thread, to end."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def reset(self, client: tuple[str, int]) -> None:
        """Cut a client's connection with a reset, as a failing network does, not with a proper end."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and connection.client == client:
                raw = connection.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.transport.abort()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then let `serve` go on; every request may reset its connection by `scope["state"]`."""
        self.lifespan.state["reset"] = self.reset
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.listening.set()

    async def main_loop(self) -> None:
        """Refresh the Date header every second until asked to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, give running requests a moment, cut the rest."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, late = await asyncio.wait(set(self.server_state.tasks), timeout=GRACE_S)
            for task in late:
                task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for sock in sockets or []:
            sock.close()
        await asyncio.sleep(0)  # one turn of the loop, in which the transports really close
