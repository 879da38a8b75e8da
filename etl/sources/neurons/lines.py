"""Lines of CSV tables, whatever their separator."""

import csv
import io
import re
from typing import Any

from etl.errors import Unfit


def csv_lines(body: bytes) -> list[dict[str, Any]]:
    """The lines of a CSV file by its header, in which the separator is what stands there most often."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"is not UTF-8 text: {error.reason}") from error
    if "\n" not in text:
        text = text.replace("\r", "\n")
    header = re.sub(r'"[^"]*"', "", text.lstrip().split("\n", 1)[0])
    separator = max(",;\t", key=header.count)
    try:
        names = next(csv.reader([text.lstrip().split("\n", 1)[0]], delimiter=separator), [])
    except csv.Error as error:
        raise Unfit(f"is not a CSV table: {error}") from error
    if len(names) == 1:
        raise Unfit("is not a CSV table: has one column only")
    for name in names:
        if names.count(name) > 1:
            raise Unfit(f"is not a CSV table: two columns are called {name[:40]}")
    plain = plain_lines(text, separator)
    return lines(text, separator) if plain is None else plain


def plain_lines(text: str, separator: str) -> list[dict[str, Any]] | None:
    """The lines of a table without gaps or line feeds in quotes; None where it is not so plain."""
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
    """The lines of any table; Unfit where it is none."""
    import polars as pl  # noqa: PLC0415 -- slow to import, and few tables need it

    try:
        table = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise Unfit("has no header line") from error
    except pl.exceptions.PolarsError as error:
        raise Unfit(f"is not a CSV table: {str(error).splitlines()[0]}") from error
    return table.to_dicts()
