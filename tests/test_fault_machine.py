"""Trouble of the machine, its streams, settings, key files and signals: one line, and a healthy next run."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Ran, Sightglass, table
from faults import Fault, Healthy, meets, published, stored, told
from support.kills import started

TOLD = "sightglass: told to stop; what was loaded is kept, the next run goes on from there\n"
STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143}
AT_MOST = 10
"""Seconds after which a process that was told to stop is held to be stuck."""
WORK = 30
"""Hundredths of a second of computing after which a query is under way."""
KEY = "NEURONS_API_KEY"
WAIT = "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i)::VARCHAR AS {} FROM t"
ENDLESS = WAIT.format("application_id")


def nothing(_sightglass: Sightglass) -> None:
    """Let all be as it was: the fault is in what is set."""


def setting(name: str, value: str, code: int = 2, says: str = "") -> Fault:
    """A variable of the environment that is set like this."""
    return Fault(nothing, code, says, settings=((name, value),))


def file(content: bytes, *command: str, code: int = 2, says: str = "") -> Fault:
    """A file of settings with this content, which the command names."""

    def written(sightglass: Sightglass) -> None:
        (sightglass.folder / "given.toml").write_bytes(content)

    return Fault(written, code, says, command=command or ("run", "--config", "given.toml"))


def key(content: bytes, code: int = 2, says: str = "") -> Fault:
    """A file of a secret with this content."""

    def written(sightglass: Sightglass) -> None:
        (sightglass.folder / "key").write_bytes(content)

    return Fault(written, code, says, settings=((KEY, ""), (f"{KEY}_FILE", "key")))


def limit(name: str, value: str, most: str) -> Fault:
    """A number that is too large to mean anything."""
    kind = "a whole number" if value.isdigit() else "a number"
    says = f"sightglass: {name} from the environment must be {kind} of at most {most}, not '{value}'"
    return setting(name, value, says=says)


CANNOT = "sightglass: cannot read the settings file given.toml: "
COPY = "copy it again, without anything else"
NO_KEY = f"sightglass: {KEY}_FILE: key holds"

FAULTS = {
    "an overlap beyond all time": limit("SIGHTGLASS_OVERLAP", "1e300", "3153600000"),
    "a lag beyond all time": limit("SIGHTGLASS_LAG", "1e300", "31536000"),
    "more threads than a machine has": limit("SIGHTGLASS_CONCURRENCY", "100000", "100"),
    "a budget of for ever": limit("SIGHTGLASS_RETRY_BUDGET", "1e300", "86400"),
    "a grace of for ever": limit("SIGHTGLASS_LAKE_GRACE", "1e300", "3153600000"),
    "a sweep that never comes": limit("SIGHTGLASS_NEURONS_SWEEP", "1e300", "876000"),
    "more memory than there can be": limit("SIGHTGLASS_SQL_MEMORY", "9999999999", "1000000000"),
    "no memory": setting("SIGHTGLASS_SQL_MEMORY", "1", says="must be a whole number of at least 64, not '1'"),
    "a number of 5,000 digits": setting("SIGHTGLASS_CONCURRENCY", "9" * 5000, says=f"not '{'9' * 60}...'"),
    "an archive for a million days": setting("SIGHTGLASS_RAW_DAYS", "1000000", 0),
    "an archive for 10 to the 30 days": setting("SIGHTGLASS_RAW_DAYS", "1" + "0" * 30, 0),
    "the longest overlap": setting("SIGHTGLASS_OVERLAP", "3153600000", 0),
    "the most threads": setting("SIGHTGLASS_CONCURRENCY", "100", 0),
    "a home whose user is nobody": setting(
        "SIGHTGLASS_HOME", "~nobody-here/x", says="names no folder: Could not determine home directory."
    ),
    "a home with too long a name": setting(
        "SIGHTGLASS_HOME", "x" * 5000, says="SIGHTGLASS_HOME from the environment names no folder: File name"
    ),
    "a home that is a file": file(
        b"", "run", "--home", "given.toml", says="given.toml: File exists; move away what stands in its place"
    ),
    "a home that is a file, asked": file(
        b"",
        "sql",
        "--home",
        "given.toml",
        "FROM etl.runs",
        says="given.toml yet: run `sightglass run`, or name another --home",
    ),
    "a home that is a file, reported": file(
        b"",
        "report",
        "--home",
        "given.toml",
        says="given.toml yet: run `sightglass run`, or name another --home",
    ),
    "a setting of too many digits": file(
        b"SIGHTGLASS_RAW_DAYS = 0x" + b"f" * 5_000, says="is a number of more digits than can be read"
    ),
    "settings with a byte order mark": file(b"\xef\xbb\xbfSIGHTGLASS_LAG = 5\n", code=0),
    "settings that are binary": file(bytes(range(256)) * 10, says=f"{CANNOT}is not UTF-8 text"),
    "settings in UTF-16": file(
        "SIGHTGLASS_LAG = 5".encode("utf-16"), says=f"{CANNOT}is UTF-16 text; save it as UTF-8"
    ),
    "settings nested without end": file(b"a = " + b"[" * 9999, says=f"{CANNOT}it is nested too deeply"),
    "a setting that is a table": file(
        b"[SIGHTGLASS_LAG]\na = 1",
        says="given.toml: SIGHTGLASS_LAG must be a text, a number, or a list of these",
    ),
    "a setting with a NUL": file(
        b'SIGHTGLASS_LAKE_URI = "a\\u0000b"', says="SIGHTGLASS_LAKE_URI from given.toml holds a NUL"
    ),
    "settings without end": Fault(
        nothing, 2, "/dev/zero: is larger than 1,048,576 bytes", command=("run", "--config", "/dev/zero")
    ),
    "settings that are a folder": Fault(
        nothing, 2, "settings file .: Is a directory", command=("run", "--config", ".")
    ),
    "a key with a mark, blanks and CRLF": key(b"\xef\xbb\xbf  key-of-the-case \r\n", 0),
    "a key in UTF-16": key("key".encode("utf-16"), says="cannot read key: is UTF-16 text; save it as UTF-8"),
    "a key in two lines": key(b"key-of\r\nthe-case", says=f"{NO_KEY} white space at character 7: {COPY}"),
    "a key with a blank in it": key(b"key of-the-case", says=f"{NO_KEY} white space at character 4: {COPY}"),
    "a key with an invisible sign": key(
        "key\u200bof".encode(), says=f"{NO_KEY} what no key holds at character 4: {COPY}"
    ),
    "a key without end": Fault(
        nothing,
        2,
        "cannot read /dev/zero: is larger than 1,048,576 bytes",
        settings=((KEY, ""), (f"{KEY}_FILE", "/dev/zero")),
    ),
    "a key with a line feed at its end": setting(KEY, "key-of-the-case\n", 0),
    "a key with a line feed in it": setting(
        KEY,
        "key\nof",
        says=f"sightglass: {KEY} from the environment holds white space at character 4: {COPY}",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_trouble_is_named(loaded: Healthy, fault: Fault) -> None:
    """One line and its exit code, or nothing where it does no harm; then a run like any other."""
    meets(fault, loaded)


def is_healthy(loaded: Healthy) -> bool:
    """Whether the next run has nothing to tell of, and all is there."""
    home, ran = loaded.sightglass.home, loaded.sightglass("run")
    return (0, []) == (ran.code, told(ran)) and (loaded.stored, loaded.published) == (
        stored(home),
        published(home),
    )


COMMANDS = {
    "run": 0,
    "sql SELECT(1)": 0,
    "report page.html": 0,
    "snapshot all.duckdb": 0,
    "publish": 0,
    "quarantine": 0,
    "sql nothing": 2,
    "nonsense": 2,
}
STREAMS = {
    "all of them closed": "<&- >&- 2>&-",
    "no standard error": "2>&-",
    "standard error that is full": "2>/dev/full",
}


def in_a_shell(sightglass: Sightglass, line: str, *arguments: str) -> Ran:
    """The command as a line of a shell starts it, in whose `$@` it is."""
    ours = {"SIGHTGLASS_HOME": str(sightglass.home), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        ["/bin/sh", "-c", line, "sh", sys.executable, "-m", "etl", *arguments],
        cwd=sightglass.folder,
        env={**os.environ, **ours, **sightglass.settings},
        capture_output=True,
        check=False,
        text=True,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
def test_commands_work_without_anybody_to_tell(loaded: Healthy, streams: str) -> None:
    """Every command does what it does, whichever of its streams lead nowhere."""
    codes = {
        command: in_a_shell(loaded.sightglass, f'"$@" {streams}', *command.split()).code
        for command in COMMANDS
    }

    assert COMMANDS == codes
    assert is_healthy(loaded)


def test_output_that_is_full_is_named(loaded: Healthy) -> None:
    """What was asked for and cannot be written is exit 2."""
    ran = in_a_shell(loaded.sightglass, '"$@" >/dev/full', "sql", "SELECT 1")

    assert Ran(2, "", "sightglass: cannot write to standard output: No space left on device\n") == ran


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("run", 0, "sightglass: run "),
        ("report", 2, "Error: Invalid value for '[FILE]': the current folder is not there any more\n"),
        (
            "run --home x",
            2,
            "sightglass: SIGHTGLASS_HOME from the command line names no folder: No such file",
        ),
    ],
)
def test_current_folder_that_was_removed(loaded: Healthy, arguments: str, code: int, said: str) -> None:
    """What needs no current folder works, what needs it says so."""
    line = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    ran = in_a_shell(loaded.sightglass, line, *arguments.split())

    assert (code, "", True, False) == (ran.code, ran.out, said in ran.err, "Traceback" in ran.err), ran.err


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
from etl.cli import sql
real = sql.rows
sql.rows = lambda relation: (told(), real(relation))[1]
sys.argv.append(ENDLESS)"""

