"""The folder of a warehouse may be called as its owner likes, whatever a name is to a pattern."""

from pathlib import Path

import duckdb
import pytest
from conftest import Plant, Sightglass


@pytest.fixture
def starred(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command in a folder whose name is a pattern that fits others."""
    folder = tmp_path / "w[1]*{a,b}"
    folder.mkdir()
    (tmp_path / "w1x").mkdir()
    return Sightglass(folder, plant.settings)


def test_every_command_works_where_the_name_is_a_pattern(starred: Sightglass) -> None:
    """It is a name and no pattern to all that read and write there; BI tools read the views."""
    loaded = starred("run", "--json").report
    commands = (
        ("run",),
        ("backfill", "cogniac", "--since", "2020-01-01"),
        ("publish",),
        ("quarantine",),
        ("report", "page.html"),
        ("snapshot", "all.duckdb"),
        ("rebuild",),
        ("rebuild", "--into", str(starred.folder / "anew[2]*")),
    )
    codes = {each: starred(*each).code for each in commands}
    found = starred("sql", "--json", "SELECT count(*) AS n FROM cogniac.subjects").report["rows"]
    with duckdb.connect(starred.home / "bi.duckdb", read_only=True) as connection:
        ((read,),) = connection.execute("SELECT count(*) FROM cogniac.subjects").fetchall()

    (subjects,) = (each for each in loaded["streams"] if each["stream"] == "subjects")
    assert dict.fromkeys(commands, 0) == codes
    assert ([{"n": subjects["fetched"]}], subjects["fetched"]) == (found, read)


def test_a_question_mark_is_refused_before_anything_is_written(plant: Plant, tmp_path: Path) -> None:
    """DuckDB looks elsewhere for the log of what was committed where a path holds one."""
    home = tmp_path / "what?"
    ran = Sightglass(tmp_path, plant.settings)("run", "--home", str(home))

    said = (
        "SIGHTGLASS_HOME from the command line: DuckDB can keep no warehouse in a folder with a question mark"
    )
    assert (2, f"sightglass: {said}: {home}\n", False) == (ran.code, ran.err, home.exists())
