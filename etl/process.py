"""What becomes of this process: its standard streams are open, and being told to stop ends it soon.

Ctrl-C and SIGTERM raise `Stopped` in the main thread, once; what is half made goes on the way out. Python
raises nothing in a thread that works inside DuckDB. So another thread interrupts all queries meanwhile, and
ends the process where even that does not bring the main thread back.
"""

import os
import shlex
import shutil
import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import NoReturn, Protocol, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
TOLD = "sightglass: told to stop; what was loaded is kept, the next run goes on from there\n"

START = """
import sys
sys.path.insert(0, sys.argv[1])
import etl
del sys.path[0], sys.argv[1]
from etl.__main__ import main
main()
"""
"""The command, of the package `etl` that is that of this process, though PYTHONPATH may hold another."""

M_ARENA_MAX = -8
"""As `mallopt` of glibc calls it."""

POLL_SECONDS = 0.02
"""How often queries are interrupted: one that begins just after an interrupt does not notice it."""
STUCK_SECONDS = 0.8
"""How long the main thread may stay where Python cannot reach it."""
CLEANUP_SECONDS = 15.0
"""How long it may take for the way out."""


class Stopped(SystemExit):
    """The process was told to stop; carries its exit code."""


class Connection(Protocol):
    """What works where Python cannot reach it, a DuckDB connection for one."""

    def interrupt(self) -> None:
        """Let what it works on fail."""

    def close(self) -> None:
        """Let go of it."""


C = TypeVar("C", bound=Connection)


class _State:
    """What this process was told, and what is to be done about it."""

    code = 0
    """The exit code that goes with the signal that has come; 0 as long as none has."""
    is_obeyed = False
    """Whether to end is all that was asked of it: then it ends as any process does."""
    is_watched = False
    has_raised = threading.Event()
    is_spared = False
    """Whether those that are wanted after the signal are interrupted no more."""
    word: Callable[[str], str] = str
    """How the line looks that tells of it."""
    connections: dict[Connection, bool] = {}  # noqa: RUF012 -- there is one process
    """Those at work, and whether they are wanted after a signal."""
    scratch: set[Path] = set()  # noqa: RUF012


def code_if_told() -> int:
    """Return the exit code of a process that was told to stop; 0 where it was not."""
    return _State.code


def own_command(*arguments: str) -> list[str]:
    """Return what starts this command with other arguments, in a process of its own."""
    return [sys.executable, "-P", "-c", START, str(Path(__file__).parents[1]), *arguments]


def command_line() -> list[str]:
    """Return the words that start this command in a shell, from any folder."""
    started, beside = Path(sys.argv[0]), Path(sys.executable).with_name("sightglass")
    script = started.absolute() if started.name == "sightglass" else beside
    return [str(script)] if script.is_file() else [sys.executable, "-m", "etl"]


def command_name() -> str:
    """Return what to type in a shell: the name of this command where that is found, else `command_line`."""
    return "sightglass" if shutil.which("sightglass") else shlex.join(command_line())


@contextmanager
def stoppable() -> Iterator[None]:
    """Let a signal end what is done inside, and then the process, whatever has become of its exception."""
    try:
        _watch_signals()
        yield
    except BaseException:
        # DuckDB and C extensions make an error of their own of a signal that comes while they work.
        if _State.code and not _State.is_obeyed:
            _leave()
        raise


class InterruptedByHand:
    """Lets Ctrl-C end what is done inside with KeyboardInterrupt, though it is not the command that does it.

    These connections are interrupted then, where Python cannot reach what works on them. Whoever has a
    handler of their own, or works in another thread than the main one, is left alone.
    """

    def __init__(self, connections: Callable[[], Iterable[Connection]]) -> None:
        self._connections = connections
        self._is_told = self._has_raised = self._is_leaving = self._is_watched = False
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        _State.code, _State.is_spared, self._is_watched = 0, False, True
        reading, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        self._former = signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        self._watching = threading.Thread(target=self._watch, args=(reading,), name="interrupts", daemon=True)
        self._watching.start()
        signal.signal(signal.SIGINT, self._tell)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._is_leaving = True
        if not self._is_watched:
            return
        self._is_over.set()
        signal.set_wakeup_fd(self._former)
        os.close(self._waking)
        self._watching.join()
        _State.code = 0
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._is_told and (error is None or isinstance(error, Exception)):
            # DuckDB and C extensions make an error of their own of it, which others may have passed over.
            raise KeyboardInterrupt from error

    def _tell(self, number: int, frame: FrameType | None) -> None:
        """Raise what ends it, once; not on the way in or out, which would leave all this in place."""
        self._is_told = True
        _State.code = 128 + number
        ways = (InterruptedByHand.__enter__.__code__, InterruptedByHand.__exit__.__code__)
        is_on_the_way = frame is not None and (
            frame.f_code in ways or frame.f_globals.get("__name__") == "contextlib"
        )
        if not (self._is_leaving or self._has_raised or is_on_the_way):
            self._has_raised = True
            raise KeyboardInterrupt

    def _watch(self, reading: int) -> None:
        """Interrupt the connections from when SIGINT has come until they are spared.

        Who is told of signals, an event loop for one, is told of those that come meanwhile as well.
        """
        while number := os.read(reading, 1):
            with suppress(OSError):
                os.write(self._former, number)
            # DuckDB waits for what it works on even where it has heard of the signal.
            while number[0] == signal.SIGINT and not (self._is_over.wait(POLL_SECONDS) or _State.is_spared):
                for each in self._connections():
                    with suppress(Exception):  # it may be closed by now
                        each.interrupt()
                if self._is_told and not (self._has_raised or self._is_leaving):
                    interrupt_main()
        os.close(reading)