QUERIES = {
    "run": """
from etl.pipeline import run as pipeline
pipeline._read = lambda load, *_: load._warehouse.connection.execute(told())""",
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


HOOK = """
import os, sys
def hook(event, given):
    if event == "import" and given[0] == {module!r}:
        os.kill(os.getpid(), {number})
sys.addaudithook(hook)
"""


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("module", ["etl.process", "click", "duckdb", "pyarrow", "httpx"])
def test_signal_that_comes_while_modules_are_imported(
    loaded: Healthy, tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """The code of the signal and at most one line, from the first import on."""
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(module=module, number=int(number)))
    ran = loaded.sightglass("run", PYTHONPATH=f"{tmp_path}:{ROOT}")

    assert (STOPS[number], "") == (ran.code, ran.out)
    assert ran.err in ("", TOLD)


def test_command_that_is_to_ignore_signals_does(loaded: Healthy, tmp_path: Path) -> None:
    """Who starts it in the background of a shell, or with nohup, has it go on."""
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(module="duckdb", number=int(signal.SIGINT)))
    line = f'trap "" INT; PYTHONPATH={tmp_path}:{ROOT} exec "$@"'

    assert Ran(0, "1\n1\n", "") == in_a_shell(loaded.sightglass, line, "sql", "SELECT 1")


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
