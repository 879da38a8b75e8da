"""What nobody reads any more, nobody can read, or does not belong in the lake, taken away."""

import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl.publish.files import PART, made, remove, writable
from etl.publish.layout import ASIDE, COMMIT, PARQUET, VERSION, Layout, is_commit
from etl.publish.shown import clean_trees


def clean(at: Layout, grace: float, now: int) -> None:
    """Remove what was replaced, or never became part of a version, longer ago than these seconds.

    `now` is in microseconds since 1970.
    """
    earlier = now - round(grace * 1_000_000)
    over, until = f"{earlier:016}", f"{now:016}"
    commits = at.commits()
    newest = at.newest()
    needed = {newest}
    with writable(at.versions):
        # The views list all commits: one with another name, or that is no file, would end every query.
        strays = [path for path in at.versions.glob(f"*{COMMIT}") if not is_commit(path)]
        for path in [*at.versions.glob(f"*{PART}"), *at.aside.glob(f"*{PART}"), *strays]:
            remove(path)
        for folder in at.tables():
            _tidy(at, folder, earlier)
            for path, since, successor in _versions_in(folder, commits):
                # What never became part of a version may have been listed by a reader who is to open it.
                gone = successor and successor < over if since in commits else not over <= since <= until
                if gone:
                    _hide(at, path)
                else:
                    needed.add(since)
        for since in commits - needed:
            remove(at.commit(since))
        for since in needed & commits - {newest}:
            if since < over:
                _empty(at.commit(since))
        clean_trees(at, earlier, now)


def _empty(commit: Path) -> None:
    """Keep the name of a version alone, by which files of it count: what it held is in none that counts now.

    Else there would be as many lists of all files as files.
    """
    if commit.stat().st_size:
        aside = commit.with_suffix(PART)
        aside.touch()
        aside.chmod(commit.stat().st_mode & 0o777)
        aside.replace(commit)


def drop_unreadable(at: Layout, current: AbstractSet[Path]) -> None:
    """Remove replaced files that are no Parquet any more: they would end every query while they stay."""
    with writable(at.versions):
        for folder in at.tables():
            for path in folder.glob(f"*{PARQUET}"):
                if path not in current and not path.is_symlink() and VERSION.fullmatch(path.name):
                    try:
                        pq.read_metadata(path)
                    except (pa.ArrowException, OSError):
                        remove(path)


def _tidy(at: Layout, folder: Path, earlier: int) -> None:
    """Remove what was taken out of sight before this time, and what is no file of a version.

    What somebody or some tool has put there, a folder too, ends every query, for the views list all.
    """
    for path in folder.iterdir():
        if path.is_symlink():
            if path.lstat().st_mtime_ns // 1_000 <= earlier:
                (at.aside / path.readlink().name).unlink(missing_ok=True)
                path.unlink()
        elif not path.is_file() or not VERSION.fullmatch(path.name):
            remove(path)


def _hide(at: Layout, path: Path) -> None:
    """Take a file out of what readers list, but not from those who have listed it and are to open it."""
    kept = made(at.aside) / f"{path.parent.parent.name}.{path.parent.name}.{path.name}"
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    link = kept.with_suffix(PART)
    link.symlink_to(Path("..", "..", ASIDE, kept.name))
    link.rename(path)


def _versions_in(folder: Path, commits: AbstractSet[str]) -> Iterator[tuple[Path, str, str]]:
    """Each file of a table with its time, and the time of the version that replaced it, if one has."""
    versions: dict[str, list[tuple[str, Path]]] = {}
    for path in folder.glob(f"*{PARQUET}"):
        if not path.is_symlink():
            name, since = path.stem.split(".")
            versions.setdefault(name, []).append((since, path))
    for found in versions.values():
        times = sorted(since for since, _ in found if since in commits)
        following = dict(pairwise(times))
        yield from ((path, since, following.get(since, "")) for since, path in found)
