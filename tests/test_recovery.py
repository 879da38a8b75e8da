"""The recovery chapter, followed: what a damaged warehouse costs, and what it does not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT, Ran
from faults import Healthy, healthy, published, stored, told
from support.fault_damage import LOG, WAREHOUSE, away

CHAPTER = ROOT / "docs" / "recovery.md"


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Healthy]:
    """A warehouse with two runs, of which the second found nothing new."""
    with healthy(tmp_path) as found:
        found.sightglass("run")
        yield found


def runs_in(snapshot: Path) -> int:
    """How many runs a snapshot knows."""
    with duckdb.connect(snapshot, read_only=True) as reader:
        return len(reader.execute("SELECT run_id FROM etl.runs").fetchall())


def broken(loaded: Healthy) -> Ran:
    """What a run says of a warehouse of which half is missing."""
    path = loaded.sightglass.home / WAREHOUSE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return loaded.sightglass("run")


def test_a_damaged_warehouse_is_made_anew_from_the_log(loaded: Healthy) -> None:
    """Once it is moved away, a run applies all that was received, and reads on from there.

    It knows no runs that brought nothing, so readers see it once somebody has looked at it.
    """
    sightglass = loaded.sightglass
    said = broken(loaded)
    readable = published(sightglass.home)
    away(WAREHOUSE, LOG)(sightglass)
    anew = sightglass("run", "--json")
    forced = sightglass("publish", "--force")

    assert ((2, 1), loaded.published) == ((said.code, len(told(said))), readable)
    assert (4, 0, 0) == (anew.code, sum(each["inserted"] for each in anew.report["streams"]), forced.code)
    assert (loaded.stored, loaded.published) == (stored(sightglass.home), published(sightglass.home))


def test_without_a_log_a_damaged_warehouse_begins_anew(loaded: Healthy, tmp_path: Path) -> None:
    """Readers keep what they have until the operator says otherwise, then have all that is still there."""
    sightglass, kept = loaded.sightglass, tmp_path / "before.duckdb"
    said = broken(loaded)
    asked = sightglass("sql", "SELECT count(*) FROM etl.runs")
    snapshot = sightglass("snapshot", str(kept))
    away(WAREHOUSE, LOG)(sightglass)
    shutil.rmtree(sightglass.home / "raw")
    anew = sightglass("run", "--json")
    meanwhile = sightglass("sql", "SELECT count(*) FROM etl.runs")
    forced = sightglass("publish", "--force")
    after = sightglass("sql", "SELECT count(*) FROM etl.runs")

    assert (2, 0, 2) == (said.code, snapshot.code, runs_in(kept))
    assert (4, None) == (anew.code, anew.report["published"])
    assert "etl.runs has 1 rows, fewer than 2" in anew.err
    assert ["count_star()\n2\n"] * 2 + ["count_star()\n1\n"] == [
        each.out for each in (asked, meanwhile, after)
    ]
    assert (0, loaded.stored, loaded.published) == (
        forced.code,
        stored(sightglass.home),
        published(sightglass.home),
    )


def test_the_messages_lead_to_the_chapter(loaded: Healthy) -> None:
    """The line names the chapter, the pages lead to it, and it has the words of the line."""
    path = loaded.sightglass.home / WAREHOUSE
    path.write_bytes(path.read_bytes()[:-100_000])
    (line,) = told(loaded.sightglass("run"))
    chapter = CHAPTER.read_text(encoding="utf-8")

    assert line.endswith("; readers keep what is published; docs/recovery.md says how to begin anew")
    assert "is damaged" in line
    assert "](recovery.md)" in (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert "`warehouse.duckdb is damaged`" in chapter
