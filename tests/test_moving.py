"""A home that was copied, moved or restored: each reads its own lake, and an older warehouse is named."""

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from conftest import Plant, Sightglass

from etl import __version__

COUNT = "SELECT count(*) AS n FROM cogniac.subjects"


@pytest.fixture
def production(plant: Plant, tmp_path: Path) -> Sightglass:
    """A home that was loaded once."""
    folder = tmp_path / "production"
    folder.mkdir()
    sightglass = Sightglass(folder, plant.cogniac_login)
    assert 0 == sightglass("run").code
    return sightglass


def copied(sightglass: Sightglass, name: str) -> Sightglass:
    """A copy of the home, as `cp -r` makes it."""
    folder = sightglass.folder.with_name(name)
    shutil.copytree(sightglass.folder, folder, symlinks=True)
    return replace(sightglass, folder=folder)


def emptied(sightglass: Sightglass) -> None:
    """Let the warehouse have no subjects, and publish that."""
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        connection.execute("DELETE FROM cogniac.subjects")
    assert 0 == sightglass("publish", "--force").code


def read(sightglass: Sightglass) -> int:
    """How many subjects a BI tool sees, from whatever folder it works in."""
    with duckdb.connect(sightglass.home / "bi.duckdb", read_only=True) as connection:
        ((count,),) = connection.execute(COUNT).fetchall()
    return int(count)


def test_a_copy_answers_from_its_own_lake_and_says_what_others_read(production: Sightglass) -> None:
    """Whatever has become of the original; it is told until the copy is published."""
    staging = copied(production, "staging")
    emptied(production)
    asked = staging("sql", "--json", COUNT)
    looked = staging("doctor", "--json")

    bi = staging.home / "bi.duckdb"
    said = f"{bi} reads {production.home}, for this folder was copied or moved: "
    more = "what is answered here is of this folder; `sightglass publish` lets other readers see it too"
    assert (0, f"sightglass: {said}{more}\n") == (asked.code, asked.err)
    assert 0 < asked.report["rows"][0]["n"]
    assert "reads another lake" in looked.out


@pytest.mark.parametrize("command", ["publish", "run"])
def test_the_next_run_lets_bi_tools_read_the_copy(production: Sightglass, command: str) -> None:
    """From then on nothing is told, and the original has no part in it."""
    staging = copied(production, "staging")
    emptied(production)
    before, ran = read(staging), staging(command)
    asked = staging("sql", "--json", COUNT)
    shutil.rmtree(production.home)

    assert (0, 0, "") == (before, ran.code, asked.err)
    assert asked.report["rows"][0]["n"] == read(staging) > 0


def test_a_restored_warehouse_is_named_and_readers_keep_what_they_have(production: Sightglass) -> None:
    """Each run says so, until somebody publishes it all the same."""
    backup = production.folder / "backup.duckdb"
    shutil.copy(production.home / "warehouse.duckdb", backup)
    newest = production("run", "--json").report["run_id"]
    shutil.copy(backup, production.home / "warehouse.duckdb")
    shutil.rmtree(production.home / "raw")
    first, second = production("run"), production("run")
    forced, after = production("publish", "--force"), production("run")

    said = f"the warehouse does not know the run {newest}, which is published: it is older, restored from"
    assert (4, 4, [True, True]) == (first.code, second.code, [said in each.err for each in (first, second)])
    assert (0, 0) == (forced.code, after.code)


def test_a_warehouse_of_a_newer_version_is_refused(production: Sightglass) -> None:
    """In one line, and nothing of it is touched; readers keep what is published."""
    path = production.home / "warehouse.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE etl.runs SET version = '99.1.0'")
    before = path.read_bytes()
    ran, asked = production("run"), production("sql", COUNT)

    said = f"which is newer than this one ({__version__}): run that version or a later one"
    assert (2, f"sightglass: the warehouse was written by Sightglass 99.1.0, {said}\n") == (ran.code, ran.err)
    assert (0, True) == (asked.code, before == path.read_bytes())
