"""Spans of time, as people write and read them."""

import re
from datetime import timedelta

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
"""Seconds."""
WRITTEN = re.compile(r"(?:\d+[smhdw])+", re.ASCII)
PART = re.compile(r"(\d+)([smhdw])")
LONGEST = timedelta(days=36_500)
DIGITS = 12
"""Of a number beyond which a span is longer than that, whatever its unit."""

SHOWN = ((2 * 86_400, 86_400, "d"), (2 * 3600, 3600, "h"), (2 * 60, 60, "min"))
"""From how many seconds on a span is told in which unit, and how many seconds that has."""


def duration(_context: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    """Return the span that an option gives; wrong usage where it is none."""
    if value is None:
        return None
    if WRITTEN.fullmatch(value) is None:
        raise click.BadParameter(f"{value} is no span of time such as 90m, 2h, 1d12h")
    parts = PART.findall(value)
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts if len(number) <= DIGITS)
    if any(len(number) > DIGITS for number, _ in parts) or seconds > LONGEST.total_seconds():
        raise click.BadParameter(f"{value} is longer than a hundred years")
    return timedelta(seconds=seconds)


def spoken(seconds: float | None) -> str:
    """Return a span as people say it, in the largest unit of which there are two; empty for None."""
    if seconds is None:
        return ""
    sign, size = "-" * (seconds < 0), abs(seconds)
    for least, unit, name in SHOWN:
        if size >= least:
            return f"{sign}{int(size // unit):,} {name}"
    return f"{sign}{int(size)} s"
