"""The server of the page: on this machine alone, and gone soon after it was told to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from etl.errors import EnvironmentFaultError

HOST = "127.0.0.1"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
BACKLOG = 64
DRAIN_SECONDS = 2
"""How long answers may take that are on their way when it is told to stop."""


def bound(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine alone; 0 is any that is free.

    Raises EnvironmentFaultError where that cannot be.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise EnvironmentFaultError(
            f"cannot listen on {HOST} port {port}: {error.strerror}; name another with --port, 0 for any"
        ) from error
    return found


def serve(listener: socket.socket, app: ASGIApp, end: Callable[[], None]) -> None:
    """Answer until told to stop by SIGTERM or SIGINT; `end` then ends what is at work."""
    with asyncio.Runner() as runner:
        runner.run(_Server(app, end).serve([listener]))


class _Server(uvicorn.Server):
    """A server that a signal ends, and nothing else."""

    def __init__(self, app: ASGIApp, end: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level=logging.CRITICAL,
                access_log=False,  # it would show the address
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._end = end

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
        self.force_exit = self.should_exit
        self.should_exit = True
        asyncio.get_running_loop().run_in_executor(None, self._end)
