"""Publishing that is killed between any two things it does: readers see the old version or the new, whole."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from conftest import OURS, ROOT, Plant, Sightglass
from support.kills import started
from support.publish_kills import copy, held, seen

from etl.load.warehouse import open_for_writing

WATCH = """
import os, signal, sys
import duckdb
from etl.publish import bi

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.chmod")
done = []

def step(what, path):
    done.append([what, os.path.basename(path)])
    if len(done) == NUMBER:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(event, given):
    if event in CHANGES or (event == "open" and given[2] and given[2] & WRITING):
        paths = [str(path) for path in given[:2]]
        if any(place in path for path in paths for place in ("/lake", "/versions", "bi.duckdb")):
            step(event, paths[0])

class Watched:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def execute(self, *arguments):
        step("execute", arguments[0])
        return self.connection.execute(*arguments)

class Module:
    def __getattr__(self, name):
        return getattr(duckdb, name)
    def connect(self, *arguments, **named):
        return Watched(duckdb.connect(*arguments, **named))

def fsync(handle, real=os.fsync):
    step("fsync", os.readlink(f"/proc/self/fd/{handle}"))
    real(handle)

def watch():
    sys.addaudithook(hook)
    bi.duckdb, os.fsync = Module(), fsync
"""

SERVER = """
import json, sys, time
import etl.cli, etl.cli.publish, etl.sources, etl.sources.cogniac, etl.sources.neurons

for line in sys.stdin:
    NUMBER, *settings = json.loads(line)
    child = os.fork()
    if child == 0:
        sys.argv = ["sightglass", "publish", *settings]
        sys.stdout = sys.stderr = open(os.devnull, "w")
        watch()
        try:
            etl.cli.main()
        except SystemExit as ended:
            done.append(ended.code or 0)
        with open(HOME + ".log", "w") as log:
            json.dump(done, log)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Forks a process that publishes for each line it is sent: so they begin at once."""


class Publishing:
    """`sightglass publish` as a real process, again and again, from the same state of the same folder."""

    def __init__(self, home: Path, server: Popen[str]) -> None:
        self.home, self._server = home, server
        self._state = home.with_name("state")

    def keep(self) -> None:
        """Remember the folder as it is now."""
        copy(self.home, self._state)

    def again(self) -> None:
        """Bring the folder back to what it was."""
        copy(self._state, self.home)

    def died(self, number: int, *settings: str) -> bool:
        """Whether it was killed before its so manieth step; else it must have gone well."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([number, *settings]) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        assert status in (0, signal.SIGKILL)
        return status != 0

    def steps(self, *settings: str) -> list[tuple[str, str]]:
        """What it does when nobody kills it, each with the name of the file."""
        assert not self.died(0, *settings)
        *steps, code = json.loads(self.home.with_name("home.log").read_text())
        assert 0 == code
        return [(what, name) for what, name in steps]

    def files(self) -> list[str]:
        """The files in the folder, whatever time is in their names."""
        paths = (
            path for path in self.home.rglob("*") if not path.is_symlink() and ".aside" not in path.parts
        )
        # What remembers which files were read only saves time: a first publish has nothing to remember.
        paths = (path for path in paths if path.name != "verified.json")
        found = (str(path.relative_to(self.home)) for path in paths)
        return sorted(re.sub(r"\d{16}", "since", name) for name in found)


CHANGES = (
    """
    INSERT INTO etl.runs (run_id, started_at, status, version)
    SELECT 'r' || i, TIMESTAMPTZ '2026-01-01' + to_months(CAST(i AS INTEGER)), 'ok', '0.0'
    FROM range($1, $2) t(i)""",
    """
    INSERT INTO etl.cursors (source, stream, partition, cursor_at, run_id)
    SELECT 'cogniac', 'detections', 'p' || i, now(), 'r' || i FROM range($1, $2) t(i)""",
    "DELETE FROM etl.cursors WHERE partition = 'p' || ($1 - 2) AND run_id <> 'r' || $2",
)
"""What changes a table that is cut by months, and one that also loses a row."""


