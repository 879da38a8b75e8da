"""The log of a command: a line for each event, without secrets, and what `--quiet` leaves for people."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import duckdb
import pytest
from conftest import ROOT, Plant, Sightglass, table

from etl.demo.script import FOREVER, Answer, Hang, Rule, Script

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DETECTIONS = "/detections$"
STEERING = "\x1b]0;gotcha\x07"


@pytest.fixture
def cogniac(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def events(text: str) -> list[dict[str, Any]]:
    """The events of a log in JSON, whose times are well formed, without these."""
    found = [json.loads(line) for line in text.splitlines()]
    assert [] == [each for each in found if not TIME.fullmatch(each.pop("time"))]
    return found


def test_a_quiet_run_says_nothing_where_nothing_is_wrong(sightglass: Sightglass) -> None:
    """Then cron sends no mail; the report is there as ever for who asks for it."""
    ran = sightglass("run", "--quiet", "--json")

    assert (0, "", "ok") == (ran.code, ran.err, ran.report["status"])


def test_a_quiet_run_says_what_is_wrong(plant: Plant, cogniac: Sightglass) -> None:
    """The stream that failed and how the run ended, and nothing of what went well."""
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=Answer(status=404)))
    ran = cogniac("run", "--quiet")

    said = [line.partition(": ")[2].split()[:2] for line in ran.err.splitlines()]
    assert (3, ["cogniac", "subjects"], "run") == (ran.code, said[0], said[-1][0])
    assert 2 == len(said)


def test_a_quiet_run_beside_another_says_nothing(plant: Plant, cogniac: Sightglass) -> None:
    """It is the exit code that tells: cron's next run does what this one could not."""
    reached = plant.cogniac.fault = Script(Rule(path=DETECTIONS, times=100, answer=Hang()))
    with cogniac.start("run") as process:
        while not reached.acted[0]:
            assert process.poll() is None
        beside = cogniac("run", "--quiet")
        process.kill()

    assert (75, "") == (beside.code, beside.err)


def test_each_event_of_a_run_is_one_json_object(cogniac: Sightglass) -> None:
    """Begun, each stream with its counts, published, ended, and what people are told, on standard error."""
    ran = cogniac("run", "--json", "--log-format", "json")

    found, report = events(ran.err), ran.report
    streams = [each for each in found if each["event"] == "stream.ended"]
    about = {"level": "info", "event": "stream.ended", "run_id": report["run_id"]}
    assert [
        "run.begun",
        *["stream.ended"] * len(streams),
        "publish.ended",
        "run.ended",
        "message",
        "message",
    ] == [each["event"] for each in found]
    assert [about | each for each in report["streams"]] == streams
    assert {"level": "info", "event": "publish.ended", **report["published"]} == found[-4]
    assert {
        "level": "info",
        "event": "run.ended",
        "status": "ok",
        "exit_code": 0,
        "seconds": report["seconds"],
        "run_id": report["run_id"],
    } == found[-3]
    assert "neurons skipped, it has no credentials" == found[-2]["message"]


def test_a_log_file_grows_beside_what_people_are_told(cogniac: Sightglass) -> None:
    """Each run appends its lines, with time and level; standard error is as it is without."""
    path = cogniac.folder / "sightglass.log"
    first, second = (cogniac("run", "--log-file", str(path)) for _ in range(2))

    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    assert [] == [line for line in lines if not TIME.fullmatch(line[0]) or line[1] != "INFO"]
    assert 2 == [line[2] for line in lines].count("run.begun")
    told = [each.err.replace("sightglass: ", "").splitlines() for each in (first, second)]
    assert [*told[0], *told[1]] == [" ".join(line[2:]) for line in lines if "." not in line[2]]


def test_verbose_logs_each_request_that_failed(plant: Plant, cogniac: Sightglass) -> None:
    """The run is well in the end, and says what it had to ask for again."""
    plant.cogniac.fault = Script(Rule(path="/subjects", answer=Answer(status=503)))
    ran = cogniac("run", "--verbose", "--log-format", "json")

    (failed,) = (each for each in events(ran.err) if each["event"] == "request.failed")
    assert (0, "debug", 1) == (ran.code, failed["level"], failed["attempt"])
    assert "503" in failed["error"]


