"""A table of plain text, as wide as what is in it, and the same for programs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import click

from etl.cli.output import shown

BETWEEN = "  "


def sheet(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with a head; numbers and their like stand to the right."""
    lines = [[shown(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [all(row[place][:1].isdigit() for row in rows) and bool(rows) for place in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        )
        yield BETWEEN.join(cells).rstrip()


def show(lines: Iterable[str]) -> None:
    """Print lines to standard output, each as soon as it is known; a reader that has gone is no mistake."""
    for line in lines:
        with suppress(BrokenPipeError):
            click.echo(line)


def minute(moment: datetime | None) -> str:
    """Return a time in UTC as tables show it; empty for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else ""
