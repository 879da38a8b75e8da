"""Arguments and output that the machine cannot show, or cannot take."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Sightglass


def published(sightglass: Sightglass) -> Sightglass:
    """The command with something to ask."""
    assert 0 == sightglass("run", "neurons").code
    return sightglass


def test_columns_of_one_name_are_told_apart(sightglass: Sightglass) -> None:
    """No column is lost in JSON or CSV, and no made name is one that another column has."""
    published(sightglass)
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    found = sightglass("sql", "--json", query), sightglass("sql", "--csv", query)

    assert {"columns": ["a", "a_2", "a_1", "a_3"], "rows": [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]} == (
        found[0].report
    )
    assert "a,a_2,a_1,a_3\n1,2,3,4\n" == found[1].out


ENCODINGS: dict[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


@pytest.mark.parametrize("machine", ENCODINGS.values(), ids=ENCODINGS)
def test_what_standard_output_cannot_show_is_shown_by_its_number(
    sightglass: Sightglass, machine: dict[str, str]
) -> None:
    """JSON stays JSON with every character, and neither CSV nor a run ends in a traceback."""
    published(sightglass)
    query = "SELECT 'caf\u00e9 \u2013 \U0001f600' AS said"
    found = [
        as_bytes(sightglass, arguments, machine)
        for arguments in (
            ["sql", "--json", query],
            ["sql", "--csv", query],
            ["run", "--json"],
            ["quarantine"],
        )
    ]

    assert [0, 0, 0, 0] == [code for code, _, _ in found]
    assert {"columns": ["said"], "rows": [{"said": "caf\u00e9 \u2013 \U0001f600"}]} == json.loads(found[0][1])
    assert found[1][1].decode("latin-1").startswith("said\ncaf")
    assert "ok" == json.loads(found[2][1])["status"]


def as_bytes(
    sightglass: Sightglass, arguments: list[Any], machine: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    """How the command ended, and what it said, byte for byte."""
    ours = ("COG_", "NEURONS_", "SIGHTGLASS_")
    there = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    always = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(sightglass.home), "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        [sys.executable, "-m", "etl", *arguments],
        env={**there, **always, **sightglass.settings, **machine},
        cwd=sightglass.folder,
        check=False,
        capture_output=True,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [["sql", b"SELECT '\xff'"], ["run", b"\xff"], ["sql", "SELECT 1", "--home", b"\xff"]],
    ids=["query", "source", "home"],
)
def test_an_argument_that_is_no_text_is_named(tmp_path: Path, arguments: list[Any]) -> None:
    """Bytes that are no UTF-8 are shown by their numbers."""
    code, out, err = as_bytes(Sightglass(tmp_path), arguments, {})

    place = next(place for place, each in enumerate(arguments, start=1) if isinstance(each, bytes))
    shown = arguments[place - 1].decode("latin-1").replace("\xff", "\\udcff")
    complaint = f"sightglass: argument {place} is no UTF-8 text: {shown}\n"
    assert (2, b"", complaint) == (code, out, err.decode())


def test_a_standard_output_that_is_full_or_closed_ends_in_no_traceback(sightglass: Sightglass) -> None:
    """Where it is full one line says so; where it is closed, or nobody can be told, there is silence."""
    published(sightglass)
    program = f"{sys.executable} -m etl"
    commands = ("--help", "sql --json 'SELECT 1'", "sql --csv 'SELECT 1'", "run neurons --json")
    found: dict[str, list[tuple[int, bytes]]] = {}
    for where in (">/dev/full", ">&-", "2>/dev/full", ">&- 2>&-"):
        for each in commands:
            script = ["-c", f"exec {program} {each} {where}"]
            found.setdefault(where, []).append(in_shell(sightglass, script))

    full = b"sightglass: cannot write to standard output: No space left on device\n"
    assert [(2, full)] * 3 == found[">/dev/full"][:3]
    assert (2, True) == (found[">/dev/full"][3][0], found[">/dev/full"][3][1].endswith(full))
    assert [[0] * 4] * 3 == [[code for code, _ in found[where]] for where in list(found)[1:]]
    assert [] == [said for each in found.values() for _, said in each if b"Traceback" in said]


def in_shell(sightglass: Sightglass, script: list[str]) -> tuple[int, bytes]:
    """How a script ended, and what it said to standard error."""
    always = {"PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(sightglass.home)}
    machine = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        ["/bin/sh", *script],
        env={**machine, **always, **sightglass.settings},
        cwd=sightglass.folder,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    return ran.returncode, ran.stderr
