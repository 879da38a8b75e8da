"""What a source tells of itself before anything is read: whose account it is, and what a run would read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from etl.extract.stream import RequestStats, Session, SourceContext


@dataclass(frozen=True, slots=True)
class Part:
    """A stream, or a part of one, that a run would read."""

    stream: str
    partition: str = ""
    is_list: bool = False
    """Whether it brings all that there is, whatever was read before."""
    holds: int | None = None
    """How many records it is said to hold."""
    page: int = 100
    """How many of them come with one request at most."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source tells of itself."""

    account: str
    """Whose account it is, by the name that a warehouse is bound to."""
    sees: str
    """What the login leads to, as told to people."""
    parts: Sequence[Part]
    names_account: bool
    """Whether the API itself names the account; else the name is made of the key, and another key of the same
    account has another one."""
    skew: timedelta | None
    """By how much its clock is ahead of this machine's; None where it does not say what time it is."""


@runtime_checkable
class SurveyedSession(Session, Protocol):
    """A session that can tell what it leads to without reading it."""

    def survey(self, context: SourceContext, stats: RequestStats) -> Survey:
        """Return what the source tells, asking as little as possible: the login, and one list at most.

        SourceError where it refuses.
        """
