"""Answers that come slowly, or never: none is waited for beyond its budget, and the next run is healthy."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from conftest import rows
from faults import Fault, Healthy, meets, told
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Bytes,
    Request,
    Said,
    Slowly,
    medium,
    of_neurons,
    serving,
    trickle,
)

BUDGET = "0.5"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = bytes.fromhex("1f8b08000000000000ff")
TIMED_OUT = "cogniac detections a1 failed: GET {url}1/applications/a1/detections failed: timed out"


@dataclass(frozen=True, slots=True)
class Slowness:
    """What is slow, and the line that tells of it."""

    said: Said
    path: str = DETECTIONS
    says: str = TIMED_OUT
    code: int = 3
    gaps: int = 1


def closing(body: bytes) -> Bytes:
    """An answer after which the connection is closed, although it does not say so."""
    return Bytes(OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


LOGIN = "cogniac applications failed: GET {url}1/tenants/current/applications failed: timed out"
SLOWNESSES = {
    "the status line comes byte by byte": Slowness(Slowly(b"HTTP/1.1 200 ", b"O")),
    "a header comes byte by byte": Slowness(Slowly(OK + b"Server: ", b"a")),
    "headers do not end": Slowness(Slowly(OK, b"Vary: a\r\n", 0.05)),
    "the body comes byte by byte": Slowness(Slowly(OK + b"Content-Length: 900\r\n\r\n", b" ")),
    "a body without length comes byte by byte": Slowness(Slowly(OK + b"\r\n", b" ")),
    "a chunk's size comes byte by byte": Slowness(Slowly(CHUNKED, b"0")),
    "chunks come byte by byte": Slowness(Slowly(CHUNKED, b"1\r\n \r\n")),
    "trailers do not end": Slowness(Slowly(CHUNKED + b"2\r\n{}\r\n0\r\n", b"Vary: a\r\n")),
    "what is packed comes byte by byte": Slowness(
        Slowly(OK + b"Content-Encoding: gzip\r\nContent-Length: 900\r\n\r\n" + GZIP, b"\x00")
    ),
    "it is told to continue for ever": Slowness(Slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)),
    "it is told to continue, without an end": Slowness(Slowly(b"HTTP/1.1 100 Continue\r\n", b"Vary: a\r\n")),
    "hints come for ever": Slowness(
        Slowly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01),
        says=TIMED_OUT.replace("timed out", "answered 103, and what follows was not waited for"),
    ),
    "nothing is answered": Slowness(Bytes(b"", held=True)),
    "nothing comes after the headers": Slowness(Bytes(OK + b"Content-Length: 9\r\n\r\n", held=True)),
    "nothing comes after half of the body": Slowness(Bytes(OK + b"Content-Length: 9\r\n\r\n{", held=True)),
    "the login comes byte by byte": Slowness(Slowly(OK + b"\r\n", b" "), "/1/token", LOGIN),
    "the tenants come byte by byte": Slowness(Slowly(OK, b"a"), "/1/users/current/tenants", LOGIN),
    "the subjects come byte by byte": Slowness(
        Slowly(OK + b"\r\n", b" "),
        "/1/tenants/[^/]+/subjects",
        "cogniac subjects failed: GET {url}1/tenants/t1/subjects failed: timed out",
    ),
    "the media come byte by byte": Slowness(
        Slowly(OK + b"\r\n", b" "), MEDIA, "neurons media failed: GET {url}predict/v2/media failed: timed out"
    ),
    "it is to be asked again in an hour": Slowness(
        Answer(b'{"message": "later"}', 503, {"Retry-After": "3600"}),
        says=TIMED_OUT.replace("failed: timed out", "answered 503: later"),
    ),
    "it is always too early": Slowness(
        Answer(b"", 429, {"Retry-After": "0"}), says=TIMED_OUT.replace("failed: timed out", "answered 429")
    ),
    "connections are closed after each answer": Slowness(
        lambda _request: closing(b'{"access_token": "token-of-the-case"}'), "/1/token", "", 0, 0
    ),
}


def outlasts(found: Healthy, slowness: Slowness, **settings: str) -> None:
    """Let something be slow: the run is as it is declared, and over soon."""
    instead = found.server.instead
    fault = Fault(
        lambda _: instead.update({slowness.path: slowness.said}),
        slowness.code,
        slowness.says.format(url=settings.get("COG_URL_PREFIX", found.server.url)),
        lambda _: instead.clear(),
        settings=(("SIGHTGLASS_RETRY_BUDGET", BUDGET), *settings.items()),
        gaps=slowness.gaps,
    )
    meets(fault, found)


@pytest.mark.parametrize("slowness", SLOWNESSES.values(), ids=SLOWNESSES)
def test_what_is_slow_is_given_up_in_time(loaded: Healthy, slowness: Slowness) -> None:
    """One line and its exit code, then a run after which tables and readers have what they had."""
    outlasts(loaded, slowness)


@contextmanager
def speaking(said: Slowly) -> Iterator[int]:
    """The port of a server that says this to everybody, whatever is asked."""
    over = threading.Event()

    def speak(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(2**16)
            trickle(connection, said, over)

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                threading.Thread(target=speak, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


ENCRYPTED = Slowness("", says=LOGIN)


def test_an_encrypted_connection_that_is_made_slowly_is_given_up_in_time(loaded: Healthy) -> None:
    """The first message of TLS comes byte by byte."""
    with speaking(Slowly(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x00")) as port:
        outlasts(loaded, ENCRYPTED, COG_URL_PREFIX=f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 ", OK + b"Via: a\r\n"])
def test_a_tunnel_that_is_opened_slowly_is_given_up_in_time(loaded: Healthy, begins: bytes) -> None:
    """The proxy answers byte by byte, in its first line or in its headers."""
    with speaking(Slowly(begins, b"a")) as port:
        proxy = {"https_proxy": f"http://127.0.0.1:{port}", "NO_PROXY": ""}
        outlasts(loaded, ENCRYPTED, COG_URL_PREFIX="https://192.0.2.1/", **proxy)


def redirected(seconds: float) -> Callable[[Request], Answer]:
    """Leads from one address to the next, each after a while."""
    number, never = count(), threading.Event()

    def said(_request: Request) -> Answer:
        never.wait(seconds)
        return Answer(b"", 302, {"Location": f"/film?hop={next(number)}"})

    return said


TRICKLED = Slowly(OK + b"Content-Length: 900\r\n\r\n", b" ")
FILES: dict[str, tuple[Said, str]] = {
    "byte by byte": (TRICKLED, "timed out"),
    "redirects that are slow": (redirected(0.2), "timed out"),
    "redirects without end": (redirected(0), "more than 20 redirects"),
}


@pytest.mark.parametrize(("said", "reason"), FILES.values(), ids=FILES)
def test_a_file_that_comes_slowly_is_missing(tmp_path: Path, said: Said, reason: str) -> None:
    """Its medium is loaded, the gap says why it is missing; the next run brings it."""
    with serving({}) as server:
        film = medium(1, results={"metrics": f"{server.url}film?signature=s"})
        server.instead |= {MEDIA: {"media": [film], "pagination": {"total": 1}}, "/film": said}
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET=BUDGET)
        (gap,) = rows(sightglass.home, "etl.gaps")
        server.instead["/film"] = b'[{"focus": 0.5}]'
        again = sightglass("run")

    missing = ["sightglass: gaps, listed in etl.gaps: 1"]
    assert (0, missing, 0, []) == (ran.code, told(ran), again.code, rows(sightglass.home, "etl.gaps"))
    assert f"GET {server.url}film failed: {reason}" == gap["error"]
