"""Imports the command, then forks a process for each request: the program that `forked` starts."""

import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT)
BYTES = 2**20
NEEDS_MORE = {"demo", "listen"}
"""Commands whose packages start threads, or are many."""


def preload() -> None:
    """Import what commands import."""
    for path in sorted((ROOT / "etl" / "cli").glob("*.py")):
        if path.stem not in NEEDS_MORE:
            import_module(f"etl.cli.{path.stem}".removesuffix(".__init__"))
    for name in ("cogniac", "neurons"):
        import_module(f"etl.sources.{name}")
    # pyarrow's jemalloc begins its own anew in a fork.
    names = [(each / "comm").read_text().strip() for each in Path("/proc/self/task").iterdir()]
    threads = [name for name in names if not name.startswith("jemalloc")]
    assert len(threads) == 1, f"no thread lives on in a fork: {threads}"


def command(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the command."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, stream in enumerate([nothing, *streams]):
            os.dup2(stream, number)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        os.chdir(asked["folder"])
        os.umask(0o022)
        time.tzset()
        sys.path[0] = asked["folder"]
        sys.argv = [str(ROOT / "etl" / "__main__.py"), *asked["arguments"]]
        import_module("etl.__main__").main()
        code = 0
    except BaseException:  # noqa: BLE001 -- as Python does
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def serve(path: str) -> None:
    """Fork a process for each request, and say how it has ended, as long as standard input is open."""
    waiting: dict[int, socket.socket] = {}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as selector:
        listening.bind(path)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for each in (listening, reading, 0):
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if 0 in ready:
                return
            if listening in ready:
                connection, _ = listening.accept()
                pid = forked(connection)
                waiting[pid] = connection
            if reading in ready:
                with suppress(BlockingIOError):
                    os.read(reading, BYTES)
            for pid, status in ended(waiting):
                connection = waiting.pop(pid)
                with suppress(OSError):
                    connection.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())
                connection.close()


def ended(waiting: dict[int, socket.socket]) -> list[tuple[int, int]]:
    """The processes that have ended, each with its status."""
    found = []
    for pid in waiting:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append((pid, status))
    return found


def forked(connection: socket.socket) -> int:
    """Fork the process that a request asks for; its number."""
    asked, streams = b"", list[int]()
    while True:
        part, found, *_ = socket.recv_fds(connection, BYTES, 2)
        streams += found
        asked += part
        if not part:
            break
    pid = os.fork()
    if pid == 0:
        command(json.loads(asked), streams)
    for each in streams:
        os.close(each)
    return pid


if __name__ == "__main__":
    preload()
    serve(sys.argv[1])
