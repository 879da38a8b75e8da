"""What an API says where it refuses: in some words, and when to come again."""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from etl.extract.clock import http_date
from etl.values import UNREADABLE, text_of

LONGEST_WAIT = 10**9  # seconds; more than any budget, less than overflows
SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")
LONGEST_READ = 4096
"""Characters of what an API says about an error that are shown, and that are looked at."""


def retry_after(value: str, answered: str = "") -> timedelta | None:
    """Return what a Retry-After header asks for, in seconds or as a date; None where it is neither.

    A date is by the clock of the API, as the date of its answer has it, which may be ahead or behind.
    """
    said = value.strip()
    if SECONDS.fullmatch(said):
        return timedelta(seconds=min(float(said), LONGEST_WAIT))
    until = http_date(said)
    if until is None:
        return None
    return max(until - (http_date(answered) or datetime.now(UTC)), timedelta(0))


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
