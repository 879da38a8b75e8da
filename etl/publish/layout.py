"""Where the files that readers look at stand, and how they are called."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BI = "bi.duckdb"
"""The database of views that readers open, in the folder of the warehouse."""
LAKE = "lake"
"""The newest version for engines that read files: a link to a folder that stays as it is."""
VERSIONS = "versions"
"""Folder of all versions of all partitions, beside the lake: what lists that finds each row once."""
ASIDE = ".aside"
"""Folder for what is being written, and for what links lead to: views list all in the folder of a table."""
TREES = ".lakes"
"""Folder of what the link of the lake leads to: for each version its files, under further names."""
COMMIT = ".commit"
PARQUET = ".parquet"
FIRST = f"{0:016}"
"""The time of the empty version that comes before the first one of a new partition."""

TIME = re.compile(r"\d{16}", re.ASCII)
"""How the time of a version is written."""
VERSION = re.compile(rf"[\w-]+\.{TIME.pattern}{re.escape(PARQUET)}", re.ASCII)
"""How the file of a version is called."""
NAME = re.compile(r"[a-z]\w*")
"""How schemas and tables are called; other folders are of somebody else, `@eaDir` or `lost+found`."""


@dataclass(frozen=True)
class Layout:
    """The places in the folder of a warehouse where its lake is."""

    home: Path

    @cached_property
    def versions(self) -> Path:
        """The folder of all that the views of `bi.duckdb` look at."""
        return self.home / VERSIONS

    @cached_property
    def aside(self) -> Path:
        """The folder of what no listing is to show."""
        return self.versions / ASIDE

    @cached_property
    def lake(self) -> Path:
        """The link to the newest version."""
        return self.home / LAKE

    def tree(self, since: str) -> Path:
        """Return the folder of the files of a version."""
        return self.versions / TREES / since

    @property
    def verified(self) -> Path:
        """The file that remembers which files were found to be whole, and when."""
        return self.versions / "verified.json"

    def commits(self) -> set[str]:
        """Return the times of all versions that count."""
        try:
            return {path.stem for path in self.versions.iterdir() if is_commit(path)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def newest(self) -> str:
        """Since when the newest version is to be read; empty where nothing was ever published."""
        try:
            names = sorted((path.name for path in self.versions.iterdir()), reverse=True)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        # One look at a file is enough where there are hundreds: the newest name is mostly one that counts.
        found = (name.removesuffix(COMMIT) for name in names if is_commit(self.versions / name))
        return next((since for since in found if since != FIRST), "")

    def commit(self, since: str) -> Path:
        """Return the file that makes a version count."""
        return self.versions / f"{since}{COMMIT}"

    def version(self, table: str, part: str, since: str) -> Path:
        """Return a partition of a qualified table in a version."""
        return self.of_table(table) / f"{part}.{since}{PARQUET}"

    def of_table(self, table: str) -> Path:
        """Return the folder of all versions of a qualified table."""
        return self.versions.joinpath(*table.split("."))

    def tables(self) -> list[Path]:
        """Return the folders of all tables."""
        found = self.versions.glob("*/*/")
        return [path for path in found if NAME.fullmatch(path.name) and NAME.fullmatch(path.parent.name)]


def is_commit(path: Path) -> bool:
    """Whether this is the file of a version that counts."""
    return path.suffix == COMMIT and TIME.fullmatch(path.stem) is not None and path.is_file()
