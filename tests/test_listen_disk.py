"""What was answered is in the inbox, whatever becomes of the listener and of its disk."""

import errno
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from support.listening import (
    Listener,
    entries,
    listening,
    numbered,
    post_kept,
)

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


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A listener on this machine, without a secret."""
    with listening(tmp_path / "home") as made:
        yield made


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
