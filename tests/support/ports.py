"""Ports of this machine on which nothing listens."""

import socket
from contextlib import ExitStack

from etl.cli.demo_serve import PORTS


def are_free(first: int, count: int = PORTS) -> bool:
    """Whether nothing listens on this port and those after it: as many as the simulated APIs take."""
    try:
        for place in range(count):
            socket.create_server(("127.0.0.1", first + place)).close()
    except OSError:
        return False
    return True


def free_ports() -> int:
    """The first of so many in a row."""
    while True:
        with ExitStack() as taken:
            first = int(taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            if are_free(first + 1, PORTS - 1):
                return first
