"""What tests of several files share with `test_transport`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from etl.extract.address import Reach
from etl.extract.memory import TooLargeError
from etl.extract.transport import Exchange, Transport, open_client


@contextmanager
def scripted(*answers: bytes) -> Iterator[tuple[str, list[int]]]:
    """The address of a server that sends these, one for each request; and how many each connection got."""
    left, asked = list(answers), list[int]()

    def serve() -> None:
        with suppress(OSError):
            while left:
                connection, _ = listener.accept()
                asked.append(0)
                with suppress(ConnectionError), connection:
                    while left and connection.recv(2**16):
                        asked[-1] += 1
                        connection.sendall(left.pop(0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked


HERE = Reach("http://127.0.0.1")


@contextmanager
def asking(*, redirects: bool = False, auth: httpx.Auth | None = None) -> Iterator[httpx.Client]:
    """A client that goes anywhere on this machine."""
    transport = Transport(1, lambda _: None, HERE, follows_links=redirects)
    with open_client(transport, auth=auth, follows_links=redirects) as client:
        yield client


def up_to_a_thousand(size: int) -> None:
    """Take no larger body."""
    if size > 1000:
        raise TooLargeError


def small() -> dict[str, Exchange]:
    """The extension of a request whose answer has at most a thousand bytes."""
    return {"exchange": Exchange(up_to_a_thousand)}


def asked(url: str, *, redirects: bool = False, auth: httpx.Auth | None = None) -> httpx.Response:
    """What comes of a GET of at most a thousand bytes."""
    with asking(redirects=redirects, auth=auth) as client:
        return client.get(url, extensions=small())
