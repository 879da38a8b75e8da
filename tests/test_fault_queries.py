"""Queries that end never, are stopped, killed, or need more memory than there is."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Ran, table
from faults import Healthy
from support.fault_machine import STOPS, TOLD, is_healthy
from support.kills import started

AT_MOST = 10
"""Seconds after which a process that was told to stop is held to be stuck."""
WORK = 30
"""Hundredths of a second of computing after which a query is under way."""
WAIT = "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i)::VARCHAR AS {} FROM t"
ENDLESS = WAIT.format("application_id")
SPY = """
import sys
ENDLESS = {endless!r}
def told(*_, **__):
    print("begun", file=sys.stderr, flush=True)
    return ENDLESS
{patch}
from etl import cli
cli.main()
"""
"""The command with one of its queries replaced by one that has no end, which says when it begins."""
ASKED = """
from etl.cli import answers
real = answers.rows
answers.rows = lambda relation: (told(), real(relation))[1]
sys.argv.append(ENDLESS)"""
QUERIES = {
    "run": """
from etl.pipeline import run as pipeline
pipeline.read = lambda load, *_: load._warehouse.connection.execute(told())""",
    "publish": """
from etl.pipeline import run as pipeline
pipeline.publish = lambda warehouse, *_, **__: warehouse.connection.execute(told())""",
    "report page.html": """
from etl.publish import report
report.statement = told""",
    "snapshot all.duckdb": """
from etl.publish import snapshot
snapshot.query = told""",
    "sql --csv": ASKED,
    "sql --json": ASKED,
}
"""By command, how a query of it is replaced."""


def wait_until_it_works(process_id: int) -> None:
    """Wait until a process has computed for a while: it is inside of DuckDB, where Python cannot reach it."""

    def ticks() -> int:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        assert fields[0] != "Z", "it has ended"
        return int(fields[11]) + int(fields[12])

    begun = ticks()
    while ticks() < begun + WORK:
        pass


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("command", QUERIES)
def test_query_without_end_is_ended(
    loaded: Healthy, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """The code of its signal and one line; nothing half-written stays, and files of before are as before."""
    before = {path: path.read_bytes() for path in loaded.sightglass.folder.glob("*.*") if path.is_file()}
    sightglass = replace(loaded.sightglass, settings={**loaded.sightglass.settings, "TMPDIR": str(tmp_path)})
    program = SPY.format(endless=ENDLESS, patch=QUERIES[command])
    with started(sightglass, program, *command.split()) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        wait_until_it_works(process.pid)
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=AT_MOST)
        finally:
            process.kill()

    after = {path: path.read_bytes() for path in loaded.sightglass.folder.glob("*.*") if path.is_file()}
    assert ("begun\n", STOPS[number], TOLD) == (first, process.returncode, said)
    assert ([], before) == (list(tmp_path.iterdir()), after)
    if command == "run":
        last = "SELECT status, exit_code FROM etl.runs ORDER BY started_at DESC LIMIT 1"
        assert [("failed", STOPS[number])] == table(loaded.sightglass.home, last)
    assert is_healthy(loaded)


def test_what_a_killed_query_spilled_goes_with_the_next(loaded: Healthy, tmp_path: Path) -> None:
    """Its private folder stays when it is killed, and the next query removes it, but none that is in use."""
    settings = {**loaded.sightglass.settings, "TMPDIR": str(tmp_path)}
    sightglass = replace(loaded.sightglass, settings=settings)
    program = SPY.format(endless=ENDLESS, patch=ASKED)
    with started(sightglass, program, "sql") as process:
        assert process.stderr is not None
        process.stderr.readline()
        during = sightglass("sql", "SELECT 1")
        in_use = [(path.name[:17], path.stat().st_mode & 0o777) for path in tmp_path.iterdir()]
        process.kill()
    after_kill = len(list(tmp_path.iterdir()))
    after = sightglass("sql", "SELECT 1")

    assert (Ran(0, "1\n1\n", ""), Ran(0, "1\n1\n", "")) == (during, after)
    assert ([("sightglass-spill-", 0o700)], 1, []) == (in_use, after_kill, list(tmp_path.iterdir()))


NEEDS = (
    "sightglass: this needs more memory than the 64 MB of SIGHTGLASS_SQL_MEMORY: set it higher, or ask for "
)


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_query_that_needs_more_memory_says_so(loaded: Healthy, form: str) -> None:
    """Exit code 2, one line that names the setting."""
    ran = loaded.sightglass(
        "sql", form, "SELECT length(list(i)::VARCHAR) FROM range(30000000) t(i)", SIGHTGLASS_SQL_MEMORY="64"
    )

    assert Ran(2, "", f"{NEEDS}less at once\n") == ran


@pytest.mark.parametrize(
    ("command", "query", "patch"),
    [
        (
            "report",
            "SELECT length(list(i)::VARCHAR) FROM range(30000000) t(i)",
            "from etl.publish import report\nreport.statement = told",
        ),
        (
            "snapshot",
            "SELECT list(i)::VARCHAR AS application_id FROM range(30000000) t(i)",
            "from etl.publish import snapshot\nsnapshot.query = told",
        ),
    ],
)
def test_command_that_needs_more_memory_says_so(
    loaded: Healthy, command: str, query: str, patch: str
) -> None:
    """Exit code 2, one line that names the setting, and no file."""
    settings = {**loaded.sightglass.settings, "SIGHTGLASS_SQL_MEMORY": "64"}
    program = SPY.format(endless=query, patch=patch)
    with started(replace(loaded.sightglass, settings=settings), program, command, "large.one") as process:
        _, said = process.communicate(timeout=100)

    assert (2, f"begun\n{NEEDS}less at once\n") == (process.returncode, said)
    assert [] == list(loaded.sightglass.folder.glob("large*"))


def test_query_that_exceeds_its_memory_is_spilled(loaded: Healthy, tmp_path: Path) -> None:
    """More than fits is sorted all the same, and nothing of it stays."""
    query = "SELECT md5(i::VARCHAR) AS m FROM range(3000000) t(i) ORDER BY m LIMIT 1 OFFSET 2999999"
    ran = loaded.sightglass("sql", query, SIGHTGLASS_SQL_MEMORY="64", TMPDIR=str(tmp_path))

    assert Ran(0, "m\nfffffe98d0963d27015c198262d97221\n", "") == ran
    assert [] == list(tmp_path.iterdir())


PEAK = """
import os, sys
leave = os._exit
def tell(code):
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(peak, file=sys.stderr, flush=True)
    leave(code)
os._exit = tell
from etl.__main__ import main
main()"""
"""The command, which tells at its end how many kilobytes it held at most."""


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_answer_is_not_piled_up(loaded: Healthy, form: str) -> None:
    """An answer of 200 MB takes hardly more memory than one of a row."""
    query = "SELECT repeat('x', 1000) AS text FROM range(200000)"
    with started(loaded.sightglass, PEAK, "sql", form, query) as process:
        _, said = process.communicate(timeout=100)

    assert 0 == process.returncode
    assert int(said) < 250_000  # 125,000 of them are the modules
