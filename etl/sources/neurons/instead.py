"""What a server sends with status 200 in place of a file: pages and objects that speak of an error."""

import re
from typing import Any

import msgspec

from etl.values import UNREADABLE

TOLD = frozenset(
    {
        *("error", "errors", "errorcode", "errormessage", "errordescription", "errortype", "fault"),
        *("exception", "message", "msg", "detail", "details", "reason"),
    }
)
"""Names under which an error is told, without regard to case and to what parts words."""
BESIDE = frozenset(
    {
        *("code", "status", "statuscode", "statustext", "success", "ok", "type", "title", "description"),
        *("instance", "path", "timestamp", "time", "requestid", "traceid", "hostid", "help", "hint", "link"),
        *("documentationurl", "target", "innererror", "loc", "input", "resource", "url", "method"),
    }
)
"""Names that stand beside them."""
ENOUGH_BY_ITSELF = frozenset({"code", "status", "statuscode"})
MESSAGE = re.compile(
    r"denied|expired?\b|forbidden|unauthori[sz]ed|not (?:found|available|authori[sz]ed)|no such|unavailable"
    r"|invalid|\berrors?\b|failed|time[d-]? ?out|too many requests|log ?in\b|sign ?in\b|try again"
    r"|bad (?:gateway|request)",
    re.IGNORECASE,
)
"""What a message in plain text speaks of."""
SCALAR = re.compile(rb'(?:null|true|false|-?[0-9][0-9.eE+-]*|"(?:[^"\\]|\\.)*")?', re.DOTALL)
OBJECT = re.compile(rb'\[?\s*\{\s*(?:"([^"]*)")?')
SEPARATOR = re.compile("[,;\t]")
LONGEST = 65_536
"""Bytes of an object that may be an error; a larger one holds something else."""
LONGEST_MESSAGE = 1_000


def sent_instead(body: bytes, content_type: str) -> str | None:
    """Return what the server sent in place of the file, in some words; None where it may be the file."""
    kind = content_type.partition(";")[0].strip().lower()
    begins = _beginning(body)
    if begins[:1] == b"<" or kind in ("text/html", "application/xhtml+xml"):
        return "an HTML or XML page"
    if len(body) > LONGEST:
        return None
    whole = begins.rstrip()
    if SCALAR.fullmatch(whole):
        return "a single value" if whole else "nothing"
    word = OBJECT.match(whole)
    if word is None:
        return _message(whole)
    # Only what begins with such a word is worth a second reading.
    is_told = word[1] is not None and _is_known(word[1].decode(errors="replace"))
    return "an error" if is_told and _is_error(_parsed(whole)) else None


def _beginning(body: bytes) -> bytes:
    """Return the first bytes that say something, as UTF-8 where the body says that it is UTF-16."""
    begins = body[:LONGEST]
    if begins[:2] in (b"\xff\xfe", b"\xfe\xff"):
        # A mark with nothing behind it is no text.
        begins = begins.decode("utf-16", errors="replace").encode() or begins
    return begins.removeprefix(b"\xef\xbb\xbf").lstrip()


def _message(body: bytes) -> str | None:
    """Return that a message is all of the body; None where it can be a table, or is no text."""
    if len(body) > LONGEST_MESSAGE or body[:1] == b"[":
        return None
    try:
        first, *others = body.decode().splitlines()
    except UnicodeDecodeError:
        return None
    is_header = not first.isprintable() or (SEPARATOR.search(first) and " " not in first)
    if is_header or not MESSAGE.search(first) or any(map(SEPARATOR.search, others)):
        return None
    # Without its words, in which a signed link could stand.
    return "a message"


def _parsed(body: bytes) -> Any:  # noqa: ANN401 -- any JSON
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None


def _is_error(value: Any) -> bool:  # noqa: ANN401 -- any JSON
    """Whether an object speaks of an error, or a list of nothing but such objects."""
    if isinstance(value, list):
        # Lines of a table can have a code and a status.
        return bool(value) and all(
            _is_error(each) and any(_word(name) in TOLD for name in each) for each in value
        )
    words = set(map(_word, value)) if isinstance(value, dict) else set()
    is_enough = words <= TOLD | BESIDE and words & (TOLD | ENOUGH_BY_ITSELF)
    return bool(is_enough) and all(map(_is_said, value.values()))


def _is_said(value: object) -> bool:
    """Whether this can be what an error says: no numbers by frame, and no numbers of an area."""
    if isinstance(value, list):
        return all(isinstance(each, str) or _speaks(each) for each in value)
    return not isinstance(value, dict) or _speaks(value)


def _speaks(value: object) -> bool:
    return isinstance(value, dict) and (not value or any(map(_is_known, value)))


def _is_known(name: str) -> bool:
    return _word(name) in TOLD | BESIDE


def _word(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
