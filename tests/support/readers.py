"""What tests of several files share with `test_readers`."""

import json
import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import duckdb
import pytest
from conftest import ROOT

VERSIONS = {"current": duckdb.__version__, "floor": "1.5.5", "reader": "1.2.0"}
ANSWERS = """
NAMES = "SELECT schema_name || '.' || $kind_name FROM duckdb_$kinds() WHERE NOT internal"
import json, sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
def answer(query):
    return connection.execute(query).fetchall()

def shown(value):
    return round(value, 9) if isinstance(value, float) else str(value)

names = answer(NAMES.replace("$kind", "table") + " UNION ALL " + NAMES.replace("$kind", "view"))
found = {}
for (name,) in names:
    # What is measured against the clock is another value each time; a test of the marts holds it.
    columns = [row[:2] for row in answer(f"DESCRIBE {name}") if not row[0].endswith("age_hours")]
    asked = (f'epoch_us("{column}")' if "ZONE" in kind else f'"{column}"' for column, kind in columns)
    rows = answer(f"SELECT {', '.join(asked)} FROM {name} ORDER BY ALL")
    found[name] = [columns, [[shown(value) for value in row] for row in rows]]
print(json.dumps({"version": duckdb.__version__, "answers": found}))
"""


def duckdb_of(which: str) -> dict[str, str]:
    """The environment in which Python finds this DuckDB: the one installed, or an older one in a folder."""
    machine = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    if which == "current":
        return machine
    variable = f"TEST_DUCKDB_{which.upper()}"
    folder = Path(os.environ.get(variable, Path(sys.prefix, f"duckdb-{which}")))
    if not (folder / "duckdb").is_dir():
        pytest.fail(f"{folder} holds no DuckDB; `make setup` does this, or set {variable}")
    return {**machine, "PYTHONPATH": str(folder)}


def begun(which: str, program: str, *arguments: str) -> Popen[str]:
    """A process of Python with this DuckDB that has begun a program."""
    command = [sys.executable, "-c", program, *arguments]
    return Popen(command, env=duckdb_of(which), stdin=PIPE, stdout=PIPE, encoding="utf-8")


def result(process: Popen[str]) -> Any:  # noqa: ANN401 -- any JSON
    """The last line that a process prints once it is told that there will be no more."""
    out, _ = process.communicate(timeout=100)
    return json.loads(out.splitlines()[-1])
