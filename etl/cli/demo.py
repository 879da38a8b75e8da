"""`sightglass demo`: both APIs simulated on this machine, loaded twice by the real pipeline."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import click
import duckdb
from click.core import ParameterSource

from etl import schema
from etl.cli import settings_for
from etl.cli.demo_serve import HIGHEST_PORT, PORT, Size, serve, simulated
from etl.cli.output import FilePath
from etl.cli.progress import watched
from etl.cli.report import pictures_of, write_page
from etl.cli.run import say
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError, worst
from etl.inbox.reader import Inbox
from etl.pipeline.run import Report, run
from etl.process import command_name, own_command
from etl.publish.bi import open_bi
from etl.publish.layout import BI
from etl.publish.report import page

HOME = "demo-warehouse"
MARK = ".made-by-sightglass-demo"
AMOUNT = click.IntRange(0, 10**7)
INBOX_SECONDS = 2.0
"""After which whatever was posted is in a finished file."""
ARCHIVED = {"SIGHTGLASS_NEURONS_ARCHIVE": "formatted,heat"}
"""What of Neurons' pictures the report shows."""


@click.command("demo")
@click.option(
    "--home",
    metavar="DIR",
    type=FilePath(),
    default=HOME,
    show_default=True,
    help="Folder to load into; emptied first.",
)
@click.option("--records", default=3000, type=AMOUNT, show_default=True, help="Cogniac records to simulate.")
@click.option(
    "--media", default=40, type=AMOUNT, show_default=True, help="Neurons images and videos to simulate."
)
@click.option(
    "--seed", default=1, show_default=True, help="Another seed gives other data, the same seed the same."
)
@click.option(
    "--serve",
    "only_serves",
    is_flag=True,
    help="Only simulate both APIs, for commands in another terminal, until told to stop.",
)
@click.option(
    "--port",
    default=PORT,
    type=click.IntRange(0, HIGHEST_PORT),
    show_default=True,
    help="With --serve: the first of four ports; 0 for any that are free.",
)
def command(home: str, *, only_serves: bool, port: int, **size: int) -> int:
    """Simulate both APIs, load all they have, let them move on, load what changed, ask, and make the report.

    No keys and no network are needed. The data is generated; nothing of it is real.
    With --serve nothing is loaded: docs/tutorial.md goes on from there.
    """
    _refuse_unfit("home" if only_serves else "port", only_serves=only_serves)
    if only_serves:
        return serve(Size(**size), port)
    return _load_twice(home, Size(**size))


def _refuse_unfit(option: str, *, only_serves: bool) -> None:
    """Refuse an option that is given and means nothing here."""
    given = click.get_current_context().get_parameter_source(option)
    if given is not ParameterSource.DEFAULT:
        raise click.UsageError(f"--{option} {'does not go' if only_serves else 'goes only'} with --serve")


def _load_twice(home: str, size: Size) -> int:
    """Load, let time pass, load what changed, and show what came of it; the worse of both exit codes."""
    folder = _emptied(Path(home))
    with _listening(folder) as address, simulated(size) as plant:
        poster = plant.poster(address)
        settings = settings_for(
            ARCHIVED, {**plant.settings, "SIGHTGLASS_HOME": str(folder)}, Path(os.devnull)
        )
        click.echo("First load: everything the two simulated APIs hold.", err=True)
        first = _run(settings)
        plant.advance()
        posts = sum(each.is_answered for each in poster.post_new())
        _wait_for_inbox(folder)
        click.echo(
            "Time passes: new records, corrections by people, new videos. What is detected is posted to "
            f"`sightglass listen` as it occurs: {posts:,} posts. Second load: what changed.",
            err=True,
        )
        second = _run(settings)
    with open_bi(settings) as connection:
        _show_tables(connection)
        _answer_questions(connection)
        report = folder / "report.html"
        write_page(report, page(connection, datetime.now(UTC), pictures_of(settings)))
    program = command_name()
    click.echo(f"\nThe report:           {report}")
    click.echo(f"For BI tools:         {folder / BI}")
    click.echo(f'Ask it yourself:      {program} sql --home {home} "FROM mart.detections_daily LIMIT 5"')
    click.echo(f"Or with DuckDB's own: duckdb -readonly {folder / BI}")
    return worst([first.exit_code, second.exit_code])


def _emptied(folder: Path) -> Path:
    """Return the folder, empty; one that the demo did not make is left alone."""
    try:
        if (folder / MARK).exists():
            shutil.rmtree(folder)
        elif folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} holds something that is not the demo's; name another --home")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise ConfigError(f"cannot use the folder {folder}: {error.strerror}; name another --home") from error
    return folder.absolute()


@contextmanager
def _listening(folder: Path) -> Iterator[str]:
    """Provide the address at which `sightglass listen` takes posts, in a process of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTGLASS_")}
    told = own_command("listen", "--port=0", f"--home={folder}", f"--config={os.devnull}")
    with subprocess.Popen(told, env=environ, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own
        try:
            said = process.stderr.readline() if process.stderr else ""
            _, is_listening, address = said.rstrip().partition("listening on ")
            if not is_listening:
                raise EnvironmentFaultError(f"the demo cannot listen: {said.strip()}")
            yield address
        finally:
            process.terminate()


def _wait_for_inbox(folder: Path) -> None:
    """Wait until all is in finished files, which alone a run reads.

    A listener appends to one for a second at most.
    """
    until, inbox = time.monotonic() + INBOX_SECONDS, Inbox(folder)
    while inbox.written_now() and time.monotonic() < until:
        time.sleep(0.05)  # the listener works by its own clock, and tells nobody


def _run(settings: Settings) -> Report:
    with watched() as progress:
        report = run(settings, (), lambda: datetime.now(UTC), progress)
    say(report)
    return report


def _show_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Show what arrived: every table with its number of rows."""
    relations = [
        connection.view(table.qualified).aggregate(f"'{table.qualified}' AS \"table\", count(*) AS rows")
        for source in schema.sources()
        for table in source.tables.values()
    ]
    click.echo("\nWhat arrived:")
    click.echo(reduce(lambda above, below: above.union(below), relations))


def _answer_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Show the questions of `sql/demo/`, each with its answer."""
    for path in sorted((schema.folder("sql") / "demo").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        click.echo("\n" + text.splitlines()[0].removeprefix("-- "))
        click.echo(connection.sql(text))
