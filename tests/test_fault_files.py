"""Files, folders and links in the place of others, and those that may not be read or written."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Sightglass
from faults import Fault, Healthy, meets

NOBODY = 65_534
IN_ITS_PLACE = "move away what stands in its place"
WRITABLE = "make it writable"
OWNED = "it belongs to the user nobody: run as that user, or give it to this one"


def clear(path: Path) -> None:
    """Have nothing under this name, whoever owns what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def instead(name: str, make: Callable[[Path], object], says: str = "", code: int = 2) -> Fault:
    """Something else in the place of a file or folder, until what was there is brought back."""

    def happens(sightglass: Sightglass) -> None:
        path = sightglass.home / name
        if path.exists():
            path.replace(sightglass.folder / "before")
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    def undone(sightglass: Sightglass) -> None:
        before = sightglass.folder / "before"
        if code:
            clear(sightglass.home / name)
        if before.exists() and code:
            before.replace(sightglass.home / name)
        clear(before)

    return Fault(happens, code, says, undone)


def file(path: Path) -> None:
    """Make a file of somebody else."""
    path.write_text("of somebody else")


def folder(path: Path) -> None:
    """Make a folder with something in it."""
    path.mkdir()
    file(path / "kept")


def nowhere(path: Path) -> None:
    """Make a link that leads nowhere."""
    path.symlink_to("/nowhere/at/all")


def forbidden(name: str, mode: int, says: str = "", code: int = 2, *, deep: bool = False) -> Fault:
    """A file or folder of which these permissions are left, until somebody gives them back."""

    def each(sightglass: Sightglass) -> Iterator[Path]:
        path = sightglass.home / name
        yield path
        if deep:
            yield from (below for below in path.rglob("*") if below.is_dir())

    def happens(sightglass: Sightglass) -> None:
        for path in reversed([*each(sightglass)]):
            path.chmod(mode)

    def undone(sightglass: Sightglass) -> None:
        for path in each(sightglass):
            if path.exists():
                path.chmod(0o700 if path.is_dir() else 0o600)

    return Fault(happens, code, says, undone, bound=True)


def of_another(name: str, says: str = "", code: int = 2) -> Fault:
    """A file or folder, with all that is in it, of a user who shows it to nobody."""

    def happens(sightglass: Sightglass) -> None:
        path = sightglass.home / name
        if not path.exists():
            path.mkdir(parents=True)
            file(path / "leftover.part")
        give(path, NOBODY, 0o700)

    def undone(sightglass: Sightglass) -> None:
        give(sightglass.home / name, os.geteuid(), 0o755)

    return Fault(happens, code, says, undone, bound=True)


def give(path: Path, user: int, mode: int) -> None:
    """Let a user have a file or folder, with all that is in it."""
    for each in [path, *path.rglob("*")]:
        os.chown(each, user, -1, follow_symlinks=False)
        if not each.is_symlink():
            each.chmod(mode if each.is_dir() else mode & 0o666)


def no_text(sightglass: Sightglass) -> None:
    """Have bytes that are no text where the holder of the lock is named."""
    (sightglass.home / "run.holder.json").write_bytes(b"\xff")


def runs_no_text(sightglass: Sightglass) -> None:
    """Have runs named there that nothing can be called."""
    (sightglass.home / "run.holder.json").write_text('{"unreported": ["\\ud800"]}')


def only_read(sightglass: Sightglass) -> None:
    """Let all files of the lake be for reading alone."""
    for path in (sightglass.home / "lake").rglob("*.parquet"):
        path.chmod(stat.S_IRUSR)


