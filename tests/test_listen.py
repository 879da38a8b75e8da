"""`sightglass listen`: what was answered is in the inbox, whatever befell listener, disk or clients."""

import errno
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from time import monotonic

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
    post_kept,
)

from etl.listen.access import RateLimit
from etl.load.lock import hold

SYNC_WAITS = """
import os, time
import etl.inbox.writer as writer
def fsync(file):
    open("begun", "wb").close()
    while not os.path.exists("ready"):
        time.sleep(0.002)
    os.fsync(file)
writer.InboxWriter.__init__.__kwdefaults__["fsync"] = fsync
"""
SYNC_FAILS = """
import os
import etl.inbox.writer as writer
def fsync(file):
    if os.path.exists("broken"):
        number = int(open("broken").read())
        raise OSError(number, os.strerror(number))
    os.fsync(file)
writer.InboxWriter.__init__.__kwdefaults__["fsync"] = fsync
"""
NO_ROOM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
"""
IMPATIENT = """
import etl.listen.server as server
server.REQUEST_SECONDS = 0.2
"""
TLS = ROOT / "tests" / "samples" / "tls"
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


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Listener]:
    """A listener with a secret."""
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
    with listening(tmp_path / "home", SIGHTGLASS_LISTEN_SECRET_FILE=str(tmp_path / "secret")) as made:
        yield made


def test_what_is_answered_is_in_the_inbox_as_received(listener: Listener) -> None:
    """Body, label and content type of each post are there, whatever they are, in order."""
    bodies = [b'{"subjects": []}', b"", b"no JSON\x00\xff\r\n", b'{"subjects": []}']
    codes = [
        listener.post(body, f"/app{place}/x%20y", Content_Type=f"a/{place}")
        for place, body in enumerate(bodies)
    ]
    stopped = listener.stop()

    found = listener.entries()

    assert ([200] * 4, 0) == (codes, stopped)
    expected = [(f"app{place}/x y", f"a/{place}", body) for place, body in enumerate(bodies)]
    assert expected == [(each.label, each.content_type, each.body) for each in found]
    assert 4 == len({each.id for each in found})


def test_its_end_is_told(listener: Listener) -> None:
    """One line when it listens, one when it has stopped, and nothing about posts."""
    listener.post("x", "/app-1")
    listener.post("x" * (16 * 2**20 + 1), "/app-1")
    code = listener.stop(signal.SIGINT)

    expected = (
        f"sightglass: listening on {listener.url}\nsightglass: stopped; what was answered is in the inbox\n"
    )
    assert (0, expected) == (code, listener.told)


def test_only_who_knows_the_secret_can_post(guarded: Listener) -> None:
    """It is the first segment of the path, or a header; whoever has it wrong finds nothing here."""
    codes = [
        guarded.post("1", f"/{SECRET}/app"),
        guarded.post("2", f"/{SECRET}"),
        guarded.post("3", "/app/", X_Sightglass_Secret=SECRET),
        guarded.post("4", "/app"),
        guarded.post("5", f"/{SECRET}x/app"),
        guarded.post("6", f"/app/{SECRET}"),
        guarded.post("7", "/app", X_Sightglass_Secret=SECRET[:-1]),
        guarded.post("8", f"/app/{SECRET}", X_Sightglass_Secret=SECRET),
        guarded.ask("GET", "/")[0],
        guarded.ask("GET", f"/{SECRET}")[0],
    ]
    guarded.stop()

    assert [200, 200, 200, *[404] * 6, 200] == codes
    assert [("app", b"1"), ("", b"2"), ("app", b"3")] == [
        (each.label, each.body) for each in guarded.entries()
    ]


def test_the_secret_is_nowhere(guarded: Listener) -> None:
    """No message, no file of the inbox and no answer holds it, even where posts go wrong."""
    answers = [
        guarded.ask("POST", f"/{SECRET}/app", "body")[1],
        guarded.ask("GET", f"/{SECRET}/app")[1],
        guarded.ask("DELETE", f"/{SECRET}/app")[1],
        guarded.ask("POST", f"/{SECRET}/{'a' * 257}", "body")[1],
        guarded.ask("POST", f"/{SECRET}/app", "x" * (16 * 2**20 + 1))[1],
    ]
    guarded.stop()

    files = b"".join(path.read_bytes() for path in guarded.home.rglob("*") if path.is_file())
    assert SECRET.encode() not in b"".join([*answers, files, guarded.told.encode()])
    assert [("app", b"body")] == [(each.label, each.body) for each in guarded.entries()]


def test_other_methods_and_long_labels_are_refused(listener: Listener) -> None:
    """Each answer says what is wrong by its status."""
    codes = [
        listener.ask("PUT", "/app", "x")[0],
        listener.ask("DELETE", "/app")[0],
        listener.post("x", "/" + "a" * 257),
        listener.post("x", "/" + "a" * 256),
    ]

    assert [405, 405, 414, 200] == codes


def test_a_post_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Whether it says how large it is or not; what is as large as is allowed is stored."""
    with listening(tmp_path / "home", SIGHTGLASS_LISTEN_BODY="1") as listener:
        codes = [listener.post(b"x" * 2**20), listener.post(b"x" * (2**20 + 1))]
        connection = listener.connect()
        connection.request("POST", "/app", iter([b"x" * 2**19] * 3))
        codes.append(connection.getresponse().status)
        connection.close()
        listener.stop()

        assert [200, 413, 413] == codes
        assert [2**20] == [len(each.body) for each in listener.entries()]


