"""Runs and rebuilds killed at random, in each state of the data: nothing that was sealed is asked again."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from conftest import Plant, Sightglass, Truth, rows
from starlette.responses import Response
from support.kills import (
    AT_A_COMMIT,
    AT_A_STATEMENT,
    Moment,
    Tables,
    ahead,
    at_a_call,
    content,
    died,
    place,
    wrong,
)

from etl.extract.log import Log
from etl.extract.log_reader import read
from etl.extract.stream import Page

LITTLE = {"applications": 2, "records": 90}

KILLS = 500 if os.environ.get("TEST_LONG") else 9
STATES = {
    "received": (at_a_call("etl.pipeline.stream_buffer", "owner.StreamBuffer", "add"), 60),
    "while it is sealed": (at_a_call("etl.extract.log_writer", "owner", "sync"), 60),
    "sealed": (at_a_call("etl.extract.log_writer", "owner.LogWriter", "seal"), 20),
    "while it is applied": (AT_A_STATEMENT, 400),
    "applied": (AT_A_COMMIT, 16),
    "while it is published": (at_a_call("etl.publish.lake", "owner", "sync"), 12),
    "published": (at_a_call("etl.publish.lake", "owner.Lake", "commit"), 1),
}
"""By the state that data is in, code that kills itself at one of the moments that it counts, and how many
there are about."""
JOINS = 4
"""Records that a page repeats of the one before it, at most: by these it is seen to join."""
OVERLAP = 3600
AT_ONCE = {"SIGHTGLASS_CONCURRENCY": "2"}
UNJOINED = 30
"""Records of the last page of each reader, of which there are three: one of each application, and one more.
That a page is where it belongs shows by the page after it."""


@pytest.fixture(scope="module")
def first(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse of one run, after which there is news."""
    loaded = place(tmp_path_factory.mktemp("first") / "place", served)
    assert loaded("run").code == 0
    served.cogniac.advance(records=40, corrections=30)
    served.neurons.advance(media=2)
    return loaded


@pytest.fixture(scope="module")
def expected(served: Plant, first: Sightglass, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """What undisturbed runs leave: a first load of all of it, and the increment after the first run."""
    anew = place(tmp_path_factory.mktemp("anew") / "place", served)
    shutil.copytree(first.folder, tmp_path_factory.mktemp("increment") / "place")
    grown = Sightglass(tmp_path_factory.getbasetemp() / "increment0" / "place", first.settings)
    assert [0, 0] == [each("run").code for each in (anew, grown)]
    return {"first load": content(anew.home), "increment": content(grown.home)}


def sealed(home: Path) -> list[tuple[str, str]]:
    """The application and the medium of each record of detections that the log holds."""
    log = Log(home / "raw" / "cogniac")
    return [
        (each.context["application_id"], json.loads(record)["media"]["media_id"])
        for part in log.parts()
        for received in read(log, part).received
        for each in received.bundle
        if isinstance(each, Page) and each.stream == "detections"
        for record in each.records
    ]


def again(home: Path, truth: Truth, sealed_before: int) -> int:
    """How many records the last run has asked for although they were sealed, beyond what pages repeat."""
    last = max(row["run_id"] for row in rows(home, "etl.runs"))
    streams = [
        row
        for row in rows(home, "etl.run_streams")
        if row["run_id"] == last and row["stream"] == "detections"
    ]
    times = [record["updated_at"] for records in truth.records.values() for record in records]
    recent = len([time for time in times if time >= max(times) - OVERLAP])
    there = sum(map(len, truth.records.values()))
    asked = sum(int(row["fetched"]) - JOINS * int(row["requests"]) for row in streams)
    return max(0, asked - max(0, there - sealed_before) - recent)


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_anywhere(
    served: Plant, first: Sightglass, expected: dict[str, Tables], tmp_path: Path, number: int
) -> None:
    """The next run makes the tables those of a run never killed, and asks for nothing that was sealed."""
    dice = random.Random(number)  # noqa: S311 -- wants a seed, not secrecy
    what = dice.choice(["first load", "increment", "rebuild"])
    code, most = STATES[dice.choice([*STATES])] if what != "rebuild" else (AT_A_STATEMENT, 350)
    moment = Moment(code, dice.randint(1, most), dice.choice(["before", "after"]))
    if number < len(STATES):
        # Each state is met for sure; how often, is for chance.
        what, moment = "first load", Moment([*STATES.values()][number][0], 1, "before")
    if what == "first load":
        killed = place(tmp_path / "place", served, **AT_ONCE)
    else:
        shutil.copytree(first.folder, tmp_path / "place")
        killed = Sightglass(tmp_path / "place", first.settings)
    is_killed = died(killed, moment, "rebuild" if what == "rebuild" else "run")
    truth = Truth.now(served)
    too_far, before = ahead(killed.home, truth), len(sealed(killed.home))

    assert ([], []) == (too_far, wrong(killed, expected["increment" if what == "rebuild" else what]))
    assert is_killed or number >= len(STATES)
    assert what != "first load" or again(killed.home, truth, before) <= UNJOINED


@pytest.mark.parametrize("number", [6, 9])
def test_what_was_sealed_is_loaded_though_no_api_answers(served: Plant, tmp_path: Path, number: int) -> None:
    """A kill costs nothing of it: the next run has all of it before it asks anybody."""
    killed = place(tmp_path / "place", served)
    assert died(killed, Moment(STATES["sealed"][0], number, "after"))
    served.cogniac.fault = served.neurons.fault = lambda _request: Response(status_code=500)
    ran = killed("run", SIGHTGLASS_RETRY_BUDGET="0")
    served.cogniac.fault = served.neurons.fault = None
    found = {(row["application_id"], row["media_id"]) for row in rows(killed.home, "cogniac.results")}

    assert (3, set(sealed(killed.home))) == (ran.code, found)
    assert found


def test_a_damaged_part_is_set_aside_and_asked_for_again(
    served: Plant, expected: dict[str, Tables], tmp_path: Path
) -> None:
    """Of a run that was killed: no cursor has moved over it, so the next run has all of it; exit code 4."""
    killed = place(tmp_path / "place", served)
    assert died(killed, Moment(AT_A_COMMIT, 3))
    parts = Log(killed.home / "raw" / "cogniac").parts()
    body = bytearray(parts[-1].entry.read_bytes())
    body[len(body) // 2] ^= 1
    parts[-1].entry.write_bytes(body)
    ran, again = killed("run"), killed("run")

    assert (4, 0) == (ran.code, again.code)
    assert "the log is damaged, what it held since is asked for again" in ran.err
    assert expected["first load"] == content(killed.home)
