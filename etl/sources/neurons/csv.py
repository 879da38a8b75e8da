"""Lines of CSV tables, whatever their separator."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from etl.errors import RecordError
from etl.sources.neurons.figures import NUMBER

SEPARATORS = "\t;,"

# How large a file may be is decided where it is received: a cell of it can be all of it.
csv.field_size_limit(2**31 - 1)

MOST_DIGITS = 9
"""Digits of the number of a column."""
HINT = re.compile(r'"?sep=(.)"?[^\S\n]*(?:\n|$)', re.IGNORECASE)
"""A first line by which spreadsheets are told the separator."""


def csv_lines(body: bytes) -> list[dict[str, Any]]:
    """Return the lines of a CSV file by its header, whose most frequent separator counts."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"is not UTF-8 text: {error.reason}") from error
    if "\x00" in text:
        raise RecordError("is not a CSV table: holds NUL characters, as UTF-16 text does")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    hint = HINT.match(text)
    text = text[hint.end() :] if hint else text
    separator = hint[1] if hint else _separator_of(text.lstrip())
    if separator not in SEPARATORS:
        raise RecordError(f"is not a CSV table: says that {separator!r} is its separator")
    _hold_to_header(text.lstrip().split("\n", 1)[0], separator)
    _hold_to_end(text, separator)
    plain = plain_lines(text, separator)
    return lines(text, separator) if plain is None else plain


def _separator_of(text: str) -> str:
    """Return what stands between columns: as often in every line as in the header, else most often there."""
    rows = [re.sub(r'"(?:[^"]|"")*"', "", row) for row in text.split("\n") if row.strip()]
    widths = {sign: {row.count(sign) for row in rows} for sign in SEPARATORS}
    even = [sign for sign, found in widths.items() if len(found) == 1 and found != {0}]
    return max(even or SEPARATORS, key=(rows or [""])[0].count)


def _hold_to_header(line: str, separator: str) -> None:
    """Refuse a table whose columns its header does not tell apart."""
    try:
        names = next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise RecordError(f"is not a CSV table: {error}") from error
    if len(names) == 1:
        raise RecordError("is not a CSV table: has one column only")
    for name, count in Counter(names).items():
        if count > 1:
            raise RecordError(f"is not a CSV table: two columns are called {name[:40]}")
    if not _may_be_named(names):
        raise RecordError("is not a CSV table: begins with numbers, not with names of columns")


def _may_be_named(names: Sequence[str]) -> bool:
    """Whether these are names of columns: a table without them would lose its first line to them.

    Columns may be numbered, one after the other; those of two columns are not.
    """
    numbers = [name.strip() for name in names if NUMBER.fullmatch(name.strip())]
    if not all(each.isdigit() and len(each) <= MOST_DIGITS for each in numbers):
        return False
    counted = list(map(int, numbers))
    return len(counted) != 1 and all(after == before + 1 for before, after in pairwise(counted))


def _hold_to_end(text: str, separator: str) -> None:
    """Refuse a table whose last line has no end and too few cells: the rest of it has not come.

    Cells at the end of other lines may be left out.
    """
    if text.endswith(("\n", "\r")):
        return
    with suppress(csv.Error):
        widths = [len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        if widths and widths[-1] < widths[0]:
            raise RecordError("is not a CSV table: breaks off in its last line")


def plain_lines(text: str, separator: str) -> list[dict[str, Any]] | None:
    """Return the lines of a table without gaps or line feeds in quotes; None where it is not so plain."""
    rows = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    # A text between quotes that are doubled within, or anything without quotes.
    cell = rf'(?:[^"{separator}]*|"(?:[^"]|"")+")'
    line = re.compile(rf"{cell}(?:{separator}{cell})*")
    odd = text[:1].isspace() or any(sign in row for row in rows for sign in "\r\x00")
    if odd or '""' in rows[0] or not all(map(line.fullmatch, rows)):
        return None
    names, *cells = csv.reader(rows, delimiter=separator)
    widths = {len(set(names)), len(names), *map(len, cells)}
    if len(widths) > 1 or not names or not all(names) or not all(map(any, cells)):
        return None
    return [dict(zip(names, (cell or None for cell in row), strict=True)) for row in cells]


def lines(text: str, separator: str) -> list[dict[str, Any]]:
    """Return the lines of any table; RecordError where it is none."""
    import polars as pl  # noqa: PLC0415 -- slow to import, and few tables need it

    try:
        table = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise RecordError("has no header line") from error
    except pl.exceptions.PolarsError as error:
        raise RecordError(f"is not a CSV table: {str(error).splitlines()[0]}") from error
    return table.to_dicts()
