"""Numbers in tables of text. Which sign parts off the decimals is settled for a whole file, never for a cell.

What is not certainly a number stays text: to read `1,234` as 1.234 where 1234 was meant would be silent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isinf
from typing import Any

from etl.values import text_of

Cell = tuple[float | None, str | None]
"""The number in a cell, or its text; neither where it is empty."""

EXACT = 2**53
"""Whole numbers beyond it share a float with their neighbours."""
NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<body>[0-9.,]*[0-9])(?P<power>[eE][+-]?[0-9]+)?")
PLAIN = {mark: re.compile(rf"[0-9]*(?:{re.escape(mark)}[0-9]+)?") for mark in ".,"}
"""By the sign before decimals, what comes without a sign between thousands."""
GROUPED = {
    mark: re.compile(rf"[1-9][0-9]{{0,2}}(?:{re.escape(other)}[0-9]{{3}})+(?:{re.escape(mark)}[0-9]+)?")
    for mark, other in (".,", ",.")
}
"""The same with one."""


def read_cells(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Cell]]:
    """Each cell of a table as the number it certainly holds, else as text."""
    mark = decimal_mark(cell for line in lines for cell in line.values() if isinstance(cell, str))
    # A text that a number would not give back makes its column one of ids: there no cell is a number.
    of_ids = {name for line in lines for name, cell in line.items() if _is_id(cell, mark)}
    return [
        {
            name: (None, _text(cell)) if name in of_ids else _number_or_text(cell, mark)
            for name, cell in line.items()
        }
        for line in lines
    ]


def naming_column(lines: Sequence[Mapping[str, Cell]]) -> str | None:
    """Return the first column of texts whose header speaks of a name or an id, else the first of texts."""
    texts = dict.fromkeys(name for line in lines for name, (_, text) in line.items() if text is not None)
    first = [name for name in (lines[0] if lines else ()) if name in texts]
    naming = [
        name for name in first if re.search(r"name|label|brand|aoi|\bid\b|uuid|_id$", name, re.IGNORECASE)
    ]
    return next(iter([*naming, *first]), None)


def decimal_mark(texts: Iterable[str]) -> str:
    """Return the sign before the decimals of all numbers of a file; empty where they leave it open.

    Each number allows one sign or both: `12,5` a comma only, `1,234` both. A point needs no proof where no
    comma is seen; a comma that could as well stand between thousands does.
    """
    possible, open_commas = {".", ","}, False
    for text in texts:
        allowed = set(_allowed(text))
        if allowed:
            possible &= allowed
            open_commas |= "," in text
    if len(possible) == 1:
        return possible.pop()
    return "." if possible and not open_commas else ""


def _allowed(text: str) -> Iterator[str]:
    """Yield the signs before decimals with which the text is a number."""
    found = NUMBER.fullmatch(text.strip())
    if found is None:
        return
    for mark in ".,":
        plain = PLAIN[mark].fullmatch(found["body"])
        # Nobody writes thousands apart before a power of ten.
        if plain or (not found["power"] and GROUPED[mark].fullmatch(found["body"])):
            yield mark


def _number(text: str, mark: str) -> float | None:
    """Return the number a text certainly is, with this sign before decimals; None where it is none."""
    found = NUMBER.fullmatch(text.strip())
    if found is None or (not mark and not found["body"].isdigit()):
        return None
    if mark and mark not in _allowed(text):
        return None
    value = float(f"{found['sign']}{_plain(found['body'], mark)}{found['power'] or ''}")
    vanished = value == 0 and found["body"].strip("0.,") != ""
    return None if isinf(value) or vanished else value


def _plain(body: str, mark: str) -> str:
    """Return the digits of a number with a point before its decimals, if it has any."""
    between = "," if mark == "." else "."
    return body.replace(between, "").replace(mark, ".") if mark else body


def _is_id(cell: object, mark: str) -> bool:
    """Whether a number would not give the cell back: for leading zeros, or more digits than one holds."""
    if not isinstance(cell, str):
        return isinstance(cell, int) and abs(cell) > EXACT
    value, body = _number(cell, mark), cell.strip().lstrip("+-")
    if value is None:
        return False
    return (body[:1] == "0" and body[1:2].isdigit()) or (abs(value) >= EXACT and "e" not in body.lower())


def _number_or_text(cell: object, mark: str) -> Cell:
    if isinstance(cell, str):
        value = _number(cell, mark)
        return value, _text(cell) if value is None else None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell), None
    return None, _text(cell)


def _text(cell: object) -> str | None:
    return cell.strip() or None if isinstance(cell, str) else text_of(cell)
