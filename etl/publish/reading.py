"""Connections of programs to what is published, which share nothing with others of their process."""

from collections.abc import Callable
from pathlib import Path

import duckdb

from etl.config import Settings
from etl.load.database import cursor_on
from etl.publish.bi import copied, definitions, lakes_beside, must_be_published, restrict, unreadable
from etl.publish.layout import BI
from etl.schema import literal

DATABASE = "bi"
"""Name of what is published within a connection."""


class BiConnection:
    """What is published in a folder, as one connection sees it; others are made of it for each use."""

    def __init__(
        self,
        settings: Settings,
        spill: Path | None,
        *,
        is_fenced: bool = True,
        warn: Callable[[str], object] = str,
    ) -> None:
        """Open it: nothing can be changed through it, and if it is fenced, no other file be read.

        `warn` is told where other readers see another folder, for this one was copied or moved. Raises
        NotPublishedError where there is nothing to open, EnvironmentFaultError where it cannot be.
        """
        self.path = settings.home / BI
        elsewhere = must_be_published(settings)
        self.seen = None if elsewhere else _seen(self.path)
        # Not of the file: its database would be shared with whatever in this process has opened it, too.
        self.connection = duckdb.connect()
        try:
            self._database = self._attached(settings, warn, elsewhere=elsewhere)
            if is_fenced:
                restrict(self.connection, settings.home, settings.sql_memory, spill)
            else:
                spilled = literal(str(spill or ""))
                self.connection.execute(f"SET TimeZone = 'UTC'; SET temp_directory = {spilled}")
        except duckdb.Error as error:
            self.connection.close()
            raise unreadable(self.path, error) from error

    def _attached(self, settings: Settings, warn: Callable[[str], object], *, elsewhere: bool) -> str:
        """Return the name of the database in which all views are."""
        execute, others = self.connection.execute, list[str]()
        if not elsewhere:
            execute(f"ATTACH {literal(str(self.path))} AS {DATABASE} (READ_ONLY)")
            execute(f"USE {DATABASE}")
            others = lakes_beside(self.connection, settings)
        if others:
            execute(f"USE memory; DETACH {DATABASE}")
            warn(copied(self.path, others))
        if elsewhere or others:
            # Where the file's own views lead to a place that only other readers have, the same are made here.
            for statement in definitions(str(settings.home), settings.time_zone, settings.home):
                execute(statement)
            return "memory"
        return DATABASE

    def is_outdated(self) -> bool:
        """Whether there are other views by now, which another version of Sightglass has made."""
        return self.seen is not None and self.seen != _seen(self.path)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return another connection to the same; it lives on where this one is closed."""
        return cursor_on(self.connection, self._database)


def _seen(path: Path) -> tuple[int, int]:
    """By what a file is known to be the same: its inode, and its time in nanoseconds."""
    try:
        told = path.stat()
    except OSError:
        return 0, 0
    return told.st_ino, told.st_mtime_ns
