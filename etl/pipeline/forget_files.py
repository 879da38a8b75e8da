"""Take the pictures and films of a medium out of the archive."""

from typing import Protocol

from etl.errors import EnvironmentFaultError, SourceError
from etl.load.warehouse import Warehouse


class ArchivePlace(Protocol):
    """Where archived files are."""

    def remove(self, path: str) -> bool:
        """Remove a file; False where there is none. SourceError where it cannot be."""

    def name_of(self, path: str) -> str:
        """Return how people find a file."""


def forget_files(
    warehouse: Warehouse, media_id: str, place: ArchivePlace, *, is_again: bool
) -> tuple[int, list[str]]:
    """Return how many files of the medium are gone, and those that are not where the settings say.

    As long as rows name them, for nothing else does. What is another medium's as well stays. Where it was
    begun before, what is not there is gone. EnvironmentFaultError where the archive cannot be written.
    """
    count, left = 0, list[str]()
    for (path,) in warehouse.ask("etl/archived_alone", media_id=media_id):
        try:
            is_gone = place.remove(path)
        except SourceError as error:
            raise EnvironmentFaultError(f"{error}; then forget again") from error
        count += is_gone
        if not (is_gone or is_again):
            left.append(f"{place.name_of(path)}, or in another archive")
    return count, left
