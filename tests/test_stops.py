"""Runs told to stop while an API does not answer, runs that find another at work, and how a load goes on."""

import json
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

import duckdb
import pytest
from conftest import Plant, Sightglass, serving
from support.kills import (
    AT_A_COMMIT,
    SMALL_BATCHES,
    Moment,
    Tables,
    content,
    died,
    run_store,
    started,
    torn,
)
from support.stops import answer_again, hang

from etl.config import load
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.errors import EnvironmentFaultError
from etl.load.run_store import RunStore
from etl.pipeline.run import begun, entered

PROGRAM = f"{SMALL_BATCHES}\nfrom etl import cli\ncli.main()"
TOLD = "sightglass: told to stop; what was loaded is kept, the next run goes on from there\n"
STOPS = {signal.SIGTERM: (143, TOLD), signal.SIGINT: (130, TOLD)}
"""The exit code, and what is said."""
SOON = 5.0
"""Seconds; an answer that does not come is waited for much longer."""


def ended(process: Popen[str], number: signal.Signals) -> tuple[int, str, bool]:
    """Exit code and last words of a process that is sent a signal, and whether it went soon."""
    since = monotonic()
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=55)
    finally:
        process.kill()
    return process.returncode, said, monotonic() - since < SOON


LOADED = {"login": 0, "detections": 1, "list": 3, "file": 3}
"""How many applications have results at least when it hangs there."""


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("where", LOADED)
def test_a_run_told_to_stop_while_an_answer_does_not_come(
    served: Plant, placed: Sightglass, expected: Tables, number: signal.Signals, where: str
) -> None:
    """It goes at once with the signal's exit code, which is entered; the next run completes the tables."""
    code, words = STOPS[number]
    hanging = hang(served, where)
    if where == "detections":
        # One after the other: when the last application is asked for, the first one has been loaded.
        placed = replace(placed, settings={**placed.settings, "SIGHTGLASS_CONCURRENCY": "1"})
    with started(placed, PROGRAM, "run") as process:
        hanging.waits.wait(60)
        last = ended(process, number)
    answer_again(served)
    entered, kept = run_store(placed.home), content(placed.home)
    again = placed("run")

    assert (code, words, True) == last
    assert [("failed", code)] == [one[:2] for one in entered]
    assert LOADED[where] <= len({row[0] for row in kept["cogniac.results"]})
    assert all(set(kept[name]) <= set(expected[name]) for name in expected if name != "etl.gaps")
    assert (0, expected, []) == (again.code, content(placed.home), torn(placed.home))


def test_a_run_told_to_stop_keeps_all_that_was_loaded(
    served: Plant, placed: Sightglass, expected: Tables
) -> None:
    """When Neurons hangs, Cogniac is there in full, and the next run changes nothing in it."""
    hanging = hang(served, "list")
    with started(placed, PROGRAM, "run") as process:
        hanging.waits.wait(60)
        ended(process, signal.SIGTERM)
    answer_again(served)

    found = content(placed.home)
    cogniac = [name for name in expected if name.startswith("cogniac.")]
    assert [expected[name] for name in cogniac] == [found[name] for name in cogniac]
    report = placed("run", "--json").report
    counts = [(one["inserted"], one["updated"]) for one in report["streams"] if one["source"] == "cogniac"]
    assert {(0, 0)} == set(counts)


def test_no_stream_of_a_stopped_run_stays_running(served: Plant, placed: Sightglass) -> None:
    """What a run had begun has failed with it, before any other run looks at it."""
    hanging = hang(served, "detections")
    settings = {**placed.settings, "SIGHTGLASS_CONCURRENCY": "1"}
    with started(replace(placed, settings=settings), PROGRAM, "run") as process:
        hanging.waits.wait(60)
        ended(process, signal.SIGTERM)

    ((status, code, streams),) = run_store(placed.home)
    assert ("failed", 143, set()) == (status, code, {each for each in streams if each[0] == "running"})


def files(home: Path) -> dict[str, tuple[int, int, int]]:
    """Each file below a folder with its inode, its size and when it was changed."""
    stats = {str(path.relative_to(home)): path.stat() for path in home.rglob("*")}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


