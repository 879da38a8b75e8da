"""Commands killed at any of their steps: changes of files, DuckDB statements and commits, requests."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import duckdb
from conftest import Sightglass

from support.kills import Moment, Tables, started, torn
from support.publish_kills import held, seen

AT_A_STEP = """
import atexit, itertools, os, signal, sys, threading
import duckdb
from etl.extract.transport import Transport

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {f"os.{name}" for name in ("rename", "link", "symlink", "remove", "mkdir", "rmdir", "truncate")}
own, numbers, last = os.getpid(), itertools.count(1), 0

def step():
    global last
    last = next(numbers)
    if last == NUMBER and os.getpid() == own:
        os.kill(own, signal.SIGKILL)

def hook(event, given):
    is_written = event == "open" and given[2] is not None and given[2] & WRITING
    if (is_written or event in CHANGES) and "pycache" not in str(given[0]) and str(given[0])[:5] != "/dev/":
        step()

class Counted:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def __enter__(self):
        return self
    def __exit__(self, *_error):
        self.connection.close()
    def cursor(self):
        return Counted(self.connection.cursor())
    def execute(self, *arguments):
        step()
        return self.connection.execute(*arguments)
    def commit(self):
        step()
        self.connection.commit()

def connect(*arguments, real=duckdb.connect, **named):
    step()
    return Counted(real(*arguments, **named))

def fsync(handle, real=os.fsync):
    step()
    real(handle)

def handle_request(self, request, real=Transport.handle_request):
    step()
    return real(self, request)

def tell():
    found = str(last)
    with open("steps", "w") as file:
        file.write(found)

duckdb.connect, os.fsync, Transport.handle_request = connect, fsync, handle_request
sys.addaudithook(hook)
if not NUMBER:
    atexit.register(tell)
"""
"""Code that counts what a command does to files, to DuckDB and to the APIs, and ends it before one of it."""

AGAIN = """
    SELECT CAST(COLUMNS(lambda name: name NOT IN (
        '_run_id', '_loaded_at', 'fetched_at', 'run_id', 'seen_at', 'since', 'bound_at', 'confirmed_at',
        'cursor_at', 'start_at', 'next_at', 'attempts'
    )) AS VARCHAR)
    FROM {} ORDER BY ALL"""
"""A table without what each run writes anew."""
OF_RUNS = ("etl.log", "etl.runs", "etl.run_streams", "etl.run_days", "etl.stretches")
"""What tells of the runs themselves, the killed ones too."""
BESIDE = ("raw", "run.lock", "run.holder.json", ".aside", "verified.json", "steps")
"""What differs whenever a command has been run more often, or its processes have other numbers."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a command has left: its exit code, what is stored, what readers see, and the files."""

    code: int
    stored: dict[str, Tables]
    """By the name of a warehouse, that of one put aside too."""
    is_published: bool
    files: list[str]
    torn: list[str]


def left(sightglass: Sightglass, code: int) -> Left:
    """What a command that ended with this code has left in its folder."""
    home = sightglass.home
    stored = {path.name: dump(path) for path in home.glob("warehouse.duckdb*") if path.suffix != ".wal"}
    return Left(code, stored, seen(home) == held(home), files(sightglass.folder), torn(home))


def dump(path: Path) -> Tables:
    """The tables of a database, without what each run writes anew."""
    with duckdb.connect(path, read_only=True) as connection:
        names = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        kept = [name for (name,) in names if name not in OF_RUNS]
        return {name: connection.execute(AGAIN.format(name)).fetchall() for name in kept}


def files(folder: Path) -> list[str]:
    """The files in a folder, whatever time is in their names."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_symlink())
    return sorted(
        {re.sub(r"\d{16}", "since", str(path)) for path in found if not set(BESIDE) & {*path.parts}}
    )


def ended(sightglass: Sightglass, number: int, *command: str) -> int:
    """The exit code of a command that is killed at a step, or the number of the signal."""
    with started(sightglass, Moment(f"NUMBER = {number}\n{AT_A_STEP}", 0).program, *command) as process:
        _, said = process.communicate(timeout=100)
    assert "Traceback" not in said, said
    assert process.returncode >= 0 or process.returncode == -signal.SIGKILL
    return process.returncode


def steps(sightglass: Sightglass, *command: str) -> tuple[int, int]:
    """The exit code of a command that nobody kills, and how many steps it took."""
    code = ended(sightglass, 0, *command)
    return code, int((sightglass.folder / "steps").read_text())
