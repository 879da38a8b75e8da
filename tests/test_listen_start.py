"""How a listener starts, takes over from another and ends, and what it says of settings that are wrong."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest
from conftest import ROOT, Ran, Sightglass
from support.listening import (
    ACTIVATED,
    COMMAND,
    SECRET,
    Listener,
    entries,
    listening,
    numbered,
)

TLS = ROOT / "tests" / "samples" / "tls"
FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))"
NO_SERVER = "import sys\nsys.modules['uvicorn'] = None"


def has_version_6() -> bool:
    """Whether this machine has an address of version 6."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A listener on this machine, without a secret."""
    with listening(tmp_path / "home") as made:
        yield made


def test_two_listeners_share_an_address_and_a_home(tmp_path: Path) -> None:
    """Each stores what comes to it; together they have all, and the run sees no difference."""
    home, bodies = tmp_path / "home", numbered(0, 200)
    with listening(home) as first, listening(home, "--port", str(first.place[1])) as second:
        codes = [(first if place % 2 else second).post(body) for place, body in enumerate(bodies)]
        stopped = [first.stop(), second.stop()]

    shared = "another listener is there, and gets some of the posts: it must have the same SIGHTGLASS_HOME"
    assert ([200] * 200, [0, 0]) == (codes, stopped)
    assert f"sightglass: {shared}" == second.told.splitlines()[0]
    found = entries(home)
    assert sorted(bodies) == sorted(each.body.decode() for each in found)
    assert 200 == len({each.id for each in found})


def test_a_restart_on_a_socket_that_stays_refuses_nobody(tmp_path: Path) -> None:
    """With systemd's way of handing over a socket, every post is answered at its first try."""
    home, bodies = tmp_path / "home", numbered(0, 100_000)
    codes: list[int] = []
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as shared:
        with listening(home, activated=shared) as first:

            def post() -> None:
                while not ended.is_set():
                    codes.append(first.post(bodies[len(codes)]))

            client = threading.Thread(target=post)
            client.start()
            while len(codes) < 50:
                client.join(0.001)
            stopped = [first.stop()]
        with listening(home, activated=shared) as second:
            before = len(codes)
            while len(codes) < before + 50:
                client.join(0.001)
            ended.set()
            client.join()
            stopped.append(second.stop())

    assert ({200}, [0, 0]) == (set(codes), stopped)
    assert bodies[: len(codes)] == [each.body.decode() for each in entries(home)]


def test_one_listener_takes_over_from_another(tmp_path: Path) -> None:
    """Where the new one starts before the old one ends, somebody always listens."""
    home, refused = tmp_path / "home", list[str]()
    answered: list[str] = []
    bodies = iter(numbered(0, 100_000))
    ended = threading.Event()

    with listening(home) as first, listening(home, "--port", str(first.place[1])) as second:

        def post() -> None:
            for body in bodies:
                if ended.is_set():
                    return
                try:
                    answered.extend([body] * (first.post(body) == 200))
                except ConnectionRefusedError:
                    refused.append(body)
                except (OSError, HTTPException):
                    pass  # reset in the very moment in which the first one closes: it is posted again

        client = threading.Thread(target=post)
        client.start()
        for count in (50, 100):
            while len(answered) < count:
                client.join(0.001)
            if count == 50:
                assert 0 == first.stop()
        ended.set()
        client.join()
        second.stop()

    assert [] == refused
    assert set(answered) <= {each.body.decode() for each in entries(home)}


def test_https_with_files_of_ones_own(tmp_path: Path) -> None:
    """With a certificate and its key, posts come by TLS."""
    cert, key = TLS / "certificate.pem", TLS / "key.pem"
    with listening(tmp_path / "home", "--tls-cert", str(cert), "--tls-key", str(key)) as listener:
        context = ssl.create_default_context(cafile=str(cert))
        connection = HTTPSConnection(*listener.place, context=context)
        connection.request("POST", "/app", "x")
        status = connection.getresponse().status
        connection.close()
        listener.stop()

        assert (200, [b"x"]) == (status, [each.body for each in listener.entries()])


@pytest.mark.parametrize("tls", [True, False])
def test_who_connects_and_says_nothing_takes_no_file_that_posts_need(tmp_path: Path, *, tls: bool) -> None:
    """Before a handshake of TLS too: connections beyond so many are closed, and posts are stored."""
    arguments = ("--tls-cert", str(TLS / "certificate.pem"), "--tls-key", str(TLS / "key.pem")) if tls else ()
    with listening(tmp_path / "home", *arguments, code=FEW_FILES) as listener, ExitStack() as silent:
        context = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
        made = HTTPSConnection(*listener.place, context=context) if tls else listener.connect()
        connection = silent.enter_context(closing(made))
        connection.connect()
        for _ in range(300):
            silent.enter_context(socket.create_connection(listener.place))
        codes = []
        for _ in range(8):
            # Two of them fill a file of the inbox.
            connection.request("POST", "/app", b"x" * 2**21)
            answer = connection.getresponse()
            answer.read()
            codes.append(answer.status)
        listener.stop()

    assert ([200] * 8, 8) == (codes, len(listener.entries()))


def test_other_addresses_need_a_secret(tmp_path: Path) -> None:
    """Else anyone could post."""
    ran = Sightglass(tmp_path)("listen", "--host", "0.0.0.0", "--port", "0")  # noqa: S104

    reason = (
        "others can reach this address, and anyone could post: name a file with a secret in"
        " SIGHTGLASS_LISTEN_SECRET_FILE, or listen on 127.0.0.1"
    )
    assert Ran(2, "", f"sightglass: {reason}\n") == ran


