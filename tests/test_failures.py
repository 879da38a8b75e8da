"""What goes wrong ends with its exit code and one line that says what to do; no secret is ever shown."""

import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import Plant, Ran, Sightglass, Truth, in_order, leaked, rows, serving, table
from starlette.requests import Request
from starlette.responses import Response
from support.kills import place, started

from etl.cli import settings_for
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize

LOGIN = "COG_API_KEY, or COG_USER and COG_PASS"
NAMES = ", ".join(sorted(settings_for({}, {}, Path(os.devnull)).origins))
SECRETS = ("canary-id", "canary-secret", "canary-password")
WRONG_KEY = {"COG_API_KEY": "canary-id:canary-secret"}
WRONG_PASSWORD = {"COG_API_KEY": "", "COG_USER": "ada@example.com", "COG_PASS": "canary-password"}


@pytest.fixture
def impatient(served: Plant, tmp_path: Path) -> Sightglass:
    """The command with both logins, giving up at the first failure."""
    served.cogniac.requests.clear()
    served.neurons.requests.clear()
    return Sightglass(tmp_path, {**served.settings, "SIGHTGLASS_RETRY_BUDGET": "0"})


NO_KEY = {"COG_API_KEY": ""}
ANOTHER = "SIGHTGLASS_HOME to another folder"
IN_ITS_PLACE = "move away what stands in its place"
INSTEAD = "give it in the environment, or name its file in"
MEANT = "did you mean SIGHTGLASS_OVERLAP"
FOR_NEURONS = "for neurons set NEURONS_API_KEY"
TOGETHER = "COG_USER and COG_PASS go together: set both, or COG_API_KEY"
WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "nothing set": (
        NO_KEY | {"NEURONS_API_KEY": ""},
        "",
        f"no source has credentials: for cogniac set {LOGIN}; {FOR_NEURONS}; or try `sightglass demo`",
    ),
    "user without password": (NO_KEY | {"COG_USER": "ada@example.com"}, "", TOGETHER),
    "password without user": (NO_KEY | {"COG_PASS": "canary-password"}, "", TOGETHER),
    "malformed key": (
        {"COG_API_KEY": "canary-secret"},
        "",
        "COG_API_KEY must be the key's id and its secret with a colon between them",
    ),
    "no file of a secret": (
        NO_KEY | {"COG_API_KEY_FILE": "{folder}/none"},
        "",
        "COG_API_KEY_FILE: cannot read {folder}/none: No such file or directory",
    ),
    "no key": ({"NEURONS_API_KEY": ""}, "neurons", "neurons has no credentials: set NEURONS_API_KEY"),
    "unknown source": ({}, "nemo", "nemo is no source; known are cogniac, neurons"),
    "negative number": (
        {"SIGHTGLASS_OVERLAP": "-1"},
        "",
        "SIGHTGLASS_OVERLAP from the environment must be a number of at least 0, not '-1'",
    ),
    "no number": (
        {},
        "--set SIGHTGLASS_LAG=nan",
        "SIGHTGLASS_LAG from the command line must be a number of at least 0, not 'nan'",
    ),
    "number too small": (
        {"SIGHTGLASS_CONCURRENCY": "0"},
        "",
        "SIGHTGLASS_CONCURRENCY from the environment must be a whole number of at least 1, not '0'",
    ),
    "broken number": (
        {"SIGHTGLASS_RAW_DAYS": "1.5"},
        "",
        (
            "SIGHTGLASS_RAW_DAYS from the environment must be a whole number of at least 0, or forever, "
            "not '1.5'"
        ),
    ),
    "plain http": (
        {"COG_URL_PREFIX": "http://api.cogniac.io/"},
        "",
        "COG_URL_PREFIX must begin with https:// ; plain http is accepted for this machine alone",
    ),
    "password in an address": (
        {"NEURONS_URL": "https://user:canary-password@api.neuronsinc.com/"},
        "",
        "NEURONS_URL must hold no credentials and no query: they would be seen in messages",
    ),
    "unknown setting": (
        {},
        "--set SIGHTGLASS_OVERLAPP=1",
        f"the command line: SIGHTGLASS_OVERLAPP is no setting: {MEANT}? Known are {NAMES}",
    ),
    "secret on the command line": (
        {},
        "--set COG_API_KEY=canary-id:canary-secret",
        f"the command line: COG_API_KEY is a secret; {INSTEAD} COG_API_KEY_FILE",
    ),
    "folder below a file": (
        {},
        "--home {folder}/file/x",
        f"cannot use the folder {{folder}}/file/x: Not a directory; {IN_ITS_PLACE}, or set SIGHTGLASS_HOME",
    ),
    "no DuckDB file": (
        {},
        "--home {folder}/other",
        f"{{folder}}/other/warehouse.duckdb is no DuckDB file; move it away, or set {ANOTHER}",
    ),
    "no settings file": (
        {},
        "--config none.toml",
        "cannot read the settings file none.toml: No such file or directory",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_end_with_one_line_before_any_api_is_asked(
    served: Plant, impatient: Sightglass, case: str
) -> None:
    """Exit code 2, nothing on standard output, no request sent."""
    folder, (settings, arguments, message) = impatient.folder, WRONG[case]
    (folder / "file").write_text("a regular file")
    (folder / "other").mkdir()
    (folder / "other" / "warehouse.duckdb").write_text("no database" * 1000)

    def filled(text: str) -> str:
        return text.replace("{folder}", str(folder))

    changed = impatient.but_for({name: filled(settings[name]) for name in settings})
    ran = changed("run", *filled(arguments).split())
    assert Ran(2, "", f"sightglass: {filled(message)}\n") == ran
    assert [] == [*served.cogniac.requests, *served.neurons.requests]


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


REFUSED = "answered 401: Unauthorized: Invalid credentials. ## 0100006 ##"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        pytest.param(
            WRONG_KEY, f"GET {{url}}/1/users/current/tenants {REFUSED}; check {LOGIN}", id="wrong key"
        ),
        pytest.param(
            WRONG_PASSWORD,
            f"GET {{url}}/1/users/current/tenants {REFUSED}; check {LOGIN}",
            id="wrong password",
        ),
        pytest.param(
            {"COG_TENANT": "nowhere"},
            "GET {url}/1/token answered 400: Invalid Input: Tenant not found. ## 0100011 ##; "
            f"check {LOGIN}, and COG_TENANT (nowhere)",
            id="wrong tenant",
        ),
        pytest.param(
            {"COG_URL_PREFIX": "http://127.0.0.1:{port}/"},
            "GET http://127.0.0.1:{port}/1/tenants/current/applications failed: "
            "[Errno 111] Connection refused",
            id="nobody there",
        ),
    ],
)
def test_a_source_that_fails_leaves_the_other_loaded(
    served: Plant, impatient: Sightglass, settings: dict[str, str], complaint: str
) -> None:
    """Exit code 3 and one complaint; Neurons is loaded, the gap is listed, and no secret is anywhere."""
    port, url = str(closed_port()), served.cogniac_login["COG_URL_PREFIX"].rstrip("/")
    home, complaint = impatient.home, complaint.replace("{url}", url).replace("{port}", port)

    changed = impatient.but_for({name: value.replace("{port}", port) for name, value in settings.items()})
    ran = changed("run", "--json")
    assert (3, "partial", expected_lines(ran, f"cogniac applications failed: {complaint}")) == (
        ran.code,
        ran.report["status"],
        ran.err.splitlines(),
    )
    assert served.neurons.media_ids() == [
        row["media_id"] for row in sorted(rows(home, "neurons.media"), key=lambda row: row["created_at"])
    ]
    (gap,) = [gap for gap in rows(home, "etl.gaps") if gap["source"] == "cogniac"]
    assert ("applications", complaint) == (gap["stream"], gap["error"])
    assert [("partial", 3)] == [(row["status"], row["exit_code"]) for row in rows(home, "etl.runs")]
    assert [] == leaked(SECRETS, ran, home)


