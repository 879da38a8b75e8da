"""The server of the page: on this machine alone, and gone soon after it was told to stop."""

import asyncio
import socket
from collections.abc import Callable

from starlette.types import ASGIApp

from etl.errors import EnvironmentFaultError
from etl.http_server import Server

HOST = "127.0.0.1"
BACKLOG = 64
MOST_CONNECTIONS = 64
"""A browser has six at a time; others on this machine, who do not know the address, can hold no more."""
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


class _Server(Server):
    """A server that lets what is at work end with it."""

    def __init__(self, app: ASGIApp, end: Callable[[], None]) -> None:
        super().__init__(app, MOST_CONNECTIONS, timeout_graceful_shutdown=DRAIN_SECONDS)
        self._end = end

    def told_to_stop(self) -> None:
        """End queries beside the loop, which has answers to send."""
        asyncio.get_running_loop().run_in_executor(None, self._end)