ODD = f"{os.fsdecode(bytes([0xFF, 0xFE]))}.commit"
ODD_TABLE = f"{os.fsdecode(bytes([0xFF]))}.parquet"
"""Names that are no text."""
FAULTS = {
    "a file for the lake": instead("lake", file, f"/lake; {IN_ITS_PLACE}"),
    "a file for the versions": instead("versions", file, f"/versions; {IN_ITS_PLACE}"),
    "a file for what is aside": instead("versions/.aside", file, f"; {IN_ITS_PLACE}"),
    "a file for a schema": instead("lake/cogniac", file, code=0),
    "a file for a table": instead("lake/cogniac/media", file, code=0),
    "a file for the versions of a schema": instead("versions/cogniac", file, IN_ITS_PLACE),
    "a file for the versions of a table": instead("versions/cogniac/media", file, IN_ITS_PLACE),
    "a file for what is spilled": instead("spill", file, code=0),
    "a file for the log": instead("raw", file, "cannot read the log"),
    "a file for a stream of the log": instead("raw/cogniac/detections", file, code=0),
    "a folder for bi.duckdb": instead("bi.duckdb", folder, f"/bi.duckdb; {IN_ITS_PLACE}"),
    "a folder for what becomes bi.duckdb": instead("bi.duckdb.part", folder, f"duckdb.part; {IN_ITS_PLACE}"),
    "a folder for the warehouse": instead("warehouse.duckdb", folder, "Is a directory"),
    "a folder for its log": instead("warehouse.duckdb.wal", folder, "Is a directory"),
    "a folder for the lock": instead("run.lock", folder, f"run.lock: Is a directory; {IN_ITS_PLACE}"),
    "a folder for the holder": instead("run.holder.json", folder, f"Is a directory; {IN_ITS_PLACE}"),
    "a folder in what is spilled": instead("spill/kept", folder, code=0),
    "a folder for what is torn": instead("raw/cogniac/detections/2026-01-01/x.part", folder, code=0),
    "a link for the lake": instead("lake", nowhere, code=0),
    "a link for the versions": instead("versions", nowhere, f"/versions; {IN_ITS_PLACE}"),
    "a link for bi.duckdb": instead("bi.duckdb", nowhere, code=0),
    "a link for the warehouse": instead("warehouse.duckdb", nowhere, "is a link that leads nowhere"),
    "a link for the log": instead("raw", nowhere, "is a link that leads nowhere"),
    "a link for what is spilled": instead("spill", nowhere, code=0),
    "a link for the lock": instead("run.lock", nowhere, "cannot lock"),
    "a pipe for the holder": instead("run.holder.json", os.mkfifo, code=0),
    "a pipe for the warehouse": instead("warehouse.duckdb", os.mkfifo, f"is no file; {IN_ITS_PLACE}"),
    "a pipe for its log": instead("warehouse.duckdb.wal", os.mkfifo, f"is no file; {IN_ITS_PLACE}"),
    "a pipe for bi.duckdb": instead("bi.duckdb", os.mkfifo, code=0),
    "a pipe for a commit": Fault(lambda it: os.mkfifo(it.home / "versions/9999999999999999.commit")),
    "a commit whose name is no text": Fault(lambda it: file(it.home / "versions" / ODD)),
    "a file of a table whose name is no text": Fault(
        lambda it: file(it.home / "versions/cogniac/media" / ODD_TABLE)
    ),
    "a holder that names runs that are no text": Fault(runs_no_text),
    "a holder that is no text": Fault(no_text),
    "a lock with something in it": Fault(lambda it: file(it.home / "run.lock")),
    "a home that may not be read": forbidden(".", 0, f"run.lock: Permission denied; {WRITABLE}"),
    "a home that may not be written": forbidden(".", 0o500, f"Permission denied; {WRITABLE}", deep=True),
    "a lake that may not be read": forbidden("lake", 0, WRITABLE),
    "versions that may not be read": forbidden("versions", 0, f"/versions: Permission denied; {WRITABLE}"),
    "versions that may not be written": forbidden("versions", 0o500, "/versions/"),
    "a table that may not be read": forbidden("versions/cogniac/media", 0, WRITABLE),
    "a table that may not be written": forbidden("versions/etl/runs", 0o500, WRITABLE),
    "a warehouse that may not be read": forbidden("warehouse.duckdb", 0, "Permission denied"),
    "a warehouse that may not be written": forbidden("warehouse.duckdb", 0o400, "Permission denied"),
    "a bi.duckdb that may not be read": forbidden("bi.duckdb", 0, code=0),
    "a lock that may not be read": forbidden("run.lock", 0, f"run.lock: Permission denied; {WRITABLE}"),
    "a log that may not be read": forbidden("raw", 0, WRITABLE),
    "files that may not be written": Fault(only_read, bound=True),
}
OTHERS = {
    "the home": of_another(".", f"run.lock: Permission denied; {OWNED}"),
    "the lake": of_another("lake", OWNED),
    "leftovers in the log": of_another("raw/cogniac/detections/2020-01-01", "cannot read the log"),
    "the log": of_another("raw", OWNED),
    "a stream of the log": of_another("raw/cogniac/detections", OWNED),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_in_the_way_is_named(loaded: Healthy, fault: Fault) -> None:
    """One line says which file or folder it is and what to do, or it does no harm."""
    meets(fault, loaded)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
@pytest.mark.parametrize("fault", OTHERS.values(), ids=OTHERS)
def test_what_belongs_to_another_user_is_named(loaded: Healthy, fault: Fault) -> None:
    """So it is with files of somebody who shows them to nobody."""
    meets(fault, loaded)
