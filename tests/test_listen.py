"""`sightglass listen`: who may post, what is taken in, and what becomes of clients that do otherwise."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.listening import (
    SECRET,
    Listener,
    listening,
)

from etl.listen.access import RateLimit

IMPATIENT = """
import etl.http_server as server
server.REQUEST_SECONDS = 0.2
"""


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


def test_a_rate_is_a_seconds_worth_at_once_and_then_so_many_in_each() -> None:
    """What was not used in a second is not saved up beyond it."""
    now = [0.0]
    rate = RateLimit(3, lambda: now[0])
    passed = []
    for moment in (0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 0.6, 100.0, 100.0, 100.0, 100.0):
        now[0] = moment
        passed.append(rate.passes())

    assert [True, True, True, False, False, True, False, True, True, True, False] == passed
