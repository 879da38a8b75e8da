"""Trouble of the machine, its streams, settings, key files and signals: one line, and a healthy next run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Ran, Sightglass
from faults import Fault, Healthy, meets
from support.fault_machine import STOPS, TOLD, is_healthy

KEY = "NEURONS_API_KEY"


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
