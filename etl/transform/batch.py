"""A batch of deliveries to Arrow tables; records and files that do not fit are set apart with the reason."""

import base64
import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

import msgspec
import pyarrow as pa

from etl import schema
from etl.compute import pc
from etl.errors import RecordError
from etl.extract.stream import Delivery, File, FileSource, Page, Source
from etl.transform.files import Columns, DoubtfulError, flatten_alike, flatten_columns, flatten_files
from etl.transform.flatten import EXTRA, RECORD, WHOLE, PlacedRecordError
from etl.transform.pages import LARGEST_RECORD, Refuse
from etl.transform.recognize import RecordHasher, steady
from etl.transform.records import RecordTables
from etl.values import UNREADABLE, canonical

KEPT = 2**16
"""Bytes that are stored of what is refused and too large to be stored whole."""

BEGINNING = "beginning"
"""How content is stored of which only so much is kept."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record or file that does not fit, as it may be stored, and what is wrong with it."""

    content: bytes
    context: Mapping[str, Any]
    why: RecordError
    row: Mapping[str, Any] | None = None
    """The row of a file; None for a record."""
    whole: str = ""
    """The digest of all of the content, where it is so large that only its beginning may be stored."""
    volatile: frozenset[str] = frozenset()
    """Members, of the content and of the context, that may differ though the same has come."""

    def fingerprint(self, *of: str) -> str:
        """Return a name that is the same whenever the same content comes by the same stream again."""
        digest = self.whole or self.digest()
        context = {name: value for name, value in self.context.items() if name not in self.volatile}
        return hashlib.sha256(canonical([*of, context, digest])).hexdigest()[:24]

    def digest(self) -> str:
        """Return what tells the content from others."""
        content = self.content
        if self.volatile:
            with suppress(*UNREADABLE):
                value = msgspec.json.decode(content)
                if isinstance(value, dict) and not self.volatile.isdisjoint(value):
                    content = canonical({name: value[name] for name in value.keys() - self.volatile})
        return hashlib.sha256(content).hexdigest()

    def text(self) -> tuple[str, str]:
        """Return the content as text, and how it was made text."""
        if self.whole:
            return self.content.decode(errors="replace"), BEGINNING
        try:
            return self.content.decode(), "utf-8"
        except UnicodeDecodeError:
            return base64.b64encode(self.content).decode(), "base64"


@dataclass(slots=True)
class TransformResult:
    """What one stream's deliveries of a batch became."""

    fetched: int = 0
    tables: dict[str, Any] = field(default_factory=dict)
    """Arrow tables by table name."""
    rejected: list[RejectedRecord] = field(default_factory=list)
    ordinals: int = 0
    """How many numbers the rows take to say which record, or which file, they were cut from."""


def renumbered(rows: pa.Table, offset: int) -> pa.Table:
    """Return the rows with the numbers of their records further on by so much."""
    place = rows.schema.get_field_index(RECORD)
    return rows.set_column(place, RECORD, pc.add(rows[RECORD], offset)) if offset else rows


