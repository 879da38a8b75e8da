"""What a run refused is reported once, with exit code 4, though the run was killed before it could do so."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Row, Sightglass
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving
from support.kills import started

DEADLY = """
import os, signal
from etl import cli
from etl.pipeline import run as pipeline
from etl.load.run_store import RunStore
from etl.load.warehouse import Warehouse
def deadly(*_arguments, **_named):
    os.kill(os.getpid(), signal.SIGKILL)
{place} = deadly
cli.main()"""
"""The command, which kills itself where this is called."""
PLACES = {
    "before it was entered how it ended": "RunStore.finish",
    "while it published": "pipeline.publish",
    "with all done but the lock": "Warehouse.close",
}


@pytest.fixture
def sightglass(tmp_path: Path) -> Iterator[Sightglass]:
    """The command, and an API with one good and two bad records."""
    bad = [record(number, user_id=1) for number in (1, 2)]
    for each in bad:
        each["detections"][0]["probability"] = 5
    listed: list[tuple[float, Row | bytes]] = [(one["updated_at"], one) for one in [record(0), *bad]]
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        yield of_cogniac(tmp_path, server)


def killed(sightglass: Sightglass, place: str) -> int:
    """Run the command until it kills itself there; how it ended."""
    with started(sightglass, DEADLY.format(place=place), "run") as process:
        process.communicate(timeout=100)
    return process.returncode


def refused(sightglass: Sightglass) -> tuple[int, int]:
    """The exit code of a run, and how many new refusals it reports."""
    ran = sightglass("run", "--json")
    return ran.code, ran.report["newly_quarantined"]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_run_that_is_killed_leaves_its_report_to_the_next(sightglass: Sightglass, place: str) -> None:
    """The next run that ends by itself reports what was refused, and the one after it no more."""
    died = killed(sightglass, place)

    assert (-signal.SIGKILL, (4, 2), (0, 0)) == (died, refused(sightglass), refused(sightglass))


def test_several_runs_that_are_killed_leave_it_to_the_first_that_is_not(sightglass: Sightglass) -> None:
    """A command that reports nothing between them leaves it as it is."""
    died = [killed(sightglass, "pipeline.publish") for _ in range(2)]
    between = sightglass("publish")

    assert ([-signal.SIGKILL] * 2, 0) == (died, between.code)
    assert ((4, 2), (0, 0)) == (refused(sightglass), refused(sightglass))


def test_a_replay_reports_nothing_and_leaves_it_too(sightglass: Sightglass) -> None:
    """Whoever replays one record is not told of the others."""
    killed(sightglass, "pipeline.publish")
    sightglass("publish")
    one, _ = sightglass("quarantine", "--json").report["quarantine"]
    replayed = sightglass("quarantine", "replay", one["quarantine_id"], "--json")

    assert (4, 0) == (replayed.code, replayed.report["newly_quarantined"])
    assert ((4, 2), (0, 0)) == (refused(sightglass), refused(sightglass))


def test_a_run_that_fails_as_a_whole_leaves_it_too(sightglass: Sightglass) -> None:
    """Its exit code tells of the failure, and it came to no report."""
    sightglass.home.mkdir()
    (sightglass.home / "lake").write_text("in the way")
    failed = sightglass("run")
    (sightglass.home / "lake").unlink()

    assert (2, (4, 2), (0, 0)) == (failed.code, refused(sightglass), refused(sightglass))


def test_what_was_dismissed_meanwhile_is_not_reported(sightglass: Sightglass) -> None:
    """Somebody has seen it."""
    killed(sightglass, "pipeline.publish")
    sightglass("publish")
    listed = sightglass("quarantine", "--json").report["quarantine"]
    for each in listed:
        sightglass("quarantine", "dismiss", each["quarantine_id"])

    assert (2, (0, 0)) == (len(listed), refused(sightglass))


@pytest.mark.parametrize("left", ["", "{}", "[1]", '{"run": 7, "unreported": "x"}', "\xff", "[" * 100_000])
def test_a_word_that_says_nothing_stops_no_run(sightglass: Sightglass, left: str) -> None:
    """What stands in the file may be anything."""
    sightglass.home.mkdir()
    (sightglass.home / "run.holder.json").write_bytes(left.encode("latin-1"))

    assert (4, 2) == refused(sightglass)
    assert not (sightglass.home / "run.holder.json").exists()
