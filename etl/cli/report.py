"""`sightglass report`: one page of the pipeline's health and of what was found, to look at and to pass on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from logging import WARNING
from pathlib import Path

import click

from etl.archive.archive import place_of
from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import FilePath, tell
from etl.config import Settings
from etl.errors import ConfigError, EnvironmentFaultError, SourceError
from etl.process import scratch
from etl.publish.bi import open_bi
from etl.publish.report import page
from etl.publish.snapshot import refuse_own
from etl.publish.thumbnails import Read


@click.command("report")
@click.argument(
    "file", type=FilePath(dir_okay=False, path_type=Path), default="report.html", metavar="[FILE]"
)
@json_option
@takes_settings
def command(settings: Settings, file: Path, *, as_json: bool) -> None:
    """Make an HTML page of what is published, as report.html or FILE; it needs no network to be read.

    FILE is a new one, or one to be replaced, and not in the folder of the warehouse.
    """
    path = file.absolute()
    with writing(path):
        refuse_own(settings.home, path)
    with open_bi(settings, partial(tell, level=WARNING)) as connection:
        text = page(connection, datetime.now(UTC), pictures_of(settings))
    write_page(path, text)
    if as_json:
        print_json({"report": str(path)})
    tell(f"wrote {path}")


def pictures_of(settings: Settings) -> Read:
    """Return what reads the pictures of the archive, if there are any to be read.

    The report is made without those that cannot be read, which is told once.
    """
    is_told = False

    def read(path: str, most: int) -> bytes | None:
        nonlocal is_told
        try:
            return None if is_told else place_of(settings).read(path, most)
        except (ConfigError, SourceError) as error:
            is_told = True
            tell(f"the report has no pictures: {error}")
            return None

    return read


def write_page(path: Path, text: str) -> None:
    """Write the file aside and bring it in by rename: nobody sees half of it."""
    with writing(path):
        aside = path.with_name(path.name + ".part")
        aside.unlink(missing_ok=True)
        with scratch(aside):
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what is wrong where the file cannot be written."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFaultError(f"cannot write {path}: {error.strerror}; name another FILE") from error
