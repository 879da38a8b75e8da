"""Answers that are not JSON as a whole, taken apart: one bad record takes no other with it.

Used only where strict decoding has failed. Text is looked at as Latin-1, in which each byte is a character:
so bytes that are no UTF-8 keep their places.
"""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

import msgspec

from etl.extract.stream import stand_in

BLANK = re.compile(r"[ \t\r\n]*")
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s"\[\]{},:]+)', re.DOTALL)
"""A text with whatever is in it, a sign, or anything else that has no sign in it."""
FOLLOWING = re.compile(r"(?=,\s*[{\[])")
"""Where a record of a list may end, for another follows."""
MOST_TRIES = 500
"""Places at which it is tried to go on after records whose quotes or brackets do not match."""
CLOSES = {"[": "]", "{": "}"}


class _BrokenError(ValueError):
    """The text is not what it must be at this place."""


def mended_page(body: bytes) -> bytes | None:
    """Return the body with a stand-in for each record that is no JSON.

    None where it holds no list of records.

    Records are the elements of the list that the body is, or of the lists in the object that it is.
    """
    try:
        return "".join(_Page(body.decode("latin-1")).pieces()).encode("latin-1")
    except (_BrokenError, RecursionError):
        return None


def mended_record(body: bytes) -> bytes | None:
    """Return a stand-in for one record; None where the body is no object from its beginning to its end."""
    text = body.decode("latin-1")
    try:
        whole = _after_blank(text, _balanced_end(text, _after_blank(text, 0))) == len(text)
    except _BrokenError:
        return None
    return stand_in(body) if whole and body.lstrip()[:1] == b"{" else None


class _Page:
    """A body, taken apart into pieces that are the body again, or stand in for what is no JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tries = 0

    def pieces(self) -> list[str]:
        """Return the pieces of the mended body; _BrokenError where more than its records is no JSON."""
        begin = _after_blank(self._text, 0)
        if self._sign(begin) == "[":
            return self._records(_after_blank(self._text, begin + 1), ["["])
        if self._sign(begin) != "{":
            raise _BrokenError
        return self._members(_after_blank(self._text, begin + 1), ["{"])

    def _members(self, at: int, done: list[str]) -> list[str]:
        """Return the members of the object around the lists, from a place on."""
        for _ in range(len(self._text)):
            colon = _after_blank(self._text, self._strict_end(at))
            value = _after_blank(self._text, colon + 1)
            if self._sign(at) != '"' or self._sign(colon) != ":":
                raise _BrokenError
            done = [*done, self._text[at:value]]
            if self._sign(value) == "[":
                return self._records(_after_blank(self._text, value + 1), [*done, "["])
            end = _after_blank(self._text, self._strict_end(value))
            done = [*done, self._text[value:end]]
            if self._sign(end) != ",":
                return self._ended(end, done)
            done, at = [*done, ","], _after_blank(self._text, end + 1)
        raise _BrokenError

    def _ended(self, at: int, done: list[str]) -> list[str]:
        if self._sign(at) != "}" or _after_blank(self._text, at + 1) != len(self._text):
            raise _BrokenError
        return [*done, "}"]

    def _records(self, at: int, done: list[str]) -> list[str]:
        """Return the records of a list from a place on, and what comes after the list."""
        done, at = list(done), self._after_commas(at)
        for _ in range(len(self._text)):
            if self._sign(at) == "]":
                return self._after_list(_after_blank(self._text, at + 1), [*done, "]"])
            try:
                end = self._strict_end(at)
                done.append(self._text[at:end])
            except _BrokenError:
                try:
                    end = _balanced_end(self._text, at)
                except _BrokenError:
                    return self._resumed(at, done)
                done.append(_stand_in(self._text[at:end]))
            end = _after_blank(self._text, end)
            at = self._after_commas(end)
            if self._sign(at) != "]":
                if at == end:
                    raise _BrokenError
                done.append(",")
        raise _BrokenError

    def _after_commas(self, at: int) -> int:
        """Return the place after commas, of which there may be too many: nothing stands between them."""
        while self._sign(at) == ",":
            at = _after_blank(self._text, at + 1)
        return at

    def _resumed(self, at: int, done: list[str]) -> list[str]:
        """Return the rest of a list in which brackets or quotes of the record at a place do not match."""
        for end in self._ends(at):
            self._tries += 1
            if self._tries > MOST_TRIES:
                break
            following = self._after_commas(end)
            comma = [] if self._sign(following) == "]" else [","]
            try:
                return self._records(following, [*done, _stand_in(self._text[at:end]), *comma])
            except _BrokenError:
                continue
        raise _BrokenError

    def _ends(self, at: int) -> Iterator[int]:
        """Places at which the record may end: before another one, or before the end of the list."""
        for found in FOLLOWING.finditer(self._text, at + 1):
            yield found.start()
        end = self._text.find("]", at)
        while end >= 0:
            yield end
            end = self._text.find("]", end + 1)

    def _after_list(self, at: int, done: list[str]) -> list[str]:
        if done[0] == "[":
            if at != len(self._text):
                raise _BrokenError
            return done
        if self._sign(at) == ",":
            return self._members(_after_blank(self._text, at + 1), [*done, ","])
        return self._ended(at, done)

    def _sign(self, at: int) -> str:
        return self._text[at : at + 1]

    def _strict_end(self, at: int) -> int:
        """Where the JSON ends that begins at a place; _BrokenError where none does for every reader."""
        try:
            _, end = STRICT.raw_decode(self._text, at)
            msgspec.json.decode(self._text[at:end].encode("latin-1"))
        except (ValueError, RecursionError) as error:
            raise _BrokenError from error
        return end


def _refuse(_constant: str) -> NoReturn:
    raise _BrokenError


STRICT = json.JSONDecoder(parse_constant=_refuse)


def _stand_in(text: str) -> str:
    return stand_in(text.strip().encode("latin-1")).decode()


def _after_blank(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _balanced_end(text: str, at: int) -> int:
    """Where the value ends that begins at a place, whatever is in its texts and between its signs."""
    opened: list[str] = []
    while found := TOKEN.match(text, at):
        at, token = found.end(), found[1]
        if token in CLOSES:
            opened.append(CLOSES[token])
        elif token in CLOSES.values() and (not opened or opened.pop() != token):
            break
        if not opened and token in (",", ":"):
            break
        if not opened:
            return at
    raise _BrokenError
