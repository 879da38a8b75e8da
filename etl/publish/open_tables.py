"""What tables of open formats, over the files of the lake, have in common, whatever the format."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from etl.errors import EnvironmentFaultError, TargetError
from etl.publish.files import remove, writable
from etl.publish.target import PartitionFile, Release
from etl.schema import Table

PUBLISHED = "published"
"""The table that says which versions of the others belong together; written last."""
ASIDE = ".aside"
VERSION, TABLES, FILE = "sightglass.version", "sightglass.tables", "sightglass.file"
"""What a commit says of itself: the version of the lake and, of `published`, what that consists of."""

T = TypeVar("T")


class LeftBehind:
    """Tables that nobody asks for any more: they stay as they are, unless something is forgotten."""

    def __init__(self, folder: Path, is_ours: Callable[[Path], bool]) -> None:
        """Take the folder of the tables, and what tells whether some of those in it were made here."""
        self._folder = folder
        self._is_ours = is_ours
        self.name = f"the folder {folder.name}, left from SIGHTGLASS_LAKE_FORMAT"

    def put(self, release: Release) -> None:
        """Remove the tables where nothing of what was replaced may stay; TargetError where that fails."""
        if release.grace == 0 and self._is_ours(self._folder):
            try:
                with writable(self._folder):
                    remove(self._folder)
            except EnvironmentFaultError as error:
                raise TargetError(str(error)) from error

    def close(self) -> None:
        """Nothing is held open."""


def files_of(release: Release, name: str) -> dict[str, PartitionFile]:
    """Return the files of a table that hold rows, by the names that the lake gives them too."""
    return {each.path.name: each for each in release.partitions[name].values() if each.partition.rows}


def commented(table: Table) -> pa.Schema:
    """Return the columns of a table with what a database says of them."""
    schema = table.arrow()
    fields = [field.with_metadata({"doc": table.columns[field.name].comment}) for field in schema]
    return pa.schema(fields, schema.metadata)


def columns_of_published(*own: tuple[str, pa.DataType, str]) -> pa.Schema:
    """Return the columns of `published`; `own` are those of a format, with types and docs."""
    columns = [
        ("table_name", pa.string(), "Schema and name of a table."),
        *own,
        ("published_at", pa.timestamp("us", "UTC"), "Since when the lake has it."),
    ]
    fields = [pa.field(name, kind, nullable=False, metadata={"doc": doc}) for name, kind, doc in columns]
    doc = "The newest complete version: which version of each table belongs to it."
    return pa.schema(fields, {"doc": doc})


def as_table(rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table, in their order; there may be none."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    return pa.table(columns, schema=schema)


def in_use(newest_first: Iterable[tuple[float, T]], since: float, grace: float) -> Iterator[T]:
    """Yield what was the newest of its kind at some time after `since`, or is; no more where `grace` is 0.

    Each comes with the second from which on it was.
    """
    for began, each in newest_first:
        yield each
        if grace == 0 or began < since:
            return  # those before it were replaced earlier still
