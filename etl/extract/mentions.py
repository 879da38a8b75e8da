"""Where a text names a medium or a person: the one rule that the log, tables, files and runs go by.

An id counts where it stands as a whole token. Letters and digits of any script that touch it make it another
id, and so do those behind a character that joins parts of such an id: `item-0001` is not in `item-0001-crop`,
and `ann@acme.com` is neither in `joann@acme.com` nor in `ann@acme.com.au`. A joint that leads to no letter is
punctuation: `ann@acme.com.` ends a sentence.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import cache, lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

Kind = Literal["medium", "person"]

LONGEST_ID = 400
"""Characters beyond which a text is no id."""
PART = re.compile(r"[^\W_]+")
"""Parts of ids are letters and digits in a row."""
JOINTS = {"medium": "-_", "person": "-_.+'@"}
"""What joins parts of an id, by kind."""
DOMAIN_JOINTS = "-."
"""What joins parts of a domain: behind a mail address, all else ends it."""
ONCE = ".@"
"""Joints that never stand twice in a row: an ellipsis is none."""

_HEX, _NEXT = "[0-9a-fA-F]", "%[89abAB][0-9a-fA-F]"
_PERCENT = "|".join(
    (f"%[0-7]{_HEX}", f"%[cdCD]{_HEX}{_NEXT}", f"%[eE]{_HEX}(?:{_NEXT}){{2}}", f"%[fF][0-7](?:{_NEXT}){{3}}")
)
_UNICODE = rf"\\\\|\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|\\u{_HEX}{{4}}"
# `\t` is a tab in JSON, and the beginning of a name in a path of Windows: both are tried.
CODED = [re.compile(f"{_PERCENT}|{_UNICODE}{more}") for more in ("", r'|\\["/bfnrt]')]
"""How one character may be written in several: in addresses, and in JSON that cannot be read."""


class Shape(NamedTuple):
    """What tells where in a text an id may stand, without telling the id."""

    kind: Kind
    lead: int
    """Characters before the first part."""
    parts: int
    trail: int
    """Characters behind the last part."""


KINDS: tuple[Kind, ...] = ("medium", "person")
UNKNOWN = tuple(Shape(kind, 0, parts, 0) for kind in KINDS for parts in range(1, 13))
"""The shapes of ids that were forgotten before shapes were remembered."""


class _View(NamedTuple):
    """A text as it reads, and where each of its characters stands."""

    shown: str
    is_raw: bool
    """Whether it is shown as it is written, where that can be read otherwise."""
    at: list[int] | None = None
    """For each character, and the end, the index in the text; None where they are the same."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the text stands what is shown there."""
        return (start, end) if self.at is None else (self.at[start], self.at[end])


def normal(kind: Kind, text: str) -> str:
    """Return an id as it is compared: people's are the same in capitals."""
    return text.casefold() if kind == "person" else text


def shape_of(kind: Kind, text: str) -> Shape | None:
    """Return the shape of an id; None where it has no letter or digit, and counts only as a whole value."""
    shown = normal(kind, text)
    found = [each.span() for each in PART.finditer(shown)]
    return Shape(kind, found[0][0], len(found), len(shown) - found[-1][1]) if found else None


def may_name(one: str, text: str) -> bool:
    """Whether a text is worth a look: it holds the id, or what may stand for a character of it."""
    folded = one.casefold()
    return (
        "\\" in text
        or folded in text.casefold()
        or ("%" in text and folded in unquote(text, errors="replace").casefold())
    )


def stands_alone(kind: Kind, text: str, start: int, end: int, also: str = "") -> bool:
    """Whether what stands there is a token of its own, and no part of another id; `also` joins as well."""
    joints = JOINTS[kind] + also
    is_address = kind == "person" and "@" in text[start:end]
    behind = DOMAIN_JOINTS + also if is_address else joints
    return not (_is_joined(text, start - 1, -1, joints) or _is_joined(text, end, 1, behind))


