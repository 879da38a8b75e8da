"""`sightglass.run`: what the command `run` does, for programs, which gets a report and no output."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import OURS, ROOT, Plant, Sightglass, in_order, rows, serving, table
from support.odd import send_odd
from support.stops import answer_again, hang

import sightglass as api
from etl.demo.script import FOREVER, Answer, Rule, Script
from etl.load import lock

NEVER_SAME = {"run_id", "started_at", "finished_at", "seconds", "published", "time"}
"""What tells one run from another that does the same."""
SECRET = "id-of-a-key:0123456789abcdef"


@pytest.fixture
def given(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a run of both sources, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return {**plant.settings, "SIGHTGLASS_HOME": str(tmp_path / "from_python")}


def plain(report: dict[str, Any]) -> dict[str, Any]:
    """What two runs that do the same have in common."""
    streams = [
        {name: each[name] for name in each if name not in ("bytes", "requests")} for each in report["streams"]
    ]
    return {**{name: each for name, each in report.items() if name not in NEVER_SAME}, "streams": streams}


def test_a_run_does_what_the_command_does_and_returns_what_that_prints(
    given: dict[str, str], sightglass: Sightglass, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same rows, and a report of the same fields, where the command prints; here nothing is."""
    report = api.run(given)
    said = capfd.readouterr()
    printed = sightglass("run", "--json").report

    assert ("", "") == (said.out, said.err)
    assert list(printed) == list(report.as_json())
    assert plain(printed) == plain(report.as_json())
    assert report.as_json() == json.loads(json.dumps(report.as_json()))
    assert (True, "ok", 0) == (report.ok, report.status, report.exit_code)
    home = Path(given["SIGHTGLASS_HOME"])
    assert in_order(rows(sightglass.home, "cogniac.results")) == in_order(rows(home, "cogniac.results"))


def test_events_are_the_lines_of_the_log(given: dict[str, str], sightglass: Sightglass) -> None:
    """One by one, with all their fields; the command tells people something besides."""
    told: list[api.Event] = []
    api.run(given, sources=["cogniac"], on_event=told.append)
    ran = sightglass("run", "cogniac", "--log-format", "json")

    lines = [json.loads(line) for line in ran.err.splitlines()]
    logged = [[*each] for each in lines if each["event"] != "message"]
    assert logged == [[*each.as_json()] for each in told]
    assert [("info", "run.begun", ["cogniac"])] == [
        (each.level, each.name, each.fields["sources"]) for each in told[:1]
    ]
    assert {UTC} == {each.time.tzinfo for each in told}


def test_requests_that_failed_are_events_too_whatever_thread_asked(
    plant: Plant, given: dict[str, str]
) -> None:
    """Of this run alone: another one beside it in the same process has listeners of its own."""
    plant.cogniac.fault = Script(Rule(path="/detections$", answer=Answer(status=500)))
    plant.neurons.fault = Script(Rule(path="/media$", answer=Answer(status=500)))
    other = {**given, "SIGHTGLASS_HOME": f"{given['SIGHTGLASS_HOME']}_of_neurons"}
    told: dict[str, list[api.Event]] = {"cogniac": [], "neurons": []}

    beside = threading.Thread(
        target=api.run, args=[other], kwargs={"sources": ["neurons"], "on_event": told["neurons"].append}
    )
    beside.start()
    api.run(given, sources=["cogniac"], on_event=told["cogniac"].append)
    beside.join()

    failed = {name: [each for each in found if each.name == "request.failed"] for name, found in told.items()}
    assert {"cogniac": 1, "neurons": 1} == {name: len(found) for name, found in failed.items()}
    assert {"cogniac": {"cogniac"}, "neurons": {"neurons"}} == {
        name: {each.fields["source"] for each in found if each.name == "stream.ended"}
        for name, found in told.items()
    }
    assert "/detections answered 500" in failed["cogniac"][0].fields["error"]


def test_an_exception_of_a_listener_costs_no_row(given: dict[str, str]) -> None:
    """It is told nothing more; the run goes on to its end, then the exception is raised, with the report."""
    told: list[str] = []

    def fail(happened: api.Event) -> None:
        told.append(happened.name)
        raise ZeroDivisionError

    with pytest.raises(api.EventError) as caught:
        api.run(given, on_event=fail)

    assert ["run.begun"] == told
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.report.ok
    again = api.run(given)
    assert {(0, 0)} == {(each.inserted, each.updated) for each in again.streams}


