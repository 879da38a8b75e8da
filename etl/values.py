"""One form for each value, wherever it came from: canonical JSON, microseconds since 1970; many in chunks."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePath
from typing import Any, Literal, TypeVar

import msgspec

T = TypeVar("T")

Cursor = int | str
"""Where a stream stands: a time in microseconds since 1970, or an integer or a text of the data."""
CursorKind = Literal["time", "integer", "text"]
VERSION_TYPES: dict[CursorKind, str] = {"time": "timestamp", "integer": "integer", "text": "text"}
"""Of each kind of cursor the type of the column that orders versions."""
MOST_INTEGERS = 2**63
"""From the negative of it on, up to it and without it, numbers are integers of the database."""

Form = Literal["number", "iso", "digits"]
"""A way to write a time: seconds since 1970 as a number, ISO 8601 text with an offset, seconds as text."""
FORMS: tuple[Form, ...] = ("number", "iso")
"""The forms of a time where none are declared."""

SECOND = 1_000_000
"""Microseconds."""
EARLIEST = -62_135_596_800_000_000
LATEST = 253_402_300_799_999_999
"""The first and the last microsecond of the years 1 to 9999: beyond them no number is a count of seconds."""
LATEST_EPOCH = 253_402_300_799.0
"""The last second of the year 9999."""
DIGITS = re.compile(r"[0-9]{9,}(?:\.[0-9]+)?")
"""Seconds since 1970 as text. With fewer digits it could be a date or a year: "20240119", "2024"."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises of bytes that are no JSON of the wanted type."""

_CANONICAL = msgspec.json.Encoder(order="sorted")

canonical: Callable[[object], bytes] = _CANONICAL.encode
"""Canonical JSON of a value, as bytes: sorted keys, no spaces."""


canonical_text: Callable[[Iterable[object]], bytes] = _CANONICAL.encode_lines
"""Canonical JSON of many values, a line each: none holds a line break, which is \\n in a string."""


def canonical_lines(values: Iterable[object]) -> list[str]:
    """Canonical JSON of many values, each as text."""
    return canonical_text(values).decode().split("\n")[:-1]


def text_of(value: object) -> str | None:
    """Return the value as canonical JSON text; None stays None."""
    return None if value is None else canonical(value).decode()


def parsed(value: object) -> object:
    """Return the object or list in a text that holds one; any other value as it is.

    Cogniac sends some objects as JSON text now and then (its SDK's issue 157). Text that parses to
    anything but an object or list is left alone: the OCR result "0123" is no number.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def micros(value: object) -> int:
    """Microseconds since 1970 of a time in one of the usual forms; else ValueError."""
    if type(value) is float and abs(value) < LATEST_EPOCH:
        # Nearly all are, and each record of a list is asked for its time.
        microseconds = round(value * 1_000_000)
        if microseconds >= EARLIEST:
            return microseconds
    return epoch_micros(value, FORMS)


def epoch_micros(value: object, forms: Sequence[Form]) -> int:
    """Microseconds since 1970 of a time in one of these forms; else ValueError, whatever the value is."""
    if isinstance(value, str):
        if DIGITS.fullmatch(value):
            if "digits" not in forms:
                raise ValueError("is text where a number of seconds since 1970 must be")
            return _of_seconds(float(value))
        if "iso" in forms:
            microseconds = micros_of(datetime.fromisoformat(value))
            if EARLIEST <= microseconds <= LATEST:
                return microseconds
            raise ValueError("is not within the years 1 to 9999")
    elif isinstance(value, int | float) and not isinstance(value, bool) and "number" in forms:
        return _of_seconds(value)
    raise ValueError("is no time in a form that is declared")


def _of_seconds(count: float) -> int:
    # Bounded before it is multiplied: an int can be too large for a float. NaN is within no bounds.
    microseconds = round(count * 1_000_000) if abs(count) <= LATEST_EPOCH + 1 else None
    if microseconds is None or not EARLIEST <= microseconds <= LATEST:
        raise ValueError("is no time in seconds since 1970")
    return microseconds


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 of a moment that knows its offset from UTC; ValueError where it does not."""
    if moment.tzinfo is None:
        raise ValueError("has no offset from UTC")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def datetime_of(microseconds: int) -> datetime:
    """Return the moment of so many microseconds since 1970, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def seconds(microseconds: int) -> str:
    """Seconds since 1970 with six decimals, exact: a float would round some of them up."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def moment(microseconds: int | None) -> str | None:
    """Return the time in ISO 8601 with microseconds, UTC; None stays None."""
    if microseconds is None:
        return None
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def json_value(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Return a value as JSON holds it: times in ISO 8601, UTC, seconds to the thousandth, fields by name."""
    if dataclasses.is_dataclass(value):
        return {each.name: json_value(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: json_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    if isinstance(value, date | PurePath):
        return str(value)
    return round(value, 3) if isinstance(value, float) else value


def fits(kind: CursorKind, cursor: object) -> bool:
    """Whether this can be a cursor of its kind."""
    if kind == "text":
        return isinstance(cursor, str)
    return type(cursor) is int and -MOST_INTEGERS <= cursor < MOST_INTEGERS


def furthest(cursors: Iterable[Any], end: int | None = None) -> Any:  # noqa: ANN401 -- of one kind, whichever
    """Return the one that lies furthest, none beyond the end: integers by number, texts by their bytes.

    None where there is none.
    """
    # Python compares texts by code points, which UTF-8 keeps in order.
    found = (each for each in cursors if each is not None and (end is None or each <= end))
    return max(found, default=None)


def chunked(
    items: Sequence[T], size: Callable[[T], int], most: int, most_bytes: int
) -> Iterator[Sequence[T]]:
    """Yield the items in chunks of neither too many items nor too many bytes.

    Of no items, one empty chunk.
    """
    first = held = 0
    for place, item in enumerate(items):
        own = size(item)
        if place - first >= most or (place > first and held + own > most_bytes):
            yield items[first:place]
            first, held = place, 0
        held += own
    yield items[first:]
