"""An object store as the place of an archive: S3, Google Cloud Storage, Azure, or what speaks as they do."""

import re
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from etl.archive.limits import ArchiveFaultError
from etl.errors import ConfigError

SCHEMES = ("s3://", "gs://", "az://")
LONGEST = 200
"""Characters of what a store says about an error that are shown."""
QUERY = re.compile(r"\?\S*")
"""In which signatures travel."""
RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}

T = TypeVar("T")


class Bucket:
    """A prefix in an object store; its credentials are those that the store's own variables give."""

    is_watched = False

    def __init__(self, url: str, incoming: Path) -> None:
        """ConfigError where the extra is missing, or no such store can be."""
        try:
            # An extra, which nothing else needs.
            self._obstore: Any = import_module("obstore")
            from_url: Any = import_module("obstore.store").from_url
        except ImportError as error:
            raise ConfigError(
                f"SIGHTGLASS_ARCHIVE names an object store: pip install 'sightglass-etl[store]' ({error})"
            ) from error
        self.incoming = incoming
        self._url = url
        try:
            self._store: Any = from_url(url, retry_config=RETRIES)
        except (self._obstore.exceptions.BaseError, ValueError) as error:
            raise ConfigError(f"SIGHTGLASS_ARCHIVE names no object store: {_said(error)}") from error

    def has(self, path: str, size: int) -> bool:
        """Whether an object of this size is there."""
        return self._size(path) == size

    def take(self, complete: Path, path: str, size: int) -> None:
        """Send a complete file, in parts where it is large; a store shows it once all of it has come."""
        self._asked(lambda: self._obstore.put(self._store, path, complete))
        if self._size(path) != size:
            raise ArchiveFaultError(f"the archive {self._url} has not kept all of {path}")
        complete.unlink(missing_ok=True)

    def used(self) -> int:
        """Bytes of all objects below the prefix."""
        return self._asked(
            lambda: sum(int(each["size"]) for some in self._obstore.list(self._store) for each in some)
        )

    def read(self, path: str, most: int) -> bytes | None:
        """Return an object; None where there is none, or a larger one."""
        size = self._size(path)
        if size is None or size > most:
            return None
        return self._asked(lambda: bytes(self._obstore.get(self._store, path).bytes()))

    def remove(self, path: str) -> bool:
        """Remove an object; False where there is none."""
        if self._size(path) is None:
            return False
        self._asked(lambda: self._obstore.delete(self._store, path))
        if self._size(path) is not None:
            raise ArchiveFaultError(f"the archive {self._url} has kept {path}, which was to be removed")
        return True

    def name_of(self, path: str) -> str:
        """Return how people find an object."""
        return f"{self._url.rstrip('/')}/{path}"

    def _size(self, path: str) -> int | None:
        try:
            return self._asked(lambda: int(self._obstore.head(self._store, path)["size"]))
        except FileNotFoundError:
            return None

    def _asked(self, ask: Callable[[], T]) -> T:
        """Return what a store answers; FileNotFoundError where it has no such object."""
        try:
            return ask()
        except FileNotFoundError:
            raise
        except (self._obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise ArchiveFaultError(f"the archive {self._url} refuses or fails: {_said(error)}") from error


def _said(error: Exception) -> str:
    return QUERY.sub("", " ".join(str(error).split()))[:LONGEST]
