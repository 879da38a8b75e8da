"""Secrets taken out of a text, in whatever way they are written there, whole or only their beginnings.

Each secret is a row of units: its characters in any escaping, the pairs of its hexadecimal digits, or the
characters of its Base64. A text that holds the first units of such a row loses all that follow them.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial
from html.entities import html5
from typing import Any

SHORTEST = 4
"""Characters below which a text is no secret worth hiding, but would mangle every message."""
TELLING = 8
"""Units from which on a beginning is hidden too: whoever says it may have cut off the rest."""
STARS = "***"
REMEMBERED = 256
"""Texts whose answer is remembered."""
ESCAPES = (
    "%(?:25)*{code:02x}",
    "%(?:25)*u{code:04x}",
    r"\\{{1,8}}u{code:04x}",
    r"\\{{1,8}}u\{{0*{code:x}\}}",
    r"\\{{1,8}}x{code:02x}",
    r"\\{{1,8}}U{code:08x}",
    "&(?:amp;)*#0*{code};",
    "&(?:amp;)*#x0*{code:x};",
    r"\\{{0,8}}{char}",  # as it is, or behind the backslashes of JSON within JSON
)
"""Patterns of a character; the last one fits the beginnings of some of the others."""
OCTETS = ("%(?:25)*{:02x}", r"\\{{1,8}}x{:02x}", r"\\{{1,8}}{:03o}", "={:02x}")
"""Patterns of the bytes that a character is in UTF-8."""

Unit = Callable[[], re.Pattern[str]]
"""Gives the pattern of a unit, made when it is first looked for: most are never."""


def without_secrets(value: Any, redact: Callable[[str], str]) -> Any:  # noqa: ANN401 -- whatever JSON can hold
    """Return the same, each text in it without secrets: stars within the escapes of JSON would be no JSON."""
    if isinstance(value, dict):
        return {name: without_secrets(each, redact) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(each, redact) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


class Redactor:
    """Hides secrets; safe to use from any thread."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Texts that are too short to be secrets are left out."""
        found = {form for secret in secrets for form in (secret, secret.strip()) if len(form) >= SHORTEST}
        self._secrets = sorted(found, key=len, reverse=True)
        self._rows = [row for secret in self._secrets for row in _rows(secret)]
        # Thousands of records can be refused for one reason.
        self._known = lru_cache(REMEMBERED)(self._without_secrets)

    def __call__(self, text: str) -> str:
        """Hide the secrets in a text."""
        return self._known(text)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, STARS)
        for row in self._rows:
            text = _without(text, row)
        return text


def _rows(secret: str) -> Iterator[Sequence[Unit]]:
    """Yield the ways in which a secret may be written."""
    raw = secret.encode()
    yield [partial(_escaped, char) for char in secret]
    apart = r"[:\s,-]{0,2}(?:0x)?"
    yield [partial(_hexadecimal, byte, apart if place else "") for place, byte in enumerate(raw)]
    for before in range(3):
        # What it is packed with shifts its bits; the characters that hold bits of both are left out.
        packed = base64.b64encode(bytes(before) + raw).decode()
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        if last - first > SHORTEST:
            yield [partial(_of_base64, char) for char in packed[first:last]]


def _without(text: str, row: Sequence[Unit]) -> str:
    """Return the text with stars for all that begins like a row of units."""
    kept, at, least = list[str](), 0, min(TELLING, len(row))
    while found := row[0]().search(text, at):
        number, end = _followed(text, found.end(), row)
        is_told = number >= least
        end = end if is_told else found.start() + 1
        kept += [text[at : found.start()], STARS] if is_told else [text[at:end]]
        at = end
    return "".join([*kept, text[at:]])


def _followed(text: str, end: int, row: Sequence[Unit]) -> tuple[int, int]:
    """How many units of a row stand there, the first of which ends at a place, and where the last ends."""
    for number, unit in enumerate(row[1:], 1):
        following = unit().match(text, end)
        if following is None:
            return number, end
        end = following.end()
    return len(row), end


@cache
def _escaped(char: str) -> re.Pattern[str]:
    ways = [way.format(char=re.escape(char), code=ord(char)) for way in ESCAPES]
    named = [f"&(?:amp;)*{name}" for name in _names().get(char, ()) if name.endswith(";")]
    octets = ["".join(way.format(byte) for byte in char.encode()) for way in OCTETS]
    # Read as Latin-1, by who knows no UTF-8; a space in what forms send; in JSON, half by half.
    misread = [re.escape(char.encode().decode("latin-1"))] * (not char.isascii())
    space = [r"\+"] * (char == " ")
    halves = char.encode("utf-16-be").hex()
    pair = [rf"\\{{1,8}}u{halves[:4]}\\{{1,8}}u{halves[4:]}"] * (len(halves) > len("ffff"))
    return re.compile("|".join([*named, *pair, *octets, *misread, *space, *ways]), re.IGNORECASE)


@cache
def _names() -> dict[str, list[str]]:
    """Return the names that HTML has for characters."""
    found: dict[str, list[str]] = {}
    for name, char in html5.items():
        found.setdefault(char, []).append(name)
    return found


@cache
def _hexadecimal(byte: int, separator: str) -> re.Pattern[str]:
    return re.compile(f"{separator}{byte:02x}", re.IGNORECASE)


@cache
def _of_base64(char: str) -> re.Pattern[str]:
    return re.compile({"+": r"\\*[+-]|%(?:25)*2b", "/": r"\\*[/_]|%(?:25)*2f"}.get(char, char), re.IGNORECASE)
