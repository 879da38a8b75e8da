"""A file that is no database, or a damaged one, is a matter of settings and told as one."""

from pathlib import Path

import duckdb
import pytest
from support.warehouse import NOW, OPENED, Opener, message_of

from etl.errors import EnvironmentFaultError
from etl.load import holder, lock
from etl.load.duckdb_errors import is_damage
from etl.load.warehouse import NAME, make_folder, open_for_writing, opened

pytestmark = pytest.mark.usefixtures("usual_umask")
RECOVERY = "readers keep what is published; docs/recovery.md says how to begin anew"
IN_ITS_PLACE = "move away what stands in its place"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a warehouse that has been opened once."""
    open_for_writing(tmp_path).close()
    return tmp_path


@OPENED
@pytest.mark.parametrize("content", [b"", b"x", b"media_id,name\n" * 10_000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, opener: Opener, content: bytes) -> None:
    """Another file in the place of the database is left as it is."""
    (tmp_path / NAME).write_bytes(content)
    said = message_of(EnvironmentFaultError, lambda: opener(tmp_path))

    what_now = "move it away, or set SIGHTGLASS_HOME to another folder"
    assert f"{tmp_path / NAME} is no DuckDB file; {what_now}" == said
    assert content == (tmp_path / NAME).read_bytes()


@OPENED
@pytest.mark.parametrize("name", ["data", "locker"])
def test_a_truncated_database_is_a_matter_of_settings(home: Path, opener: Opener, name: str) -> None:
    """A broken file is never taken for one that is in use, whatever its folder is called."""
    (home / name).mkdir()
    path = home / name / NAME
    path.write_bytes((home / NAME).read_bytes()[:4096])
    said = message_of(EnvironmentFaultError, lambda: opener(home / name))

    why = f'Could not read enough bytes from file "{path}": attempted to read 4096 bytes from location 4096'
    assert f"{path} is damaged: IO Error: {why}; {RECOVERY}" == said


@OPENED
def test_a_damaged_database_is_a_matter_of_settings(home: Path, opener: Opener) -> None:
    """A file whose content is not what was written is never taken for one that is in use."""
    whole = (home / NAME).read_bytes()
    (home / NAME).write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    said = message_of(EnvironmentFaultError, lambda: opener(home))

    why = "computed checksum 5381 does not match stored checksum 0 in block at location 4096"
    expected = f"{home / NAME} is damaged: Corrupt database file: {why}; {RECOVERY}"
    assert expected == said.replace("IO Error: ", "")


@OPENED
def test_a_folder_in_the_place_of_the_database_is_named(tmp_path: Path, opener: Opener) -> None:
    """A folder called like the file is a matter of settings."""
    path = tmp_path / NAME
    path.mkdir()
    said = message_of(EnvironmentFaultError, lambda: opener(tmp_path))

    assert f'{path} cannot be opened: IO Error: Could not read from file "{path}": Is a directory' == said


def test_a_home_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path) -> None:
    """A path below a regular file can neither be made, nor locked, nor opened."""
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"

    assert [
        f"cannot use the folder {home}: Not a directory; {IN_ITS_PLACE}, or set SIGHTGLASS_HOME",
        f"cannot lock {home / holder.LOCK}: Not a directory; {IN_ITS_PLACE}, or set SIGHTGLASS_HOME",
        f'{home / NAME} cannot be opened: IO Error: Cannot open file "{home / NAME}": Not a directory',
    ] == [
        message_of(EnvironmentFaultError, lambda: make_folder(home)),
        message_of(EnvironmentFaultError, lambda: lock.hold(home, NOW).__enter__()),
        message_of(EnvironmentFaultError, lambda: open_for_writing(home)),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (duckdb.FatalException("FATAL Error: database has been invalidated"), True),
        (duckdb.InternalException("INTERNAL Error: Attempted to access index 7"), True),
        (duckdb.SerializationException("Serialization Error: Failed to deserialize"), True),
        (duckdb.InvalidInputException("Failure while replaying WAL file"), True),
        (duckdb.Error("Corrupt database file: computed checksum 1 does not match stored checksum 2"), True),
        (duckdb.IOException("IO Error: Could not read enough bytes from file"), True),
        (duckdb.IOException("IO Error: Could not write file: No space left on device"), False),
        (duckdb.FatalException("FATAL Error: Failed to create checkpoint: No space left on device"), False),
        (duckdb.FatalException("FATAL Error: Failed to create checkpoint: failed to pin block"), False),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block"), False),
        (duckdb.BinderException("Binder Error: Referenced column not found"), False),
    ],
)
def test_damage_is_known_by_what_duckdb_says(error: duckdb.Error, expected: bool) -> None:  # noqa: FBT001
    """It comes as any type of error, wherever a block is read."""
    assert expected == is_damage(error)


@OPENED
@pytest.mark.parametrize("inside", [False, True], ids=["a question", "a transaction"])
def test_damage_that_shows_late_is_a_matter_of_settings(home: Path, opener: Opener, *, inside: bool) -> None:
    """It is told as such wherever it shows, and the warehouse is let go."""

    def read() -> None:
        with opened(home, opener) as warehouse:
            if inside:
                with warehouse.transaction():
                    raise duckdb.Error("Corrupt database file: checksum")
            raise duckdb.Error("Corrupt database file: checksum")

    said = message_of(EnvironmentFaultError, read)
    open_for_writing(home).close()

    assert f"the warehouse is damaged: Corrupt database file: checksum; {RECOVERY}" == said
