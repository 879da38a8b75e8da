"""The lake as Iceberg tables: metadata over the files that are there, of which nothing is copied.

`iceberg/<schema>/<table>` in the folder of the warehouse holds links to the lake's files, and metadata; a
catalog says which metadata count. Each table changes at one moment; `etl.published`, written last, names the
snapshot of each that belongs together.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg import exceptions
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import DatabaseError

from etl.errors import EnvironmentFaultError, TargetError
from etl.files import sync
from etl.publish.files import finish, link, made, remove, writable
from etl.publish.iceberg.catalog import FILE as CATALOG_FILE
from etl.publish.iceberg.catalog import UNWELL, is_damage, opened, told
from etl.publish.iceberg.commit import (
    FORMAT,
    Files,
    Wanted,
    commit,
    expire,
    new_columns,
)
from etl.publish.iceberg.files import SHOWN, UNNAMEABLE, is_at, location_of
from etl.publish.iceberg.left import MADE_HERE, is_ours
from etl.publish.iceberg.manifests import DAMAGE, Manifests
from etl.publish.iceberg.strays import DATA, HINT, METADATA, Version, old_heads, remove_strays
from etl.publish.layout import PARQUET
from etl.publish.open_tables import (
    ASIDE,
    PUBLISHED,
    TABLES,
    VERSION,
    as_table,
    columns_of_published,
    commented,
    files_of,
    in_use,
)
from etl.publish.target import Release
from etl.setting import Secret

PUBLISHED_NAME = f"etl.{PUBLISHED}"
AT = "sightglass.at"
"""When a snapshot was made, in seconds since 1970, by the clock."""
PROPERTIES = {
    "gc.enabled": "false",  # whoever drops a table is not to take the lake's files away
    "write.metadata.previous-versions-max": "1",
}
ROWS = columns_of_published(
    ("metadata", pa.string(), "Its metadata that belong to the others, which can be opened as a table."),
    ("snapshot_id", pa.int64(), "Its snapshot that belongs to the others."),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a snapshot of `published` says."""

    snapshot: int
    version: str
    tables: Mapping[str, Version]


