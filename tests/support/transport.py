"""What tests of several files share with `test_transport`."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


TLS = Path(__file__).parent.parent / "samples" / "tls"
"""A certificate for 127.0.0.1 that nobody else trusts, valid until 2126, and its key."""
KNOWN = "Basic YTpwQHNz"
"""How a proxy is told of user a with the password p@ss."""


class Says(BaseHTTPRequestHandler):
    """Answers each request with its first line, and whether a proxy was told who asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = f"{self.requestline} {self.headers.get('Proxy-Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        """Open a tunnel for whom the proxy knows."""
        host, port = self.path.split(":")
        self.close_connection = True
        self.send_response(200 if self.headers.get("Proxy-Authorization") == KNOWN else 407)
        self.end_headers()
        with socket.create_connection((host, int(port))) as there:
            other = {self.connection: there, there: self.connection}
            while True:
                for end in select.select(list(other), [], [])[0]:
                    if not (data := end.recv(2**16)):
                        return
                    other[end].sendall(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def saying(*, tls: bool = False) -> Iterator[str]:
    """The address of a server, as host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
