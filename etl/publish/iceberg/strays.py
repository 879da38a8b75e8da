"""Files in the folder of an Iceberg table that no version of it needs any more."""

from collections.abc import Collection
from pathlib import Path

import msgspec
from pyiceberg.table import Table

from etl.publish.iceberg.files import is_at
from etl.publish.iceberg.manifests import Manifests
from etl.publish.open_tables import in_use

DATA, METADATA = "data", "metadata"
HEAD = ".metadata.json"
HINT = "version-hint.text"
"""The file by which those find the newest metadata who ask no catalog."""


class Version(msgspec.Struct, frozen=True):
    """Where a table stands."""

    snapshot: int
    metadata: str


def old_heads(
    folder: Path, table: Table, versions: Collection[Version], since: float, grace: float
) -> set[Path]:
    """Return the metadata that nobody can have been told of since, and that no version needs."""
    heads = sorted((folder / METADATA).glob(f"*{HEAD}"), key=_modified, reverse=True)
    kept = {*in_use(((_modified(path), path) for path in heads), since, grace)}
    needed = {table.metadata_location, *(each.metadata for each in versions)}
    return {path for path in set(heads) - kept if not any(is_at(each, path) for each in needed)}


def remove_strays(
    folder: Path, table: Table, versions: Collection[Version], old: set[Path], manifests: Manifests
) -> None:
    """Remove old metadata, and all files that no snapshot of the table needs, and none of the versions."""
    found = {path for each in (DATA, METADATA) for path in (folder / each).iterdir() if path.is_file()}
    strays = {path for path in found if not path.name.endswith(HEAD) and path.name != HINT}
    for snapshot in table.metadata.snapshots:
        strays -= manifests.files(snapshot)
    for each in versions:
        if table.snapshot_by_id(each.snapshot) is None:
            strays -= manifests.files_at(each.metadata)
    for path in strays | old:
        path.unlink()


def _modified(path: Path) -> float:
    return path.stat().st_mtime