def test_a_source_that_keeps_failing_is_in_the_report(plant: Plant, given: dict[str, str]) -> None:
    """It raises nothing: all else is loaded."""
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=Answer(status=404)))

    report = api.run(given)

    assert (False, "partial", 3) == (report.ok, report.status, report.exit_code)
    assert ["subjects"] == [each.stream for each in report.streams if each.error]


def test_the_report_says_in_lines_why_not_all_went_well(plant: Plant, given: dict[str, str]) -> None:
    """Each as the command says it; a run in which all went well has none, and one in which it did not has."""
    good = api.run(given)
    send_odd(plant)
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=Answer(status=404)))
    partial = api.run({name: value for name, value in given.items() if not name.startswith("NEURONS_")})

    assert () == good.problems
    assert (False, 2) == (partial.ok, partial.exit_code)
    lapsed, failed, refused = partial.problems
    assert "neurons skipped, it has no credentials and was loaded before" == lapsed
    assert failed.startswith("cogniac subjects failed: GET ")
    assert "newly quarantined, see etl.quarantine: 1" == refused


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("failed_checks", "detections lost half of its rows", "detections lost half of its rows"),
        ("log_notices", ("part 7 is damaged",), "part 7 is damaged"),
    ],
)
def test_what_holds_publishing_back_or_is_damaged_is_a_problem(
    given: dict[str, str],
    field: str,
    value: Any,  # noqa: ANN401 -- of any field
    expected: str,
) -> None:
    """A line of its own."""
    report = api.run(given, sources=["cogniac"])

    assert (expected,) == replace(report, **{"exit_code": 4, field: value}).problems


def test_a_run_beside_another_raises_busy(given: dict[str, str]) -> None:
    """It did nothing."""
    home = Path(given["SIGHTGLASS_HOME"])
    home.mkdir()
    now = datetime(2026, 1, 1, tzinfo=UTC)

    with lock.hold(home, now), pytest.raises(api.BusyError) as caught:
        api.run(given)

    assert str(caught.value) == (
        f"another run (process {os.getpid()}, since 2026-01-01T00:00:00+00:00) holds the warehouse {home}; "
        "its work goes on, this run did nothing"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"SIGHTGLASS_HOM": "x"}, "the call: SIGHTGLASS_HOM is no setting: did you mean SIGHTGLASS_HOME?"),
        ({"COG_API_KEY": ""}, "COG_API_KEY from the call is empty: give it a value, or leave it out"),
        (
            {"SIGHTGLASS_LAG": True},
            "the call: SIGHTGLASS_LAG must be a text, a number, a path, or a list of these",
        ),
        ({"SIGHTGLASS_LAG": -1}, "SIGHTGLASS_LAG from the call must be"),
        ({7: "x"}, "the call: 7 is no name of a setting"),
        (7, "settings are a mapping of names to values, or the path of a file, not int"),
        ("nowhere.toml", "cannot read the settings file nowhere.toml: No such file or directory"),
        ({}, "no source has credentials: for cogniac set COG_API_KEY"),
    ],
)
def test_settings_that_are_wrong_raise_before_anything_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,  # noqa: ANN401 -- whatever somebody gives
    expected: str,
) -> None:
    """The error is that of the command, and says that the call gave them."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(api.ConfigError) as caught:
        api.run(settings)

    assert str(caught.value).startswith(expected)
    assert [] == list(tmp_path.iterdir())


def test_settings_of_a_call_beat_the_environment_and_may_be_of_any_kind(
    plant: Plant, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths, numbers and lists are given as such; what the call does not give is the environment's."""
    monkeypatch.setenv("SIGHTGLASS_HOME", "elsewhere")
    monkeypatch.setenv("COG_URL_PREFIX", plant.settings["COG_URL_PREFIX"])
    chosen = [one["application_id"] for one in plant.cogniac.applications() if one["active"]][:2]

    report = api.run(
        {
            "SIGHTGLASS_HOME": tmp_path / "chosen",
            "COG_API_KEY": given["COG_API_KEY"],
            "SIGHTGLASS_COGNIAC_APPLICATIONS": chosen,
            "SIGHTGLASS_CONCURRENCY": 2,
        }
    )

    assert {*chosen, ""} == {each.partition for each in report.streams}
    assert ["chosen"] == [path.name for path in tmp_path.iterdir()]


