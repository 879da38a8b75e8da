"""The command line: help, versions, wrong usage, logins, and a progress display for terminals alone."""

import base64
import os
import pty
import re
from pathlib import Path

import pytest
from conftest import Plant, Ran, Sightglass, Truth, in_order, read_terminal, rows

from etl import __version__

COMMANDS = (
    "run",
    "status",
    "doctor",
    "plan",
    "follow",
    "backfill",
    "refresh",
    "confirm",
    "listen",
    "demo",
    "sql",
    "report",
    "ui",
    "snapshot",
    "marts",
    "dbt",
    "publish",
    "rebuild",
    "install-timer",
    "undo",
    "forget",
    "verify",
    "repair",
    "quarantine",
)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_names_every_command(tmp_path: Path, arguments: list[str]) -> None:
    """Each command is listed with what it does."""
    ran = Sightglass(tmp_path)(*arguments)

    listed = re.findall(r"^  ([\w-]+) +\w", (ran.out + ran.err).partition("Commands:")[2], re.MULTILINE)
    assert list(COMMANDS) == listed


@pytest.mark.parametrize("command", [[], *([each] for each in COMMANDS)])
def test_every_command_has_help(tmp_path: Path, command: list[str]) -> None:
    """`--help` exits 0, says how the command is used, and touches nothing."""
    ran = Sightglass(tmp_path)(*command, "--help")

    usage = " ".join(["Usage: sightglass", *command, "[OPTIONS]"])
    assert (0, "", usage) == (ran.code, ran.err, ran.out[: len(usage)])
    assert [] == list(tmp_path.iterdir())