def expected_lines(ran: Ran, complaint: str) -> list[str]:
    """All of standard error after a run that loaded something and met one failure."""
    report = ran.report
    names = ("fetched", "inserted", "updated", "unchanged", "quarantined")
    counts = (f"{sum(one[name] for one in report['streams'])} {name}" for name in names)
    return [
        f"sightglass: {complaint}",
        f"sightglass: gaps, listed in etl.gaps: {report['gaps']}",
        f"sightglass: run {report['run_id']} partial: {', '.join(counts)}",
    ]


def test_a_refused_neurons_key_leaves_cogniac_loaded(served: Plant, impatient: Sightglass) -> None:
    """It is as with Cogniac: exit code 3, one complaint, the rest loaded, the key nowhere."""
    url = served.neurons_login["NEURONS_URL"]

    ran = impatient("run", "--json", NEURONS_API_KEY="canary-secret")
    complaint = f"GET {url}predict/v2/media answered 401: Invalid or missing API key; check NEURONS_API_KEY"
    assert expected_lines(ran, f"neurons media failed: {complaint}") == ran.err.splitlines()
    assert 3 == ran.code
    assert in_order(Truth.now(served).rows()["results"]) == in_order(rows(impatient.home, "cogniac.results"))
    assert [] == leaked(SECRETS, ran, impatient.home)


