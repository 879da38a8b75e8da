"""What an object store is asked, and what is said where it refuses or fails."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from etl.errors import ConfigError, TargetError
from etl.publish.store.limits import STORE_LIMITS, StoreLimits

RETRIES = 5
CONNECT = 10
"""Seconds until a connection must stand."""
PARTS = 3
"""Parts of a large object that are sent at once, of five megabytes each."""
LONGEST = 200
"""Characters of what a store says about an error that are shown."""
QUERY = re.compile(r"\?\S*")
"""In which signatures travel."""

VARIABLES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""What the names of a store's own variables begin with, by the scheme of its address."""
CLIENT = ("allow_http", "allow_invalid_certificates", "proxy_url")
"""What these variables say of connections; the library forgets it once it is told how long to wait."""

T = TypeVar("T")


class ConflictError(TargetError):
    """Another writer has changed the object meanwhile."""


class Objects:
    """The objects below a prefix; who may read and write them, the store's usual variables say."""

    def __init__(self, url: str, setting: str, limits: StoreLimits = STORE_LIMITS) -> None:
        """ConfigError, which names the setting, where the extra is missing, or no such store can be."""
        try:
            # An extra, which nothing else needs.
            self._obstore: Any = import_module("obstore")
            self._from_url: Any = import_module("obstore.store").from_url
        except ImportError as error:
            raise ConfigError(
                f"{setting} names an object store: pip install 'sightglass-etl[store]' ({error})"
            ) from error
        self._url = url
        prefix = VARIABLES[url.partition(":")[0]]
        given = {name: os.environ.get(prefix + name.upper()) for name in CLIENT}
        self._client = {name: value for name, value in given.items() if value}
        self._errors: Any = self._obstore.exceptions
        try:
            self._store: Any = self._with(RETRIES, limits.timeout, limits.retry)
        except (self._errors.BaseError, ValueError) as error:
            raise ConfigError(f"{setting} names no object store: {_said(error)}") from error

    def read(self, path: str) -> tuple[bytes, str] | None:
        """Return an object, and the tag that tells this content of it from another; None where none is."""

        def ask() -> tuple[bytes, str]:
            found = self._obstore.get(self._store, path)
            return bytes(found.bytes()), _tag(found.meta)

        try:
            return self._asked(ask)
        except FileNotFoundError:
            return None

    def has(self, path: str) -> bool:
        """Whether there is such an object."""
        try:
            self._asked(lambda: self._obstore.head(self._store, path))
        except FileNotFoundError:
            return False
        return True

    def put(self, path: str, content: bytes | Path) -> None:
        """Put an object, in parts where it is large; a store shows it once all of it has come."""
        self._written(lambda: self._obstore.put(self._store, path, content, max_concurrency=PARTS))

    def put_if(self, path: str, content: bytes, tag: str | None) -> str:
        """Put an object in the place of that with this tag, or of none, and return its own tag.

        ConflictError where that is not there any more.
        """
        mode = {"e_tag": tag} if tag else "create"
        put = self._written(lambda: self._obstore.put(self._store, path, content, mode=mode))
        return _tag(put)

    def copy(self, source: str, path: str) -> None:
        """Give an object another name besides, without sending it again."""
        self._written(lambda: self._obstore.copy(self._store, source, path))

    def copy_within(self, source: str, path: str, seconds: float) -> bool:
        """Let an object be copied within a time, or not at all; whether it is there.

        A request that is still on its way after that time finds nothing to copy.
        """
        once = self._with(0, seconds, seconds)
        try:
            self._obstore.copy(once, source, path)
        except (self._errors.BaseError, OSError):
            self.delete([source])
            return self.has(path)
        return True

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of all objects below a prefix, by their names."""

        def ask() -> dict[str, int]:
            found: dict[str, int] = {}
            for some in self._obstore.list(self._store, prefix, chunk_size=1_000):
                known = len(found)
                found |= {str(each["path"]): int(each["size"]) for each in some}
                if len(found) == known:
                    raise TargetError(
                        f"its list of what is below {prefix} has no end: it names the same again"
                    )
            return found

        return self._asked(ask)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; none need be there."""
        some = sorted(paths)
        if not some:
            return
        try:
            self._asked(lambda: self._obstore.delete(self._store, some))
        except FileNotFoundError:
            # Which of them were deleted before it, nobody tells.
            for path in some:
                if self.has(path):
                    self._written(lambda path=path: self._obstore.delete(self._store, path))  # type: ignore[misc]

    def _with(self, retries: int, timeout: float, retry: float) -> Any:  # noqa: ANN401 -- one of three stores
        return self._from_url(
            self._url,
            client_options={
                **self._client,
                "timeout": timedelta(seconds=timeout),
                "connect_timeout": timedelta(seconds=min(CONNECT, timeout)),
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=retry)},
        )

    def _written(self, ask: Callable[[], T]) -> T:
        try:
            return self._asked(ask)
        except FileNotFoundError as error:
            raise TargetError(f"there is no such bucket, or what was put is gone: {_said(error)}") from error

    def _asked(self, ask: Callable[[], T]) -> T:
        """Return what a store answers; FileNotFoundError where it has no such object, else TargetError."""
        errors = self._errors
        try:
            return ask()
        except FileNotFoundError:
            raise
        except (errors.AlreadyExistsError, errors.PreconditionError) as error:
            raise ConflictError("another writer has put a version there at the same moment") from error
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise TargetError(
                f"give this login the rights to read, list, write and delete there: {_said(error)}"
            ) from error
        except errors.NotSupportedError as error:
            raise TargetError(
                f"this store knows no conditional put, which is needed: {_said(error)}"
            ) from error
        except (errors.BaseError, OSError, ValueError) as error:
            raise TargetError(f"it cannot be reached, or fails: {_said(error)}") from error


def _tag(told: Mapping[str, Any]) -> str:
    """Return the tag of an object; TargetError where no condition can name it."""
    tag = told.get("e_tag")
    if not tag or tag.startswith("W/"):
        raise TargetError(
            "it gives no ETag that tells one content of an object from another, which is needed"
        )
    return str(tag)


def _said(error: Exception) -> str:
    text, _, _ = str(error).partition("Debug source")
    return QUERY.sub("", " ".join(text.split()))[:LONGEST]
