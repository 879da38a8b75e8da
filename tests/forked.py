"""The command in processes that are forked from one that has imported it: most of a short command is imports.

A process of its own all the same, with its own environment, folder and streams. `TEST_LONG=1` starts each one
from the beginning, and so do tests that need a process in their hands (`Sightglass.start`).
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

STARTING = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "MALLOC", "GLIBC", "ARROW", "SSL_", "COVERAGE", "DUCKDB")
"""What names of settings begin with that Python, or a library, looks at when it starts."""


def may_fork(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment is the same when it is forked."""
    asked = {name: value for name, value in env.items() if name.startswith(STARTING)}
    return "TEST_LONG" not in os.environ and asked == {
        name: value for name, value in _environment().items() if name.startswith(STARTING)
    }


def run(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, seconds: float
) -> tuple[int, bytes, bytes]:
    """Run the command to its end: its exit code, negative where a signal ended it, and what it wrote."""
    asked = json.dumps({"arguments": [*arguments], "env": {**env}, "folder": str(folder)}).encode()
    (out, out_in), (err, err_in) = os.pipe(), os.pipe()
    with socket.socket(socket.AF_UNIX) as parent, ThreadPoolExecutor(2) as readers:
        parent.settimeout(seconds)
        parent.connect(_server())
        socket.send_fds(parent, [asked], [out_in, err_in])
        parent.shutdown(socket.SHUT_WR)
        os.close(out_in)
        os.close(err_in)
        written = [readers.submit(_read, os.fdopen(each, "rb")) for each in (out, err)]
        code = json.loads(parent.makefile().read())
        return code, written[0].result(seconds), written[1].result(seconds)


def _read(stream: IO[bytes]) -> bytes:
    with stream:
        return stream.read()


def _environment() -> dict[str, str]:
    """The environment of the process that the others are forked from."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@cache
def _server() -> str:
    """The address of the process that the others are forked from; it ends with this one."""
    path = f"{tempfile.mkdtemp(prefix='forked-')}/asked"
    # Its standard input is open as long as this process lives.
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fork_server.py")), path],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(_end, process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return path


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()
