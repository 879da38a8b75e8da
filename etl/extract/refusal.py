"""What an API says where it refuses: in some words, and when to come again."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

from etl.values import UNREADABLE, text_of

LONGEST_WAIT = 10**9  # seconds; more than any budget, less than overflows
DIGITS = 20
LONGEST_READ = 4096
"""Characters of what an API says about an error that are shown, and that are looked at."""


def retry_after(value: str) -> timedelta | None:
    """Return what a Retry-After header asks for, in seconds or as a date.

    None where it says nothing usable.
    """
    if value.isdecimal():
        # Of so many digits Python makes no number.
        return timedelta(seconds=LONGEST_WAIT if len(value) > DIGITS else min(int(value), LONGEST_WAIT))
    try:
        wait = parsedate_to_datetime(value) - datetime.now(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return max(wait, timedelta(0))


def vendor_message(body: bytes) -> str:
    """Return what the API said about an error, on one short line; empty where it said nothing readable."""
    try:
        said = msgspec.json.decode(body)
    except UNREADABLE:
        return ""
    if isinstance(said, dict):
        said = said.get("message") or said.get("detail") or ""
    text = said if isinstance(said, str) else text_of(said) or ""
    return " ".join(text[:LONGEST_READ].split())