COMMANDS = ("run", "run neurons --json", "quarantine replay", "quarantine dismiss 0123456789abcdef")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_finds_a_run_at_work_touches_nothing(
    served: Plant, placed: Sightglass, command: str
) -> None:
    """It ends with 75 while the other still waits, says who that is and since when; no file changes."""
    hanging = hang(served, "list")
    with started(placed, PROGRAM, "run") as process:
        hanging.waits.wait(60)
        before, asked = files(placed.home), len(served.neurons.requests)
        holder = json.loads((placed.home / "run.holder.json").read_text())
        second = placed(*command.split())
        after, at_work = files(placed.home), process.poll() is None
        asked_since = len(served.neurons.requests) - asked
        process.kill()

    told = f"another run (process {process.pid}, since {holder['since']}) holds the warehouse {placed.home}"
    said = f"sightglass: {told}; its work goes on, this run did nothing\n"
    assert (75, "", said) == (second.code, second.out, second.err)
    assert (True, 0) == (at_work, asked_since)
    assert before == after


def test_the_lock_of_a_killed_run_is_free_at_once(
    served: Plant, placed: Sightglass, expected: Tables
) -> None:
    """The run right after it works, and closes what the dead one left open."""
    hanging = hang(served, "detections")
    with started(placed, PROGRAM, "run") as process:
        hanging.waits.wait(60)
        process.kill()
        process.wait()
        answer_again(served)
        again = placed("run")

    assert (0, expected) == (again.code, content(placed.home))
    assert [("failed", None), ("ok", 0)] == [one[:2] for one in run_store(placed.home)]
    assert ["bi.duckdb", "run.lock", "warehouse.duckdb"] == sorted(
        p.name for p in placed.home.iterdir() if p.is_file()
    )


def test_a_long_load_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Pages that were loaded are not asked for again, but for those of the overlap; here by one reader."""

    def starts() -> list[float]:
        seen = [one for one in cogniac.requests if one.path.endswith("/detections")]
        cogniac.requests.clear()
        return [float(parse_qs(one.query)["start"][0]) for one in seen]

    cogniac = CogniacSimulator(1, CogniacSize(applications=1, records=240))
    with serving(cogniac) as plant:
        one_reader = {**plant.cogniac_login, "SIGHTGLASS_CONCURRENCY": "1"}
        spared, killed = (
            Sightglass(tmp_path, {**one_reader, "SIGHTGLASS_HOME": str(tmp_path / name)})
            for name in ("spared", "killed")
        )
        deaths = [died(spared, Moment("", 0))]
        full = starts()
        deaths += [died(killed, Moment(AT_A_COMMIT, 16))]
        until_killed = starts()
        deaths += [died(killed, Moment("", 0))]
        resumed = starts()

    assert [False, True, False] == deaths
    assert len(full) > 24
    assert 12 < len(until_killed) <= len(full)
    # One page more: the cursor moves over a page once the next was seen to join it.
    assert len(resumed) - 1 < len(full) * 0.6
    assert 0 < full[len(full) // 3] < resumed[0]
    assert content(tmp_path / "spared") == content(tmp_path / "killed")


@pytest.mark.parametrize(
    "late", [duckdb.InterruptException("Interrupted!"), EnvironmentFaultError("its commit was")]
)
def test_an_interrupt_that_was_under_way_leaves_no_run_open(
    placed: Sightglass, monkeypatch: pytest.MonkeyPatch, late: Exception
) -> None:
    """How a run ended is entered again where an interrupt of what came before it reached that."""
    finish, interrupts = RunStore.finish, [late, late]

    def interrupted(run_store: RunStore, *arguments: Any) -> None:  # noqa: ANN401 -- passed on
        if interrupts:
            raise interrupts.pop()
        finish(run_store, *arguments)

    monkeypatch.setattr(RunStore, "finish", interrupted)
    settings = load((), {}, {"SIGHTGLASS_HOME": str(placed.home)})
    now = datetime(2026, 4, 1, tzinfo=UTC)
    with pytest.raises(KeyError), entered(settings, begun(now), lambda: now):
        raise KeyError("what ends the run")

    assert [("failed", 1)] == [one[:2] for one in run_store(placed.home)]
