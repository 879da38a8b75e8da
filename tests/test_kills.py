"""Runs that are killed: real processes, at every commit and in between; the next run makes it all good."""

import itertools
import os
import random
import shutil
import signal
from pathlib import Path
from queue import Queue

import pytest
from conftest import Plant, Sightglass, Truth
from starlette.requests import Request
from support.kills import (
    AT_A_COMMIT,
    AT_A_STATEMENT,
    Moment,
    Tables,
    a_little,
    ahead,
    content,
    died,
    place,
    run_store,
    started,
    wrong,
)

LITTLE = {"applications": 2, "records": 24}


def outcome(place: Sightglass, moment: Moment, expected: Tables, truth: Truth) -> list[str] | None:
    """What is wrong after a run killed at this moment and one let go; None where it was not killed."""
    if not died(place, moment):
        return None
    return [*ahead(place.home, truth), *wrong(place, expected)]


@pytest.mark.parametrize(("side", "step"), [("before", 1), ("after", 4)])
def test_killed_at_any_commit(served: Plant, expected: Tables, tmp_path: Path, side: str, step: int) -> None:
    """A run killed right before or after any of its commits is made good by the next."""
    found: list[list[str]] = []
    truth = Truth.now(served)
    for number in range(1, 100, step):
        moment = Moment(AT_A_COMMIT, number, side)
        one = outcome(place(tmp_path / str(number), served), moment, expected, truth)
        if one is None:
            break
        found.append(one)

    assert [[]] * len(found) == found
    assert 9 // step < len(found) < 99 // step


RANDOM = random.Random(20260301)  # noqa: S311 -- wants a seed, not secrecy
STATEMENTS = (2, *sorted(RANDOM.sample(range(3, 300), 4)))
REQUESTS = (1, *sorted(RANDOM.sample(range(2, 9), 3)))


@pytest.mark.parametrize("number", STATEMENTS)
def test_killed_at_any_statement(served: Plant, expected: Tables, tmp_path: Path, number: int) -> None:
    """Tables half made are completed by the next run, and a batch half written is written anew."""
    killed = place(tmp_path / "place", served)

    assert died(killed, Moment(AT_A_STATEMENT, number))
    assert [] == wrong(killed, expected)


@pytest.mark.parametrize("number", REQUESTS)
def test_killed_at_any_request(served: Plant, expected: Tables, tmp_path: Path, number: int) -> None:
    """It does not matter what a run was asking for, and what else it was doing just then."""
    killed, pids, requests = place(tmp_path / "place", served), Queue[int](), itertools.count(1)

    def kill(_request: Request) -> None:
        if next(requests) == number:
            os.kill(pids.get(), signal.SIGKILL)

    watches = (served.cogniac, served.neurons, served.neurons.file_watch)
    for watch in watches:
        watch.fault = kill
    with started(killed, Moment("", 0).program, "run") as process:
        pids.put(process.pid)
        process.communicate(timeout=100)
    for watch in watches:
        watch.fault = None
    code, too_far = process.returncode, ahead(killed.home, Truth.now(served))

    assert (-signal.SIGKILL, [], []) == (code, too_far, wrong(killed, expected))


def test_killed_five_times_in_a_row(tmp_path: Path) -> None:
    """Runs that die one after the other over new records and corrections leave nothing but their names."""
    with a_little(applications=2, records=24) as plant:
        spared = place(tmp_path / "spared", plant)
        first = spared("run")
        shutil.copytree(spared.folder, tmp_path / "killed")
        killed = Sightglass(tmp_path / "killed", plant.settings)
        before = content(killed.home)
        plant.cogniac.advance(records=20, corrections=20)
        plant.neurons.advance(media=2)
        second = spared("run")
        deaths = [died(killed, Moment(AT_A_COMMIT, number)) for number in (2, 3, 5, 6, 7)]
        expected = content(spared.home)
        found = wrong(killed, expected)

    assert (0, 0, [True] * 5) == (first.code, second.code, deaths)
    assert (["ok", *["failed"] * 5, "ok"], []) == ([run[0] for run in run_store(killed.home)], found)
    assert before != expected