def replaced(
    shapes: Collection[Shape], text: str, instead: Callable[[Kind, str], str | None], also: str = ""
) -> str:
    """Return a text with what `instead` returns in place of each token that it returns anything for."""
    for kind in KINDS:
        own = sorted((each for each in set(shapes) if each.kind == kind), key=_length, reverse=True)
        # A loop of its own each: what one reading has replaced, the next one sees as it is now.
        codings = _codings(text) if own else []
        for coded in codings:
            made, done = list[str](), 0
            view = _view(kind, text, coded, is_raw=not coded and CODED[0] in codings)
            for start, end, new in _found(text, view, own, instead, also):
                made += [text[done:start], new]
                done = end
            text = "".join([*made, text[done:]])
    return text


def is_named(kind: Kind, one: str, text: str, also: str = "") -> bool:
    """Whether a text names this one."""
    shape, wanted = shape_of(kind, one), normal(kind, one)
    if not shape or not may_name(one, text):
        return False
    found = list[str]()

    def instead(_: Kind, each: str) -> None:
        if each == wanted:
            found.append(each)

    replaced([shape], text, instead, also)
    return bool(found)


@cache
def oddly_folded() -> str:
    """Return the characters that are not the same in small letters as casefolded, or in DuckDB's."""
    every = map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000)))
    return "".join(each for each in every if each.casefold() != each.lower() or len(each.lower()) > 1)


def _found(
    text: str, view: _View, shapes: list[Shape], instead: Callable[[Kind, str], str | None], also: str
) -> Iterator[tuple[int, int, str]]:
    """Yield from where to where a text names somebody, and what is to stand there."""
    shown, done = view.shown, 0
    parts = [each.span() for each in PART.finditer(shown)]
    for number, (first, _) in enumerate(parts):
        for kind, lead, count, trail in shapes:
            if number + count > len(parts):
                continue
            start, end = first - lead, parts[number + count - 1][1] + trail
            if start < done or end > len(shown) or end - start > LONGEST_ID:
                continue
            if not stands_alone(kind, shown, start, end, also):
                continue
            span = view.span(start, end)
            # As it is written, only what itself looks coded is of interest: the rest is found as it reads.
            if view.is_raw and CODED[1].search(text, *span) is None:
                continue
            new = instead(kind, shown[start:end])
            if new is not None:
                yield *span, new
                done = end
                break


def _length(shape: Shape) -> int:
    return shape.parts


def _codings(text: str) -> list[re.Pattern[str] | None]:
    """Return the ways in which a text is to be read, besides as it is written."""
    if "%" not in text and "\\" not in text:
        return [None]
    return [None, *(each for each in CODED if each.search(text))]


def _view(kind: Kind, text: str, coded: re.Pattern[str] | None, *, is_raw: bool) -> _View:
    if text.isascii() and not coded:
        return _View(normal(kind, text), is_raw)
    shown, at, done = list[str](), list[int](), 0

    def add(letters: str, start: int, step: int) -> None:
        folded = normal(kind, letters)
        shown.append(folded)
        if letters.isascii() and step:
            at.extend(range(start, start + len(letters)))
            return
        for number, letter in enumerate(letters):
            at.extend([start + number * step] * len(normal(kind, letter)))

    for unit in coded.finditer(text) if coded else ():
        add(text[done : unit.start()], done, 1)
        letter = _decoded(unit[0])
        add(letter, unit.start(), int(letter == unit[0]))
        done = unit.end()
    add(text[done:], done, 1)
    return _View("".join(shown), is_raw, [*at, len(text)])


@lru_cache(10_000)
def _decoded(unit: str) -> str:
    if unit.startswith("%"):
        try:
            return unquote(unit, errors="strict")
        except UnicodeDecodeError:
            return unit
    return str(json.loads(f'"{unit}"'))


def _is_joined(text: str, at: int, step: int, joints: str) -> bool:
    """Whether a letter or digit follows here, at once or behind joints."""
    last = ""
    while 0 <= at < len(text) and text[at] in joints:
        if text[at] in ONCE and text[at] == last:
            return False
        last = text[at]
        at += step
    return 0 <= at < len(text) and (text[at].isalnum() or unicodedata.category(text[at])[0] == "M")
