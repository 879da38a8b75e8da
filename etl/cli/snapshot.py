"""`sightglass snapshot`: all that is published, in one file."""

from pathlib import Path

import click

from etl.cli import json_option, print_json, takes_settings
from etl.cli.output import FilePath, tell
from etl.config import Settings
from etl.publish import moment_of
from etl.publish.snapshot import write_snapshot


@click.command("snapshot")
@click.argument("file", type=FilePath(dir_okay=False, path_type=Path), metavar="FILE")
@json_option
@takes_settings
def command(settings: Settings, file: Path, *, as_json: bool) -> None:
    """Write all tables with their keys, the marts and all comments into one DuckDB file.

    It holds one published version, whatever runs meanwhile, and opens in DuckDB 1.2 and later.
    """
    path = file.absolute()
    since = moment_of(write_snapshot(settings, path))
    if as_json:
        print_json({"snapshot": str(path), "since": since})
    tell(f"wrote {path}, as published at {since}")
