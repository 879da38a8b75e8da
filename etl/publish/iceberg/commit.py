"""One commit to an Iceberg table: columns, properties and files at once, and the snapshots that go.

`pyiceberg` would make several of it, and keep a list of what each commit removed for ever: here each snapshot
has one manifest, of the files that are there, are new, and are gone since the one before.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.name_mapping import MappedField, NameMapping
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import (
    AddSchemaUpdate,
    AddSnapshotUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotsUpdate,
    SetCurrentSchemaUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)
from pyiceberg.typedef import Record

from etl.publish.iceberg.files import LocalFiles
from etl.publish.iceberg.manifests import Entries

FORMAT: Literal[2] = 2
"""The version of the format: such as every reader of Iceberg has."""
PACKED: Literal["deflate"] = "deflate"
Files = Mapping[str, tuple[int, int]]
"""By location, bytes and rows of each file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a table is to be."""

    columns: pa.Schema
    """With the docs of the columns as `doc`."""
    properties: Mapping[str, str]
    files: Files
    told: Mapping[str, str]
    """What the snapshot says of itself."""
    at: float
    """When it is made, in seconds since 1970."""


def new_columns(columns: pa.Schema, known: Mapping[str, int], first: int) -> Schema:
    """Return columns as Iceberg has them, with the ids that are known and others from `first` on."""
    fresh = count(first)
    ids = [(column.name, known.get(column.name) or next(fresh)) for column in columns]
    return pyarrow_to_schema(columns, name_mapping=_mapping(dict(ids)))


def named(schema: Schema) -> dict[str, int]:
    """Return the ids of columns by their names."""
    return {field.name: field.field_id for field in schema.fields}


def with_names(properties: Mapping[str, str], names: Mapping[str, int]) -> dict[str, str]:
    """Return properties with the names that columns have in files that know no ids."""
    return {**properties, TableProperties.DEFAULT_NAME_MAPPING: _mapping(names).model_dump_json()}


def commit(
    catalog: Catalog, table: Table, wanted: Wanted, entries: Entries, unneeded: Collection[int]
) -> int:
    """Let a table, of which these are the files now, be what is wanted, at one moment; return its snapshot.

    Snapshots that nobody needs go along with it, and those that would be misread by the new columns. Where
    all is so already, nothing is done.
    """
    held = table.metadata
    schema = _evolved(held, wanted.columns)
    others = [each for each in held.snapshots if each.snapshot_id not in unneeded]
    names, misread = _names(held, others, schema)
    gone = {each.snapshot_id for each in misread}.union(unneeded)
    updates: list[TableUpdate] = []
    is_other = schema != held.schema()
    if is_other:
        updates += [
            AddSchemaUpdate(schema=schema),
            SetCurrentSchemaUpdate.model_validate({"schema-id": schema.schema_id}),
        ]
    properties = with_names(wanted.properties, names)
    if any(held.properties.get(each) != value for each, value in properties.items()):
        updates.append(SetPropertiesUpdate(updates=properties))
    current = held.current_snapshot()
    if is_other or current is None or wanted.files != _files(entries):
        snapshot = _snapshot(held, schema, wanted, entries)
        updates += [AddSnapshotUpdate(snapshot=snapshot), _as_main(snapshot)]
        current = snapshot
    elif current.snapshot_id in gone:
        gone.remove(current.snapshot_id)
    if gone:
        updates.append(_without(gone))
    _make(catalog, table, updates)
    if table.metadata.current_snapshot_id != current.snapshot_id:
        raise CommitFailedException("the catalog says that it has committed what it has not")
    return current.snapshot_id


def newest_ms(held: TableMetadata) -> int:
    """Return when a table was changed last, in milliseconds since 1970.

    Most readers refuse a table that went back in time.
    """
    snapshots = [each.timestamp_ms for each in held.snapshots]
    logged = [each.timestamp_ms for each in held.snapshot_log]
    files = [each.timestamp_ms for each in held.metadata_log]
    return max([held.last_updated_ms, *snapshots, *logged, *files])


def expire(catalog: Catalog, table: Table, unneeded: Collection[int]) -> None:
    """Take snapshots that nobody needs out of a table; it stays as it is."""
    _make(catalog, table, [_without(unneeded)] if unneeded else [])


def _make(catalog: Catalog, table: Table, updates: Sequence[TableUpdate]) -> None:
    if not updates:
        return
    held = table.metadata
    is_as_seen = (
        AssertTableUUID(uuid=held.table_uuid),
        AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": held.current_snapshot_id}),
    )
    made = catalog.commit_table(table, is_as_seen, tuple(updates))
    table.metadata, table.metadata_location = made.metadata, made.metadata_location


def _evolved(held: TableMetadata, columns: pa.Schema) -> Schema:
    """Return the columns: those that stay what they were keep their ids, all others get new ones."""
    before = held.schema()
    told = {field.name: field for field in new_columns(columns, {}, 1).fields}
    kept = {
        field.name: field.field_id
        for field in before.fields
        if (same := told.get(field.name)) is not None
        and (same.field_type, same.required) == (field.field_type, field.required)
    }
    schema = new_columns(columns, kept, held.last_column_id + 1)
    if schema == before:
        return before
    number = max(each.schema_id for each in held.schemas) + 1
    return Schema(*schema.fields, schema_id=number)


def _names(
    held: TableMetadata, snapshots: Sequence[Snapshot], schema: Schema
) -> tuple[dict[str, int], list[Snapshot]]:
    """Return the ids of all names, and the snapshots in which one of these names was another column."""
    by_id = {each.schema_id: named(each) for each in held.schemas}
    found, misread = named(schema), []
    for each in sorted(snapshots, key=lambda each: each.sequence_number or 0, reverse=True):
        then = by_id.get(-1 if each.schema_id is None else each.schema_id, {})
        if any(found.setdefault(name, number) != number for name, number in then.items()):
            misread.append(each)
    return found, misread


def _mapping(names: Mapping[str, int]) -> NameMapping:
    return NameMapping(
        [MappedField.model_validate({"field-id": number, "names": [name]}) for name, number in names.items()]
    )


def _files(entries: Entries) -> Files:
    return {
        location: (each.data_file.file_size_in_bytes, each.data_file.record_count)
        for location, each in entries.items()
    }


def _snapshot(held: TableMetadata, schema: Schema, wanted: Wanted, entries: Entries) -> Snapshot:
    """Return the snapshot of the files that are wanted, its manifest written."""
    number, sequence = held.new_snapshot_id(), held.next_sequence_number()
    before = _files(entries)
    stays = {location for location, each in wanted.files.items() if before.get(location) == each}
    manifests = []
    if wanted.files or entries:
        changes = [*_changes(wanted.files, entries, stays, number)]
        manifests = [_manifest(f"{held.location}/metadata/{number}-m0.avro", held, schema, number, changes)]
    listed = f"{held.location}/metadata/snap-{number}.avro"
    with write_manifest_list(
        FORMAT, LocalFiles().new_output(listed), number, held.current_snapshot_id, sequence, PACKED
    ) as writer:
        writer.add_manifests(manifests)
    told = {
        "snapshot-id": number,
        "parent-snapshot-id": held.current_snapshot_id,
        "sequence-number": sequence,
        "timestamp-ms": max(int(wanted.at * 1000), newest_ms(held)),
        "manifest-list": listed,
        "summary": _summary(wanted, before, stays),
        "schema-id": schema.schema_id,
    }
    return Snapshot.model_validate(told)


def _changes(
    files: Files, entries: Entries, stays: Collection[str], number: int
) -> Iterator[tuple[str, ManifestEntry]]:
    """Yield what becomes of each file, by the name that a writer of manifests has for it."""
    for location, entry in entries.items():
        yield ("existing" if location in stays else "delete"), entry
    for location, (size, rows) in files.items():
        if location not in stays:
            file = DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=location,
                file_format=FileFormat.PARQUET,
                partition=Record(),
                record_count=rows,
                file_size_in_bytes=size,
            )
            yield (
                "add",
                ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=number, data_file=file),
            )


def _manifest(
    place: str, held: TableMetadata, schema: Schema, number: int, entries: Sequence[tuple[str, ManifestEntry]]
) -> ManifestFile:
    output = LocalFiles().new_output(place)
    with write_manifest(FORMAT, held.spec(), schema, output, number, PACKED) as writer:
        for verb, entry in entries:
            getattr(writer, verb)(entry)
    return writer.to_manifest_file()


def _summary(wanted: Wanted, before: Files, stays: Collection[str]) -> Summary:
    """Return what the snapshot says of itself, and what readers reckon with."""
    added = [each for location, each in wanted.files.items() if location not in stays]
    gone = [each for location, each in before.items() if location not in stays]
    counted: dict[str, Any] = {}
    for name, files in (("added", added), ("deleted", gone), ("total", [*wanted.files.values()])):
        counted[f"{name}-data-files"] = str(len(files))
        counted[f"{name}-records"] = str(sum(rows for _, rows in files))
        size = {"added": "added-files-size", "deleted": "removed-files-size"}.get(name, "total-files-size")
        counted[size] = str(sum(size for size, _ in files))
    return Summary(Operation.OVERWRITE if gone else Operation.APPEND, **counted, **wanted.told)


def _as_main(snapshot: Snapshot) -> SetSnapshotRefUpdate:
    told = {"ref-name": MAIN_BRANCH, "type": SnapshotRefType.BRANCH, "snapshot-id": snapshot.snapshot_id}
    return SetSnapshotRefUpdate.model_validate(told)


def _without(snapshots: Collection[int]) -> RemoveSnapshotsUpdate:
    return RemoveSnapshotsUpdate.model_validate({"snapshot-ids": sorted(snapshots)})
