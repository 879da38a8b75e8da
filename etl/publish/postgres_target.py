"""PostgreSQL: every published version in one transaction, with the marts as tables."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb

from etl import schema
from etl.errors import SightglassError, TargetError
from etl.event import event, heard
from etl.publish.postgres_marts import SCHEMA, bring_marts, mart_names
from etl.publish.postgres_session import Session, place_of
from etl.publish.postgres_state import (
    Held,
    Part,
    Publisher,
    make_schemas,
    publisher_of,
    read,
    refuse_strangers,
    write,
)
from etl.publish.postgres_tables import (
    Bounds,
    condition_of,
    count,
    fill,
    finish,
    has_columns,
    make,
    merge,
    reshape,
)
from etl.publish.postgres_tables import place_of as table_place
from etl.publish.target import PartitionFile, Release
from etl.publish.targets.postgres import OwnSettings
from etl.views import SCHEMAS

LOCK = 0x5167687467  # what no other program takes by chance
"""Number of the lock that lets one publish at a time work in a database."""
SLACK_SECONDS = 3
"""How much longer than a statement may take the server is waited for, which ends it by itself."""
POLL_SECONDS = 0.5


class PostgresTarget:
    """A database that holds all tables and marts."""

    def __init__(self, own: OwnSettings, memory: int) -> None:
        self.name = place_of(own.url)
        self._own = own
        self._memory = memory

    def put(self, release: Release) -> None:
        """Bring the database to this version, in one transaction.

        It is done in a thread: a server that answers nothing could not be given up else, nor Ctrl-C be heard.
        """
        work = _Work(self._own, self._memory, release)
        thread = threading.Thread(target=heard(work.do), name="postgres", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and work.moved + self._own.seconds + SLACK_SECONDS > time.monotonic():
                thread.join(POLL_SECONDS)
            is_stuck = thread.is_alive()
        finally:
            work.abandon()
        if is_stuck:
            raise TargetError(f"the server has not answered for {self._own.seconds + SLACK_SECONDS} seconds")
        if work.error:
            raise work.error

    def close(self) -> None:
        """There is nothing to let go of: each version has a connection of its own."""


class _Work:
    """Brings a database to a version."""

    def __init__(self, own: OwnSettings, memory: int, release: Release) -> None:
        self.error: BaseException | None = None
        self._own, self._memory, self._release = own, memory, release
        self._session: Session | None = None
        self._begun = time.monotonic()
        self._is_abandoned = False

    @property
    def moved(self) -> float:
        """When something was last asked of the server."""
        return self._session.moved if self._session else self._begun

    def abandon(self) -> None:
        """Let nothing more be asked of the server; what was not committed is undone."""
        self._is_abandoned = True
        if self._session:
            self._session.is_abandoned = True

    def do(self) -> None:
        """Do it, and remember what went wrong."""
        try:
            self._session = Session(self._own.url, self._own.seconds)
            self._session.is_abandoned = self._is_abandoned
            try:
                self._put(self._session)
            finally:
                self._session.close()
        except TargetError as error:
            self.error = error
        except (SightglassError, duckdb.Error, OSError, MemoryError) as error:
            self.error = TargetError(str(error).partition("\n")[0] or type(error).__name__)
        except BaseException as error:  # noqa: BLE001 -- a bug, raised where it is seen
            self.error = error

    def _put(self, session: Session) -> None:
        publisher = publisher_of(self._release.home)
        session.rows(f"SELECT pg_advisory_xact_lock({LOCK})::text")
        held = read(session)
        publisher.refuse_other(held)
        is_due = held.is_vacuum_due
        if not self._is_there(held):
            is_due |= self._release.grace == 0 or held.forgotten != publisher.forgotten
            # What was never here has left nothing behind.
            is_due &= bool(held.tables)
            self._bring(session, held, publisher, due=is_due)
            session.commit()
        if is_due:
            self._vacuum(session)

    def _is_there(self, held: Held) -> bool:
        release = self._release
        return (held.version, set(held.tables)) == (
            release.version,
            {*release.partitions, *mart_names()},
        ) and release.known() == {
            name: parts for name, parts in held.known(release.shapes).items() if name in release.partitions
        }

    def _bring(self, session: Session, held: Held, publisher: Publisher, *, due: bool) -> None:
        """Bring all tables to the version, and note it."""
        release = self._release
        wanted = [*release.partitions, *mart_names()]
        docs = {each.name: each.doc for each in schema.sources(release.home)}
        make_schemas(session, docs | {SCHEMA: SCHEMAS[SCHEMA]})
        refuse_strangers(session, held, wanted)
        touched: dict[str, list[Part]] = {name: [] for name in held.tables if name not in wanted}
        for name in touched:
            session.execute(f"DROP TABLE {name}")
        known = held.known(release.shapes)
        gone = release.gone(known)
        for name, changed in release.changed(known).items():
            if changed or gone.get(name) or name not in known:
                touched[name] = self._bring_table(session, name, changed, held.tables.get(name))
        touched |= bring_marts(session, release, held.tables, self._memory)
        write(session, release, publisher, touched, due=due)
        replaced = sum(each.nul_characters for parts in touched.values() for each in parts)
        event("publish.postgres", tables=sorted(touched), nul_characters=replaced)

    def _bring_table(
        self,
        session: Session,
        name: str,
        changed: list[PartitionFile],
        before: Mapping[str, Part] | None,
    ) -> list[Part]:
        """Bring one table to the version, and return what is to be noted of it."""
        release, table = self._release, self._release.tables[name]
        place, shape, parts = table_place(table), release.shapes[name], release.partitions[name]
        paths = [each.path for each in changed]
        if before is None:
            make(session, place)
            replaced = fill(session, place, table, paths)
        else:
            is_alike = {each.shape for each in before.values()} == {shape} and has_columns(session, place)
            if not is_alike:
                reshape(session, place)
            condition = (
                condition_of(table.by_month, _concerned(parts, changed, before)) if is_alike else "true"
            )
            replaced = merge(session, place, table, paths, condition)
        rows = sum(each.partition.rows for each in parts.values())
        if count(session, name) != rows:
            # Somebody else has changed it: all of it is compared.
            replaced = merge(session, place, table, [each.path for each in parts.values()], "true")
            if count(session, name) != rows:
                raise TargetError(f"{name} does not come to hold what is published: somebody else changes it")
        finish(session, place)
        return [_noted(name, shape, each, before, replaced) for each in parts.values()]

    def _vacuum(self, session: Session) -> None:
        """Remove for good what was replaced, from tables and statistics."""
        names = [*self._release.partitions, *mart_names(), "etl.published_partitions"]
        with session.autocommit():
            for name in names:
                session.execute(f"VACUUM (FULL, ANALYZE) {name}")
                # This one counts what an open transaction still sees, which the other keeps in silence.
                session.execute(f"VACUUM (DISABLE_PAGE_SKIPPING) {name}")
            ((dead,),) = session.run("dead", json.dumps(names))
            if dead:
                raise TargetError(
                    f"it has the new version, but {dead:,} rows that are gone stay on its disk as long as a "
                    "transaction is open that sees them: end that"
                )
            session.do("vacuumed")


def _noted(
    name: str,
    shape: str,
    file: PartitionFile,
    before: Mapping[str, Part] | None,
    replaced: Mapping[Path, int],
) -> Part:
    """Return what is to be noted of a partition; where its rows were not sent, NULs are those of before."""
    each = file.partition
    known = before.get(each.name) if before else None
    nuls = replaced.get(file.path, known.nul_characters if known else 0)
    return Part(name, each.name, shape, file.since, each.start, each.end, nuls)


def _concerned(
    parts: Mapping[str, PartitionFile], changed: list[PartitionFile], before: Mapping[str, Part]
) -> list[Bounds]:
    """Return which rows may have changed: those of partitions that have, as they were and as they are now."""
    now = [Bounds(each.partition.name, each.partition.start, each.partition.end) for each in changed]
    names = {each.name for each in now} | (before.keys() - parts.keys())
    then = [
        Bounds(each.partition_name, each.begins_at, each.ends_at)
        for each in before.values()
        if each.partition_name in names
    ]
    return now + then