def test_the_help_of_sql_shows_an_example_that_can_be_copied(tmp_path: Path) -> None:
    """The example stands on a line of its own, whole."""
    ran = Sightglass(tmp_path)("sql", "--help")

    example = 'sightglass sql "SELECT subject_uid, count(*) FROM cogniac.detections GROUP BY ALL"'
    assert [example] == [line.strip() for line in ran.out.splitlines() if "SELECT" in line]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    """`--version` prints it."""
    assert Ran(0, f"sightglass, version {__version__}\n", "") == Sightglass(tmp_path)("--version")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "Error: No such command 'nonsense'."),
        (["sttus"], "Error: No such command 'sttus'. Did you mean 'status'?"),
        (["confirm"], "Error: Missing argument 'WHAT'. Choose from: deletions, account"),
        (["run", "--nonsense"], "Error: No such option '--nonsense'."),
        (["run", "--set", "SIGHTGLASS_LAG"], "Error: --set takes NAME=VALUE, not SIGHTGLASS_LAG"),
        (["quarantine", "release"], "Error: No such command 'release'. Did you mean 'replay'?"),
        (
            ["demo", "--records", "-1"],
            "Error: Invalid value for '--records': -1 is not in the range 0<=x<=10000000.",
        ),
        (["demo", "--serve", "--home", "x"], "Error: --home does not go with --serve"),
        (["demo", "--port", "8750"], "Error: --port goes only with --serve"),
        (["sql", "SELECT 1", "SELECT 2"], "Error: Got unexpected extra argument (SELECT 2)"),
        (["rebuild", "--into", ""], "Error: Invalid value for '--into': it is empty"),
        (["demo", "--home", ""], "Error: Invalid value for '--home': it is empty"),
        (["report", ""], "Error: Invalid value for '[FILE]': it is empty"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    """The complaint is the last line of standard error; nothing is done."""
    ran = Sightglass(tmp_path)(*arguments)

    assert (2, "", complaint) == (ran.code, ran.out, ran.err.splitlines()[-1])
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(("source", "other"), [("cogniac", "neurons"), ("neurons", "cogniac")])
def test_a_named_source_is_read_alone(plant: Plant, sightglass: Sightglass, source: str, other: str) -> None:
    """The other one is not asked anything, and nothing is said of it."""
    ran = sightglass("run", source, "--json")

    assert 0 == ran.code
    assert {source} == {stream["source"] for stream in ran.report["streams"]}
    asked = {"cogniac": list(plant.cogniac.requests), "neurons": list(plant.neurons.requests)}
    assert ([], True) == (asked[other], asked[source] != [])
    assert other not in ran.err


def test_a_source_without_credentials_is_skipped_with_a_notice(plant: Plant, tmp_path: Path) -> None:
    """The rest is loaded, and the run is a success."""
    ran = Sightglass(tmp_path, plant.cogniac_login)("run", "--json")

    assert (0, ["neurons"]) == (ran.code, ran.report["skipped"])
    assert "sightglass: neurons skipped, it has no credentials" == ran.err.splitlines()[0]


def test_a_key_finds_the_only_tenant(plant: Plant, sightglass: Sightglass) -> None:
    """With a key and no tenant named, the tenant is asked for once, and then a token for it."""
    ran = sightglass("run", "cogniac")

    key = f"Key {plant.cogniac.api_key}"
    login = [
        ("/1/users/current/tenants", "", key),
        ("/1/token", f"tenant_id={plant.cogniac.tenant_id}", key),
    ]
    seen = [(one.path, one.query, one.headers["authorization"]) for one in plant.cogniac.requests]
    assert (0, login) == (ran.code, seen[:2])
    assert [True] * len(seen[2:]) == [authorization.startswith("Bearer ") for *_, authorization in seen[2:]]


def test_user_and_password_log_in_to_the_named_tenant(plant: Plant, tmp_path: Path) -> None:
    """They are sent as Basic credentials, to the token endpoint alone; the tenants are not asked for."""
    url = plant.cogniac_login["COG_URL_PREFIX"]
    login = {"COG_USER": plant.cogniac.user, "COG_PASS": plant.cogniac.password, "COG_URL_PREFIX": url}
    ran = Sightglass(tmp_path, login)("run", COG_TENANT=plant.cogniac.tenant_id)

    basic = base64.b64encode(f"{plant.cogniac.user}:{plant.cogniac.password}".encode()).decode()
    seen = [(one.path, one.headers["authorization"]) for one in plant.cogniac.requests]
    assert (0, [("/1/token", f"Basic {basic}")]) == (ran.code, [one for one in seen if "Basic" in one[1]])
    assert "/1/users/current/tenants" not in dict(seen)


def test_secrets_may_stand_in_files(plant: Plant, tmp_path: Path) -> None:
    """`<NAME>_FILE` names a file whose text, without the line feed at its end, is the secret."""
    secrets = {"COG_API_KEY": plant.cogniac.api_key, "NEURONS_API_KEY": plant.neurons.api_key}
    settings = {name: value for name, value in plant.settings.items() if name not in secrets}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n")
        settings[f"{name}_FILE"] = str(tmp_path / name)
    sightglass = Sightglass(tmp_path, settings)

    ran = sightglass("run", "--json")
    assert (0, []) == (ran.code, ran.report["skipped"])
    assert in_order(Truth.now(plant).rows()["results"]) == in_order(rows(sightglass.home, "cogniac.results"))


def test_flag_beats_environment_beats_file(plant: Plant, tmp_path: Path) -> None:
    """A setting is taken from the command line, else the environment, else `sightglass.toml`."""
    (tmp_path / "sightglass.toml").write_text('SIGHTGLASS_RAW_DAYS = 0\nCOG_TENANT = "file"\n')
    sightglass = Sightglass(tmp_path, plant.cogniac_login)
    flag = ("--set", f"COG_TENANT={plant.cogniac.tenant_id}")

    def asked(*arguments: str, **settings: str) -> list[str]:
        plant.cogniac.requests.clear()
        sightglass("run", *arguments, SIGHTGLASS_RETRY_BUDGET="0", **settings)
        return [one.query for one in plant.cogniac.requests if one.path == "/1/token"]

    assert ["tenant_id=file"] == asked()
    assert ["tenant_id=environment"] == asked(COG_TENANT="environment")
    assert [f"tenant_id={plant.cogniac.tenant_id}"] == asked(*flag, COG_TENANT="environment")
    assert [] == [path for path in sightglass.home.glob("raw/**/*") if path.is_file()]


def test_a_terminal_gets_a_progress_display(plant: Plant, tmp_path: Path) -> None:
    """On a terminal standard error shows what is being loaded, and the summary at the end."""
    ours, theirs = pty.openpty()
    looks = {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with Sightglass(tmp_path, plant.settings | looks).start("run", "--json", err=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        printed, _ = process.communicate()

    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert {"cogniac applications", "cogniac subjects", "neurons media"} <= {
        name.strip() for name in re.findall(r"([a-z]+ [a-z]+) +\d+ rows", text)
    }
    assert re.fullmatch(r"sightglass: run \S+ ok: .*", text.splitlines()[-1])
    assert (0, []) == (process.returncode, re.findall(r"\x1b| rows", printed))


def test_no_terminal_gets_no_progress_display(sightglass: Sightglass) -> None:
    """Into a file or a pipe goes the summary alone, without control characters."""
    ran = sightglass("run")

    assert ("", "") == (ran.out, "".join(re.findall(r"[^\x20-\x7e\n]| rows", ran.err)))
    assert ["sightglass: "] * len(ran.err.splitlines()) == [line[:12] for line in ran.err.splitlines()]
