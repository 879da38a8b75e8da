"""What is stored of a medium, and which of its files are to be fetched whatever is known of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from etl.sources.neurons.listing import Listed, changed_at


class Known(NamedTuple):
    """What is stored of a medium."""

    marks: tuple[Any, ...]
    """State, state of areas, time of the last change in microseconds since 1970."""
    settled: Sequence[str]
    """Files that need not be fetched again, or not yet."""
    deleted: bool
    archived: Sequence[str] = ()
    """Files that are in the archive."""

    def is_still(self, medium: Listed) -> bool:
        """Whether the medium is as it was when it was stored."""
        return self.marks == (medium.status, medium.aoi_status, changed_at(medium))


Again = Mapping[str, Sequence[str] | None] | None
"""By medium the files to fetch whatever is known of them, all where it has no list of them; None in a run."""
NEVER = Known((), (), deleted=False)
