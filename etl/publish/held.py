"""Word of a check that holds publishing back: what is published cannot tell of it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from etl.values import UNREADABLE

NAME = "held_back.json"


@dataclass(frozen=True, slots=True)
class Held:
    """Which check failed, and when that was seen last."""

    error: str
    at: datetime


def note_held(home: Path, error: str, at: datetime) -> None:
    """Leave word; where that cannot be done, the command that failed has told it all the same."""
    path = home / NAME
    aside = path.with_suffix(".part")
    with suppress(OSError):
        aside.write_bytes(msgspec.json.encode(Held(error, at)))
        aside.replace(path)


def forget_held(home: Path) -> None:
    """Take the word back, for a version was published."""
    with suppress(OSError):
        (home / NAME).unlink(missing_ok=True)


def held(home: Path) -> Held | None:
    """Return the check that holds publishing back; None where none does, or the word cannot be read."""
    path = home / NAME
    with suppress(OSError, *UNREADABLE):
        return msgspec.json.decode(path.read_bytes(), type=Held) if path.is_file() else None
    return None
