"""`sightglass undo`: the tables as they were before a run, and what comes after is as if it had not been."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Sightglass, all_rows, in_order, rows, table
from support.kills import AT_A_COMMIT, AT_A_STATEMENT, Moment, at_a_call, content, died, place
from support.posts import AT, post, posted
from support.tables import Dump, differing, everything

from etl.inbox.writer import MOST_BYTES

LITTLE = {"applications": 2, "records": 60}
BOOKS = ("etl.runs", "etl.run_streams", "etl.log")
"""What tells of the run that was undone, and how far the log is used."""


def without_books(home: Path) -> Dump:
    """All rows of all tables, all columns, but for the books of the runs themselves."""
    return {name: found for name, found in everything(home).items() if name not in BOOKS}


def statuses(home: Path) -> list[str]:
    """How each run ended, the oldest first."""
    return [run["status"] for run in sorted(rows(home, "etl.runs"), key=lambda run: run["started_at"])]


def published_rows(home: Path, name: str) -> list[tuple[Any, ...]]:
    """How many rows readers see."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        return connection.execute(f"SELECT count(*) FROM {name}").fetchall()  # noqa: S608


@pytest.fixture(scope="module")
def steps(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Sightglass, str]]:
    """A warehouse as each of four runs has left it, and the name of that run; one is quiet."""
    folder = tmp_path_factory.mktemp("steps")
    sightglass = place(folder / "place", served, SIGHTGLASS_RAW_DAYS="forever")
    found = []
    for number in range(4):
        if number in (1, 3):
            served.cogniac.advance(records=30, corrections=20)
            served.neurons.advance(media=3)
        ran = sightglass("run", "--json")
        assert ran.code == 0
        shutil.copytree(sightglass.folder, folder / str(number))
        found.append((Sightglass(folder / str(number), sightglass.settings), ran.report["run_id"]))
    return found


@pytest.fixture
def copied(steps: list[tuple[Sightglass, str]], tmp_path: Path) -> Sightglass:
    """A copy of what the last of them has left."""
    shutil.copytree(steps[-1][0].folder, tmp_path / "place")
    return Sightglass(tmp_path / "place", steps[-1][0].settings)


def test_the_newest_run_is_undone(copied: Sightglass, steps: list[tuple[Sightglass, str]]) -> None:
    """All tables are, to the last column, what they were; readers see it; no API is asked."""
    before, run_id = steps[-2][0].home, steps[-1][1]
    ran = Sightglass(copied.folder, {})("undo", run_id, "--json")

    assert (0, {}) == (ran.code, differing(without_books(before), without_books(copied.home)))
    assert ([run_id], {"cogniac", "neurons"}) == (ran.report["runs"], {*ran.report["parts"]})
    assert ["ok", "ok", "ok", "undone"] == statuses(copied.home)
    assert published_rows(copied.home, "cogniac.results") == [(len(rows(before, "cogniac.results")),)]


def test_the_next_run_reads_again_what_was_undone(
    copied: Sightglass, steps: list[tuple[Sightglass, str]]
) -> None:
    """What it leaves is what a warehouse has to which the run never came, and a rebuild gives the same."""
    expected = content(copied.home)
    assert copied("undo", steps[-1][1]).code == 0
    ran = copied("run")
    found, before = content(copied.home), everything(copied.home)
    rebuilt = copied("rebuild", "--json")

    assert (0, 0, expected) == (ran.code, rebuilt.code, found)
    assert ({}, {}) == (differing(before, everything(copied.home)), rebuilt.report["taken"])
    assert ["ok", "ok", "ok", "undone", "ok"] == statuses(copied.home)


def test_a_rebuild_of_the_log_alone_does_not_bring_it_back(
    copied: Sightglass, steps: list[tuple[Sightglass, str]]
) -> None:
    """The log says itself which runs were undone; that others brought nothing is not in it (exit code 4)."""
    copied("undo", steps[-1][1])
    (copied.home / "warehouse.duckdb").unlink()
    ran = copied("rebuild", "--log-alone")

    expected, found = without_books(steps[-2][0].home), without_books(copied.home)
    assert (4, {}) == (ran.code, differing(expected, found))


