"""One form for each value, wherever it came from: canonical JSON, and microseconds since 1970."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

LATEST_EPOCH = 253_402_300_799.0
"""The last second of the year 9999: a larger epoch number is no count of seconds."""

_CANONICAL = msgspec.json.Encoder(order="sorted")

canonical: Callable[[object], bytes] = _CANONICAL.encode
"""Canonical JSON of a value, as bytes: sorted keys, no spaces."""


def canonical_lines(values: Iterable[object]) -> list[str]:
    """Canonical JSON of many values, each as text."""
    # JSON text on one line holds no line break: in a string it is written as \n.
    return _CANONICAL.encode_lines(values).decode().split("\n")[:-1]


def text_of(value: object) -> str | None:
    """The value as canonical JSON text; None stays None."""
    return None if value is None else canonical(value).decode()


def parsed(value: object) -> object:
    """The object or list in a text that holds one; any other value as it is.

    Cogniac sends some objects as JSON text now and then (its SDK's issue 157). Text that parses to
    anything but an object or list is left alone: the OCR result "0123" is no number.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def micros(value: float | str) -> int:
    """Microseconds since 1970 of seconds since 1970, or of ISO 8601 text with an offset; else ValueError."""
    try:
        seconds_since = float(value)
    except ValueError:
        return micros_of(datetime.fromisoformat(str(value)))
    if not abs(seconds_since) <= LATEST_EPOCH:
        raise ValueError("is no time in seconds since 1970")
    return round(seconds_since * 1_000_000)


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 of a moment that knows its offset from UTC; ValueError where it does not."""
    if moment.tzinfo is None:
        raise ValueError("has no offset from UTC")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def seconds(microseconds: int) -> str:
    """Seconds since 1970 with six decimals, exact: a float would round some of them up."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def moment(microseconds: int | None) -> str | None:
    """The time in ISO 8601 with microseconds, UTC; None stays None."""
    if microseconds is None:
        return None
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
