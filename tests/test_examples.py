"""The examples in docs/examples/ are as the declarations, the commands and the locks of this version say.

`test_orchestrators.py` runs them.
"""

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Sightglass
from support.programs import assigned_in

import sightglass as api
from etl import schema
from etl.cli.install_timer import NETWORK

EXAMPLES = ROOT / "docs" / "examples"
ANALYZE = shutil.which("systemd-analyze")
NOTHING = dict.fromkeys(NETWORK, "")
"""What a machine says of its network, where it says nothing."""
PROGRAMS = sorted(EXAMPLES.rglob("*.py"))


def test_the_units_of_systemd_are_those_that_are_printed(tmp_path: Path) -> None:
    """But for the place of the command and the user, which are others on each machine."""
    ran = Sightglass(tmp_path, {**NOTHING, "SIGHTGLASS_HOME": "/srv/warehouse"})("install-timer", "--json")
    assert 0 == ran.code

    for kind in ("service", "timer"):
        written = (EXAMPLES / "systemd" / f"sightglass.{kind}").read_text(encoding="utf-8")
        printed = re.sub(
            r"(?m)^ExecStart=.* run ", "ExecStart=/home/me/.local/bin/sightglass run ", ran.report[kind]
        )
        assert written == re.sub(r"(?m)^User=.*", "User=me", printed)


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not here")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """With a command and a user that are there."""
    for kind in ("service", "timer"):
        text = (EXAMPLES / "systemd" / f"sightglass.{kind}").read_text(encoding="utf-8")
        here = text.replace("/home/me/.local/bin/sightglass", "/bin/true").replace("User=me", "User=root")
        (tmp_path / f"sightglass.{kind}").write_text(here, encoding="utf-8")
    units = [str(tmp_path / f"sightglass.{kind}") for kind in ("service", "timer")]
    ran = subprocess.run([str(ANALYZE), "verify", *units], capture_output=True, text=True, check=False)

    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("program", PROGRAMS, ids=[str(each.relative_to(EXAMPLES)) for each in PROGRAMS])
def test_each_name_of_ours_that_an_example_uses_is_one(program: Path) -> None:
    """Examples use what programs are promised, and nothing else of ours."""
    parsed = ast.parse(program.read_text(encoding="utf-8"))
    used = {
        each.attr
        for each in ast.walk(parsed)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id == "sightglass"
    }
    imported = {
        name.name
        for each in ast.walk(parsed)
        if isinstance(each, ast.Import | ast.ImportFrom)
        for name in each.names
        if (getattr(each, "module", None) or name.name).partition(".")[0] in ("sightglass", "etl")
    }

    assert {"open"} <= used <= {*api.__all__}
    assert {"sightglass"} == imported


def test_dagster_knows_which_stream_fills_each_table() -> None:
    """As the declarations say; one table of each stream is checked."""
    told = assigned_in(EXAMPLES / "dagster" / "definitions.py")

    expected = {name: declared(name).stream for name in told["TABLES"]}
    assert expected == told["TABLES"]
    streams = [(name.partition(".")[0], told["TABLES"][name]) for name in told["CHECKED"]]
    assert sorted({(name.partition(".")[0], stream) for name, stream in expected.items()}) == sorted(streams)


def test_dlt_knows_how_rows_are_replaced() -> None:
    """As declared: by the key of the table, or of the one that its rows belong to, or in place."""
    told = assigned_in(EXAMPLES / "dlt" / "pipeline.py")
    statements = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sql").rglob("*.sql"))
    in_place = {*re.findall(r"^(?:UPDATE|MERGE INTO) (\w+\.\w+)", statements, re.MULTILINE)}
    in_place |= {
        each.qualified
        for source in schema.sources()
        for each in source.tables.values()
        if each.declared.history_of
    }

    assert {name: tuple(declared(name).key) for name in told["WHOLES"]} == told["WHOLES"]
    expected = {name: f"{name.partition('.')[0]}.{declared(name).part_of}" for name in told["PARTS"]}
    assert {name: (whole, declared(whole).key) for name, whole in expected.items()} == told["PARTS"]
    merged = {*told["WHOLES"], *told["PARTS"]}
    assert [""] * len(told["WHOLES"]) == [declared(name).part_of for name in told["WHOLES"]]
    assert (set(), {*told["IN_PLACE"]}) == (merged & in_place, {*told["IN_PLACE"]} & in_place)


def declared(name: str) -> Any:  # noqa: ANN401 -- a declaration
    """What the declarations say of a table."""
    source, _, short = name.partition(".")
    return schema.source(source).tables[short].declared


def test_the_versions_that_were_tried_are_those_that_are_locked() -> None:
    """Of each library that the page names."""
    page = (ROOT / "docs" / "orchestrators.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"`([a-z-]+)==([\d.]+)`", page))
    locks = [ROOT / f"requirements-{name}.lock" for name in ("orchestrators", "airflow")]
    locked = dict(
        re.findall(r"(?m)^([a-z-]+)==([\d.]+)", "".join(each.read_text(encoding="utf-8") for each in locks))
    )

    assert {"apache-airflow", "dagster", "dlt", "prefect"} == {*said}
    assert {name: locked[name] for name in said} == said
