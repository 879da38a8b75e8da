"""Settings that say nothing, name nothing, or leave out a source that was loaded before."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Plant, Sightglass
from hostile import of_neurons, serving
from support.hostile_accounts import accounts


def test_a_source_that_was_loaded_and_has_no_credentials_now_is_named(plant: Plant, tmp_path: Path) -> None:
    """The others are loaded and published, and the exit code is 2; SIGHTGLASS_SOURCES leaves it out."""
    sightglass = Sightglass(tmp_path, plant.settings)
    first = sightglass("run")
    rest = replace(sightglass, settings=plant.cogniac_login)
    lapsed = rest("run", "--json")
    named = rest("run", "cogniac")
    chosen = rest("run", SIGHTGLASS_SOURCES="cogniac")

    line = (
        "sightglass: neurons skipped, it has no credentials and was loaded before: set NEURONS_API_KEY, or "
        "name the sources to load in SIGHTGLASS_SOURCES"
    )
    assert (0, 2, 0, 0) == (first.code, lapsed.code, named.code, chosen.code)
    report = lapsed.report
    assert ("partial", 2, ["neurons"]) == (report["status"], report["exit_code"], report["lapsed"])
    assert ({"cogniac"}, True) == ({one["source"] for one in report["streams"]}, bool(report["published"]))
    assert line == lapsed.err.splitlines()[0]
    assert "neurons" not in named.err + chosen.err


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ("cogniac,neurons", "neurons has no credentials: set NEURONS_API_KEY"),
        ("cogniac, acme", "SIGHTGLASS_SOURCES: acme is no source; known are cogniac, neurons"),
    ],
)
def test_sources_that_must_be_loaded_and_cannot_be_are_named(
    plant: Plant, tmp_path: Path, sources: str, complaint: str
) -> None:
    """No API is asked anything, and nothing is written."""
    ran = Sightglass(tmp_path, plant.cogniac_login)("run", SIGHTGLASS_SOURCES=sources)

    assert (2, f"sightglass: {complaint}\n") == (ran.code, ran.err)
    assert ([], []) == (list(plant.cogniac.requests), list(tmp_path.iterdir()))


def test_only_the_sources_that_are_named_are_loaded(plant: Plant, sightglass: Sightglass) -> None:
    """With SIGHTGLASS_SOURCES the other one is left out although it has credentials."""
    ran = sightglass("run", "--json", SIGHTGLASS_SOURCES="neurons")

    assert (0, []) == (ran.code, ran.report["skipped"])
    assert {"neurons"} == {one["source"] for one in ran.report["streams"]}
    assert [] == list(plant.cogniac.requests)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("COG_API_KEY", "", "COG_API_KEY from the environment is empty: give it a value, or leave it out"),
        ("COG_USER", "", "COG_USER from the environment is empty: give it a value, or leave it out"),
        ("COG_PASS", " ", "COG_PASS from the environment is empty: give it a value, or leave it out"),
        (
            "NEURONS_API_KEY",
            "",
            "NEURONS_API_KEY from the environment is empty: give it a value, or leave it out",
        ),
        (
            "SIGHTGLASS_HOME",
            "",
            "SIGHTGLASS_HOME from the environment is empty: give it a value, or leave it out",
        ),
        (
            "NEURONS_API_KEY_FILE",
            "",
            "NEURONS_API_KEY_FILE from the environment is empty: name a file, or leave it out",
        ),
        ("NEURONS_API_KEY_FILE", "empty", "NEURONS_API_KEY_FILE: empty holds nothing"),
        ("NEURONS_API_KEY_FILE", "blank", "NEURONS_API_KEY_FILE: blank holds nothing"),
        (
            "NEURONS_API_KEY_FILE",
            "absent",
            "NEURONS_API_KEY_FILE: cannot read absent: No such file or directory",
        ),
        ("NEURONS_API_KEY_FILE", "folder", "NEURONS_API_KEY_FILE: cannot read folder: Is a directory"),
        (
            "SIGHTGLASS_LAGG",
            "1",
            "the environment: SIGHTGLASS_LAGG is no setting: did you mean SIGHTGLASS_LAG?",
        ),
    ],
)
def test_a_setting_in_the_environment_that_says_nothing_is_named(
    tmp_path: Path, name: str, value: str, complaint: str
) -> None:
    """Nobody sets a credential to nothing, or a setting that there is not, on purpose."""
    (tmp_path / "folder").mkdir()
    for file in ("empty", "blank"):
        (tmp_path / file).write_text(" \n" if file == "blank" else "")

    ran = Sightglass(tmp_path)("run", **{name: value})

    assert (2, "", f"sightglass: {complaint}\n") == (ran.code, ran.out, ran.err)
    assert {"folder", "empty", "blank"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("how", ["file", "flag", "home"])
def test_a_warehouse_without_a_name_is_refused_wherever_it_is_given(tmp_path: Path, how: str) -> None:
    """An empty folder in the file and on the command line is a mistake as in the environment."""
    (tmp_path / "o.toml").write_text('SIGHTGLASS_HOME = ""' if how == "file" else "")
    given = {"file": ["--config", "o.toml"], "flag": ["--set", "SIGHTGLASS_HOME="], "home": ["--home", ""]}
    machine = {name: each for name, each in os.environ.items() if name != "SIGHTGLASS_HOME"}
    ran = subprocess.run(
        [sys.executable, "-m", "etl", "sql", "SELECT 1", *given[how]],
        env={**machine, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    where = "o.toml" if how == "file" else "the command line"
    complaint = f"sightglass: SIGHTGLASS_HOME from {where} is empty: give it a value, or leave it out\n"
    assert (2, complaint) == (ran.returncode, ran.stderr)


def test_the_file_of_a_secret_may_be_named_where_settings_are(tmp_path: Path) -> None:
    """In the settings file and on the command line; the environment beats the one and yields to the other."""
    for name, key in (("old", "old"), ("new", "new"), ("other", "key-of-others")):
        (tmp_path / f"{name}.key").write_text(f"{key}\n")
    (tmp_path / "sightglass.toml").write_text('NEURONS_API_KEY_FILE = "old.key"\n')
    flag = ("--set", "NEURONS_API_KEY_FILE=other.key")
    with serving(accounts()) as server:
        by_server = of_neurons(tmp_path, server)
        settings = {name: value for name, value in by_server.settings.items() if "KEY" not in name}
        sightglass = replace(by_server, settings=settings)
        codes = [
            sightglass("run").code,
            sightglass("run", NEURONS_API_KEY="new").code,
            sightglass("run", NEURONS_API_KEY_FILE="new.key").code,
            sightglass("run", *flag, NEURONS_API_KEY="new").code,
        ]
        keys = [each.headers["X-API-Key"] for each in server.asked]

    assert [0, 0, 0, 2] == codes
    assert ["old", "new", "key-of-others"] == list(dict.fromkeys(keys))
