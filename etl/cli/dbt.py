"""`sightglass dbt`: the tables and views as sources of dbt."""

from collections.abc import Mapping
from pathlib import Path

import click

from etl.cli import json_option, print_json
from etl.cli.output import FilePath, tell
from etl.dbt import MARK, PROJECT, package
from etl.errors import ConfigError, EnvironmentFaultError
from etl.files import remedy
from etl.process import scratch

PART = ".part"
"""How a file is called while it is written."""


@click.command("dbt")
@click.option(
    "--into",
    metavar="DIR",
    required=True,
    type=FilePath(path_type=Path),
    help="Folder to write; it is new, empty, or has such a package.",
)
@json_option
def command(into: Path, *, as_json: bool) -> None:
    """Write a dbt package: all tables and views as sources with their docs and tests, and an example.

    It needs no settings, no warehouse and no dbt. Its README.md says how to use it.
    """
    folder = into.absolute()
    write_package(folder, package())
    if as_json:
        print_json({"dbt": str(folder)})
    tell(f"wrote {folder}")


def write_package(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files, each of them whole, beside what else there is in a folder of such a package.

    The one by which the folder is known is the first, so that one that was killed can be given again.
    Raises ConfigError for a folder with something else in it.
    """
    try:
        if not _is_ours(folder):
            raise ConfigError(f"{folder} holds something else; name a new folder for the dbt package")
        for name in (PROJECT, *(each for each in files if each != PROJECT)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with scratch(path.with_name(path.name + PART)) as aside:
                aside.write_text(files[name], encoding="utf-8")
                aside.replace(path)
    except OSError as error:
        named = error.filename2 or error.filename or folder
        raise EnvironmentFaultError(f"cannot write {named}: {error.strerror}; {remedy(error)}") from error


def _is_ours(folder: Path) -> bool:
    """Whether nothing but such a package, or the beginning of one, would be written over."""
    if not folder.exists() or not {path.name for path in folder.iterdir()} - {PROJECT + PART}:
        return True
    project = folder / PROJECT
    return project.is_file() and project.read_bytes().startswith(MARK.encode())
