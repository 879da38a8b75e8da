"""Old runs are summed up by day: no count is lost, and what tells how a stream stands is the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import Plant, Sightglass, all_rows, rows, table

COUNTS = ("fetched", "inserted", "updated", "unchanged", "quarantined", "requests", "retries", "bytes")
AGES = (500, 500, 499, 499, 1)
"""How many days ago each run began, in the order in which they were."""


@pytest.fixture
def cogniac(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def aged(sightglass: Sightglass) -> None:
    """Run as often as there are ages, then let that be as long ago."""
    for _ in AGES:
        assert 0 == sightglass("run").code
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        runs = connection.execute("SELECT run_id FROM etl.runs ORDER BY rowid").fetchall()
        for (run_id,), days in zip(runs, AGES, strict=True):
            for name in ("runs", "run_streams"):
                connection.execute(
                    f"UPDATE etl.{name} SET started_at = started_at - to_days({days}) WHERE run_id = ?",  # noqa: S608
                    [run_id],
                )


def sums(home: Path) -> dict[str, int]:
    """Each count over all runs, whether they are kept by themselves or not, and how many these were."""
    counted = [rows(home, f"etl.{name}") for name in ("run_streams", "run_days")]
    found = {name: sum(row[name] for some in counted for row in some) for name in COUNTS}
    whole = sum(row["runs"] for row in counted[1] if not row["source"])
    return {**found, "runs": whole + len(rows(home, "etl.runs"))}


def standing(home: Path) -> list[tuple[object, ...]]:
    """How each stream stands, but for what the runs cost in the last days."""
    query = "SELECT source, stream, partition, last_good_at FROM mart.pipeline_health ORDER BY ALL"
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_counts_stay_true_and_days_are_few(cogniac: Sightglass) -> None:
    """Four old runs become the sums of two days; the new one is kept, and so is what the next run adds."""
    aged(cogniac)
    before = sums(cogniac.home)
    report = cogniac("run", "--json").report

    added = {name: sum(each[name] for each in report["streams"]) for name in COUNTS}
    assert {**{name: before[name] + added[name] for name in COUNTS}, "runs": before["runs"] + 1} == sums(
        cogniac.home
    )
    today = datetime.now(UTC).date()
    days = table(cogniac.home, "SELECT day, runs, failed FROM etl.run_days WHERE source = '' ORDER BY ALL")
    kept = table(cogniac.home, "SELECT CAST(started_at AS DATE) FROM etl.runs ORDER BY ALL")
    assert {today - timedelta(days=each) for each in (499, 500)} >= {day for day, *_ in days}
    assert 4 == sum(runs for _, runs, _ in days) + sum(
        1 for (day,) in kept if day < today - timedelta(days=400)
    )
    assert 0 == cogniac("publish").code


def test_how_a_stream_stands_is_the_same(plant: Plant, cogniac: Sightglass) -> None:
    """A stream that no run has read for long is told of as before: its last good run stays."""
    aged(cogniac)
    gone = plant.cogniac.applications()[0]["application_id"]
    changed = cogniac.but_for({"SIGHTGLASS_RUN_DAYS": "forever"})
    changed("publish", "--force")
    with duckdb.connect(cogniac.home / "warehouse.duckdb") as connection:
        connection.execute(
            "DELETE FROM etl.run_streams WHERE partition = ? AND started_at > now() - to_days(9)", [gone]
        )
    changed("publish", "--force")
    before = [row for row in standing(cogniac.home) if row[2] == gone]
    cogniac("run", SIGHTGLASS_COGNIAC_APPLICATIONS=plant.cogniac.applications()[1]["application_id"])

    assert before == [row for row in standing(cogniac.home) if row[2] == gone]
    assert 1 == len(before)


def test_a_rebuild_has_the_same_sums(cogniac: Sightglass) -> None:
    """What is summed up is taken from the warehouse as it is, whatever of the runs the log still holds."""
    aged(cogniac)
    cogniac("run")
    before = all_rows(cogniac.home)
    ran = cogniac("rebuild")

    assert (0, before["etl.run_days"]) == (ran.code, all_rows(cogniac.home)["etl.run_days"])
    assert before == all_rows(cogniac.home)


def test_runs_can_be_kept_for_ever(cogniac: Sightglass) -> None:
    """Then nothing is summed up; fewer days than the marts look back are refused."""
    aged(cogniac)
    ran = cogniac("run", SIGHTGLASS_RUN_DAYS="forever")
    refused = cogniac("run", SIGHTGLASS_RUN_DAYS="30")

    assert (0, [], len(AGES) + 1) == (
        ran.code,
        rows(cogniac.home, "etl.run_days"),
        len(rows(cogniac.home, "etl.runs")),
    )
    said = (
        "SIGHTGLASS_RUN_DAYS from the environment must be a whole number of at least 31, or forever, not '30'"
    )
    assert (2, f"sightglass: {said}\n") == (refused.code, refused.err)


def test_an_undone_run_takes_no_sums_of_others_with_it(plant: Plant, tmp_path: Path) -> None:
    """What old runs were summed up to stays, and so does all that is counted."""
    sightglass = Sightglass(tmp_path, plant.cogniac_login)
    aged(sightglass)
    assert 0 == sightglass("run").code
    days = rows(sightglass.home, "etl.run_days")
    plant.cogniac.advance(records=3)
    run_id = sightglass("run", "--json").report["run_id"]
    undone = sightglass("undo", run_id)

    assert (0, True, days) == (undone.code, bool(days), rows(sightglass.home, "etl.run_days"))