class IcebergTables:
    """The Iceberg tables in a folder of the warehouse."""

    def __init__(
        self, folder: Path, address: Secret | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """Take the folder, and the address of the catalog unless it is a file in the folder."""
        self._folder = folder
        self._address = address or Secret("")
        self._now = now
        self.name = "iceberg"

    def put(self, release: Release) -> None:
        """Bring each table to its files in this version, then say so in `published`."""
        if any(sign in str(self._folder) for sign in UNNAMEABLE):
            raise TargetError(f"Iceberg can name no file in {self._folder}: leave out {SHOWN}")
        try:
            with writable(self._folder):
                remove(made(self._folder) / ASIDE)
                self._put(release)
                remove(self._folder / ASIDE)
        except EnvironmentFaultError as error:
            raise TargetError(str(error)) from error

    def close(self) -> None:
        """Nothing is held open."""

    def _put(self, release: Release) -> None:
        try:
            try:
                self._bring(release)
            except (DatabaseError, exceptions.TableAlreadyExistsError) as error:
                if not is_damage(error) or self._address:
                    raise
                remove(self._folder / CATALOG_FILE)
                self._bring(release)
        except UNWELL as error:
            raise TargetError(told(error, self._folder, is_server=bool(self._address))) from error

    def _bring(self, release: Release) -> None:
        with opened(self._folder, self._address) as catalog:
            _Session(self._folder, catalog, release, self._now(), is_own=not self._address).bring()


class _Session:
    """One publish."""

    def __init__(self, folder: Path, catalog: Catalog, release: Release, now: float, *, is_own: bool) -> None:
        self._folder = folder
        self._catalog = catalog
        self._release = release
        self._now = now
        self._is_own = is_own
        self._manifests = Manifests()
        self._found: dict[str, IcebergTable] = {}
        self._changed: set[str] = set()

    def bring(self) -> None:
        """Bring all to the version, unless they are there; then remove what nobody needs."""
        if not self._is_there():
            needed = self._promised()
            versions = {name: self._table_brought(name, needed) for name in self._release.partitions}
            self._publish(versions)
        self._tidy()

    def _is_there(self) -> bool:
        """Whether all of this version is there, in the newest snapshot of each table."""
        said = next((each for _, each in self._told()), None)
        release = self._release
        if said is None or said.version != release.version or said.tables.keys() != release.partitions.keys():
            return False
        if not self._holds(PUBLISHED_NAME, said.snapshot):
            return False
        return all(
            self._holds(name, each.snapshot) and not self._lacks(name) for name, each in said.tables.items()
        )

    def _holds(self, name: str, snapshot: int) -> bool:
        """Whether this is the newest snapshot of a table, with all its files."""
        table = self._table(name)
        current = table.current_snapshot() if table else None
        if current is None or current.snapshot_id != snapshot:
            return False
        return all(
            (path := self._place(name, DATA, Path(location).name)).is_file()
            and path.stat().st_size == each.data_file.file_size_in_bytes
            for location, each in self._manifests.entries(current).items()
        )

    def _lacks(self, name: str) -> bool:
        return any(not self._place(name, DATA, file).is_file() for file in files_of(self._release, name))

    def _table_brought(self, name: str, needed: list[Said]) -> Version:
        """Return where a table stands that holds its files and columns as they are now."""
        files = files_of(self._release, name)
        folder = made(self._place(name, DATA))
        for file, each in files.items():
            link(each.path, folder / file)
        sync(folder)
        sizes = {
            location_of(folder / file): (each.path.stat().st_size, each.partition.rows)
            for file, each in files.items()
        }
        kept = {said.tables[name].snapshot for said in needed if name in said.tables}
        return self._committed(name, commented(self._release.tables[name]), sizes, kept, {})

    def _publish(self, versions: Mapping[str, Version]) -> None:
        """Say which snapshot of each table belongs to this version of the lake."""
        rows = [
            (name, each.metadata, each.snapshot, int(self._release.version))
            for name, each in sorted(versions.items())
        ]
        table = self._table(PUBLISHED_NAME)
        number = table.metadata.next_sequence_number() if table else 0
        file = f"{self._release.version}.{number}{PARQUET}"
        aside = made(self._folder / ASIDE) / file
        pq.write_table(as_table(rows, ROWS), aside)
        finish(aside)
        path = made(self._place(PUBLISHED_NAME, DATA)) / file
        aside.rename(path)
        sync(path.parent)
        kept = {each.snapshot for each in self._promised()}
        sizes = {location_of(path): (path.stat().st_size, len(rows))}
        said = {TABLES: msgspec.json.encode(versions).decode()}
        self._committed(PUBLISHED_NAME, ROWS, sizes, kept, said)

    def _committed(
        self, name: str, columns: pa.Schema, files: Files, kept: set[int], said: Mapping[str, str]
    ) -> Version:
        """Return where a table stands after it was committed, without other snapshots than those kept."""
        made(self._place(name, METADATA))
        doc = columns.metadata[b"doc"].decode()
        properties = {**PROPERTIES, MADE_HERE: name, "comment": doc}
        table = self._table(name) or self._created(name, columns, properties)
        current = table.metadata.current_snapshot_id
        unneeded = {each.snapshot_id for each in table.metadata.snapshots} - kept - {current}
        about = {VERSION: self._release.version, AT: str(self._now), **said}
        before, entries = table.metadata_location, self._manifests.entries(table.current_snapshot())
        snapshot = commit(
            self._catalog, table, Wanted(columns, properties, files, about, self._now), entries, unneeded
        )
        if table.metadata_location != before:
            self._changed.add(name)
        self._point(name, table)
        return Version(snapshot, table.metadata_location)

    def _created(self, name: str, columns: pa.Schema, properties: dict[str, str]) -> IcebergTable:
        self._catalog.create_namespace_if_not_exists(name.partition(".")[0])
        schema = new_columns(columns, {}, 1)
        where = location_of(self._place(name))
        self._catalog.create_table(name, schema, location=where, properties=properties)
        table = self._table(name)
        if table is None:
            raise TargetError(f"the catalog has no {name} after it was made")
        return table

    def _point(self, name: str, table: IcebergTable) -> None:
        """Let those find the newest metadata who ask no catalog."""
        metadata, hint = Path(table.metadata_location), self._place(name, METADATA, HINT)
        stem = metadata.name.removesuffix(".metadata.json")
        if hint.is_file() and hint.read_text(encoding="utf-8", errors="replace") == stem:
            return
        aside = made(self._folder / ASIDE) / HINT
        aside.write_text(stem, encoding="utf-8")
        finish(aside)
        aside.rename(hint)
        sync(hint.parent)

    def _tidy(self) -> None:
        """Remove what no version needs that was complete less than the grace period ago."""
        promised = self._promised()
        versions: dict[str, list[Version]] = {}
        for said in promised:
            for name, each in said.tables.items():
                versions.setdefault(name, []).append(each)
        published = self._table(PUBLISHED_NAME)
        if published is not None:
            versions[PUBLISHED_NAME] = [
                Version(each.snapshot, published.metadata_location) for each in promised
            ]
        for name in (*self._release.partitions, PUBLISHED_NAME):
            self._clean(name, versions.get(name, []))
        for folder in self._folder.glob(f"*/*/{METADATA}"):
            name = ".".join(folder.parts[-3:-1])
            if name not in versions and is_ours(folder):
                if self._table(name) is not None:
                    self._catalog.drop_table(name)
                remove(folder.parent)

    def _clean(self, name: str, versions: list[Version]) -> None:
        """Remove what a table has besides the versions that are needed, and its newest."""
        table = self._table(name)
        if table is None:
            return
        kept = {each.snapshot for each in versions} | {table.metadata.current_snapshot_id}
        unneeded = {each.snapshot_id for each in table.metadata.snapshots} - kept
        expire(self._catalog, table, unneeded)
        self._point(name, table)
        folder, grace = self._place(name), self._release.grace
        old = old_heads(folder, table, versions, self._now - grace, grace)
        # Manifests take long to read: where nothing has changed, all that can be a stray was one before.
        if old or unneeded or name in self._changed or grace == 0:
            remove_strays(folder, table, versions, old, self._manifests)

    def _promised(self) -> list[Said]:
        """Return what `published` has said since the beginning of the grace period, the newest first."""
        grace = self._release.grace
        return [*in_use(self._told(), self._now - grace, grace)]

    def _told(self) -> Iterator[tuple[float, Said]]:
        """Yield when `published` said what, the newest first."""
        table = self._table(PUBLISHED_NAME)
        snapshots = table.metadata.snapshots if table else []
        for each in sorted(snapshots, key=lambda each: each.sequence_number or 0, reverse=True):
            summary = each.summary
            version, tables = (summary and summary[VERSION]), (summary and summary[TABLES])
            if not version or not tables:
                return
            try:
                found = msgspec.json.decode(tables, type=dict[str, Version])
                # The time of a snapshot never goes back, though the clock may have.
                at = float((summary and summary[AT]) or each.timestamp_ms / 1000)
            except ValueError:
                return
            yield at, Said(each.snapshot_id, version, found)

    def _table(self, name: str) -> IcebergTable | None:
        """Return a table; None where there is none, or none that can be gone on with."""
        if name not in self._found:
            table = self._loaded(name)
            if table is None:
                return None
            self._found[name] = table
        return self._found[name]

    def _loaded(self, name: str) -> IcebergTable | None:
        try:
            table = self._catalog.load_table(name)
        except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError):
            return None
        except DatabaseError:
            raise
        except DAMAGE:
            if not self._is_own:
                raise
            self._catalog.drop_table(name)
            return None
        where = self._place(name)
        is_here = is_at(table.location(), where)
        if not is_here and not self._is_own:
            raise TargetError(
                f"{name} in the catalog is at {table.location()}, not at {where}: drop it there"
            )
        if is_here and table.properties.get(MADE_HERE) == name and self._is_sound(table):
            return table
        self._catalog.drop_table(name)
        return None

    def _is_sound(self, table: IcebergTable) -> bool:
        """Whether a table can be gone on with: its files can be told, and it is such as was made here."""
        try:
            self._manifests.entries(table.current_snapshot())
        except DAMAGE:
            return False
        return table.metadata.format_version == FORMAT and table.spec().is_unpartitioned()

    def _place(self, name: str, *more: str) -> Path:
        """Return the folder of a qualified table, or what is in it."""
        return self._folder.joinpath(*name.split("."), *more)