def test_a_body_that_breaks_off_is_not_stored(listener: Listener) -> None:
    """Its client has gone, and posts it again."""
    with socket.create_connection(listener.place) as client:
        client.sendall(b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    codes = [listener.post("whole")]
    listener.stop()

    assert ([200], [b"whole"]) == (codes, [each.body for each in listener.entries()])


def test_slow_clients_are_cut_off(tmp_path: Path) -> None:
    """Whoever sends a request byte by byte, or none, holds its connection for a limited time."""
    begun = b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with listening(tmp_path / "home", code=IMPATIENT) as listener:
        for beginning in (b"", b"P", begun, begun + b"\r\n", begun + b"\r\nhalf"):
            with socket.create_connection(listener.place, timeout=30) as client:
                client.sendall(beginning)
                # A reset is an end as well.
                try:
                    ended = client.recv(100)
                except ConnectionResetError:
                    ended = b""
            assert b"" == ended
        assert 200 == listener.post("quick")


def test_what_is_no_http_is_refused(listener: Listener) -> None:
    """Nonsense is answered 400, and nothing is said about it."""
    with socket.create_connection(listener.place, timeout=30) as client:
        client.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        answer = client.recv(100)
    listener.stop()

    assert b"HTTP/1.1 400 Bad Request" == answer.partition(b"\r\n")[0]
    assert 2 == listener.told.count("\n")


def test_too_many_posts_are_put_off(tmp_path: Path) -> None:
    """Beyond the rate they are answered 429 and when to come again; a wrong secret does not count."""
    with listening(
        tmp_path / "home", SIGHTGLASS_LISTEN_RATE="1", SIGHTGLASS_LISTEN_SECRET=SECRET
    ) as listener:
        wrong = [listener.post("x", "/wrong") for _ in range(3)]
        connection = listener.connect()
        answers = []
        for _ in range(10):
            connection.request("POST", f"/{SECRET}", "x")
            answer = connection.getresponse()
            answer.read()
            answers.append((answer.status, answer.headers.get("Retry-After")))
        connection.close()

    assert [404] * 3 == wrong
    assert (200, None) == answers[0]
    assert {(200, None), (429, "1")} == set(answers)


def test_a_kill_at_any_moment_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """After SIGKILL in a burst, all that was answered is there, and nothing twice."""
    home = tmp_path / "home"
    bodies = [numbered(number * 100_000, 100_000) for number in range(4)]
    for kill in range(3):
        answered: list[str] = []
        with listening(home) as listener:
            threads = [
                threading.Thread(target=post_kept, args=(listener, some[kill * 30_000 :], answered))
                for some in bodies
            ]
            for thread in threads:
                thread.start()
            while len(answered) < 20 + 50 * kill:
                threads[0].join(0.001)
            assert -signal.SIGKILL == listener.stop(signal.SIGKILL)
            for thread in threads:
                thread.join()

        found = entries(home)
        stored = [each.body.decode() for each in found]
        assert [] == [body for body in answered if body not in stored]
        assert len(found) == len(set(stored)) == len({each.id for each in found})


def test_a_kill_before_the_disk_has_it_was_answered_to_nobody(tmp_path: Path) -> None:
    """Between receipt and answer: the client learns that it must post again."""
    answered: list[str] = []
    with listening(tmp_path / "home", code=SYNC_WAITS) as listener:
        client = threading.Thread(target=post_kept, args=(listener, numbered(0, 1), answered))
        client.start()
        wait_for(tmp_path / "begun")
        listener.stop(signal.SIGKILL)
        client.join()

    assert [] == answered
    assert {body.decode() for body in (each.body for each in entries(listener.home))} <= set(numbered(0, 1))


def test_a_slow_disk_delays_answers_and_loses_nothing(tmp_path: Path) -> None:
    """Posts wait until it has them, many for one sync; whoever asks for something else does not."""
    answered: list[str] = []
    with listening(tmp_path / "home", code=SYNC_WAITS) as listener:
        clients = [
            threading.Thread(target=post_kept, args=(listener, numbered(10 * place, 3), answered))
            for place in range(20)
        ]
        for client in clients:
            client.start()
        wait_for(tmp_path / "begun")
        meanwhile = [listener.ask("GET", "/app")[0], len(answered)]
        (tmp_path / "ready").touch()
        for client in clients:
            client.join()
        listener.stop()

        expected = sorted(body for place in range(20) for body in numbered(10 * place, 3))
        assert [200, 0] == meanwhile
        assert expected == sorted(answered) == sorted(each.body.decode() for each in listener.entries())


def test_what_waits_for_a_slow_disk_is_answered_before_the_end(tmp_path: Path) -> None:
    """SIGTERM ends the listener once the disk has what has come."""
    answered: list[str] = []
    with listening(tmp_path / "home", code=SYNC_WAITS) as listener:
        client = threading.Thread(target=post_kept, args=(listener, numbered(0, 1), answered))
        client.start()
        wait_for(tmp_path / "begun")
        listener.process.send_signal(signal.SIGTERM)
        while is_listening(listener):
            client.join(0.001)
        (tmp_path / "ready").touch()
        client.join()

        assert (0, numbered(0, 1)) == (listener.end(), answered)
        assert numbered(0, 1) == [each.body.decode() for each in listener.entries()]


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


@pytest.mark.parametrize(
    ("number", "status", "what"),
    [
        (errno.ENOSPC, 507, "No space left on device; make room"),
        (errno.EDQUOT, 507, "Disk quota exceeded; make room"),
        (errno.EIO, 503, "Input/output error; see to the disk"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path, number: int, status: int, what: str) -> None:
    """What is refused is not kept; as soon as the disk takes it, posts are stored again."""
    with listening(tmp_path / "home", code=SYNC_FAILS) as listener:
        codes = [listener.post("1")]
        (tmp_path / "broken").write_text(str(number), encoding="utf-8")
        codes += [listener.post("2"), listener.post("3"), listener.ask("GET", "/")[0]]
        (tmp_path / "broken").unlink()
        codes += [listener.post("4")]
        listener.stop()

        said = f"cannot write the inbox {listener.home / 'inbox'}: {what}"
        assert [200, status, status, 200, 200] == codes
        assert [b"1", b"4"] == [each.body for each in listener.entries()]
        assert [
            f"sightglass: {said}; until then posts are answered {status}",
            "sightglass: posts are stored again",
        ] == listener.told.splitlines()[1:3]


def test_what_does_not_fit_is_not_half_kept(tmp_path: Path) -> None:
    """Where a file can take no more bytes, what was answered before is whole."""
    with listening(tmp_path / "home", code=NO_ROOM) as listener:
        codes = [listener.post("1"), listener.post("2" * 3_000), listener.post("3")]
        listener.stop()

        assert [200, 507, 200] == codes
        assert [b"1", b"3"] == [each.body for each in listener.entries()]


def test_a_full_disk_at_the_start_is_no_end(tmp_path: Path) -> None:
    """It listens, says 507, and stores as soon as there is room."""
    (tmp_path / "broken").write_text(str(errno.ENOSPC), encoding="utf-8")
    with listening(tmp_path / "home", code=SYNC_FAILS) as listener:
        codes = [listener.post("1")]
        (tmp_path / "broken").unlink()
        codes += [listener.post("2")]

    assert [507, 200] == codes


def test_a_run_that_works_is_in_nobodys_way(listener: Listener) -> None:
    """Posts are answered while another process holds the warehouse."""
    with hold(listener.home, datetime.now(UTC)):
        assert 200 == listener.post("x")


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


def test_a_burst_of_20_000_posts_is_stored(tmp_path: Path) -> None:
    """Whoever is put off posts again; in the end each is there, and none that was answered twice."""
    answered: list[str] = []
    with listening(tmp_path / "home") as listener:
        clients = [
            threading.Thread(
                target=post_kept,
                args=(listener, numbered(1250 * place, 1250), answered),
                kwargs={"again": True},
            )
            for place in range(16)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert 0 == listener.stop()

        stored = sorted(each.body.decode() for each in listener.entries())
        assert numbered(0, 20_000) == sorted(answered) == stored


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

    remedy = "Not a directory; move away what stands in its place, or set SIGHTGLASS_HOME"
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


def test_a_rate_is_a_seconds_worth_at_once_and_then_so_many_in_each() -> None:
    """What was not used in a second is not saved up beyond it."""
    now = [0.0]
    rate = RateLimit(3, lambda: now[0])
    passed = []
    for moment in (0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 0.6, 100.0, 100.0, 100.0, 100.0):
        now[0] = moment
        passed.append(rate.passes())

    assert [True, True, True, False, False, True, False, True, True, True, False] == passed


def is_listening(listener: Listener) -> bool:
    """Whether a connection is accepted."""
    try:
        socket.create_connection(listener.place).close()
    except OSError:
        return False
    return True


def wait_for(path: Path) -> None:
    """Return once a file is there."""
    until = monotonic() + 60
    while not path.exists():
        assert monotonic() < until