def test_an_older_run_is_undone_with_all_later_ones(
    copied: Sightglass, steps: list[tuple[Sightglass, str]]
) -> None:
    """They are named first, and nothing is changed until that is asked for; quiet ones need no word."""
    before, (_, second), (_, third), (_, last) = everything(copied.home), *steps[1:]
    refused = copied("undo", second)
    unchanged = differing(before, everything(copied.home))
    ran = copied("undo", second, "--with-later", "--json")

    assert (2, {}, True, False) == (refused.code, unchanged, last in refused.err, third in refused.err)
    expected = without_books(steps[0][0].home)
    assert (0, {}) == (ran.code, differing(expected, without_books(copied.home)))
    assert [second, third, last] == ran.report["runs"]


def test_a_run_is_undone_once(copied: Sightglass, steps: list[tuple[Sightglass, str]]) -> None:
    """A second time nothing is left to do, and it is said."""
    copied("undo", steps[-1][1])
    before = everything(copied.home)
    ran = copied("undo", steps[-1][1], "--json")

    assert (0, [], {}) == (ran.code, ran.report["runs"], differing(before, everything(copied.home)))
    assert "is undone already" in ran.err


def test_a_run_that_brought_nothing_is_undone_without_a_word_to_others(
    steps: list[tuple[Sightglass, str]], tmp_path: Path
) -> None:
    """Only the books change, and how often it was looked for what is missing."""
    shutil.copytree(steps[2][0].folder, tmp_path / "place")
    sightglass = Sightglass(tmp_path / "place", steps[2][0].settings)
    ran = sightglass("undo", steps[2][1])

    found = differing(without_books(steps[1][0].home), without_books(sightglass.home))
    assert (0, {}, content(steps[2][0].home)) == (ran.code, found, content(sightglass.home))


def test_an_unknown_run_is_named(copied: Sightglass) -> None:
    """It is a matter of what was typed."""
    ran = copied("undo", "20200101T000000-abcdef")

    assert (2, True) == (ran.code, "there is no run 20200101T000000-abcdef" in ran.err)


@pytest.mark.parametrize("place_of", ["first", "its own"])
def test_without_the_whole_log_nothing_is_undone(
    copied: Sightglass, steps: list[tuple[Sightglass, str]], place_of: str
) -> None:
    """Whatever part is missing; it says which source lacks it, and what keeps it the next time."""
    gone = steps[0 if place_of == "first" else -1][1]
    for path in (copied.home / "raw" / "cogniac").rglob(f"*{gone}*"):
        path.unlink()
    before = everything(copied.home)
    ran = copied("undo", steps[-1][1])

    assert (2, {}) == (ran.code, differing(before, everything(copied.home)))
    assert "the log of cogniac does not hold all" in ran.err
    assert "SIGHTGLASS_RAW_DAYS=forever" in ran.err


def test_a_damaged_log_undoes_nothing(copied: Sightglass, steps: list[tuple[Sightglass, str]]) -> None:
    """The file is named."""
    (path,) = (copied.home / "raw" / "cogniac" / "detections").rglob(f"*{steps[1][1]}*")
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    before = everything(copied.home)
    ran = copied("undo", steps[-1][1])

    assert (2, {}, True) == (ran.code, differing(before, everything(copied.home)), str(path) in ran.err)