class Transformer:
    """Turns the deliveries of one source into tables; knows the undeclared fields met so far.

    How many of them an object may have is counted until `forget`: what comes after that does not depend on
    what came before.
    """

    def __init__(self, source: Source, declared: schema.Source) -> None:
        self._source = source
        self._declared = declared
        self._streams: dict[str, RecordTables] = {}
        self._volatile = cache(declared.volatile_members)
        self._unknown: set[str] = set()
        """Undeclared fields met in files, and in records before `forget`."""
        self._no_rows: dict[str, pa.Table] = {}

    def unknown(self) -> list[str]:
        """Return the undeclared fields met so far, as stream:place/field, sorted."""
        in_records = {
            f"{stream}:{name}" for stream, each in self._streams.items() for name in each.decoder.undeclared
        }
        return sorted(in_records | self._unknown)

    def forget(self) -> None:
        """Read what comes next as if nothing had come before, but for the list of undeclared fields."""
        self._unknown.update(self.unknown())
        self._streams.clear()

    def transform(self, deliveries: Iterable[Delivery]) -> dict[str, TransformResult]:
        """Return the tables of each stream that the deliveries belong to, in order of first delivery."""
        pages: dict[str, list[Page]] = {}
        files: dict[str, list[File]] = {}
        for each in deliveries:
            if isinstance(each, Page):
                pages.setdefault(each.stream, []).append(each)
            elif isinstance(each, File):
                files.setdefault(each.stream, []).append(each)
        results = {stream: self._records(stream, some) for stream, some in pages.items()}
        return results | {stream: self._files(stream, some) for stream, some in files.items()}

    def _records(self, stream: str, pages: Sequence[Page]) -> TransformResult:
        """Return the rows of all records of a stream.

        Those that cannot be decoded are refused before the others.
        """
        result, mismatches = TransformResult(sum(len(page.records) for page in pages)), list[RejectedRecord]()

        def into(rejected: list[RejectedRecord]) -> Refuse:
            return lambda raw, context, why: rejected.append(self._rejected(stream, raw, context, why))

        with _uncollected():
            made = self._record_tables(stream).make(pages, into(result.rejected), into(mismatches))
        result.tables, result.ordinals = made
        result.rejected += mismatches
        return result

    def _record_tables(self, stream: str) -> RecordTables:
        if stream not in self._streams:
            tables = self._declared.of_stream(stream)
            hasher = RecordHasher(self._declared, stream, steady(self._source))
            self._streams[stream] = RecordTables(tables, self._source.ENRICH.get(stream), hasher)
        return self._streams[stream]

    def _rejected(
        self, stream: str, raw: bytes, context: Mapping[str, Any], why: RecordError
    ) -> RejectedRecord:
        stored = self._source.redact(stream, bytes(raw))
        refused = RejectedRecord(stored, context, why, volatile=self._volatile(stream))
        if len(raw) <= LARGEST_RECORD:
            return refused
        return replace(refused, content=stored[:KEPT], whole=refused.digest())

    def _files(self, stream: str, files: Sequence[File]) -> TransformResult:
        """Return the row of each file, and the rows inside the files that could be read."""
        whole, *parts = self._declared.of_stream(stream)
        cut = TransformResult(sum(file.body is not None for file in files))
        with _uncollected():
            cut.tables, read = self._inside(files, whole, parts)
        problems = [each if isinstance(each, RecordError) else None for each in read]
        about = [
            self._refused(cut, file, why) if why else file for file, why in zip(files, problems, strict=True)
        ]
        columns = {name: [file.row.get(name) for file in about] for name in whole.content}
        columns[EXTRA] = [_beside(each, whole) for each in read]
        rows = flatten_columns(columns, range(len(about)), whole)
        readable = [file.body is not None and why is None for file, why in zip(files, problems, strict=True)]
        place = rows.schema.get_field_index(WHOLE)
        cut.tables[whole.name] = rows.set_column(place, WHOLE, pa.array(readable, pa.bool_()))
        cut.ordinals = len(about)
        return cut

    def _inside(
        self, files: Sequence[File], whole: schema.Table, parts: Sequence[schema.Table]
    ) -> tuple[dict[str, pa.Table], Sequence["_Read | RecordError"]]:
        """Return the rows in files for each table, and what each that was read alone holds, or is wrong."""
        taken, alike = self._alike(files, whole, parts)
        read: list[_Read | RecordError] = [
            {} if place in taken else self._read(file) for place, file in enumerate(files)
        ]
        try:
            tables = {part.name: self._of_part(read, part, whole) for part in parts}
        except PlacedRecordError:
            # Which files do not fit shows where each is looked at alone.
            read = [_held(each, parts, whole) for each in read]
            tables = {part.name: self._of_part(read, part, whole) for part in parts}
        joint = {name: pa.concat_tables([*alike.get(name, ()), rows]) for name, rows in tables.items()}
        return joint, read

    def _of_part(
        self, read: Sequence["_Read | RecordError"], part: schema.Table, whole: schema.Table
    ) -> pa.Table:
        """Return the rows of one table in all files that could be read by themselves."""
        if any(isinstance(each, Mapping) and part.name in each for each in read):
            return _of_part(read, part, whole)
        if part.name not in self._no_rows:
            self._no_rows[part.name] = _of_part([], part, whole)
        return self._no_rows[part.name]

    def _alike(
        self, files: Sequence[File], whole: schema.Table, parts: Sequence[schema.Table]
    ) -> tuple[set[int], dict[str, list[pa.Table]]]:
        """Return the rows in the files that are read together, by table, and the places of these files."""
        taken, rows = cast("FileSource", self._source).read_alike(files)
        tables: dict[str, list[pa.Table]] = {}
        by_name = {part.name: part for part in parts}
        try:
            for each in rows:
                made = flatten_alike(each, by_name[each.table], _own_key(by_name[each.table], whole))
                tables.setdefault(each.table, []).append(made)
        except DoubtfulError:
            if len(files) == 1:
                return set(), {}
            middle = len(files) // 2
            taken, tables = self._alike(files[:middle], whole, parts)
            others, more = self._alike(files[middle:], whole, parts)
            taken |= {middle + place for place in others}
            for name, some in more.items():
                tables.setdefault(name, []).extend(renumbered(one, middle) for one in some)
        return taken, tables

    def _read(self, file: File) -> "_Read | RecordError":
        """Return the columns in one file for each table, or what is wrong with it."""
        if file.body is None:
            return {}
        try:
            read = cast("FileSource", self._source).read(file)
        except RecordError as why:
            return why
        except RecursionError:
            return RecordError("nested too deeply")
        for table, columns in read.items():
            extra = (each for each in columns.get(EXTRA, ()) if each)
            self._unknown |= {f"{file.stream}:{table}/{name}" for each in extra for name in each}
        return read

    def _refused(self, cut: TransformResult, file: File, why: RecordError) -> File:
        """Set a file apart, and mark it as such."""
        (whole, *_) = self._declared.of_stream(file.stream)
        key = {name: file.row[name] for name in whole.key}
        cut.rejected.append(replace(self._rejected(file.stream, file.body or b"", key, why), row=file.row))
        return cast("FileSource", self._source).refuse(file, why.reason)


_Read = Mapping[str, Columns]


def _of_part(read: Sequence[_Read | RecordError], part: schema.Table, whole: schema.Table) -> pa.Table:
    """Return the rows of one table in all files that could be read."""
    some = [
        (ordinal, each[part.name])
        for ordinal, each in enumerate(read)
        if isinstance(each, Mapping) and part.name in each
    ]
    return flatten_files(some, part, _own_key(part, whole))


def _beside(read: _Read | RecordError, whole: schema.Table) -> object:
    """Return what a file says beside its rows, which its own row keeps."""
    about = read.get(whole.name, {}) if isinstance(read, Mapping) else {}
    return next(iter(about.get(EXTRA, ())), None)


def _own_key(part: schema.Table, whole: schema.Table) -> list[str]:
    """Return the columns that tell the rows of one file apart."""
    return [name for name in part.key if name not in whole.key]


def _held(
    read: _Read | RecordError, parts: Sequence[schema.Table], whole: schema.Table
) -> _Read | RecordError:
    """Return the columns of a file, or what is wrong with them where they do not fit their declared types."""
    try:
        for part in parts:
            _of_part([read], part, whole)
    except PlacedRecordError as bad:
        return bad.why
    return read


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles while objects are made by the million: decoded records and files hold none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
