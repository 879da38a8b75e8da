"""`sightglass install-timer`: what it prints works where cron and systemd start it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, Plant, Sightglass, table

CRON = ["env", "-i", "PATH=/usr/bin:/bin", "HOME=/", "LOGNAME=nobody", "SHELL=/bin/sh", "/bin/sh", "-c"]
LINE = re.compile(r"\S+ \S+ \S+ \S+ \S+  (?P<command>.*)")


@dataclass(frozen=True, slots=True)
class Printed:
    """What was printed."""

    cron: str
    service: dict[str, list[str]]
    timer: dict[str, list[str]]
    err: str


def installed(folder: Path) -> Path:
    """The command as an installer makes it, of the package under test."""
    script = folder / "bin" / "sightglass"
    script.parent.mkdir(parents=True)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from etl.__main__ import main; main()"
    script.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def unit(text: str) -> dict[str, list[str]]:
    """The settings of a unit; several lines may give one."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def printed(folder: Path, settings: dict[str, str], *arguments: str) -> Printed:
    """What the installed command prints."""
    script = folder / "bin" / "sightglass"
    ran = subprocess.run(
        [script if script.exists() else installed(folder), "install-timer", "--json", *arguments],
        capture_output=True,
        check=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **settings},
        text=True,
    )
    found = json.loads(ran.stdout)
    return Printed(found["cron"], unit(found["service"]), unit(found["timer"]), ran.stderr)


def started_by_cron(line: str) -> subprocess.CompletedProcess[str]:
    """What comes of the command of a line, as cron starts it."""
    found = LINE.fullmatch(line)
    assert found is not None
    # What comes behind a bare percent sign cron gives to the command as its input.
    command = re.split(r"(?<!\\)%", found["command"])[0].replace("\\%", "%")
    return subprocess.run([*CRON, command], capture_output=True, check=False, cwd="/", text=True)


@pytest.fixture
def settings(plant: Plant, tmp_path: Path) -> dict[str, str]:
    """What leads to the simulators, the secrets in files; paths that a shell would take apart."""
    folder = tmp_path / "100% of $HOME's"
    folder.mkdir()
    given = {"SIGHTGLASS_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"}
    for name, value in plant.settings.items():
        if name.endswith("_KEY"):
            path = folder / name
            path.write_text(f"{value}\n", encoding="utf-8")
            given[f"{name}_FILE"] = str(path)
        else:
            given[name] = value
    return given


def test_the_cron_line_works_where_cron_starts_it(tmp_path: Path, settings: dict[str, str]) -> None:
    """With nothing but a path of its own, in any folder, it loads all and says nothing."""
    ran = started_by_cron(printed(tmp_path, settings).cron)

    home = Path(settings["SIGHTGLASS_HOME"])
    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)
    assert [("ok", 0)] == table(home, "SELECT status, exit_code FROM etl.runs")
    assert 2 == len(table(home, "SELECT DISTINCT source FROM etl.run_streams"))


def test_what_stands_in_a_settings_file_holds_too(tmp_path: Path, settings: dict[str, str]) -> None:
    """The file is named by its absolute path, and so is a folder that it gives relative to its own."""
    path = tmp_path / "sightglass.toml"
    named = {name: value for name, value in settings.items() if not name.startswith("SIGHTGLASS_")}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in named.items() if name != "NO_PROXY")
    path.write_text(f'SIGHTGLASS_HOME = "below"\n{text}', encoding="utf-8")
    ran = started_by_cron(printed(tmp_path, {"NO_PROXY": "127.0.0.1"}).cron)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert [("ok",)] == table(tmp_path / "below", "SELECT status FROM etl.runs")


def test_systemd_hands_the_secrets_over(tmp_path: Path, settings: dict[str, str]) -> None:
    """Each is loaded from its file, and named where systemd puts it; the unit holds none."""
    found = printed(tmp_path, settings, "--every", "15")

    files = [settings[f"{name}_KEY_FILE"].replace("%", "%%") for name in ("COG_API", "NEURONS_API")]
    loaded = [f"cog_api_key:{files[0]}", f"neurons_api_key:{files[1]}"]
    environment = found.service["Environment"]
    home = settings["SIGHTGLASS_HOME"].replace("%", "%%")
    assert loaded == found.service["LoadCredential"]
    assert {"COG_API_KEY_FILE=%d/cog_api_key", "NEURONS_API_KEY_FILE=%d/neurons_api_key"} < set(environment)
    assert f'"SIGHTGLASS_HOME={home}"' in environment
    assert [f"{tmp_path}/bin/sightglass run --quiet"] == found.service["ExecStart"]
    assert (["75"], ["oneshot"]) == (found.service["SuccessExitStatus"], found.service["Type"])
    assert (["*:0/15"], ["timers.target"]) == (found.timer["OnCalendar"], found.timer["WantedBy"])