def test_no_line_holds_a_secret_or_steers_a_terminal(plant: Plant, cogniac: Sightglass) -> None:
    """An API that says what it was sent is quoted without it, in text and in JSON."""
    key = plant.cogniac_login["COG_API_KEY"].partition(":")[2]
    said = json.dumps({"message": f"no {key} here {STEERING}", "detail": ""}).encode()
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=Answer(status=503, body=said)))
    changed = cogniac.but_for({"SIGHTGLASS_RETRY_BUDGET": "0.5"})
    text = changed("run", "--verbose")
    path = cogniac.folder / "log.json"
    changed("run", "--verbose", "--log-format=json", "--log-file", str(path))

    logs = [text.err, path.read_text(encoding="utf-8")]
    found = [each for each in events(logs[1]) if each["event"] == "request.failed"]
    assert [] == [log for log in logs if key in log or "\x1b" in log]
    assert [True, True] == ["no *** here" in logs[0], "no *** here" in found[0]["error"]]


def test_a_traceback_holds_no_secret(cogniac: Sightglass, plant: Plant) -> None:
    """Neither what people see of a bug nor the log of it."""
    key = plant.cogniac_login["COG_API_KEY"].partition(":")[2]
    bug = (
        "import etl.cli.run as module, os, sys\n"
        "def run(*given): raise RuntimeError('met ' + os.environ['COG_API_KEY'])\n"
        "module.run = run\n"
        "from etl.__main__ import main\n"
        "main()\n"
    )
    environ = {
        **os.environ,
        **cogniac.settings,
        "PYTHONPATH": str(ROOT),
        "SIGHTGLASS_HOME": str(cogniac.home),
    }

    def met(*arguments: str) -> tuple[int, str]:
        ran = run(
            [sys.executable, "-c", bug, "run", *arguments],
            capture_output=True,
            check=False,
            env=environ,
            text=True,
            cwd=cogniac.folder,
        )
        return ran.returncode, ran.stderr

    code, trace = met()
    json_code, logged = met("--log-format", "json")
    (found,) = events(logged)
    assert (1, 1, "bug", "critical") == (code, json_code, found["event"], found["level"])
    last = "RuntimeError: met ***"
    assert [last, last] == [trace.splitlines()[-1], found["traceback"].splitlines()[-1]]
    assert [] == [each for each in (trace, logged) if key in each]


@pytest.mark.parametrize("command", ["run", "publish", "rebuild", "listen"])
def test_a_log_that_cannot_be_opened_is_one_line(sightglass: Sightglass, command: str) -> None:
    """Before anything is asked or written."""
    path = sightglass.folder / "missing" / "log"
    ran = sightglass(command, "--log-file", str(path))

    said = f"cannot write the log {path}: No such file or directory; make its folder first"
    assert (2, f"sightglass: {said}, or name another --log-file\n") == (ran.code, ran.err)
    assert not sightglass.home.exists()


def test_a_log_is_appended_to_nothing_but_a_log(sightglass: Sightglass) -> None:
    """A database that is named by mistake stays as it is; a log that may only be appended to grows."""
    database, log = sightglass.folder / "bi.duckdb", sightglass.folder / "log"
    with duckdb.connect(database) as connection:
        connection.execute("CREATE TABLE kept AS FROM range(9)")
    held = database.read_bytes()
    log.touch(0o200)

    refused = sightglass("publish", "--log-file", str(database))
    sightglass("publish", "--log-file", str(log))

    said = f"sightglass: {database} holds something else than a log; name another --log-file\n"
    assert (2, said, held) == (refused.code, refused.err, database.read_bytes())
    assert log.stat().st_size > 0


def test_a_log_on_a_full_disk_ends_no_run(cogniac: Sightglass) -> None:
    """It is told once; what the run does and says is as ever."""
    ran = cogniac("run", "--log-file", "/dev/full")

    first, *rest = ran.err.splitlines()
    assert (0, [("ok",)]) == (ran.code, table(cogniac.home, "SELECT status FROM etl.runs"))
    assert "sightglass: cannot write the log /dev/full: [Errno 28] No space left on device" == first
    assert 0 == sum("cannot write" in line for line in rest)


def test_quiet_and_verbose_are_refused_together(sightglass: Sightglass) -> None:
    """Nobody can have both."""
    ran = sightglass("run", "--quiet", "--verbose")

    assert (2, "Error: --quiet and --verbose exclude each other") == (ran.code, ran.err.splitlines()[-1])


def test_follow_hands_its_options_to_each_run(plant: Plant, cogniac: Sightglass) -> None:
    """A run that it starts logs as it was told to; told to stop, each says so in a line of the log."""
    reached = plant.cogniac.fault = Script(Rule(path=DETECTIONS, times=100, answer=Hang()))
    with cogniac.start("follow", "--log-format", "json") as process:
        while not reached.acted[0]:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    found = events(said)
    told = [each["message"] for each in found if each["event"] == "message"]
    assert "run.begun" == found[0]["event"]
    assert [
        "told to stop; what was loaded is kept, the next run goes on from there",
        "told to stop: no run follows",
    ] == told
