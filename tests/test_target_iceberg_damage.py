"""Iceberg tables that others changed, moved or broke: the next publish makes them good."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField
from support.iceberg import again, by_path, catalog, complete, everything, files, in_iceberg, newest, put
from support.lake import plain
from support.open_tables import TWO, Made
from support.publish_kills import copy

from etl.errors import TargetError
from etl.publish.iceberg.tables import IcebergTables


def test_a_folder_that_iceberg_cannot_name_is_refused(made: Made) -> None:
    """Readers would look elsewhere."""
    for name in ("a#b", "a\nb"):
        with pytest.raises(TargetError, match="Iceberg can name no file in"):
            IcebergTables(made.home / name / "iceberg").put(made.version(TWO))


def current(folder: Path, ending: str) -> Path:
    """The newest of the metadata of a table with this ending."""
    return max((folder / "a/two/metadata").glob(f"*{ending}"), key=lambda path: path.stat().st_mtime_ns)


def cut_metadata(folder: Path) -> None:
    """Cut the newest metadata short."""
    os.truncate(current(folder, ".metadata.json"), 100)


def without_metadata(folder: Path) -> None:
    """Take all metadata away."""
    for path in (folder / "a/two/metadata").iterdir():
        path.unlink()


def cut_manifest(folder: Path) -> None:
    """Cut the manifest short."""
    os.truncate(current(folder, "-m0.avro"), 100)


def without_file(folder: Path) -> None:
    """Take a file away."""
    (folder / files(folder)[-1]).unlink()


def other_published(folder: Path) -> None:
    """Take away what `published` says."""
    for path in (folder / "etl/published/data").iterdir():
        path.unlink()


def cut_published(folder: Path) -> None:
    """Cut short what `published` says."""
    for path in (folder / "etl/published/data").iterdir():
        os.truncate(path, 100)


def without_catalog(folder: Path) -> None:
    """Take the catalog away."""
    (folder / "catalog.db").unlink()


def no_catalog(folder: Path) -> None:
    """Put something else in the catalog's place."""
    (folder / "catalog.db").write_bytes(b"mine" * 1000)


def row_without_metadata(folder: Path) -> None:
    """Let the catalog know a table, and not where it is."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection, connection:
        connection.execute("UPDATE iceberg_tables SET metadata_location = NULL WHERE table_name = 'two'")


def row_of_a_view(folder: Path) -> None:
    """Let the catalog take a table for a view."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection, connection:
        connection.execute("UPDATE iceberg_tables SET iceberg_type = 'VIEW' WHERE table_name = 'two'")


def without_hint(folder: Path) -> None:
    """Take away by what those find the metadata who ask no catalog."""
    (folder / "a/two/metadata/version-hint.text").write_text("17")


def written_by_another(folder: Path) -> None:
    """Let another program write rows, and a column."""
    with catalog(folder) as found:
        table = found.load_table("a.two")
        table.append(pa.table({"id": [9], "word": ["x"]}, schema=table.schema().as_arrow()))
        with table.update_schema() as update:
            update.add_column("theirs", LongType())


def made_by_another(folder: Path) -> None:
    """Put another table in the place of one."""
    with catalog(folder) as found:
        found.drop_table("a.two")
        found.create_table("a.two", Schema(NestedField(1, "x", LongType())), location=f"{folder}/mine")


DAMAGES = [
    *(
        cut_metadata,
        without_metadata,
        cut_manifest,
        without_file,
        other_published,
        without_catalog,
        cut_published,
    ),
    *(row_without_metadata, row_of_a_view),
    *(no_catalog, without_hint, written_by_another, made_by_another),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_became_of_it_is_made_good(made: Made, damage: Callable[[Path], None]) -> None:
    """Whatever was done to it, the next publish, without news too, brings the rows of the lake."""
    folder = put(made, TWO)
    put(made, {"a.two": {"2024-02": [4]}})
    damage(folder)
    again(made)
    path = plain(by_path(folder, "a.two").scan().to_arrow())

    assert made.rows() == in_iceberg(folder) == newest(folder)
    assert made.rows()["a.two"] == path


def test_a_home_that_is_moved_or_restored_has_tables_of_its_own(made: Made) -> None:
    """Metadata name whole paths: a copy elsewhere is made anew, and leaves those alone that it is of."""
    folder = put(made, TWO)
    before, moment = {name: dict(parts) for name, parts in made.parts.items()}, made.moment
    put(made, {"a.two": {"2024-02": [4], "2024-04": [5]}, "a.three": {"all": [1]}})
    theirs = everything(folder)
    copy(made.home, made.folder / "copy")
    made.parts = before
    moved = made.folder / "copy/iceberg"
    IcebergTables(moved).put(made.release(f"{moment:016}"))

    assert ["a.one", "a.two"] == [*complete(moved)]
    assert made.rows() == in_iceberg(moved) == newest(moved)
    assert theirs == everything(folder)
    IcebergTables(folder).put(made.release(f"{moment:016}"))
    assert made.rows() == in_iceberg(folder) == newest(folder)


def test_who_writes_there_at_the_same_time_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of somebody else is never written over, and the next publish makes it good."""
    folder = put(made, TWO)
    fchmod = os.fchmod
    seen: list[int] = []

    def late(handle: int, mode: int) -> None:
        fchmod(handle, mode)
        if not seen:
            seen.append(handle)
            written_by_another(folder)

    monkeypatch.setattr(os, "fchmod", late)
    with pytest.raises(TargetError, match="CommitFailedException"):
        put(made, {"a.two": {"2024-02": [4]}})
    theirs = len(newest(folder)["a.two"])
    again(made)

    assert 4 == theirs
    assert made.rows() == in_iceberg(folder) == newest(folder)