def writing() -> list[Connection]:
    """Return the connections of this process that write."""
    return [each for each, is_wanted_after in tuple(_State.connections.items()) if is_wanted_after]


@contextmanager
def interruptible(connection: C, *, is_wanted_after: bool = False) -> Iterator[C]:
    """Provide a connection whose queries a signal interrupts; closed at the end.

    One that is wanted after the signal, to enter what came of it, is interrupted until it is spared.
    """
    _State.connections[connection] = is_wanted_after
    try:
        yield connection
    finally:
        del _State.connections[connection]
        # What could not be closed well is of no use to anybody any more.
        with suppress(Exception):
            connection.close()


def obey() -> None:
    """Let the process end as it says itself, for it was told to stop where nothing is left half done."""
    _State.is_obeyed = True


def leave_with(word: Callable[[str], str]) -> None:
    """Let the line that tells of a signal look as this function has it."""
    _State.word = staticmethod(word)


def spare() -> None:
    """Interrupt those connections no more that are wanted after the signal: nothing works on them now."""
    _State.is_spared = True


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Provide a file or folder that is gone at the end, however that comes."""
    _State.scratch.add(path)
    try:
        yield path
    finally:
        remove(path)
        _State.scratch.discard(path)


def share_arenas() -> None:
    """Let all threads take memory from two arenas, where the C library has such.

    glibc gives each thread one of its own, and each keeps what its thread has given back: 25 MB at a load.
    """
    _of_the_c_library("mallopt", M_ARENA_MAX, 2)


def give_back_memory() -> None:
    """Let the machine have what this process has freed and glibc keeps."""
    _of_the_c_library("malloc_trim", 0)


def _of_the_c_library(name: str, *arguments: int) -> None:
    import ctypes  # noqa: PLC0415 -- most commands need none

    with suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), name)(*arguments)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, as far as that can be."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def open_nowhere(number: int) -> None:
    """Let what is written to a stream vanish."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def open_streams() -> None:
    """Open the standard streams that are closed, on nothing."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened, the warehouse perhaps, is written what was meant for people.
            open_nowhere(number)


def _watch_signals() -> None:
    if _State.is_watched or threading.current_thread() is not threading.main_thread():
        return
    _State.is_watched = True
    open_streams()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in SIGNALS:
        # Who starts a command in the background, or with nohup, has it ignore signals.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)
    threading.Thread(target=_watch, args=(reading,), name="signals", daemon=True).start()


def _raise(number: int, _frame: object) -> None:
    """Raise in the main thread what ends it; whoever tells it again does not disturb it on its way out."""
    if _State.has_raised.is_set():
        return
    _State.code = _State.code or 128 + number
    _State.has_raised.set()
    # What else goes wrong in a process that is going is of no interest to anybody.
    sys.unraisablehook = lambda _error: None
    threading.excepthook = lambda _error: None
    raise Stopped(_State.code)


def _watch(reading: int) -> None:
    """Wait for a signal, which C code tells here even when Python cannot run, and see that it is obeyed."""
    while (number := os.read(reading, 1)[0]) not in SIGNALS:
        pass
    _State.code = _State.code or 128 + number
    told_at = monotonic()
    while (waited := monotonic() - told_at) < CLEANUP_SECONDS:
        is_leaving = _State.has_raised.wait(POLL_SECONDS)
        if not is_leaving and waited > STUCK_SECONDS:
            break
        for connection, is_wanted_after in tuple(_State.connections.items()):
            # DuckDB waits for what it works on even where it has heard of the signal.
            if not (_State.is_spared and is_wanted_after):
                with suppress(Exception):  # it may be closed by now
                    connection.interrupt()
        if is_leaving:
            sleep(POLL_SECONDS)
    _leave()


def _leave() -> NoReturn:
    """End the process. Not by sys.exit: a thread that waits for a slow answer would hold it up."""
    for path in tuple(_State.scratch):
        remove(path)
    # After ^C, on a line of its own.
    line = "\n" * (_State.code == 128 + signal.SIGINT and os.isatty(STDERR)) + _State.word(TOLD)
    with suppress(OSError):
        os.write(STDERR, line.encode())
    os._exit(_State.code)
