"""What the API sent, without the media and people that are to be forgotten."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from etl.declaration import ROOT
from etl.extract.forgotten import GONE, Forgotten, Members
from etl.extract.stream import (
    Action,
    Bundle,
    Delivery,
    End,
    File,
    Page,
    Watermark,
    as_received,
    stand_in,
)
from etl.schema import Source, Table
from etl.transform.shape import ADDED, paths_of
from etl.values import UNREADABLE

MEDIUM = "medium"


def members_of(*declared: Source) -> Members:
    """Return the names of members, and of columns, by which sources say who is meant."""
    about, ids = set[str](), set[str]()
    for table in (table for source in declared for table in source.tables.values()):
        for name, column in table.columns.items():
            if column.identifies:
                ids |= {name, *(path.rpartition("/")[2] for path in paths_of(name, column))}
            if column.identifies == MEDIUM and table.not_null(name):
                about.add(name)
    return Members(frozenset(about), frozenset(ids))


class Forgetter:
    """Takes those who are to be forgotten out of what one source delivers."""

    def __init__(
        self, declared: Source, forgotten: Forgotten, renamed: Mapping[str, str] | None = None
    ) -> None:
        """Know as well the ids of what was refused, by `renamed`, that have changed with it."""
        self._declared = declared
        self._forgotten = forgotten
        self._renamed = renamed or {}
        self._own = members_of(declared)
        # What is told of media to the tables is told by their ids.
        self._told = replace(self._own, ids=self._own.ids | {"id"})
        self._paths: dict[str, list[list[list[str]]]] = {}
        self._kept: dict[str, frozenset[str]] = {}

    def bundle(self, bundle: Bundle) -> tuple[Bundle, dict[str, int]]:
        """Return what was delivered without them, and by stream how many records and files are left out."""
        if not self._forgotten:
            return bundle, {}
        left_out: dict[str, int] = {}
        made: list[Delivery] = []
        for each in bundle:
            new = self.delivery(each)
            if isinstance(each, Page):
                count = len(each.records) - (len(new.records) if isinstance(new, Page) else 0)
            else:
                count = int(isinstance(each, File) and each.body is not None and new is None)
            if count and isinstance(each, Page | File):
                left_out[each.stream] = left_out.get(each.stream, 0) + count
            if new is not None:
                made.append(new)
        return made, left_out

    def delivery(self, delivery: Delivery) -> Delivery | None:
        """Return one thing delivered without them; itself where it names none, None where it is about one."""
        forgotten = self._forgotten
        if isinstance(delivery, Page):
            return self._page(delivery)
        if isinstance(delivery, File):
            return self._file(delivery)
        if isinstance(delivery, Action):
            told = self._renumbered(forgotten.value(dict(delivery.parameters), self._told))
            return delivery if told == delivery.parameters else Action(delivery.name, told)
        if isinstance(delivery, Watermark):
            return replace(delivery, notice=forgotten.text(delivery.notice)) if delivery.notice else delivery
        if isinstance(delivery, End):
            return End(forgotten.text(delivery.error)) if delivery.error else delivery
        return delivery

    def record(self, stream: str, record: bytes) -> bytes | None:
        """Return a record without them; itself where it names none, None where it is about one."""
        given = bytes(record)
        received = as_received(given)
        try:
            value = msgspec.json.decode(received)
        except UNREADABLE:
            return self._no_json(record, received)
        if isinstance(value, dict) and any(self._names(value, paths) for paths in self._paths_of(stream)):
            return None
        new = self._forgotten.value(value, self._own, self._kept_of(stream))
        if new is value:
            return record
        if new is GONE:
            return None
        return msgspec.Raw(msgspec.json.encode(new))

    def _no_json(self, record: bytes, received: bytes) -> bytes | None:
        before, text = self._forgotten.media_met, received.decode(errors="surrogateescape")
        new = self._forgotten.text(text)
        if self._forgotten.media_met > before or new is GONE:
            return None
        return record if new == text else stand_in(new.encode(errors="surrogateescape"))

    def _page(self, page: Page) -> Page | None:
        made = [self.record(page.stream, each) for each in page.records]
        if all(new is old for new, old in zip(made, page.records, strict=True)):
            return page
        left = [each for each in made if each is not None]
        return Page(page.stream, left, page.context) if left else None

    def _file(self, file: File) -> File | None:
        (whole, *_) = self._declared.of_stream(file.stream)
        row = dict(file.row)
        if any(self._forgotten.is_medium(row.get(name)) for name in _naming(whole)):
            return None
        new = self._forgotten.value(row, self._own)
        body = self._forgotten.content(file.body) if file.body is not None else None
        if new is row and body is file.body:
            return file
        return replace(file, row=new, name=self._forgotten.text(file.name), body=body)

    def _renumbered(self, value: Any) -> Any:  # noqa: ANN401 -- any JSON
        if not self._renamed:
            return value
        return {
            name: self._renamed.get(each, each) if isinstance(each, str) else each
            for name, each in value.items()
        }

    def _names(self, value: Any, paths: Sequence[Sequence[str]]) -> bool:  # noqa: ANN401 -- any JSON
        """Whether the first of these paths that holds a value leads to a medium that is to be forgotten."""
        for path in paths:
            found = value
            for name in path:
                found = found.get(name) if isinstance(found, dict) else None
            if found is not None:
                return self._forgotten.is_medium(found)
        return False

    def _paths_of(self, stream: str) -> list[list[list[str]]]:
        """Where a record of a stream says which medium it is about."""
        if stream not in self._paths:
            self._paths[stream] = [list(paths) for paths in self._found_paths(stream)]
        return self._paths[stream]

    def _found_paths(self, stream: str) -> Iterator[list[list[str]]]:
        for table in self._declared.of_stream(stream):
            for name in _naming(table):
                paths = paths_of(name, table.columns[name])
                if table.declared.at != ROOT:
                    paths = tuple(path[1:] for path in paths if path.startswith("/"))
                if own := [path.split("/") for path in paths if not path.startswith(ADDED)]:
                    yield own

    def _kept_of(self, stream: str) -> frozenset[str]:
        """Return the lists in records whose elements stay, for their rows are about the record's medium."""
        if stream not in self._kept:
            self._kept[stream] = frozenset(
                place.removesuffix("[]").replace("[]/", "/")
                for table in self._declared.of_stream(stream)
                for place in table.declared.at
                if place.endswith("[]") and ADDED not in place
            )
        return self._kept[stream]


def _naming(table: Table) -> list[str]:
    """Return the columns that say which medium a row is about."""
    return [
        name for name, column in table.columns.items() if column.identifies == MEDIUM and table.not_null(name)
    ]
