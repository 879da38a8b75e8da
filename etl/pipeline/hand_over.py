"""Hand rows from one process to another: in memory that both share, as Arrow has them."""

import errno
import io
import mmap
import os
import pickle
import tempfile
from contextlib import suppress
from socket import MSG_CTRUNC, recv_fds, send_fds, socket
from struct import Struct
from typing import IO, Any

import pyarrow as pa

from etl.errors import EnvironmentFaultError

INDEX = Struct("<Q")
"""How it is told where in what is handed over all but its tables begins."""
KILLED = (
    "the process that makes rows of records was killed: is there enough memory? "
    "What was received is kept, the next run goes on from there"
)


class _Pickler(pickle.Pickler):
    """Writes the rows in an object into the file as Arrow has them, and notes where they are."""

    def __init__(self, body: IO[bytes], file: IO[bytes]) -> None:
        super().__init__(body, protocol=5)
        self._file = file

    def persistent_id(self, obj: object) -> tuple[int, int] | None:
        """Return where a table is in the file: from which byte, up to which without it."""
        if not isinstance(obj, pa.Table):
            return None
        begin = self._file.tell()
        with pa.ipc.new_stream(self._file, obj.schema) as stream:
            stream.write_table(obj)
        return begin, self._file.tell()


class _Unpickler(pickle.Unpickler):
    """Finds the rows where they are in memory that both processes share: none are copied.

    As buffers of pickle, each would be an object of Python, for which DuckDB would wait time and again.
    """

    def __init__(self, body: IO[bytes], held: pa.Buffer) -> None:
        super().__init__(body)
        self._held = held

    def persistent_load(self, pid: tuple[int, int]) -> pa.Table:
        """Return the table that is there."""
        begin, end = pid
        return pa.ipc.open_stream(self._held.slice(begin, end - begin)).read_all()


def send(channel: socket, what: object) -> EnvironmentFaultError | None:
    """Hand something over in a file that has no name: the tables in it, then all else.

    The error where that cannot be: nobody is there any more, or there is no room.
    """
    body = io.BytesIO()
    try:
        with _nameless() as file:
            _Pickler(body, file).dump(what)
            end = file.tell()
            file.write(body.getbuffer())
            file.flush()
            send_fds(channel, [INDEX.pack(end)], [file.fileno()])
    except OSError as error:
        return _lost(error)
    return None


def _lost(error: OSError) -> EnvironmentFaultError:
    """Return what is to be told where rows cannot be handed over."""
    if isinstance(error, ConnectionError):
        return EnvironmentFaultError(KILLED)
    return EnvironmentFaultError(
        f"rows cannot be handed from one process to another: {error.strerror or error}; see to its limits. "
        "What was received is kept, the next run goes on from there"
    )


def _nameless() -> IO[bytes]:
    """Return a file in memory where the machine has such, else one that is gone once it is closed."""
    with suppress(AttributeError, PermissionError):
        return os.fdopen(os.memfd_create("rows"), "wb")
    return tempfile.TemporaryFile()


def receive(channel: socket) -> Any:  # noqa: ANN401 -- whatever was sent
    """Return what was handed over; EnvironmentFaultError where nobody is there any more."""
    try:
        told, numbers, flags, _ = recv_fds(channel, INDEX.size, 1)
        if not numbers:
            # Without room for one more open file, what came with the message is dropped.
            lacks_room = flags & MSG_CTRUNC or told
            return _lost(OSError(errno.EMFILE, "Too many open files") if lacks_room else ConnectionError())
        with os.fdopen(numbers[0], "rb") as file:
            held = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        return _lost(error)
    (end,) = INDEX.unpack(told)
    # Nobody but our own process can have written it.
    return _Unpickler(io.BytesIO(held.slice(end)), held).load()
