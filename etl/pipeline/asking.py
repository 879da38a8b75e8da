"""Ask an API for what is stored, and hold the one against the other."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from etl import schema
from etl.config import Settings
from etl.extract.forgotten import load
from etl.extract.stream import (
    Bundle,
    Checkpoint,
    Delivery,
    Page,
    Reread,
    Session,
    SourceContext,
    Stream,
    size_of,
)
from etl.extract.stream_reader import Ended, StreamReader
from etl.load.comparing import Asked, Comparison, refused
from etl.load.differences import Difference
from etl.load.stored import Stored
from etl.pipeline.windows import Scope, dated
from etl.redact import Redactor
from etl.sources import source_module
from etl.transform.batch import RejectedRecord, Transformer
from etl.transform.forgetting import Forgetter
from etl.values import micros_of

BATCH_BYTES = 8 * 2**20
"""Bytes of records that are compared together."""
LISTS = ("applications", "")


@dataclass(slots=True)
class Answers:
    """What came of asking one API."""

    differences: list[Difference] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    """What could not be read, and why."""
    windows: int = 0
    """Times of streams that were asked for."""
    records: int = 0
    requests: int = 0
    quarantined: int = 0
    """Records that the API has and that are in quarantine."""
    kept: int = 0
    """Records that are stored and listed no more: whether they are deleted is for a run to say."""


@dataclass(slots=True)
class _Received:
    """Pages of a stream that are not compared yet."""

    stream: Stream
    pages: list[Delivery] = field(default_factory=list)
    size: int = 0
    requests: int = 0


class Asking:
    """Asks one API for what is stored of it."""

    def __init__(
        self, settings: Settings, stored: Stored, name: str, scope: Scope, now: Callable[[], datetime]
    ) -> None:
        self.name = name
        self._settings = settings
        self._stored = stored
        self._now = now
        self._started = now()
        self._scope = scope
        self._source = source_module(name)
        self._declared = schema.source(name)
        self._redact = Redactor(each.reveal() for each in settings.secrets)
        self._forgotten = load(settings.home)
        self._forgetter = Forgetter(self._declared, self._forgotten)
        self._transformer = Transformer(self._source, self._declared)
        self._comparison = Comparison(stored, self._declared)
        self._windows = dated(stored, name, scope)
        self._cursors = {(row[0], row[1]): row[2] for row in stored.ask("verify/cursors", source=name)}
        has_deletions = schema.has_statement(f"{name}/deleted")
        self._deleted, self._listed = (
            {row[0] for row in stored.ask(f"{name}/{which}")} if has_deletions else set()
            for which in ("deleted", "stored")
        )
        self.answers = Answers(windows=sum(map(len, self._windows.values())))

    def ask(self, session: Session) -> Answers:
        """Read all that is wanted from the API, and compare it with what is stored."""
        reread = Reread(0, micros_of(self._started), {LISTS: [(0, 0)], **self._windows}, with_files=False)
        context = SourceContext(self._now, self._stored.ask, self._started, reread, self._forgotten.is_medium)
        for group in session.streams(context):
            self._read(group)
        self.answers.records = self._comparison.records
        self.answers.kept = 0 if self.answers.unasked else len(self._listed)
        return self.answers

    def _read(self, group: list[Stream]) -> None:
        whole = Checkpoint(None, 0, micros_of(self._started))
        buffers = {id(stream): _Received(stream) for stream in group}
        with StreamReader(group, lambda _: whole, self._settings.concurrency) as reading:
            for come in reading:
                if come is not None:
                    stream, stats, item = come
                    buffers[id(stream)].requests = stats.requests
                    self._take(buffers[id(stream)], item)
        self.answers.requests += sum(each.requests for each in buffers.values())

    def _take(self, buffer: _Received, item: Bundle | Ended) -> None:
        stream = buffer.stream
        if not isinstance(item, Ended):
            item, _ = self._forgetter.bundle(item)
            buffer.pages += [each for each in item if isinstance(each, Page) and each.records]
            buffer.size += size_of(item)
        elif item.error:
            about = " ".join(filter(None, [self._declared.name, stream.name, stream.partition]))
            self.answers.unasked.append(self._redact(f"{about}: {item.error}"))
        if buffer.pages and (buffer.size >= BATCH_BYTES or isinstance(item, Ended)):
            self._compare(stream, buffer.pages)
            buffer.pages, buffer.size = [], 0

    def _compare(self, stream: Stream, pages: list[Delivery]) -> None:
        for name, made in self._transformer.transform(pages).items():
            asked = self._asked(name, stream.partition)
            self.answers.differences += self._comparison.compare(asked, made.tables)
            self.answers.differences += self._refused(asked, made.rejected)
            self.answers.differences += self._undeleted(asked, made.tables)

    def _asked(self, name: str, partition: str) -> Asked:
        """Return what is to be expected of a stream."""
        follows_time = (name, partition) in self._windows
        # Of a list the newest time counts that any run has reached.
        reached = [at for (stream, _), at in self._cursors.items() if stream == name and at is not None]
        until = self._cursors[name, partition] if follows_time else max(reached, default=None)
        if self._scope.until is not None:
            until = min(self._scope.until - 1, until if until is not None else self._scope.until)
        return Asked(name, partition, self._scope.since, until, follows_time=follows_time)

    def _undeleted(self, asked: Asked, tables: Mapping[str, Any]) -> Iterator[Difference]:
        """Yield the records that are marked as deleted, and that the API has."""
        root = self._declared.tables.get(asked.stream)
        if root is None or root.name not in tables or not (self._deleted or self._listed):
            return
        keys = set(tables[root.name][root.key[0]].to_pylist())
        self._listed -= keys
        for key in sorted(self._deleted & keys):
            yield Difference(
                place="api",
                what="it is marked as deleted, and the API has it",
                source=self._declared.name,
                stream=asked.stream,
                partition=asked.partition,
                table=root.qualified,
                key={root.key[0]: key},
            )

    def _refused(self, asked: Asked, rejected: list[RejectedRecord]) -> Iterator[Difference]:
        """Yield the records that are refused, and not in quarantine."""
        about = (self._declared.name, asked.stream, asked.partition)
        ids = {each.fingerprint(*about): each for each in rejected}
        known = {row[0] for row in self._stored.ask("etl/quarantined", ids=list(ids))} if ids else set()
        self.answers.quarantined += len(known & ids.keys())
        windows = self._windows.get((asked.stream, asked.partition), [])
        every: list[tuple[int, int] | None] = [*windows] or [None]
        for fingerprint, each in ids.items():
            if fingerprint not in known:
                reason = self._redact(each.why.reason)
                yield from [refused(asked, self._declared.name, reason, one) for one in every]
