"""`sightglass follow`: run after run, at once when posts have come, until it is told to stop."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen

import pytest
from conftest import Plant, Sightglass, rows, table

from etl.demo.script import Hang, Rule, Script
from etl.inbox.writer import InboxWriter, Post
from etl.values import micros_of

POST = {
    "media": {"media_id": "m1"},
    "subjects": [{"subject_uid": "dog", "probability": 0.9, "updated_at": 1.5}],
}


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def leave_post(home: Path) -> None:
    """Leave a post in the inbox as a listener does."""
    writer = InboxWriter(home)
    body = json.dumps(POST).encode()
    writer.append([Post(micros_of(datetime.now(UTC)), "", "application/json", body)])
    writer.finish()


def ended(process: Popen[str]) -> str:
    """Wait for the end of a run; how it went."""
    assert process.stderr is not None
    return next(line.split()[3] for line in iter(process.stderr.readline, "") if " run " in line)


def test_it_runs_again_when_its_time_has_come(sightglass: Sightglass) -> None:
    """Each run is one of its own; told to stop it ends well."""
    with sightglass.start("follow", "--every", "1") as process:
        said = [ended(process) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)

    assert ["ok:"] * 3 == said
    assert (0, "sightglass: told to stop: no run follows\n") == (process.returncode, rest[-41:])
    assert {"ok"} == {status for (status,) in table(sightglass.home, "SELECT status FROM etl.runs")}


def test_it_runs_at_once_when_posts_have_come(sightglass: Sightglass) -> None:
    """Long before its time; what was posted is in its table then."""
    with sightglass.start("follow", "cogniac", "--every", "3600") as process:
        ended(process)
        leave_post(sightglass.home)
        said = ended(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert (0, "ok:") == (process.returncode, said)
    assert ["m1"] == [row["media_id"] for row in rows(sightglass.home, "cogniac.postbacks")]


def test_posts_that_come_while_a_run_works_are_not_left_to_the_next_interval(
    plant: Plant, sightglass: Sightglass
) -> None:
    """That run has moved what was there when it began; the next one follows within seconds."""
    reached = plant.cogniac.fault = Script(Rule(path="/detections", times=1, answer=Hang(most_s=5)))
    with sightglass.start("follow", "cogniac", "--every", "3600") as process:
        while not reached.acted[0]:
            assert process.poll() is None
        leave_post(sightglass.home)
        said = [ended(process) for _ in range(2)]
        process.terminate()
        process.communicate(timeout=60)

    assert ["ok:"] * 2 == said
    assert ["m1"] == [row["media_id"] for row in rows(sightglass.home, "cogniac.postbacks")]


def test_a_run_that_is_at_work_is_stopped_too(plant: Plant, sightglass: Sightglass) -> None:
    """It leaves as any run does that is told to stop, and `follow` after it."""
    reached = plant.cogniac.fault = Script(Rule(path="/detections", times=100, answer=Hang()))
    with sightglass.start("follow") as process:
        while not reached.acted[0]:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    assert (
        0,
        [
            "told to stop; what was loaded is kept, the next run goes on from there",
            "told to stop: no run follows",
        ],
    ) == (
        process.returncode,
        [line.removeprefix("sightglass: ") for line in said.splitlines()],
    )
    assert [("failed",)] == table(sightglass.home, "SELECT status FROM etl.runs")


def test_a_run_that_fails_is_not_the_end(plant: Plant, sightglass: Sightglass) -> None:
    """The next one goes on; settings that are to be mended end it before the first."""
    plant.cogniac.fault = Script(Rule(path="/detections", times=1, answer=Hang(most_s=0)))
    changed = sightglass.but_for({"SIGHTGLASS_RETRY_BUDGET": "0"})
    with changed.start("follow", "--every", "1") as process:
        said = [ended(process) for _ in range(2)]
        process.terminate()
        process.communicate(timeout=60)
    refused = sightglass.but_for({"COG_API_KEY": "no colon"})("follow")

    assert (["partial:", "ok:"], 0) == (said, process.returncode)
    assert (2, 1) == (refused.code, refused.err.count("\n"))


def test_an_interval_that_is_no_number_is_refused(sightglass: Sightglass) -> None:
    """It would be over at once, each time."""
    ran = sightglass("follow", "--every", "nan")

    assert (2, True) == (ran.code, "--every takes a number of seconds, not nan" in ran.err)
