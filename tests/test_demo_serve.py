"""`sightglass demo --serve`: what another terminal loads from it, what Enter brings, and how it ends."""

import os
import re
import shlex
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import httpx
import pytest
from conftest import Plant, Row, Sightglass, Truth, in_order, rows, table
from support.ports import free_ports
from support.simulated import environment, simulated

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.process import command_name

STOPPED = "sightglass: stopped: nothing is simulated any more\n"
IN_THE_BACKGROUND = (
    "import pty, sys; pty.spawn(['bash', '--norc', '-mc', sys.argv[1] + ' & echo it is $!; wait'])"
)
TABLES = ("results", "detections", "subjects", "applications")


def twin(seed: int = 1) -> Plant:
    """What a server of 60 records and 5 media with this seed holds at first."""
    return Plant(
        CogniacSimulator(seed, CogniacSize(records=60)), NeuronsSimulator(seed, NeuronsSize(media=5)), {}, {}
    )


def held(plant: Plant) -> dict[str, list[Row]]:
    """What the tables must hold."""
    found = Truth.now(plant).rows()
    return {name: in_order(found[name]) for name in TABLES}


def loaded(sightglass: Sightglass) -> dict[str, list[Row]]:
    """What the tables hold after a run that ends well."""
    assert 0 == sightglass("run").code
    return {name: in_order(rows(sightglass.home, f"cogniac.{name}")) for name in TABLES}


def test_another_terminal_loads_what_comes_with_each_enter(tmp_path: Path) -> None:
    """All there is at first, and then what is said to be new: of one seed the same in every process."""
    plant = twin()
    with simulated() as served:
        sightglass = Sightglass(tmp_path, served.settings)
        at_first = loaded(sightglass)
        expected_at_first = held(plant)
        said = served.type()
        plant.cogniac.advance(records=3, corrections=2)
        plant.neurons.advance(media=1)
        then = loaded(sightglass)

    until = datetime.fromtimestamp(plant.cogniac.newest / 1_000_000, UTC)
    new = "new records 3, corrections by people 2, new images and videos 1\n"
    assert expected_at_first == at_first
    assert held(plant) == then
    assert f"Time passes, there it is {until:%Y-%m-%d %H:%M} UTC: {new}" == said
    assert [(6,)] == table(sightglass.home, "SELECT count(*) FROM neurons.media")


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    """That of the seed that is given."""
    with simulated("--seed", "2") as served:
        found = loaded(Sightglass(tmp_path, served.settings))

    assert held(twin(2)) == found
    assert held(twin(1)) != found


def test_an_odd_record_is_quarantined(tmp_path: Path) -> None:
    """It is named when it is sent, and the next run leaves with exit code 4 for it alone."""
    with simulated() as served:
        said = served.type("odd")
        sightglass = Sightglass(tmp_path, served.settings)
        codes = [sightglass("run").code, sightglass("run").code]

    (received,) = table(sightglass.home, "SELECT record, path FROM etl.quarantine")
    assert (
        "Cogniac lists a record whose probability is a text: media_id ODD0000000000000000000000001\n" == said
    )
    assert [4, 0] == codes
    assert (True, "$.detections[0].probability") == (
        "ODD0000000000000000000000001" in received[0],
        received[1],
    )


def test_other_words_change_nothing() -> None:
    """What can be typed is said."""
    plant = twin()
    with simulated() as served:
        said = [served.type("help"), served.type("\x00\x1b[2J"), served.type()]

    hint = "Type nothing but Enter to let time pass, or `odd` and Enter.\n"
    plant.cogniac.advance(records=3, corrections=2)
    until = datetime.fromtimestamp(plant.cogniac.newest / 1_000_000, UTC)
    assert [hint, hint] == said[:2]
    assert f"{until:%Y-%m-%d %H:%M}" in said[2]


