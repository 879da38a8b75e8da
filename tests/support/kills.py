"""What tests of several files share with `test_kills`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from conftest import OURS, ROOT, Plant, Sightglass, Truth, as_read, rows, serving, table

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize

Tables = dict[str, list[tuple[Any, ...]]]
Ended = tuple[str, int | None, set[tuple[str, str | None]]]
"""The status of a run, its exit code, and the status of each of its streams that did not end well."""


KILLED_EARLY: Ended = ("failed", None, set())
KILLED: Ended = ("failed", None, {("failed", "the run was killed")})
ENDED: tuple[Ended, ...] = (KILLED_EARLY, KILLED, ("ok", 0, set()))
DUMP = """
    SELECT CAST(COLUMNS(lambda name: name NOT IN ('_run_id', '_loaded_at', 'fetched_at')) AS VARCHAR)
    FROM {} ORDER BY ALL"""


GAPS = "SELECT source, stream, key, what FROM etl.gaps ORDER BY ALL"
WITH_LIMITS = """
from functools import partial
from etl.cli import run as command
from etl.pipeline.source_loader import LoadLimits
command.run = partial(command.run, limits=LoadLimits({limits}))
"""


def with_limits(**limits: int) -> str:
    """Code that lets the command `run` load within these limits."""
    return WITH_LIMITS.format(limits=", ".join(f"{name}={limit}" for name, limit in limits.items()))


SMALL_BATCHES = f"""{with_limits(part_bytes=1_000, batch_bytes=4_000)}
from etl.sources.cogniac import pages
pages.PAGE = 10
"""


AT_A_CALL = """
import os, signal
import {owner} as owner
from etl.load import warehouse

class Watched:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def commit(self):
        self.connection.commit()
    def execute(self, *arguments):
        return self.connection.execute(*arguments)

initialize = warehouse.Warehouse.__init__
def watched(self, connection, path=None):
    initialize(self, Watched(connection), path)

calls, real = 0, {place}.{name}
def deadly(*arguments, **named):
    global calls
    calls += 1
    mine = calls
    if (SIDE, NUMBER) == ("before", mine):
        os.kill(os.getpid(), signal.SIGKILL)
    answer = real(*arguments, **named)
    if (SIDE, NUMBER) == ("after", mine):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
{place}.{name} = deadly
warehouse.Warehouse.__init__ = watched
"""


def at_a_call(owner: str, place: str, name: str) -> str:
    """Code that counts the calls of a function: of the module that owns it, or of something above."""
    return AT_A_CALL.format(owner=owner, place=place, name=name)


AT_A_COMMIT = at_a_call("os", "Watched", "commit")
AT_A_STATEMENT = at_a_call("os", "Watched", "execute")


class Moment(NamedTuple):
    """When a process kills itself: at which of the moments that a piece of code counts, on which side."""

    code: str
    number: int
    side: str = "before"

    @property
    def program(self) -> str:
        """The command, with small batches and this death in it."""
        chosen = f"SIDE, NUMBER = {self.side!r}, {self.number}\n"
        return f"{SMALL_BATCHES}{chosen}{self.code}\nfrom etl import cli\ncli.main()"


PAUSED = """
import signal, sys
from etl import cli
from etl.pipeline import run as pipeline
def paused(*_arguments, **_named):
    sys.stderr.write("about to publish\\n")
    sys.stderr.flush()
    signal.pause()
pipeline.publish = paused
cli.main()"""
"""A run that waits before it publishes, with the warehouse open and locked."""


def started(sightglass: Sightglass, program: str, *arguments: str, out: int = DEVNULL) -> Popen[str]:
    """A process of Python that has begun this program, in the place of the command."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    always = {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "SIGHTGLASS_HOME": str(sightglass.home)}
    return Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=sightglass.folder,
        env={**machine, **always, **sightglass.settings},
        stdin=DEVNULL,
        stdout=out,
        stderr=PIPE,
        encoding="utf-8",
        umask=0o022,
    )


def died(sightglass: Sightglass, moment: Moment, *command: str) -> bool:
    """Whether a command, `run` by default, with this death in it was killed; else it must have gone well."""
    with started(sightglass, moment.program, *(command or ("run",))) as process:
        _, said = process.communicate(timeout=100)
    if process.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(said)
    return process.returncode != 0


def content(home: Path) -> Tables:
    """All that the APIs said, and what is missing of it, without what each run writes anew."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        found = {name: connection.execute(DUMP.format(as_read(name))).fetchall() for (name,) in names}
        said = {name: dump for name, dump in found.items() if not name.startswith("etl.")}
        return said | {"etl.gaps": connection.execute(GAPS).fetchall()}


def run_store(home: Path) -> list[Ended]:
    """How each run ended, the oldest first, and what became of its streams that did not end well."""
    streams = rows(home, "etl.run_streams")
    return [
        (
            run["status"],
            run.get("exit_code"),
            {
                (one["status"], one.get("error"))
                for one in streams
                if one["run_id"] == run["run_id"] and one["status"] != "ok"
            },
        )
        for run in sorted(rows(home, "etl.runs"), key=lambda run: run["started_at"])
    ]


def ahead(home: Path, truth: Truth) -> list[str]:
    """The applications whose cursor is past a record that is not stored."""
    is_there = (home / "warehouse.duckdb").exists()
    if not (is_there and table(home, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'cursors'")):
        return []
    stored = {(row["application_id"], row["media_id"]) for row in rows(home, "cogniac.results")}
    cursors = {row["partition"]: row["cursor_at"] for row in rows(home, "etl.cursors")}
    return [
        application_id
        for application_id, records in truth.records.items()
        for record in records
        if round(record["updated_at"] * 1_000_000) <= cursors.get(application_id, -1)
        and (application_id, record["media"]["media_id"]) not in stored
    ]


def torn(home: Path) -> list[str]:
    """The files of the log that are not finished, or cannot be read to their ends."""
    return [str(path.relative_to(home)) for path in (home / "raw").rglob("*.*") if not whole(path)]


def whole(path: Path) -> bool:
    """Whether a compressed file can be read to its end and has its final name."""
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            stream.readall()
    except OSError:
        return False
    return path.suffix != ".part" and path.stat().st_size > 0


def wrong(place: Sightglass, expected: Tables) -> list[str]:
    """What is not as after a run never killed, once a run has been let go to its end."""
    ran = place("run")
    found, runs = content(place.home), run_store(place.home)
    fair = runs[-1] == ENDED[-1] and all(run in ENDED for run in runs)
    return [
        *([f"exit code {ran.code}: {ran.err}"] if ran.code else []),
        *(name for name in expected if expected[name] != found.get(name)),
        *([] if fair else [f"runs: {runs}"]),
        *(f"torn: {name}" for name in torn(place.home)),
    ]


def place(folder: Path, plant: Plant, **settings: str) -> Sightglass:
    """The command in a new folder."""
    folder.mkdir()
    return Sightglass(folder, {**plant.settings, **settings})


@contextmanager
def a_little(applications: int, records: int) -> Iterator[Plant]:
    """Both simulators, served, with a little of everything."""
    cogniac = CogniacSimulator(1, CogniacSize(applications=applications, records=records))
    with serving(cogniac, NeuronsSimulator(1, NeuronsSize(media=6, frames=(10, 12)))) as plant:
        yield plant


def undisturbed(folder: Path, plant: Plant) -> Tables:
    """What a run leaves that nothing befalls."""
    spared = place(folder / "place", plant)
    assert spared("run").code == 0
    return content(spared.home)
