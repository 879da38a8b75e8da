"""A table of plain text, as wide as what is in it, and the same for programs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

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


def json_value(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Return a value as JSON holds it: times in ISO 8601, UTC, seconds to the thousandth."""
    if isinstance(value, dict):
        return {name: json_value(each) for name, each in value.items()}
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    if isinstance(value, date):
        return value.isoformat()
    return round(value, 3) if isinstance(value, float) else value