def test_what_was_posted_goes_back_to_the_inbox(plant: Plant, tmp_path: Path) -> None:
    """Nobody posts it again: the next run has it from there, what could not be read too."""
    sightglass = place(tmp_path / "place", plant, SIGHTGLASS_RAW_DAYS="forever")
    sightglass("run")
    posted(sightglass.home, post("never", ("dog", 0.9, AT)), "no post at all")
    second = sightglass("run", "--json")
    expected = content(sightglass.home)
    refused = all_rows(sightglass.home)["etl.quarantine"]
    ran = sightglass("undo", second.report["run_id"], "--json")
    between = all_rows(sightglass.home)
    third = sightglass("run")

    assert (0, 2, [], []) == (
        ran.code,
        ran.report["posts"],
        between["cogniac.postbacks"],
        between["etl.quarantine"],
    )
    assert (4, expected) == (third.code, content(sightglass.home))
    assert [each["quarantine_id"] for each in refused] == [
        each["quarantine_id"] for each in all_rows(sightglass.home)["etl.quarantine"]
    ]


def test_many_posts_go_back_to_the_inbox_in_files_of_the_usual_size(plant: Plant, tmp_path: Path) -> None:
    """A run holds one of them in memory, however many posts were undone; all are loaded again."""
    sightglass = Sightglass(tmp_path, plant.cogniac_login)
    large = {"pad": "x" * (MOST_BYTES // 2)}
    bodies = [{**post(f"m{number}", ("dog", 0.9, AT)), **large} for number in range(5)]
    posted(sightglass.home, *bodies)
    sightglass("run")
    ((run_id,),) = table(sightglass.home, "SELECT run_id FROM etl.runs")
    before = in_order(rows(sightglass.home, "cogniac.postbacks"))
    ran = sightglass("undo", run_id, "--json")
    sizes = [path.stat().st_size for path in (sightglass.home / "inbox").iterdir()]
    sightglass("run")

    assert (0, 5, 5, True) == (ran.code, ran.report["posts"], len(sizes), max(sizes) < MOST_BYTES)
    assert before == in_order(rows(sightglass.home, "cogniac.postbacks"))


def test_a_lost_word_of_what_was_undone_is_written_again(
    copied: Sightglass, steps: list[tuple[Sightglass, str]]
) -> None:
    """`etl.runs` has it too; damage is named and never taken for nothing."""
    copied("undo", steps[-1][1])
    expected = without_books(copied.home)
    told = copied.home / "raw" / "cogniac" / "undone.jsonl"
    told.write_bytes(told.read_bytes()[:-3])
    damaged = copied("rebuild")
    told.unlink()
    ran = copied("rebuild")

    assert (2, True, 0) == (damaged.code, str(told) in damaged.err, ran.code)
    assert {} == differing(expected, without_books(copied.home))


AT_A_WORD = at_a_call("etl.extract.log", "owner", "write_undone")
DEATHS = [
    *(Moment(AT_A_STATEMENT, number) for number in (3, 40, 150, 300)),
    *(Moment(AT_A_COMMIT, number, side) for number in (1, 4, 9) for side in ("before", "after")),
    *(Moment(AT_A_WORD, number, side) for number in (1, 2) for side in ("before", "after")),
]


@pytest.mark.parametrize("first", ["undo", "run"])
@pytest.mark.parametrize("moment", DEATHS, ids=lambda each: f"{len(each.code)}-{each.number}-{each.side}")
def test_a_kill_at_any_moment_changes_nothing_or_all(
    copied: Sightglass, steps: list[tuple[Sightglass, str]], moment: Moment, first: str
) -> None:
    """The tables are those of before or after, and once it is run again those of after.

    So they are where a run comes between; what that has read again is undone by the next.
    """
    before, after = without_books(copied.home), without_books(steps[-2][0].home)
    is_killed = died(copied, moment, "undo", steps[-1][1])
    found = without_books(copied.home)
    assert (True, True) == (is_killed, {} in (differing(before, found), differing(after, found)))

    if first == "run":
        expected = content(steps[-1][0].home)
        assert copied("run").code == 0
        assert expected == content(copied.home)
        assert copied("rebuild").code == 0
        assert expected == content(copied.home)
    else:
        ran = copied("undo", steps[-1][1])
        assert (0, {}) == (ran.code, differing(after, without_books(copied.home)))
        assert published_rows(copied.home, "cogniac.results") == [(len(after["cogniac.results"]),)]
        assert not (copied.home / "rebuilt").exists()
