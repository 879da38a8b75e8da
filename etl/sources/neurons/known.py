"""What is stored of a medium, and which of its files are to be fetched whatever is known of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Known(NamedTuple):
    """What is stored of a medium."""

    marks: tuple[Any, ...]
    """State, state of areas, time of the last change in microseconds since 1970."""
    settled: Sequence[str]
    """Files that need not be fetched again, or not yet."""
    deleted: bool
    archived: Sequence[str] = ()
    """Files that are in the archive."""


Again = Mapping[str, Sequence[str] | None] | None
"""By medium the files to fetch whatever is known of them, all where it has no list of them; None in a run."""
NEVER = Known((), (), deleted=False)