def test_an_application_that_is_not_there_leaves_the_others_loaded(
    served: Plant, impatient: Sightglass
) -> None:
    """Exit code 3 names it; the others that were chosen are loaded."""
    url, truth = served.cogniac_login["COG_URL_PREFIX"], Truth.now(served)
    known = next(iter(truth.records))

    ran = impatient("run", "cogniac", "--json", SIGHTGLASS_COGNIAC_APPLICATIONS=f"nemo,{known}")
    complaint = (
        f"SIGHTGLASS_COGNIAC_APPLICATIONS names what cannot be read: nemo (GET {url}1/applications/nemo "
        "answered 404: Invalid Input: Application not found. ## 0402002 ##)"
    )
    assert expected_lines(ran, f"cogniac applications failed: {complaint}") == ran.err.splitlines()
    assert 3 == ran.code
    expected = [row for row in truth.rows()["results"] if row["application_id"] == known]
    assert in_order(expected) == in_order(rows(impatient.home, "cogniac.results"))


def test_a_user_of_several_tenants_is_told_which_to_choose_from(tmp_path: Path) -> None:
    """Without COG_TENANT the message lists them, with it the run goes on."""
    tenants = ("63QhzFLc9tg4", "second")
    with serving(CogniacSimulator(1, CogniacSize(records=5), tenants=tenants)) as plant:
        sightglass = Sightglass(tmp_path, plant.cogniac_login)
        ran = sightglass("run", "cogniac")
        chosen = sightglass("run", "cogniac", COG_TENANT="63QhzFLc9tg4")

    listed = "63QhzFLc9tg4 (Plant 63QhzFLc9tg4), second (Plant second)"
    said = f"sightglass: set COG_TENANT to one of this user's tenants: {listed}\n"
    assert (2, said, 0) == (ran.code, ran.err, chosen.code)


def test_a_second_run_does_nothing_while_one_works(plant: Plant, sightglass: Sightglass) -> None:
    """It leaves with exit code 75, names the one that works, and asks no API; the first one finishes."""
    arrived, go_on = threading.Event(), threading.Event()

    def wait(_request: Request) -> Response | None:
        arrived.set()
        go_on.wait(60)
        return None

    plant.cogniac.fault = wait
    with sightglass.start("run", out=subprocess.DEVNULL, err=subprocess.DEVNULL) as first:
        arrived.wait(60)
        second = sightglass("run", "neurons", "--json")
        asked = list(plant.neurons.requests)
        go_on.set()

    assert (75, "") == (second.code, second.out)
    assert re.fullmatch(
        rf"sightglass: another run \(process {first.pid}, since [-0-9T:+]+\) holds the warehouse "
        rf"{re.escape(str(sightglass.home))}; its work goes on, this run did nothing\n",
        second.err,
    )
    assert ([], 0) == (asked, first.returncode)
    assert [("ok", 0)] == [(row["status"], row["exit_code"]) for row in rows(sightglass.home, "etl.runs")]


NO_MEMORY = """
from etl import cli
from etl.extract.log_writer import LogWriter
LogWriter.seal = lambda *arguments, **named: bytearray(2**62)
cli.main()"""


def test_no_memory_is_told_in_one_line(served: Plant, tmp_path: Path) -> None:
    """It is no bug: the exit code is that of a machine that is not as it must be, and so it is noted."""
    sightglass = place(tmp_path / "place", served)
    with started(sightglass, NO_MEMORY, "run") as process:
        _, said = process.communicate(timeout=100)
    again = sightglass("run")

    why = "this machine has not enough memory left for it; what was loaded is kept: give it more"
    assert (2, f"sightglass: {why}, then run again\n") == (process.returncode, said)
    assert [("failed", 2), ("ok", 0)] == table(
        sightglass.home, "SELECT status, exit_code FROM etl.runs ORDER BY started_at"
    )
    assert 0 == again.code
