"""What engines that read files see: a folder for each version, and a link to the newest."""

import os
from collections.abc import Iterator
from errno import ENOTDIR
from itertools import count
from pathlib import Path

from etl.errors import EnvironmentFaultError
from etl.event import event
from etl.files import sync
from etl.publish.files import PART, link, made, remove
from etl.publish.layout import ASIDE, LAKE, TREES, VERSIONS, Layout, is_commit
from etl.publish.state import State

FORMER = f".{VERSIONS}"
"""Where versions stood up to 0.1.0: in the lake, in which whatever lists all files found each row of each."""
KEPT = f"{LAKE}.former"
"""What a folder in the place of the link is called once it is moved out of its way."""


def show(at: Layout, since: str, state: State) -> None:
    """Let the link of the lake lead to a folder with the files of a version, all of them at once."""
    tree = at.tree(since)
    folder = tree if tree.is_dir() else tree.with_suffix(PART)
    files = {
        folder / Path(*name.split(".")) / at.version(name, part, each.since).name: at.version(
            name, part, each.since
        )
        for name, parts in state.tables.items()
        for part, each in parts.items()
    }
    tables = {made(folder / Path(*name.split("."))) for name in state.tables}
    expected = {*files, *tables, *(table.parent for table in tables)}
    for pattern in ("*", "*/*", "*/*/*"):
        for path in folder.glob(pattern):
            if path not in expected:
                remove(path)
    for path, version in files.items():
        link(version, path)
    if folder != tree:
        folder.rename(tree)
    target = Path(VERSIONS, TREES, since)
    if not at.lake.is_symlink() or at.lake.readlink() != target:
        _lead(at, target)


def _lead(at: Layout, target: Path) -> None:
    """Let the link lead to a folder, in one step for whoever follows it; what it left is kept for a while."""
    if at.lake.is_file() and not at.lake.is_symlink():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(at.lake))
    aside = at.home / f"{LAKE}{PART}"
    remove(aside)
    aside.symlink_to(target)
    left = _shown(at)
    if at.lake.is_dir() and not at.lake.is_symlink():
        # A folder cannot be replaced by a link in one step.
        kept = next(path for path in _places(at) if not os.path.lexists(path))
        at.lake.rename(kept)
        aside.rename(at.lake)
        _empty_former(at, kept)
    else:
        aside.rename(at.lake)
    if left and at.tree(left).is_dir():
        os.utime(at.tree(left))  # from now on it is replaced
    sync(at.home)


def clean_trees(at: Layout, earlier: int, now: int) -> None:
    """Remove the folders of versions that the link has left before a time, in microseconds since 1970.

    Never the one that it leads to, nor that of the newest version, to which it may be about to.
    """
    kept = {_shown(at)} if earlier >= now else {_shown(at), at.newest()}
    # Those that are half gone first.
    for path in sorted(at.tree("").glob("*"), key=lambda each: each.suffix != PART):
        left = path.lstat().st_mtime_ns // 1_000
        # One that was left in the future was so before the clock was set back.
        if path.name not in kept and not earlier < left <= now:
            # In one step for who lists it: of a folder that goes file by file, a part would be read as all.
            gone = path.with_suffix(PART)
            if path != gone:
                remove(gone)
                path.rename(gone)
            remove(gone)


def _shown(at: Layout) -> str:
    """Return the version to whose folder the link leads; empty where it leads to none."""
    try:
        return at.lake.readlink().name
    except OSError:
        return ""


def move_former(at: Layout) -> bool:
    """Give the versions of a lake that was made up to 0.1.0 names beside it; whether there are any there.

    Who reads them there can go on, until the link takes the place of the lake. EnvironmentFaultError where
    they are on another disk.
    """
    former = at.lake / FORMER
    # Through our own link nothing is looked at: who may not read the versions is to be told of these.
    is_ours = at.lake.is_symlink() and at.lake.readlink().parent == Path(VERSIONS, TREES)
    if is_ours or not former.is_dir():
        return False
    if at.lake.is_symlink() or at.lake.is_mount():
        raise EnvironmentFaultError(
            f"{at.lake} is on another disk: versions stand in {at.versions} now. Move {former} there, "
            f"or let a link {at.versions} lead to it, and take {at.lake} away; then run again"
        )
    if at.versions.exists():
        return True
    aside = at.home / f"{VERSIONS}{PART}"
    remove(aside)
    made(aside)
    for path in [*filter(is_commit, former.iterdir()), *former.glob("*/*/*.parquet")]:
        # Links stand where a file is about to go, and lead from there to what is aside.
        if path.is_file() and not path.is_symlink():
            link(path, made(aside / path.parent.relative_to(former)) / path.name)
    aside.rename(at.versions)
    sync(at.home)
    return True


def _places(at: Layout) -> Iterator[Path]:
    """Yield the places where a folder that was in the place of the link may be kept, the best first."""
    yield at.home / KEPT
    yield from (at.home / f"{KEPT}.{number}" for number in count(1))


def _empty_former(at: Layout, kept: Path) -> None:
    """Remove what was ours in a folder that was the lake; the rest is of somebody else, and stays."""
    for name in (FORMER, ASIDE):
        remove(kept / name)
    for table in at.tables():
        folder = kept / table.relative_to(at.versions)
        for path in folder.glob("*.parquet"):
            path.unlink()
        for path in (folder, folder.parent):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    if any(kept.iterdir()):
        event("publish.former.kept", folder=str(kept))
    else:
        kept.rmdir()
