"""`sightglass install-timer`: what starts runs from time to time, to be copied to where it belongs."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import tell
from etl.config import Settings
from etl.errors import ConfigError
from etl.pipeline.areas import own_areas
from etl.process import command_line
from etl.setting import Secret, Setting, declared
from etl.settings_file import FILE, read_file

MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
"""What divides an hour, so that all pauses are equal."""
SECRETS = "/etc/sightglass"
"""Where the files of secrets are looked for that were given in the environment."""
USUAL = ("COG_API_KEY", "NEURONS_API_KEY")
"""The secrets that are named where none is given yet."""
PROXIES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
NETWORK = (*PROXIES, *map(str.upper, PROXIES), *CERTIFICATES, "OTEL_EXPORTER_OTLP_ENDPOINT")
"""What else of the environment a run goes by, and cron does not know."""
HOME = "SIGHTGLASS_HOME"

SERVICE = """\
[Unit]
Description=Sightglass: load what is new
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
ExecStart={command}
{environment}
# Another run holds the warehouse: the next one does it.
SuccessExitStatus=75
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
UMask=0022
"""
TIMER = """\
[Unit]
Description=Sightglass: every {minutes} minutes

[Timer]
OnCalendar=*:0/{minutes}
Persistent=true

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be started, and with which environment."""

    command: list[str]
    variables: dict[str, str]
    secrets: dict[str, str]
    """Files of secrets, by the names of the settings."""
    minutes: int

    def cron(self) -> str:
        """Return the line for crontab, in which a percent sign would be a line feed."""
        files = {f"{name}_FILE": path for name, path in self.secrets.items()}
        given = (f"{name}={shlex.quote(value)}" for name, value in {**self.variables, **files}.items())
        hours = "0" if self.minutes == max(MINUTES) else f"*/{self.minutes}"
        return f"{hours} * * * *  {' '.join([*given, shlex.join(self.command)])}".replace("%", "\\%")

    def service(self) -> str:
        """Return the unit of a run for systemd, which hands the secrets over itself."""
        lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in self.variables.items()]
        for name, path in self.secrets.items():
            lines.append(f"LoadCredential={name.lower()}:{path.replace('%', '%%')}")
            lines.append(f"Environment={name}_FILE=%d/{name.lower()}")
        command = " ".join(_quoted(word).replace("$", "$$") for word in self.command)
        return SERVICE.format(user=_user(), command=command, environment="\n".join(lines))

    def timer(self) -> str:
        """Return the unit that starts it from time to time."""
        return TIMER.format(minutes=self.minutes).replace("*:0/60", "hourly")


@click.command("install-timer")
@click.option(
    "--every",
    type=click.Choice([str(each) for each in MINUTES]),
    default="10",
    show_default=True,
    help="Minutes from run to run.",
)
@takes_settings
@json_option
def command(settings: Settings, every: str, *, as_json: bool) -> None:
    """Print a cron line, and a service and a timer for systemd, that run with the settings in force.

    Nothing is installed. Secrets are named by their files: where one stands in the environment, standard
    error says into which file to put it.
    """
    flags, file = click.get_current_context().obj
    given = {name: value for name, value in {**os.environ, **flags}.items() if value.strip()}
    used = file or (Path(FILE) if Path(FILE).exists() else None)
    written = read_file(used) if used else {}
    variables, secrets = _variables(settings, given), _secrets({**written, **given})
    words = [*command_line(), "run", *([f"--config={used.absolute()}"] if used else []), "--quiet"]
    _refuse_lines({**variables, **secrets, "--config": words[-2]})
    plan = Plan(words, variables, secrets, int(every))
    if as_json:
        print_json({"cron": plan.cron(), "service": plan.service(), "timer": plan.timer()})
        return
    click.echo(f"# crontab -e\n{plan.cron()}\n")
    click.echo(f"# /etc/systemd/system/sightglass.service\n{plan.service()}")
    click.echo(f"# /etc/systemd/system/sightglass.timer\n{plan.timer()}")
    click.echo("# systemctl daemon-reload && systemctl enable --now sightglass.timer")


def _settings() -> list[Setting]:
    areas: list[type[Any]] = [Settings, *own_areas()]
    return [each for area in areas for each in declared(area).values()]


def _variables(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are no secrets, and what else a run needs to know of its surroundings."""
    found = {HOME: str(settings.home)}
    for each in _settings():
        if each.name in given and each.name != HOME and each.kind is not Secret:
            found[each.name] = given[each.name].strip()
    if settings.metrics_file:
        found["SIGHTGLASS_METRICS_FILE"] = _absolute(settings.metrics_file)
    if settings.archive and "://" not in settings.archive:
        found["SIGHTGLASS_ARCHIVE"] = _absolute(settings.archive)
    for name in NETWORK:
        if "@" in given.get(name, ""):
            tell(f"{name} holds a login: give it to the runs in a way that only they can read")
        elif name in given:
            found[name] = _absolute(given[name]) if name in CERTIFICATES else given[name]
    return found


def _absolute(path: str) -> str:
    """Return a path that leads to the same place from any folder: cron and systemd start runs in another."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ConfigError(f"{path} leads nowhere: {error}") from error


def _refuse_lines(values: Mapping[str, str]) -> None:
    """Raise ConfigError for a value that would begin a line of its own in a crontab or a unit."""
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            raise ConfigError(f"{name} holds a line feed, which neither cron nor systemd can be given")


def _user() -> str:
    """Return the name of the user who runs this, or the number of one that has no name."""
    try:
        return getuser()
    except (KeyError, OSError):  # as Python before 3.13 says it, and since
        return str(os.getuid())


def _secrets(given: Mapping[str, str]) -> dict[str, str]:
    """Return the files of the secrets that are given, or of the usual ones; say where one must be made."""
    found: dict[str, str] = {}
    for each in _settings():
        path = given.get(f"{each.name}_FILE")
        if each.kind is Secret and each.name in given:
            found[each.name] = f"{SECRETS}/{each.name.lower()}"
            tell(f"put {each.name} into {found[each.name]}, which only the user of the runs may read")
        elif each.kind is Secret and path:
            found[each.name] = _absolute(path)
    return found or {name: f"{SECRETS}/{name.lower()}" for name in USUAL}


def _quoted(word: str) -> str:
    """Return a word as systemd reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(sign in word for sign in " \t'\"\\;#") else escaped
