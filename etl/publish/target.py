"""Where a published version is put besides: a database, an object store, the metadata of a table format.

A target is a module of `etl.publish.targets`: its settings, and a class that does what `Target` says. It is
given the newest version of the lake, whole, and finds out by itself what of it is new there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from etl.config import Settings
from etl.errors import TargetError
from etl.event import event
from etl.publish.state import Partition
from etl.schema import Table
from etl.views import UTC

if TYPE_CHECKING:
    from etl.publish.lake import Lake

Known = Mapping[str, Mapping[str, str]]
"""By qualified table and partition, the version in which its rows came to be as they are."""


@dataclass(frozen=True, slots=True)
class PartitionFile:
    """The rows of a partition as they are published."""

    partition: Partition
    since: str
    """The version in which they came to be as they are: as long as it is the same, so are they."""
    path: Path
    """The Parquet file that holds them; it stays as it is for as long as this version is the newest."""


@dataclass(frozen=True, slots=True)
class Release:
    """One published version, with all that it holds."""

    version: str
    """Since when readers see it: microseconds since 1970, sixteen digits."""
    tables: Mapping[str, Table]
    """The declared tables, by qualified name."""
    shapes: Mapping[str, str]
    """Of each table what tells one declaration of it from another."""
    partitions: Mapping[str, Mapping[str, PartitionFile]]
    """By qualified table and name of the partition."""
    grace: float
    """Seconds that readers may go on with what was replaced; 0 where it is to be gone at once."""
    home: Path
    """Folder of the warehouse, with the lake and `bi.duckdb` of this version."""
    time_zone: str = UTC
    """Whose days the marts have."""

    def known(self) -> Known:
        """Return what a target knows that holds this version."""
        return {
            name: {part: each.since for part, each in parts.items()}
            for name, parts in self.partitions.items()
        }

    def changed(self, known: Known) -> dict[str, list[PartitionFile]]:
        """Return by table the partitions that a target does not have as they are; all where it knows none."""
        return {
            name: [each for part, each in parts.items() if known.get(name, {}).get(part) != each.since]
            for name, parts in self.partitions.items()
        }

    def gone(self, known: Known) -> dict[str, list[str]]:
        """Return by table the partitions that a target has and that are no more."""
        return {
            name: [part for part in parts if part not in self.partitions.get(name, {})]
            for name, parts in known.items()
        }


class Target(Protocol):
    """A place that holds what the lake holds."""

    name: str
    """What people are told it is; no secret."""

    def put(self, release: Release) -> None:
        """Bring the place to this version: as a whole at one moment, or not at all.

        Whatever it holds: nothing, an older version, half of one of which the process was killed, a newer
        one. Where it has the version already, that is found out without much ado. Raises TargetError.
        """

    def close(self) -> None:
        """Let go of connections."""


class TargetModule(Protocol):
    """What a module of a target has."""

    OwnSettings: type[Any]
    """The dataclass that declares its settings."""

    def target(self, settings: Settings) -> Target | None:
        """Return the target that the settings name; None where they name none. ConfigError if they cannot."""


def release_of(lake: "Lake", tables: Mapping[str, Table], version: str, settings: Settings) -> Release:
    """Return a version of the lake as targets take it."""
    state = lake.state(version)
    partitions = {
        name: {
            part: PartitionFile(each.partition, each.since, lake.path(name, part, each.since))
            for part, each in parts.items()
        }
        for name, parts in state.tables.items()
        if name in tables
    }
    return Release(
        version,
        tables,
        state.shapes,
        partitions,
        settings.lake_grace,
        settings.home,
        settings.time_zone,
    )


def put(release: Release, targets: list[Target]) -> dict[str, str]:
    """Bring all targets to a version; by the name of each that failed, why it has.

    One that fails leaves the others as they are to be, and catches up with the next version.
    """
    failed = {}
    for target in targets:
        try:
            target.put(release)
            event("publish.target", name=target.name, version=release.version)
        except TargetError as error:
            failed[target.name] = str(error)
        finally:
            target.close()
    return failed