def test_no_secret_is_in_what_comes_back(plant: Plant, given: dict[str, str]) -> None:
    """Neither in the report and the events, though the API repeats it, nor in an exception or its causes."""
    key = given["COG_API_KEY"].partition(":")[2]
    echo = Answer(status=404, body=json.dumps({"message": f"what is {key}?"}).encode())
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=echo))
    told: list[api.Event] = []

    report = api.run(given, sources=["cogniac"], on_event=told.append)
    with pytest.raises(api.ConfigError) as caught:
        api.run(given, sources=[f"cogniac {key}"])

    assert "***" in str([each.error for each in report.streams])
    assert "*** is no source" in str(caught.value)
    assert [] == [
        text
        for text in (repr(report), repr(told), repr(caught.value), repr(caught.value.__context__))
        if key in text
    ]


def environment(given: dict[str, str]) -> dict[str, str]:
    """The environment of a program with these settings."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**machine, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", **given}


IN_A_NOTEBOOK = """
from etl.pipeline import source_loader, transform_worker
limits = source_loader.LoadLimits(worth_bytes=1, part_bytes=1000, batch_bytes=4000)
import asyncio, threading, sightglass
from etl.pipeline import run as pipeline
pipeline.run.__kwdefaults__["limits"] = limits
started = []
start = transform_worker.TransformWorker._started
transform_worker.TransformWorker._started = lambda *given: started.append(given) or start(*given)

async def cell():
    return sightglass.run()

found = [asyncio.run(cell())]
thread = threading.Thread(target=lambda: found.append(sightglass.run()))
thread.start()
thread.join()
print([each.status for each in found], bool(started), sum(each.inserted for each in found[1].streams))
"""


def test_a_program_needs_no_guard_and_may_run_twice_in_a_loop_or_a_thread(given: dict[str, str]) -> None:
    """What makes the rows is a second process; that of the caller is not begun again in it."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NOTEBOOK],
        env=environment(given),
        check=False,
        capture_output=True,
        text=True,
    )

    assert ("['ok', 'ok'] True 0\n", "") == (done.stdout, done.stderr)


INTERRUPTED = """
import sightglass, signal, time
try:
    sightglass.run()
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
input()
print(sightglass.run().status)
"""


@pytest.mark.parametrize("where", ["login", "list"])
def test_an_interrupt_ends_a_run_as_it_ends_the_command(where: str, tmp_path: Path) -> None:
    """The cell raises KeyboardInterrupt, the run is entered as told to stop, the next one goes on."""
    with serving() as plant:
        hanging = hang(plant, where)
        settings = {**plant.settings, "SIGHTGLASS_HOME": str(tmp_path)}
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED],
            env=environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert hanging.waits.wait(60)
            program.send_signal(2)
            assert program.stdout is not None
            first = program.stdout.readline()
            answer_again(plant)
            out, _ = program.communicate("\n", timeout=60)

    assert ("interrupted True\n", "ok\n") == (first, out)
    assert [("failed", 130), ("ok", 0)] == table(
        tmp_path, "SELECT status, exit_code FROM etl.runs ORDER BY started_at"
    )


IN_A_QUERY = """
import duckdb, os, signal, threading
from etl import process
connection = duckdb.connect()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
query = "SELECT count(*) FROM range(100_000_000) AS a, range(1_000) AS b WHERE a.range + b.range = 7"
try:
    with process.InterruptedByHand(lambda: [connection]):
        connection.execute(query)
except KeyboardInterrupt:
    print("interrupted", process.code_if_told())
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(connection.execute("SELECT 1").fetchall())
"""


def test_an_interrupt_reaches_a_query_that_python_cannot(tmp_path: Path) -> None:
    """DuckDB hears of a signal and waits for it all the same; the connection is of use after it."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_QUERY],
        cwd=tmp_path,
        env=environment({}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ("interrupted 0\nTrue\n[(1,)]\n", "") == (done.stdout, done.stderr)
