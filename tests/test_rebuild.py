"""`sightglass rebuild`: replaying the log gives the tables that the runs have left, to the last column."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Sightglass
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving
from support.kills import AT_A_COMMIT, AT_A_STATEMENT, Moment, died, place
from support.steps import dump
from support.tables import differing, everything

LITTLE = {"applications": 2, "records": 60}


def test_the_log_gives_the_tables(copied: Sightglass) -> None:
    """Rows, lineage, history, quarantine, gaps and cursors are equal, and no API is asked."""
    before = everything(copied.home)
    ran = Sightglass(copied.folder, {})("rebuild", "--json")

    assert (0, {}) == (ran.code, differing(before, everything(copied.home)))
    assert ({}, [], []) == (ran.report["taken"], ran.report["incomplete"], ran.report["damaged"])


def first_run_of(home: Path) -> str:
    """The run that sealed the first part of Cogniac."""
    return min(part_names(home, "cogniac")).partition("-")[2].partition(".")[0]


def part_names(home: Path, source: str) -> list[str]:
    """The entries of the parts of a source, in order."""
    return sorted(path.name for path in (home / "raw" / source / "log").rglob("*.jsonl.zst"))


def test_what_was_pruned_is_taken_from_the_warehouse(copied: Sightglass) -> None:
    """Records that have a version in a run that the log does not hold stay as they are, and are counted."""
    before, gone = everything(copied.home), first_run_of(copied.home)
    for path in (copied.home / "raw").rglob(f"*{gone}*"):
        path.unlink()
    ran = copied("rebuild", "--json")

    assert (0, {}) == (ran.code, differing(before, everything(copied.home)))
    assert ([], []) == (ran.report["incomplete"], ran.report["damaged"])
    taken = ran.report["taken"]
    assert 0 < taken["cogniac.results"] < len(before["cogniac.results"])
    assert 0 < taken["neurons.media"] < len(before["neurons.media"])
    assert f"{taken['cogniac.results']:,} of cogniac.results" in ran.err


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("stream", ["detections", "log", "media", "assets"])
def test_what_a_damaged_part_held_is_taken_from_the_warehouse(
    copied: Sightglass, number: int, stream: str
) -> None:
    """The part is named, and the tables are what they were."""
    before = everything(copied.home)
    found = [path for path in (copied.home / "raw").rglob(f"0000000{number}-*") if stream in path.parts]
    for path in found:
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    ran = copied("rebuild", "--json")

    assert (0, {}) == (ran.code, differing(before, everything(copied.home)))
    assert len(found) == len(ran.report["damaged"])


def test_a_rebuild_into_another_folder_leaves_the_warehouse_alone(copied: Sightglass, tmp_path: Path) -> None:
    """The other folder gets a warehouse, a lake and a `bi.duckdb`; a second time it is refused."""
    before = everything(copied.home)
    lineage = (copied.home / "warehouse.duckdb").stat().st_mtime_ns
    ran = copied("rebuild", "--into", str(tmp_path / "other"))
    again = copied("rebuild", "--into", str(tmp_path / "other"))

    assert (0, {}, lineage) == (
        ran.code,
        differing(before, everything(tmp_path / "other")),
        (copied.home / "warehouse.duckdb").stat().st_mtime_ns,
    )
    assert (2, True) == (again.code, "has a warehouse already: name an empty folder" in again.err)
    with duckdb.connect(tmp_path / "other" / "bi.duckdb", read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM cogniac.results").fetchall()
    assert [(len(before["cogniac.results"]),)] == found


def test_nothing_is_rebuilt_into_the_folder_of_the_warehouse(copied: Sightglass) -> None:
    """The next run would take it for what a killed command has left there."""
    inside = copied.home / "made" / "here"
    refused = copied("rebuild", "--into", str(inside))

    said = f"sightglass: {inside} is in the folder of the warehouse: name one outside of it\n"
    assert (2, said, False) == (refused.code, refused.err, inside.exists())


@pytest.mark.parametrize("given", ["  ", "what?else", "~nobody-of-this-name/there"])
def test_what_names_no_folder_is_refused(copied: Sightglass, given: str) -> None:
    """By the rules for the folder of a warehouse, before anything is made in the current one."""
    refused = copied("rebuild", "--into", given)

    assert (2, 1) == (refused.code, refused.err.count("\n"))
    assert refused.err.startswith("sightglass: --into ")
    assert [copied.home] == list(copied.folder.iterdir())


def test_a_tilde_is_the_folder_of_the_user(copied: Sightglass, tmp_path: Path) -> None:
    """As in SIGHTGLASS_HOME, where no shell has put it in its place."""
    ran = copied("rebuild", "--into", "~/made here", HOME=str(tmp_path))

    assert (0, True) == (ran.code, (tmp_path / "made here" / "warehouse.duckdb").exists())


def test_one_source_can_be_rebuilt(copied: Sightglass) -> None:
    """The others keep what they have, although their log is gone."""
    before = everything(copied.home)
    shutil.rmtree(copied.home / "raw" / "neurons")
    ran = copied("rebuild", "cogniac", "--json")

    assert (0, {}, ["cogniac"]) == (
        ran.code,
        differing(before, everything(copied.home)),
        ran.report["sources"],
    )


def test_without_a_warehouse_the_log_alone_gives_the_tables(copied: Sightglass) -> None:
    """All but what runs did that brought nothing, and what they cost."""
    before = everything(copied.home)
    (copied.home / "warehouse.duckdb").unlink()
    ran = copied("rebuild")
    differ = differing(before, everything(copied.home))

    assert (4, {"etl.runs", "etl.run_streams"}) == (ran.code, {*differ})
    assert copied("publish", "--force").code == 0


def test_a_damaged_warehouse_is_made_anew_from_the_log(copied: Sightglass) -> None:
    """The damage is named; with `--log-alone` nothing of the file is looked at."""
    before = everything(copied.home)
    (copied.home / "warehouse.duckdb").write_bytes(b"no database" * 1000)
    refused, ran = copied("rebuild"), copied("rebuild", "--log-alone")

    assert (2, 4) == (refused.code, ran.code)
    assert {"etl.runs", "etl.run_streams"} == differing(before, everything(copied.home)).keys()


def test_what_is_put_aside_holds_all_that_was_committed(served: Plant, tmp_path: Path) -> None:
    """Also what stands in the log of DuckDB alone, as after a kill."""
    killed = place(tmp_path / "place", served)
    is_killed = died(killed, Moment(AT_A_COMMIT, 8, "after"))
    before = dump(killed.home / "warehouse.duckdb")
    was_logged = (killed.home / "warehouse.duckdb.wal").exists()
    killed("rebuild", "--log-alone")

    assert (True, True, True) == (is_killed, was_logged, any(before.values()))
    assert before == dump(killed.home / "warehouse.duckdb.former")


def test_what_was_dismissed_brings_back_no_run_that_was_pruned(tmp_path: Path) -> None:
    """Its records are taken from the warehouse, and the refusal stays dismissed."""
    bad = record(1)
    bad["detections"][0]["probability"] = 5
    listed: list[tuple[float, Any]] = [(one["updated_at"], one) for one in (record(0), bad, record(2))]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server).but_for({"SIGHTGLASS_RAW_DAYS": "30"})
        first = sightglass("run", "--json")
        (refused,) = sightglass("quarantine", "--json").report["quarantine"]
        sightglass("quarantine", "dismiss", refused["quarantine_id"])
        before = everything(sightglass.home)
        for path in (sightglass.home / "raw").rglob(f"*-{first.report['run_id']}.*"):
            path.unlink()
        ran = sightglass("rebuild", "--json")

    assert (4, 0) == (first.code, ran.code)
    assert {} == differing(before, everything(sightglass.home))
    assert (2, 1) == (ran.report["taken"]["cogniac.results"], ran.report["taken"]["etl.quarantine"])


def test_a_rebuild_after_all_of_the_log_is_gone_keeps_the_tables(copied: Sightglass) -> None:
    """All is taken from the warehouse, and the next part has a number that was never used."""
    before = everything(copied.home)
    shutil.rmtree(copied.home / "raw")
    ran = copied("rebuild")

    assert (0, {}) == (ran.code, differing(before, everything(copied.home)))


def test_readers_see_what_was_rebuilt_where_only_the_content_differs(copied: Sightglass) -> None:
    """Also where it has the lineage of what they have: as a former version may have read it otherwise."""
    with duckdb.connect(copied.home / "warehouse.duckdb") as connection:
        connection.execute("UPDATE cogniac.detections SET probability = 0.5")
    (copied.home / "versions" / "verified.json").unlink(missing_ok=True)
    (copied.home / "rebuilt").touch()
    assert copied("publish").code == 0
    ran = copied("rebuild")
    with duckdb.connect(copied.home / "bi.duckdb", read_only=True) as connection:
        found = connection.execute(
            "SELECT count(DISTINCT probability) > 1 FROM cogniac.detections"
        ).fetchall()

    assert (0, [(True,)]) == (ran.code, found)


def test_a_run_that_finds_nothing_new_logs_no_record(copied: Sightglass) -> None:
    """However old what it lists is: what is stored just as it is sent is recognized."""

    def logged() -> list[str]:
        found = (path for path in (copied.home / "raw").rglob("*.zst") if "log" not in path.parts)
        return sorted(map(str, found))

    before = logged()
    ran = copied("run", "--json")

    counts = {(each["inserted"], each["updated"], each["quarantined"]) for each in ran.report["streams"]}
    assert (0, {(0, 0, 0)}, before) == (ran.code, counts, logged())


def test_where_there_is_nothing_to_rebuild_from(tmp_path: Path) -> None:
    """Neither a warehouse nor a log is a matter of settings."""
    tmp_path.joinpath("place").mkdir()
    ran = Sightglass(tmp_path, {})("rebuild", "--home", "place")
    misspelt = Sightglass(tmp_path, {})("rebuild", "--home", "misspelt", "--into", "other")

    assert (2, True) == (ran.code, "there is neither a warehouse nor a log in" in ran.err)
    assert (2, True) == (misspelt.code, "there is neither a warehouse nor a log in" in misspelt.err)
    assert ["place"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("number", [5, 60, 200, 330])
def test_a_rebuild_that_is_killed_leaves_the_former_tables(copied: Sightglass, number: int) -> None:
    """Whatever it was doing; the next one is as if there had been none before."""
    before = everything(copied.home)
    is_killed = died(copied, Moment(AT_A_STATEMENT, number), "rebuild")
    between = everything(copied.home)
    ran = copied("rebuild")

    assert (True, {}, {}, 0) == (
        is_killed,
        differing(before, between),
        differing(before, everything(copied.home)),
        ran.code,
    )
