"""What is stored of a medium, and which of its files are to be fetched whatever is known of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from etl.extract.stream import Action
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

    def is_newer(self, medium: Listed) -> bool:
        """Whether what is stored changed after the medium that came; not where either has no time."""
        came, stored = changed_at(medium), self.marks[2]
        return came is not None and stored is not None and came < stored


Again = Mapping[str, Sequence[str] | None] | None
"""By medium the files to fetch whatever is known of them, all where it has no list of them; None in a run."""
NEVER = Known((), (), deleted=False)


def wanted_files(medium: Listed, known: Known | None, again: Again) -> list[str]:
    """Return the files to look at: all of a new or changed medium, else the unsettled.

    None of a medium that is older than what is stored, as a copy of the API that lags behind gives it: its
    row is not taken, so its files must not be.
    """
    names = list(medium.results or {})
    if again is not None:
        chosen = again.get(medium.media_id)
        names = [name for name in names if chosen is None or name in chosen]
    if known is None:
        return names
    if known.is_newer(medium):
        return []
    return [name for name in names if name not in known.settled] if known.is_still(medium) else names


def fetched_again(
    files: Iterable[tuple[str, str, object]], known: Mapping[str, Known], at_us: int
) -> list[Action]:
    """Return what notes that files of media that are stored are fetched once more, as of a time.

    Where one is the same as before, no row of it comes that would say so.
    """
    again = [each for each in files if each[0] in known]
    ids, names = [media_id for media_id, *_ in again], [name for _, name, _ in again]
    return [Action("note_fetched", {"ids": ids, "assets": names, "at_us": at_us})] if again else []
