"""`sightglass demo`: both APIs simulated on this machine, loaded twice by the real pipeline."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import click
import duckdb

from etl import schema
from etl.cli import settings_for
from etl.cli.progress import watched
from etl.cli.report import pictures_of, write_page
from etl.cli.run import say
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError, worst
from etl.inbox.segment import FOLDER, OPEN
from etl.pipeline.run import Report, run
from etl.process import own_command
from etl.publish.bi import NAME, open_bi
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
    "--home", metavar="DIR", default=HOME, show_default=True, help="Folder to load into; emptied first."
)
@click.option("--records", default=3000, type=AMOUNT, show_default=True, help="Cogniac records to simulate.")
@click.option(
    "--media", default=40, type=AMOUNT, show_default=True, help="Neurons images and videos to simulate."
)
@click.option(
    "--seed", default=1, show_default=True, help="Another seed gives other data, the same seed the same."
)
def command(home: str, records: int, media: int, seed: int) -> int:
    """Simulate both APIs, load all they have, let them move on, load what changed, ask, and make the report.

    No keys and no network are needed. The data is generated; nothing of it is real.
    """
    folder = _emptied(Path(home))
    with _listening(folder) as address, _simulated(folder, seed, records, media, address) as simulated:
        settings, advance = simulated
        click.echo("First load: everything the two simulated APIs hold.", err=True)
        first = _run(settings)
        posts = advance()
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
    program = "sightglass" if shutil.which("sightglass") else sys.argv[0]
    click.echo(f"\nThe report:           {report}")
    click.echo(f"For BI tools:         {folder / NAME}")
    click.echo(f'Ask it yourself:      {program} sql --home {home} "FROM mart.detections_daily LIMIT 5"')
    click.echo(f"Or with DuckDB's own: duckdb -readonly {folder / NAME}")
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


@contextmanager
def _simulated(
    folder: Path, seed: int, records: int, media: int, address: str
) -> Iterator[tuple[Settings, Callable[[], int]]]:
    """Provide settings that lead to simulators of both APIs, and a function that lets time pass there.

    The function returns how many posts were sent to the address meanwhile, and answered.
    """
    try:
        from etl.demo.cogniac.posting import Poster, enter_address  # noqa: PLC0415 -- an extra
        from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize  # noqa: PLC0415 -- an extra
        from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize  # noqa: PLC0415
        from etl.demo.server import serve  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"the demo needs {error.name}: pip install 'sightglass-etl[demo]'") from error
    cogniac = CogniacSimulator(seed, CogniacSize(records=records))
    enter_address(cogniac, address)
    poster = Poster(cogniac)
    neurons = NeuronsSimulator(seed, NeuronsSize(media=media))
    with (
        serve(cogniac.app) as cogniac_url,
        serve(neurons.app) as neurons_url,
        serve(neurons.files) as files_url,
    ):
        neurons.files_url = files_url
        environ = {
            "SIGHTGLASS_HOME": str(folder),
            "COG_API_KEY": cogniac.api_key,
            "COG_URL_PREFIX": cogniac_url,
            "NEURONS_API_KEY": neurons.api_key,
            "NEURONS_URL": neurons_url,
        }

        def advance() -> int:
            cogniac.advance(records=records // 20, corrections=records // 30)
            neurons.advance(media=max(1, media // 10))
            posted = poster.post_new()
            _wait_for_inbox(folder)
            return sum(each.is_answered for each in posted)

        yield settings_for(ARCHIVED, environ, Path(os.devnull)), advance


def _wait_for_inbox(folder: Path) -> None:
    """Wait until all is in finished files, which alone a run reads.

    A listener appends to one for a second at most; a file that it has ready for the next posts stays open.
    """
    until = time.monotonic() + INBOX_SECONDS
    while any((folder / FOLDER).glob(f"*{OPEN}")) and time.monotonic() < until:
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
