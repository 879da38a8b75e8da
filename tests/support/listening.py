"""The listener as a process, and those who post to it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, cast

from conftest import OURS, ROOT

from etl.inbox.reader import Inbox
from etl.inbox.segment import Entry

SECRET = "correct-horse-battery-staple"
COMMAND = "from etl import cli\ncli.main()"
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
environ = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execve(sys.executable, [sys.executable, "-m", "etl", "listen"], environ)
"""


@dataclass(slots=True)
class Listener:
    """A listener at work."""

    process: Popen[str]
    home: Path
    url: str
    told: str
    """What it said before it was ready, and after its end all of it."""

    @property
    def place(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = re.fullmatch(r"https?://(.*):(\d+)/", self.url).groups()  # type: ignore[union-attr]
        return host.strip("[]"), int(port)

    def post(self, body: bytes | str, path: str = "/app", **headers: str) -> int:
        """Post over a connection of its own; the status of the answer."""
        return self.ask("POST", path, body, **headers)[0]

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Ask over a connection of its own; status and text of the answer."""
        connection = self.connect()
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> HTTPConnection:
        """A connection that can be kept."""
        return HTTPConnection(*self.place, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; its exit code, once it has ended."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Its exit code, once it has ended."""
        self.told += cast("IO[str]", self.process.stderr).read()
        return self.process.wait(timeout=60)

    def entries(self) -> list[Entry]:
        """All that a run would take from the inbox."""
        return entries(self.home)


def entries(home: Path) -> list[Entry]:
    """All that a run would take from the inbox, which is whole but for what was answered to nobody."""
    read = [segment.read() for segment in Inbox(home).finished()]
    assert not any(each.is_damaged for each in read)
    return [entry for each in read for entry in each.entries]


@contextmanager
def listening(
    home: Path, *arguments: str, code: str = "", activated: socket.socket | None = None, **settings: str
) -> Iterator[Listener]:
    """Provide a listener on a free port, or on a socket that is handed over, once it says that it listens.

    `code` is run before the command.
    """
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    always = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(home)}
    program = [f"{code}\n{COMMAND}", "listen", "--port", "0", *arguments]
    files = [activated.fileno()] if activated else []
    if files:
        program = [ACTIVATED, *map(str, files)]
    process = Popen(
        [sys.executable, "-c", *program],
        cwd=home.parent,
        env={**machine, **always, **settings},
        stdin=subprocess.DEVNULL,
        stderr=PIPE,
        text=True,
        pass_fds=files,
    )
    try:
        told = ""
        while "listening on" not in told:
            line = cast("IO[str]", process.stderr).readline()
            assert line, told
            told += line
        yield Listener(process, home, told.split()[-1], told)
    finally:
        process.kill()
        process.wait()
        cast("IO[str]", process.stderr).close()


def numbered(first: int, count: int) -> list[str]:
    """Bodies, each with its number."""
    return [json.dumps({"media": {"media_id": f"{number:032x}"}}) for number in range(first, first + count)]


def post_kept(listener: Listener, bodies: list[str], answered: list[str], *, again: bool = False) -> None:
    """Post over a connection that is kept, note what is answered 200; until all are, or the listener dies."""
    connection = listener.connect()
    rest = iter(bodies)
    body = next(rest, None)
    try:
        while body is not None:
            connection.request("POST", "/app", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                answered.append(body)
            if answer.status == 200 or not again:
                body = next(rest, None)
    except (OSError, HTTPException):
        pass  # it has died
    finally:
        connection.close()