def test_time_that_is_ahead_of_the_clock_is_told() -> None:
    """Runs ask for nothing later than their own clock says: whoever lets years pass is told why."""
    later = "; that is later than the clock of this machine says, so no run asks for it: start anew\n"
    begun = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    said: list[str] = []
    with simulated(records=3000, media=0) as served:
        while not said or later not in said[-1]:
            said.append(served.type())

    times = re.findall(r"it is (\S+ \S+) UTC", "".join(said))
    assert [moment < begun for moment in times] == [later not in line for line in said]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_ends_well_and_its_ports_are_free(number: int) -> None:
    """Exit code 0, a word, and the next one serves there at once, though connections were open."""
    port = free_ports()
    for _ in range(2):
        with simulated("--port", str(port)) as served, httpx.Client(trust_env=False) as client:
            answer = client.get(f"{served.settings['COG_URL_PREFIX']}1/version")
            ended = served.stop(number)

        assert (200, (0, STOPPED)) == (answer.status_code, ended)
        assert [f"http://127.0.0.1:{port + place}/" for place in (0, 1)] == [
            served.settings[name] for name in ("COG_URL_PREFIX", "NEURONS_URL")
        ]


def test_the_end_of_standard_input_does_not_end_it() -> None:
    """It serves until it is told to stop."""
    with simulated(stdin=DEVNULL) as served:
        answers = [
            httpx.get(f"{served.settings['COG_URL_PREFIX']}1/version", trust_env=False) for _ in range(2)
        ]
        ended = served.stop()

    assert ([200, 200], (0, STOPPED)) == ([each.status_code for each in answers], ended)


def test_it_serves_in_the_background_of_a_terminal() -> None:
    """Where a process that reads what is typed is stopped else."""
    port = free_ports()
    command = [sys.executable, "-m", "etl", "demo", "--serve", "--records=20", "--media=1", f"--port={port}"]
    asked = [sys.executable, "-c", IN_THE_BACKGROUND, shlex.join(command)]
    with Popen(asked, env=environment(), stdin=DEVNULL, stdout=PIPE, text=True) as process:
        own = 0
        try:
            assert process.stdout is not None
            while "Enter lets time pass" not in (line := process.stdout.readline()):
                assert line
                own = int(line.split()[-1]) if line.startswith("it is ") else own
            answers = [
                httpx.get(f"http://127.0.0.1:{port}/1/version", trust_env=False, timeout=20) for _ in range(3)
            ]
        finally:
            process.kill()
            # It has a group of its own, and is told nothing when its terminal goes.
            if own:
                os.kill(own, signal.SIGKILL)

    assert ([200] * 3, True) == ([each.status_code for each in answers], own > 0)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Nothing is printed that could be exported, and nothing is left behind."""
    port = free_ports()
    with simulated("--port", str(port)):
        ran = Sightglass(tmp_path)("demo", "--serve", "--port", str(port - 3))

    complaint = f"sightglass: cannot listen on 127.0.0.1, ports {port - 3} to {port}: Address already in use;"
    assert (2, "") == (ran.code, ran.out)
    assert f"{complaint} end what listens there, or name another --port\n" == ran.err
    assert [] == list(tmp_path.iterdir())


def test_the_demo_names_what_starts_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name where a shell finds it, else by a path that leads there from any folder."""
    (tmp_path / "found").mkdir()
    for folder in (tmp_path, tmp_path / "found"):
        (folder / "sightglass").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    elsewhere = []
    for started, python in (("sightglass", "python"), ("-m", "sightglass"), ("-m", "elsewhere/python")):
        monkeypatch.setattr("sys.argv", [started])
        monkeypatch.setattr("sys.executable", str(tmp_path / python))
        elsewhere.append(command_name())
    monkeypatch.setenv("PATH", str(tmp_path / "found"))

    script = str(tmp_path / "sightglass")
    assert [script, script, f"{tmp_path}/elsewhere/python -m etl"] == elsewhere
    assert "sightglass" == command_name()