def change(home: Path, *numbers: int) -> None:
    """Let the warehouse hold more and other rows, those from one number to another, each in a month."""
    umask = os.umask(0o022)
    with closing(open_for_writing(home)) as warehouse:
        for statement in CHANGES:
            warehouse.connection.execute(statement, numbers)
    os.umask(umask)


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Publishing]:
    """A warehouse that was never published, with a few rows in it, and a process that publishes it."""
    home = tmp_path / "home"
    home.mkdir()
    change(home, 0, 2)
    program = f"{WATCH}\nHOME = {str(home)!r}\n{SERVER}"
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ours = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(home), "SIGHTGLASS_LAKE_GRACE": "0"}
    command = [sys.executable, "-c", program]
    with Popen(
        command, env={**machine, **ours}, stdin=PIPE, stdout=PIPE, encoding="utf-8", umask=0o022
    ) as server:
        yield Publishing(home, server)
        assert server.stdin is not None
        server.stdin.close()


def test_an_increment_killed_anywhere(publishing: Publishing) -> None:
    """Before each thing that it does to a file, from the first to the last; the next removes all traces."""
    assert not publishing.died(0)
    before = seen(publishing.home)
    change(publishing.home, 2, 3)
    publishing.keep()
    steps, after, expected = publishing.steps(), held(publishing.home), publishing.files()
    found, wrong = [], []
    for number in range(1, len(steps) + 1):
        publishing.again()
        if not publishing.died(number):
            break
        found.append([before, after].index(seen(publishing.home)))
        # Every third is enough: what comes after is the same for most of them.
        if number % 3 == 0 and publishing.died(0):
            wrong.append(f"{number}: not made good")
        if number % 3 == 0 and (seen(publishing.home), publishing.files()) != (after, expected):
            wrong.append(f"{number}: {set(publishing.files()) ^ set(expected)}")

    assert ([], {0, 1}, 0) == (wrong, set(found), found[0])
    assert {"os.rename", "os.link", "os.symlink", "os.remove", "os.chmod", "open", "fsync"} <= {
        what for what, _ in steps
    }
    assert len(found) > 20


def test_a_first_publish_killed_many_times(publishing: Publishing) -> None:
    """Nothing is seen of it until all is there, wherever in the lake it dies again and again."""
    publishing.keep()
    steps, expected = publishing.steps(), publishing.files()
    lake = [what for what, _ in steps].index("execute")
    publishing.again()
    # What one has made the next need not make: at some number it comes to its end before it is killed.
    found = []
    for number in range(1, lake, lake // 9):
        if not publishing.died(number):
            break
        found.append(seen(publishing.home))

    assert [[]] * len(found) == found
    assert len(found) > 4
    assert not publishing.died(0)
    assert (held(publishing.home), expected) == (seen(publishing.home), publishing.files())


def test_new_definitions_killed_anywhere(publishing: Publishing) -> None:
    """While bi.duckdb is made anew, the one before stays."""
    # The second removes what the first has left where the machine was slow: so all go the same steps.
    assert [False, False] == [publishing.died(0) for _ in "12"]
    expected, definitions = publishing.files(), (publishing.home / "bi.duckdb").read_bytes()
    publishing.keep()
    elsewhere = ("--set", f"SIGHTGLASS_LAKE_URI=file://{publishing.home}")
    steps = list(enumerate(publishing.steps(*elsewhere), start=1))
    publishing.again()
    statements = [number for number, (what, _) in steps if what == "execute"]
    around = [number for number, (_, name) in steps if name.startswith("bi.duckdb")]
    numbers = sorted({*statements[1::200], statements[-1], *around})
    deaths = [(publishing.died(number, *elsewhere), seen(publishing.home)) for number in numbers]
    same = definitions == (publishing.home / "bi.duckdb").read_bytes()

    assert [(True, held(publishing.home))] * len(numbers) == deaths
    assert same
    assert not publishing.died(0, *elsewhere)
    assert (held(publishing.home), expected) == (seen(publishing.home), publishing.files())
    assert definitions != (publishing.home / "bi.duckdb").read_bytes()


def test_runs_killed_while_they_publish(sightglass: Sightglass, plant: Plant) -> None:
    """Readers keep the version of the run before, or get that of the run that died; the next goes well."""
    assert 0 == sightglass("run", "cogniac").code
    found = []
    for number in (20, 45):
        plant.cogniac.advance(records=10, corrections=5)
        before = seen(sightglass.home)
        program = f"NUMBER = {number}\n{WATCH}\nwatch()\nfrom etl import cli\ncli.main()"
        with started(sightglass, program, "run", "cogniac") as process:
            process.communicate(timeout=100)
        found.append((process.returncode, seen(sightglass.home) in (before, held(sightglass.home))))

    assert [(-signal.SIGKILL, True)] * 2 == found
    assert 0 == sightglass("run", "cogniac").code
    assert held(sightglass.home) == seen(sightglass.home)
