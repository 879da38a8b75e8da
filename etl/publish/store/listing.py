"""What objects of a lake there are in a store, and which of them nobody needs any more."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from etl.publish.layout import COMMIT, FIRST, TIME, VERSION, VERSIONS, Layout
from etl.publish.store.register import Held

AT = Layout(Path())
"""The names of objects are those of files in the folder of a lake."""
ASIDE = ".aside"
"""Where objects are put before they have a time: no reader looks there."""
FOREVER = "9" * len(FIRST)
BATCHES = 2
"""Graces after which something is deleted, along with all that was replaced longer than one ago."""


def object_of(name: str, part: str, at: str) -> str:
    """Return the name of a partition of a qualified table in a version."""
    return AT.version(name, part, at).as_posix()


def aside_of(name: str, part: str) -> str:
    """Return the name of a partition of a qualified table before it has a time."""
    return f"{ASIDE}/{name}.{part}.parquet"


def commit_of(at: str) -> str:
    """Return the name of what makes a version count."""
    return AT.commit(at).as_posix()


class Listing:
    """The objects of a lake, by their names with their sizes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)

    def commits(self) -> set[str]:
        """Return the times of all versions that count."""
        found = (path.removeprefix(f"{VERSIONS}/") for path in self.sizes)
        times = {name.removesuffix(COMMIT) for name in found if name.endswith(COMMIT)}
        return {each for each in times if TIME.fullmatch(each)}

    def last(self) -> int:
        """Return the time of the newest version, in microseconds since 1970."""
        return max(map(int, self.commits()), default=0)

    def parts(self) -> dict[str, dict[str, list[str]]]:
        """Return by qualified table and partition the times of its objects, the oldest first."""
        found: dict[str, dict[str, list[str]]] = {}
        for path in sorted(self.sizes):
            place = path.split("/")
            if place[0] == VERSIONS and len(place) == len(("", "", "", "")) and VERSION.fullmatch(place[-1]):
                part, at, _ = place[-1].split(".")
                found.setdefault(".".join(place[1:3]), {}).setdefault(part, []).append(at)
        return found

    def needless(self, held: Held, over: str, until: str) -> list[list[str]]:
        """Return what was replaced before a time, or never counted, in the order in which it may go.

        A commit goes after all objects that it let count. `until` is now.
        """
        commits, kept, gone = self.commits(), {FIRST, held.at}, []
        for path, at, is_needless in self._versions(held, commits, over, until):
            if is_needless:
                gone.append(path)
            else:
                kept.add(at)
        known = {
            object_of(name, part, at)
            for name, ats in self.parts().items()
            for part in ats
            for at in ats[part]
        }
        strays = [path for path in self.sizes if path not in known and not self._is_commit(path)]
        return [[*gone, *strays], [commit_of(at) for at in sorted(commits - kept)]]

    def clean_at(self, held: Held, grace: int) -> int:
        """Return when something that was replaced is to be deleted; 0 where nothing was. In microseconds."""
        commits = self.commits()
        times = [
            int(successor or at)
            for name, part, at, successor in self._followed(commits)
            if at != _at(held, name, part)
        ]
        return min(times) + BATCHES * grace if times else 0

    def _versions(
        self, held: Held, commits: set[str], over: str, until: str
    ) -> Iterator[tuple[str, str, bool]]:
        """Yield each object of a partition, its time, and whether nobody needs it any more."""
        alone = {
            (name, part)
            for name, parts in self.parts().items()
            for part, ats in parts.items()
            if ats[1:] == []
        }
        for name, part, at, successor in self._followed(commits):
            kept = held.tables.get(name, {}).get(part)
            if kept is None:
                # Of a table that is no more, or never counted.
                is_needless = at in commits or not over <= at <= until
            elif at == kept.at:
                # Once it is alone, nothing that was before it can come to light.
                is_needless = not kept.since and at < over and (name, part) in alone
            elif at in commits:
                is_needless = at > held.at or bool(successor and successor < over)
            else:
                is_needless = not over <= at <= until
            yield object_of(name, part, at), at, is_needless

    def _followed(self, commits: set[str]) -> Iterator[tuple[str, str, str, str]]:
        """Yield table, partition and time of each object, and the time of what replaced it."""
        for name, parts in self.parts().items():
            for part, times in parts.items():
                following = dict(pairwise(at for at in times if at in commits))
                yield from ((name, part, at, following.get(at, "")) for at in times)

    def _is_commit(self, path: str) -> bool:
        name = path.removeprefix(f"{VERSIONS}/")
        return name.endswith(COMMIT) and TIME.fullmatch(name.removesuffix(COMMIT)) is not None


def _at(held: Held, name: str, part: str) -> str:
    kept = held.tables.get(name, {}).get(part)
    return kept.at if kept and kept.since else ""
