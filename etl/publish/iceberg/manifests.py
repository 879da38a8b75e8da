"""What the manifests of Iceberg snapshots say, and what comes of those that are not as they were written."""

import struct
import zlib
from pathlib import Path

from pyiceberg import exceptions
from pyiceberg.manifest import ManifestEntry
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import SQLAlchemyError

from etl.publish.iceberg.files import LocalFiles, path_of

FAILURES: tuple[type[Exception], ...] = (
    *(each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)),
    *(SQLAlchemyError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(EOFError, RecursionError, struct.error, zlib.error),
    NotImplementedError,  # of kinds of files, columns and compression that pyiceberg does not read
)
"""What pyiceberg raises, and what comes of files that are not as they were written."""
DAMAGE: tuple[type[Exception], ...] = (OSError, *FAILURES)
Entries = dict[str, ManifestEntry]
"""The files of a snapshot as its manifests have them, by location."""


class Manifests:
    """What snapshots consist of, read once each."""

    def __init__(self) -> None:
        self._files = LocalFiles()
        self._read: dict[str, tuple[Entries, set[Path]]] = {}

    def entries(self, snapshot: Snapshot | None) -> Entries:
        """Return the files of a snapshot that hold rows; DAMAGE where that cannot be told."""
        return self._of(snapshot)[0] if snapshot else {}

    def files(self, snapshot: Snapshot | None) -> set[Path]:
        """Return all files that a snapshot needs, none where that cannot be told."""
        try:
            return self._of(snapshot)[1] if snapshot else set()
        except DAMAGE:
            return set()

    def files_at(self, metadata: str) -> set[Path]:
        """Return the same of what is the newest snapshot in metadata at a place."""
        try:
            found = FromInputFile.table_metadata(self._files.new_input(metadata))
        except DAMAGE:
            return set()
        return self.files(found.current_snapshot())

    def _of(self, snapshot: Snapshot) -> tuple[Entries, set[Path]]:
        listed = snapshot.manifest_list
        if listed not in self._read:
            manifests = snapshot.manifests(self._files)
            entries = [entry for each in manifests for entry in each.fetch_manifest_entry(self._files)]
            by_location = {entry.data_file.file_path: entry for entry in entries}
            needed = {listed, *(each.manifest_path for each in manifests), *by_location}
            self._read[listed] = by_location, set(map(path_of, needed))
        return self._read[listed]
