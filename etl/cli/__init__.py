"""The command line: one module per command, the only place that prints."""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import NoSuchCommand

from etl import __version__, process
from etl.cli.output import (
    FilePath,
    hide_secrets,
    json_text,
    prepare_streams,
    readable,
    tell,
    tell_bug,
    tell_usage,
)
from etl.errors import BUG, BusyError, ConfigError, EnvironmentFaultError, SightglassError
from etl.files import remedy

if TYPE_CHECKING:
    from etl.config import Settings

COMMANDS = {
    "run": "Load what is new; the line for cron.",
    "status": "Show how each stream stands, and how old it is.",
    "doctor": "Check settings, logins and this machine, and say what to do.",
    "plan": "Show what a run would ask, and about how much it would bring.",
    "follow": "Run again and again, and at once when posts have come.",
    "backfill": "Load a range of time again.",
    "refresh": "Read a stream anew from its beginning.",
    "confirm": "Let the next run do what runs hold back.",
    "listen": "Receive what Cogniac posts, for the next run.",
    "demo": "See all of it work on this machine, without keys.",
    "sql": "Query what is published.",
    "report": "Make an HTML page of what was found.",
    "ui": "Query what is published in a browser.",
    "snapshot": "Write all that is published into one DuckDB file.",
    "marts": "Print the marts in the SQL of another engine.",
    "dbt": "Write a dbt package of all tables and views.",
    "publish": "Publish the warehouse again, as every run does.",
    "rebuild": "Make the tables anew from what was received.",
    "install-timer": "Print what starts runs from cron or systemd.",
    "undo": "Make the tables what they were before a run.",
    "forget": "Take a medium or a person out of everything.",
    "verify": "Prove that the tables hold what the APIs hold.",
    "repair": "Heal what verify names, and nothing else.",
    "quarantine": "List, show, replay or dismiss what was refused.",
}


class Lazy(click.Group):
    """Imports a command only when it is used: --help and short commands must not wait for the others."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of this name."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"etl.cli.{name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; wrong usage where there is none, with those that read alike."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from error

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sightglass")
def group() -> None:
    """Load what vision AI says about your media into a DuckDB warehouse, and ask it in SQL.

    Settings come from the environment or sightglass.toml; docs/settings.md lists them.
    """


def main() -> None:
    """Run the command and leave with one of the exit codes of `etl.errors.EXIT_CODES`."""
    try:
        with process.stoppable():
            prepare_streams()
            code = _command()
            with suppress(BrokenPipeError):
                sys.stdout.flush()
        sys.exit(code)
    except click.ClickException as error:
        tell_usage(error)
        sys.exit(error.exit_code)
    except SightglassError as error:
        # That another run is at work is no fault: cron's next one does what this one did not.
        level = logging.INFO if isinstance(error, BusyError) else logging.ERROR
        tell(str(error), getattr(error, "__notes__", ()), level=level)
        # Not sys.exit: DuckDB would complain of what an error that is still alive holds on to.
        with suppress(EnvironmentFaultError, BrokenPipeError):
            sys.stdout.flush()
        os._exit(error.exit_code)
    except Exception:  # noqa: BLE001 -- whatever it is, it is a bug of ours, and must show where it is
        tell_bug(traceback.format_exc())
        sys.exit(BUG)


def _command() -> Any:  # noqa: ANN401 -- click does not say what a command returns
    """Return the exit code of the command; EnvironmentFaultError for a file or memory that is refused."""
    try:
        return group.main(readable(sys.argv[1:]), standalone_mode=False, prog_name="sightglass")
    except MemoryError as error:
        raise EnvironmentFaultError(
            "this machine has not enough memory left for it; what was loaded is kept: give it more, then run"
            " again"
        ) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise EnvironmentFaultError(
            f"cannot use {error.filename}: {error.strerror}; {remedy(error)}"
        ) from error


def takes_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that lead to the settings in force, and the settings as `settings`.

    Options given before a subcommand hold for it too; its own beat them.
    """
    return _taking(function, settings_for)


def takes_settings_or_fault(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same, and let the command itself tell what is wrong with the settings: a ConfigError."""

    def found(*given: Any) -> "Settings | ConfigError":  # noqa: ANN401 -- what `settings_for` takes
        try:
            return settings_for(*given)
        except ConfigError as error:
            return error

    return _taking(function, found)


def _taking(function: Callable[..., Any], settings: Callable[..., Any]) -> Callable[..., Any]:
    @home_option
    @config_option
    @set_option
    @wraps(function)
    def taking(home: str | None, config: Path | None, pairs: tuple[str, ...], **options: object) -> object:
        context = click.get_current_context()
        before, file = context.obj or ({}, None)
        flags, file = {**before, **_flags(home, pairs)}, config or file
        context.obj = flags, file
        given = settings(flags, os.environ, file)
        if not isinstance(given, ConfigError):
            hide_secrets(lambda: _redactor(given))
        return function(settings=given, **options)

    return taking


def settings_for(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None) -> "Settings":
    """Return the settings in force for all sources and targets."""
    from etl.config import load  # noqa: PLC0415 -- --help must not wait for it
    from etl.pipeline.areas import own_areas  # noqa: PLC0415

    return load(own_areas(), environ, flags, file)


def _redactor(settings: "Settings") -> Callable[[str], str]:
    """Return what takes the secrets out of a text."""
    from etl.redact import Redactor  # noqa: PLC0415 -- most commands have nothing to say

    return Redactor(each.reveal() for each in settings.secrets)


def _flags(home: str | None, pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the settings given on the command line."""
    flags = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {pair}")
        flags[name] = value
    return flags | ({} if home is None else {"SIGHTGLASS_HOME": home})


home_option = click.option("--home", metavar="DIR", help="Folder of the warehouse (SIGHTGLASS_HOME).")
config_option = click.option(
    "--config",
    metavar="FILE",
    type=FilePath(path_type=Path),
    help="Settings file instead of ./sightglass.toml.",
)
set_option = click.option(
    "--set", "pairs", metavar="NAME=VALUE", multiple=True, help="Any setting but a secret; can be repeated."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output."
)


def print_json(value: Mapping[str, Any]) -> None:
    """Print exactly one JSON object to standard output; one that has gone away is no mistake."""
    with suppress(BrokenPipeError):
        print(json_text(value), flush=True)  # noqa: T201 -- click's ignores the encoding