def test_a_secret_in_the_clear_is_told(tmp_path: Path) -> None:
    """On an address that others reach, without TLS, one line says so."""
    with listening(tmp_path / "home", "--host", "0.0.0.0", SIGHTGLASS_LISTEN_SECRET=SECRET) as listener:  # noqa: S104
        told = listener.told.splitlines()

    assert "sightglass: without TLS the secret travels in the clear; see docs/listening.md" == told[0]


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (
            "",
            {"SIGHTGLASS_LISTEN_SECRET": "short"},
            "SIGHTGLASS_LISTEN_SECRET must be 16 or more letters, digits and -._~, as parts of addresses",
        ),
        (
            "",
            {"SIGHTGLASS_LISTEN_SECRET": "letters/and/digits-alone"},
            "SIGHTGLASS_LISTEN_SECRET must be 16 or more letters, digits and -._~, as parts of addresses",
        ),
        *(
            (
                "",
                {"SIGHTGLASS_LISTEN": wrong},
                f"SIGHTGLASS_LISTEN must be an address such as 127.0.0.1:9999, not {wrong!r}",
            )
            for wrong in ("9999", ":9999", "localhost", "localhost:", "::1:99", "[::1]", "a:99999", "a:1x")
        ),
        ("--tls-cert x.pem", {}, "--tls-cert and --tls-key go together: name both files"),
        (
            "--tls-cert x.pem --tls-key y.pem",
            {},
            "cannot read x.pem or y.pem: No such file or directory",
        ),
        (
            "--tls-cert no.pem --tls-key no.pem",
            {},
            "no.pem and no.pem are no certificate and its key in PEM",
        ),
        (
            f"--tls-cert {TLS}/certificate.pem --tls-key {TLS}/encrypted-key.pem",
            {},
            f"the key {TLS}/encrypted-key.pem is encrypted; give one that is not",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    tmp_path: Path, arguments: str, settings: dict[str, str], said: str
) -> None:
    """One line, exit code 2, and no inbox."""
    (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
    where = {"SIGHTGLASS_LISTEN": "127.0.0.1:0", **settings}

    ran = Sightglass(tmp_path)("listen", *arguments.split(), **where)

    assert Ran(2, "", f"sightglass: {said}\n") == ran
    assert not (tmp_path / "home").exists()


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    """By a program that does not share it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = Sightglass(tmp_path)("listen", "--port", str(port))

    reason = "Address already in use; end what listens there, or name another address"
    assert Ran(2, "", f"sightglass: cannot listen on 127.0.0.1 port {port}: {reason}\n") == ran


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """It is told when the listener starts, not to each post."""
    (tmp_path / "home").touch()

    ran = Sightglass(tmp_path)("listen", "--port", "0")

    remedy = "File exists; move away what stands in its place, or set SIGHTGLASS_HOME"
    assert Ran(2, "", f"sightglass: cannot make {tmp_path / 'home' / 'inbox'}: {remedy}\n") == ran


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """As the other commands that need more than the core."""
    program = [sys.executable, "-c", f"{NO_SERVER}\n{COMMAND}", "listen", "--port", "0"]
    environ = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(tmp_path)}

    ran = subprocess.run(program, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)

    said = "sightglass: listening needs uvicorn: pip install 'sightglass-etl[listen]'\n"
    assert (2, "", said) == (ran.returncode, ran.stdout, ran.stderr)


def test_a_file_that_is_handed_over_and_no_socket_is_named(tmp_path: Path) -> None:
    """What systemd is told to hand over must listen."""
    with (tmp_path / "x").open("wb") as file:
        program = [sys.executable, "-c", ACTIVATED, str(file.fileno())]
        environ = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(tmp_path)}
        ran = subprocess.run(
            program, env=environ, pass_fds=[file.fileno()], capture_output=True, text=True, check=False
        )

    assert (2, "", "sightglass: LISTEN_FDS: file 3 is no socket\n") == (
        ran.returncode,
        ran.stdout,
        ran.stderr,
    )


def test_its_end_is_told(listener: Listener) -> None:
    """One line when it listens, one when it has stopped, and nothing about posts."""
    listener.post("x", "/app-1")
    listener.post("x" * (16 * 2**20 + 1), "/app-1")
    code = listener.stop(signal.SIGINT)

    expected = (
        f"sightglass: listening on {listener.url}\nsightglass: stopped; what was answered is in the inbox\n"
    )
    assert (0, expected) == (code, listener.told)


def test_an_idle_connection_does_not_hold_up_the_end(listener: Listener) -> None:
    """A client that keeps its connection for later posts finds it closed, and makes another one."""
    connection = listener.connect()
    connection.request("POST", "/app", "x")
    connection.getresponse().read()

    assert (0, b"") == (listener.stop(), connection.sock.recv(1))
    connection.close()


@pytest.mark.skipif(not has_version_6(), reason="this machine has no IPv6")
def test_an_address_of_version_6_is_told_as_such(tmp_path: Path) -> None:
    """It stands in brackets, as in SIGHTGLASS_LISTEN."""
    with listening(tmp_path / "home", "--host", "::1") as listener:
        assert ("http://[::1]:", 200) == (listener.url[:13], listener.post("x"))