def test_a_secret_of_the_environment_is_not_printed(tmp_path: Path) -> None:
    """It is said into which file it belongs."""
    found = printed(tmp_path, {"COG_API_KEY": "some-id:some-secret"})

    said = "put COG_API_KEY into /etc/sightglass/cog_api_key, which only the user of the runs may read"
    assert f"sightglass: {said}\n" == found.err
    assert "COG_API_KEY_FILE=/etc/sightglass/cog_api_key" in found.cron
    assert "some-secret" not in str(found)


def test_nothing_is_installed_and_nothing_asked(tmp_path: Path) -> None:
    """It works before there are keys, and makes no folder."""
    home = tmp_path / "home"
    ran = Sightglass(tmp_path)("install-timer")

    headers = [line for line in ran.out.splitlines() if line.startswith("# ")]
    assert (0, "") == (ran.code, ran.err)
    assert "# crontab -e" == headers[0]
    assert not home.exists()


def test_the_line_of_the_readme_is_the_one_that_is_printed(tmp_path: Path) -> None:
    """But for the place of the command, which is another on each machine."""
    written = next(
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("*/10")
    )
    files = {"COG_API_KEY_FILE": "/etc/sightglass/cogniac", "NEURONS_API_KEY_FILE": "/etc/sightglass/neurons"}
    (tmp_path / "cogniac").write_text("id:secret", encoding="utf-8")
    (tmp_path / "neurons").write_text("secret", encoding="utf-8")
    given = {name: path.replace("/etc/sightglass", str(tmp_path)) for name, path in files.items()}
    found = printed(tmp_path, {"SIGHTGLASS_HOME": "/srv/warehouse", **given})

    own = found.cron.replace(f"{tmp_path}/bin", "/home/me/.local/bin").replace(
        str(tmp_path), "/etc/sightglass"
    )
    assert written == own


def test_every_file_that_the_containerfile_copies_is_there() -> None:
    """Each source of COPY is in the repository, and what builds the package finds all it needs."""
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    copied = [
        word for name, *words in steps if name == "COPY" and "--from" not in words[0] for word in words[:-1]
    ]

    assert [] == [name for name in copied if not (ROOT / name).exists()]
    assert {"etl", "schemas", "sql", "pyproject.toml", "README.md", "LICENSE", "sightglass"} < set(copied)


def test_the_container_runs_the_command_as_a_user_of_its_own() -> None:
    """It is no superuser, gets signals itself, and holds no secret."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]

    assert (
        'ENTRYPOINT ["sightglass"]\nCMD ["run"]\n' == last[-len('ENTRYPOINT ["sightglass"]\nCMD ["run"]\n') :]
    )
    assert [True, True] == ["\nUSER sightglass\n" in last, "SIGHTGLASS_HOME=/warehouse" in last]
    assert [] == re.findall(r"^(?:ENV|ARG) .*(?:KEY|PASS|SECRET)", text, re.MULTILINE)


def test_a_value_of_two_lines_is_refused(tmp_path: Path) -> None:
    """In a crontab, its second line would be a line by itself, and in a unit another setting."""
    for name, value in {"SIGHTGLASS_HOME": "two\nlines", "SIGHTGLASS_ON_FAILURE": "mail\nrm it"}.items():
        ran = Sightglass(tmp_path, {name: value})("install-timer")

        said = f"sightglass: {name} holds a line feed, which neither cron nor systemd can be given\n"
        assert (2, "", said) == (ran.code, ran.out, ran.err)


def test_what_is_relative_leads_to_the_same_place_from_anywhere(tmp_path: Path) -> None:
    """An archive and certificates, too: cron starts runs in another folder."""
    (tmp_path / "sightglass.toml").write_text('SIGHTGLASS_ARCHIVE = "films"\n', encoding="utf-8")
    found = printed(tmp_path, {"SSL_CERT_FILE": "own.pem"})
    stored = printed(tmp_path, {"SIGHTGLASS_ARCHIVE": "s3://bucket/films"})

    environment = found.service["Environment"]
    assert f"SIGHTGLASS_ARCHIVE={tmp_path}/films" in environment
    assert f"SSL_CERT_FILE={tmp_path}/own.pem" in environment
    assert "SIGHTGLASS_ARCHIVE=s3://bucket/films" in stored.service["Environment"]


def test_a_user_without_a_name_is_named_by_number(tmp_path: Path) -> None:
    """As in a container that is started with a number nobody has there."""
    unshare = [shutil.which("unshare") or "false", "--user", "--map-user=12345"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody be another user")
    ran = subprocess.run(
        [*unshare, sys.executable, "-m", "etl", "install-timer", "--json"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SIGHTGLASS_HOME": str(tmp_path)},
        text=True,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
    assert ["12345"] == unit(json.loads(ran.stdout)["service"])["User"]
