"""What engines that read files see: a folder for each version, and a link to the newest."""

import os
from errno import ENOTDIR
from itertools import pairwise
from pathlib import Path

from etl.files import sync
from etl.publish.files import PART, link, made, remove
from etl.publish.layout import ASIDE, LAKE, TIME, TREES, VERSIONS, Layout
from etl.publish.state import State

FORMER = f".{VERSIONS}"
"""Where versions stood up to 0.1.0: in the lake, in which whatever lists all files found each row of each."""


def show(at: Layout, since: str, state: State) -> None:
    """Let the link of the lake lead to a folder with the files of a version, all of them at once."""
    tree = at.tree(since)
    folder = tree if tree.is_dir() else tree.with_suffix(PART)
    expected = {
        folder / Path(*name.split(".")) / at.version(name, part, each.since).name: at.version(
            name, part, each.since
        )
        for name, parts in state.tables.items()
        for part, each in parts.items()
    }
    for name in state.tables:
        made(folder / Path(*name.split(".")))
    for path in folder.glob("*/*/*"):
        if path not in expected:
            remove(path)
    for path, version in expected.items():
        link(version, path)
    if folder != tree:
        folder.rename(tree)
    target = Path(VERSIONS, TREES, since)
    if not at.lake.is_symlink() or at.lake.readlink() != target:
        _lead(at, target)


def _lead(at: Layout, target: Path) -> None:
    """Let the link lead to a folder, in one step for whoever follows it."""
    if at.lake.is_file() and not at.lake.is_symlink():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(at.lake))
    aside = at.home / f"{LAKE}{PART}"
    remove(aside)
    aside.symlink_to(target)
    if at.lake.is_dir() and not at.lake.is_symlink():
        # A folder cannot be replaced by a link in one step.
        kept = at.aside / f"{LAKE}{PART}"
        remove(kept)
        made(at.aside)
        at.lake.rename(kept)
        aside.rename(at.lake)
        remove(kept)
    else:
        aside.rename(at.lake)
    sync(at.home)


def clean_trees(at: Layout, over: str) -> None:
    """Remove the folders of versions that were replaced before a time."""
    folder = at.tree("")
    trees = sorted(path for path in folder.glob("*") if TIME.fullmatch(path.name))
    for path, following in pairwise(trees):
        if following.name < over:
            remove(path)
    for path in folder.glob(f"*{PART}"):
        remove(path)


def move_former(at: Layout) -> bool:
    """Move the versions out of a lake that was made up to 0.1.0, and say whether there were any.

    What of them was about to go is gone: links led to it, from there.
    """
    former = at.lake / FORMER
    if at.lake.is_symlink() or not former.is_dir() or at.versions.exists():
        return False
    for path in former.glob("*/*/*"):
        if path.is_symlink():
            path.unlink()
    former.rename(at.versions)
    remove(at.lake / ASIDE)
    sync(at.home)
    return True
