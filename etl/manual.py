"""What pages of `docs/` show of the code itself: commands, settings, exit codes, the Python API.

A page holds it between two comments, `<!-- made by make docs: settings -->` and `<!-- end -->`.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from etl.cli import COMMANDS
from etl.config import Settings
from etl.errors import EXIT_CODES, WORST_FIRST
from etl.pipeline.areas import own_areas
from etl.python_reference import python
from etl.setting import Secret, Setting, declared

BLOCK = re.compile(r"(<!-- made by make docs: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMMON = ("home", "config", "pairs", "quiet", "verbose", "log_file", "log_format")
"""Parameters of many commands, whose options are told once."""
AREAS = {"cogniac": "Cogniac", "neurons": "Neurons", "publish": "Other places for what is published"}
"""Titles of the settings that a package of the code declares, by its name."""


def filled(page: str) -> str:
    """Return a page with its blocks as the code has them now; KeyError for one that nothing makes."""
    return BLOCK.sub(lambda block: "\n".join([block[1], *MADE[block[2]](), "", block[3]]), page)


def commands() -> Iterator[str]:
    """Yield all commands in a line each, the options that many have, and each command with its own."""
    yield from ("| command | does |", "|---|---|")
    yield from (f"| [`{name}`](#sightglass-{name}) | {told} |" for name, told in COMMANDS.items())
    yield from ("", "## Options of many commands", "")
    yield from _options(_common())
    for name in COMMANDS:
        yield from _command(importlib.import_module(f"etl.cli.{name.replace('-', '_')}").command, name, 2)


def settings() -> Iterator[str]:
    """Yield a table of the settings of each area."""
    found = {"General": list(declared(Settings).values())}
    for area in own_areas():
        title = next(AREAS[part] for part in area.__module__.split(".") if part in AREAS)
        found.setdefault(title, []).extend(declared(area).values())
    for number, (title, each) in enumerate(found.items()):
        yield from ([""] * bool(number))
        yield from (f"## {title}", "", "| variable | meaning | default |", "|---|---|---|")
        yield from map(_setting, each)


def exit_codes() -> Iterator[str]:
    """Yield the table of exit codes, and which of them wins."""
    yield from ("| code | means | what to do |", "|--:|---|---|")
    yield from (f"| {code} | {means} | {remedy} |" for code, (means, remedy) in EXIT_CODES.items())
    yield ""
    yield f"The worst of several wins in the order {', '.join(str(code) for code in WORST_FIRST if code)}."


MADE: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "settings": settings,
    "exit codes": exit_codes,
    "python": python,
}


def _common() -> list[click.Option]:
    """Return the options that many commands have, as `run` has them."""
    run = importlib.import_module("etl.cli.run").command
    options = (each for each in run.params if isinstance(each, click.Option) and each.name in COMMON)
    return sorted(options, key=lambda each: COMMON.index(each.name or ""))


def _own(parameters: Iterable[click.Parameter]) -> list[click.Option]:
    """Return all other options: also one that is spelled alike and means something else."""
    common = {each.name: each.help for each in _common()}
    options = (each for each in parameters if isinstance(each, click.Option))
    return [each for each in options if (each.name, each.help) not in common.items()]


def _command(command: click.Command, name: str, level: int) -> Iterator[str]:
    """Yield the lines of a command, and of those below it."""
    usage = command.collect_usage_pieces(click.Context(command))
    yield from ("", f"{'#' * level} sightglass {name}", "", "```")
    yield from (" ".join(["sightglass", name, *usage]), "```", "")
    yield from _prose(inspect.cleandoc(command.help or ""))
    if own := _own(command.params):
        yield ""
        yield from _options(own)
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            yield from _command(each, f"{name} {below}", level + 1)


def _prose(text: str) -> Iterator[str]:
    """Yield a help text as Markdown: what click leaves as it is stands in a block."""
    for number, paragraph in enumerate(text.split("\n\n")):
        yield from ([""] * bool(number))
        if paragraph.startswith("\b"):
            yield from ("```", *paragraph.splitlines()[1:], "```")
        else:
            yield " ".join(paragraph.split())


def _options(options: Iterable[click.Option]) -> Iterator[str]:
    """Yield a table of options."""
    yield from ("| option | does |", "|---|---|")
    for option in options:
        spelled, told = option.get_help_record(click.Context(click.Command(""))) or ("", "")
        yield f"| `{_cell(spelled)}` | {_cell(told)} |"


def _setting(each: Setting) -> str:
    """Return the row of a setting."""
    names = f"`{each.name}`" + f", or `{each.name}_FILE`" * (each.kind is Secret)
    return f"| {names} | {_cell(each.doc)} | {f'`{each.default}`' if each.default else ''} |"


def _cell(text: str) -> str:
    """Return a text as it may stand in a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
