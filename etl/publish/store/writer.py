"""Bring the lake in an object store to a version: all tables at one moment, as in the folder of a lake.

Objects are put aside, copied to names with a moment that is to come, and count from that moment on once the
commit of that name is there, which comes last, and before the moment; where the store is slower than that,
they get later names. What was replaced stays for the grace period.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import EnvironmentFaultError, TargetError
from etl.event import event
from etl.load.duckdb_errors import first_line
from etl.publish.bi import digest_of, make_bi
from etl.publish.files import PART
from etl.publish.lake import SET_BACK, micros_now
from etl.publish.layout import BI, COMMIT, FIRST, VERSIONS
from etl.publish.store.limits import STORE_LIMITS, StoreLimits
from etl.publish.store.listing import ASIDE, FOREVER, Listing, aside_of, commit_of, object_of
from etl.publish.store.objects import ConflictError, Objects
from etl.publish.store.register import (
    REGISTER,
    Held,
    Kept,
    Register,
    identity,
    known_in,
    read_register,
    writer_of,
)
from etl.publish.target import Release

MICROS = 1_000_000
Change = dict[tuple[str, str], Path | bytes]
"""By table and partition what is to be put."""


class StoreTarget:
    """The lake in an object store."""

    def __init__(
        self,
        url: str,
        objects: Objects,
        prefix: str,
        limits: StoreLimits = STORE_LIMITS,
        now: Callable[[], int] = micros_now,
    ) -> None:
        """Readers see it below the prefix."""
        self.name = url
        self._objects = objects
        self._prefix = prefix
        self._limits = limits
        self._now = now

    def put(self, release: Release) -> None:
        """Bring the store to this version: as a whole at one moment, or not at all. TargetError."""
        try:
            self._put(release)
        except (OSError, EnvironmentFaultError) as error:
            raise TargetError(str(error)) from error

    def close(self) -> None:
        """Hold nothing: each request is for itself."""

    def _put(self, release: Release) -> None:
        found = self._objects.read(REGISTER)
        me, writer = identity(release.home), writer_of(release.home)
        register, tag = (read_register(found[0]), found[1]) if found else (Register(me, writer), None)
        if register.warehouse != me:
            raise TargetError(
                f"the warehouse {register.writer} writes there: name another prefix, "
                f"or delete the object {REGISTER} there if this warehouse is to take its place"
            )
        digest = digest_of(self._prefix, release.time_zone, release.home)
        if self._is_there(register, release, digest):
            return
        if register.busy and register.writer != writer and not self._is_over(register.busy):
            raise TargetError(
                f"the same warehouse is at work there as {register.writer}, "
                f"which is taken for dead after {self._limits.lease:.0f} seconds without a sign"
            )
        at_once = register.at_once or release.grace == 0
        register = msgspec.structs.replace(register, writer=writer, at_once=at_once)
        session = _Session(self._objects, self._limits, self._now, register, tag)
        session.bring_in(release)
        session.clean(0 if at_once else release.grace)
        if register.definitions != digest:
            session.define(release, self._prefix)
        session.finish(release, digest, at_once=at_once)

    def _is_there(self, register: Register, release: Release, digest: str) -> bool:
        """Whether the store holds all of this version, and nothing is to be done there."""
        is_clean = not register.clean_at or (release.grace > 0 and self._now() < register.clean_at)
        held = register.held
        return (
            (held.version, held.shapes) == (release.version, release.shapes)
            and register.definitions == digest
            and is_clean
            and not register.busy
        )

    def _is_over(self, moment: int) -> bool:
        return self._now() - moment > self._limits.lease * MICROS


class _Session:
    """One publish into a store, from the moment on that the register says that it is at work."""

    def __init__(
        self,
        objects: Objects,
        limits: StoreLimits,
        now: Callable[[], int],
        register: Register,
        tag: str | None,
    ) -> None:
        self._objects = objects
        self._limits = limits
        self._now = now
        self._register = register
        self._tag = tag
        self._damaged: list[str] = []
        """Objects of another size than their files: no Parquet, they would end every query."""
        self._renew()
        self._listing = Listing(objects.sizes(VERSIONS))
        planned = register.planned
        if planned and planned.at in self._listing.commits():
            # It has come to count, and the writer has not come to say so.
            self._register = msgspec.structs.replace(self._register, held=planned)

    def bring_in(self, release: Release) -> None:
        """Let this version count, and wait until its moment has come."""
        is_set_back = self._listing.last() > self._now() + SET_BACK
        known = {} if is_set_back else self._known(release)
        since = {name: {part: kept.since for part, kept in parts.items()} for name, parts in known.items()}
        change: Change = {
            (name, each.partition.name): each.path
            for name, some in release.changed(since).items()
            for each in some
        }
        gone = self._gone(release, known)
        change |= {(name, part): _empty(release.tables[name].arrow()) for name, part in gone}
        held = self._register.held
        if not change and held.at and (known, release.shapes) == (held.tables, held.shapes):
            self._register = msgspec.structs.replace(
                self._register, held=msgspec.structs.replace(held, version=release.version)
            )
            return
        self._put_aside(change)
        self._precede(release, change)
        self._count(release, known, change, last=0 if is_set_back else self._listing.last())

    def clean(self, grace: float) -> None:
        """Delete what was replaced, or never counted, longer ago than these seconds, if it is time to."""
        held, now = self._register.held, self._now()
        # Made before the clock was set back: they would count once their time has come.
        later = [commit_of(each) for each in self._listing.commits() if each > held.at]
        self._delete([*self._damaged, *later])
        due = self._listing.clean_at(held, round(grace * MICROS))
        if grace and not (due and due <= now):
            return
        over = f"{now - round(grace * MICROS):016}" if grace else FOREVER
        for some in self._listing.needless(held, over, f"{now:016}"):
            self._delete(some)

    def define(self, release: Release, prefix: str) -> None:
        """Put a `bi.duckdb` there whose views read the store."""
        path = release.home / f"store.{BI}{PART}"
        try:
            make_bi(path, release.home, prefix, release.time_zone)
            self._objects.put(BI, path)
        except duckdb.Error as error:
            raise TargetError(f"its {BI} cannot be made: {first_line(error)}") from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def finish(self, release: Release, digest: str, *, at_once: bool) -> None:
        """Say what counts now, and that nobody is at work any more."""
        self._objects.delete(self._objects.sizes(ASIDE))
        grace = 0 if at_once else round(release.grace * MICROS)
        due = self._listing.clean_at(self._register.held, grace)
        self._note(planned=None, busy=0, at_once=False, clean_at=due, definitions=digest)

    def _known(self, release: Release) -> dict[str, dict[str, Kept]]:
        """Return the partitions that the store has, each of its size, of tables that are as they were."""
        commits = self._listing.commits()

        def is_whole(name: str, part: str, kept: Kept) -> bool:
            path = object_of(name, part, kept.at)
            size = self._listing.sizes.get(path)
            here = release.partitions.get(name, {}).get(part)
            if kept.at not in commits:
                return False
            if size is None or here is None or here.since != kept.since:
                return size is not None
            if size == here.path.stat().st_size:
                return True
            self._damaged.append(path)
            return False

        return {
            name: {part: kept for part, kept in parts.items() if is_whole(name, part, kept)}
            for name, parts in known_in(self._register.held, release.shapes).items()
            if name in release.tables
        }

    def _gone(self, release: Release, known: dict[str, dict[str, Kept]]) -> list[tuple[str, str]]:
        """Return the partitions that readers see and that are no more; an empty version takes their place."""
        commits = self._listing.commits()
        return [
            (name, part)
            for name, parts in self._listing.parts().items()
            if name in release.tables
            for part, times in parts.items()
            if part not in release.partitions.get(name, {}) and not commits.isdisjoint(times)
            if part not in known.get(name, {}) or known[name][part].since
        ]

    def _put_aside(self, change: Change) -> None:
        """Put all that is new where nobody looks."""
        with ThreadPoolExecutor(self._limits.at_once) as pool:
            sent = [
                pool.submit(self._objects.put, aside_of(name, part), content)
                for (name, part), content in change.items()
            ]
            try:
                for each in sent:
                    each.result()
                    if self._now() - self._register.busy > self._limits.renew * MICROS:
                        self._renew()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._require(ASIDE, {aside_of(*each): size for each, size in _sizes(change).items()})

    def _precede(self, release: Release, change: Change) -> None:
        """Put an empty version before the first one of each new partition of a table that readers know."""
        commits, there = self._listing.commits(), self._listing.parts()
        for name, part in change:
            if name in there and commits.isdisjoint(there[name].get(part, ())):
                self._put(object_of(name, part, FIRST), _empty(release.tables[name].arrow()))
        if FIRST not in commits:
            self._put(commit_of(FIRST), b"")

    def _count(self, release: Release, known: dict[str, dict[str, Kept]], change: Change, last: int) -> None:
        """Give all that is aside a name with a moment to come, and commit it before that."""
        ahead = round((self._limits.ahead + self._limits.ahead_per_file * len(change)) * MICROS)
        for _ in range(self._limits.tries):
            begun = self._now()
            moment = max(begun + ahead, last + 1)
            at = f"{moment:016}"
            planned = _planned(release, known, change, at)
            self._copy(change, at)
            # Whoever has taken the place of this writer meanwhile is told apart here.
            self._note(planned=planned, busy=self._now())
            if self._commit(at, moment - ahead // 2):
                self._register = msgspec.structs.replace(self._register, held=planned)
                # Who reads next is to see it.
                time.sleep(max(0, min(moment - self._now(), ahead + SET_BACK)) / MICROS)
                return
            event("publish.store.late", at=at, ahead=ahead / MICROS)
            # A reader who began after that moment could see some of its tables as they were.
            last, ahead = moment, 2 * max(ahead, self._now() - begun)
        raise TargetError(
            f"it answers too slowly: {ahead / MICROS / 2:.0f} seconds were not enough for a version"
        )

    def _commit(self, at: str, until: int) -> bool:
        """Let a version count, if it comes to before this moment; whether it does."""
        path, aside = commit_of(at), f"{ASIDE}/{at}{COMMIT}"
        self._objects.put(aside, at.encode())
        left = until - self._now()
        if left > 0 and self._objects.copy_within(aside, path, left / MICROS):
            self._listing.sizes[path] = len(at)
            return True
        return False

    def _copy(self, change: Change, at: str) -> None:
        with ThreadPoolExecutor(self._limits.at_once) as pool:
            names = {aside_of(name, part): object_of(name, part, at) for name, part in change}
            list(pool.map(self._objects.copy, names.keys(), names.values()))
        sizes = {object_of(*each, at): size for each, size in _sizes(change).items()}
        self._require(VERSIONS, sizes)
        self._listing.sizes |= sizes

    def _require(self, below: str, sizes: Mapping[str, int]) -> None:
        """TargetError where the store lacks what it has said to have taken: that would end every query."""
        there = self._objects.sizes(below)
        for path, size in sizes.items():
            if there.get(path) != size:
                raise TargetError(f"it has said that it holds {path}, and has not, or not all of it")

    def _put(self, path: str, content: bytes) -> None:
        self._objects.put(path, content)
        self._listing.sizes[path] = len(content)

    def _delete(self, paths: Iterable[str]) -> None:
        self._objects.delete(paths)
        for path in paths:
            self._listing.sizes.pop(path, None)

    def _renew(self) -> None:
        """Say that this writer is at work; ConflictError where another one has come between."""
        self._note(busy=self._now())

    def _note(self, **fields: object) -> None:
        self._register = msgspec.structs.replace(self._register, **fields)
        content = msgspec.json.encode(self._register)
        try:
            self._tag = self._objects.put_if(REGISTER, content, self._tag)
        except ConflictError:
            # It may be this very writer's, of which the answer was lost and that was asked for again.
            found = self._objects.read(REGISTER)
            if not found or found[0] != content:
                raise
            self._tag = found[1]


def _planned(
    release: Release, known: dict[str, dict[str, Kept]], change: Iterable[tuple[str, str]], at: str
) -> Held:
    """Return what the store holds with this change."""
    tables = {name: dict(known.get(name, {})) for name in release.partitions}
    for name, part in change:
        each = release.partitions.get(name, {}).get(part)
        tables.setdefault(name, {})[part] = Kept(each.since if each else "", at)
    return Held(release.version, at, tables, dict(release.shapes))


def _sizes(change: Change) -> dict[tuple[str, str], int]:
    return {
        name: len(each) if isinstance(each, bytes) else each.stat().st_size for name, each in change.items()
    }


def _empty(arrow: pa.Schema) -> bytes:
    """Return a Parquet file with the columns of a table, and no rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(arrow.empty_table(), sink)
    return bytes(sink.getvalue())
