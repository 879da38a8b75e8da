"""The language of `schemas/*.toml`: each key with its meaning, which `etl/reference.py` renders.

A file describes one source: a sentence of its own, then a section for each table. A section has keys and,
under `columns`, a line for each column. What a section names is checked when the file is read.
"""

from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from etl.values import FORMS, CursorKind, Form

TYPES: dict[str, tuple[Any, str]] = {
    "text": (pa.string(), "VARCHAR"),
    "integer": (pa.int64(), "BIGINT"),
    "number": (pa.float64(), "DOUBLE"),
    "boolean": (pa.bool_(), "BOOLEAN"),
    "date": (pa.date32(), "DATE"),
    "timestamp": (pa.timestamp("us", "UTC"), "TIMESTAMPTZ"),
    "json": (pa.string(), "JSON"),
}
"""The seven type words of a declaration: the Arrow type and the DuckDB type of each."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
ROOT = ("",)
"""The places of rows that stand for whole records."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column: its type, where in a record it stands, its limits and what it means."""

    type: Literal["text", "integer", "number", "boolean", "date", "timestamp", "json"]
    """What a value must be; any other sends its record to quarantine. `date` is text such as `2024-01-19`,
    `timestamp` what `forms` says, `json` any value."""
    doc: Text
    """What the column means; becomes the comment in the database and the metadata in Parquet."""
    path: str | tuple[str, ...] = ()
    """Where the value stands, seen from the object that the row is made of; the column's own name where none
    is given. `a/b` is a field of an object in it, `/a` a field of the whole record, `../a` one of the object
    around it, and `+a` what the source module sets. Of several paths the first that holds a value counts."""
    unit: str = ""
    """Unit of the value, such as `px` or `0..1`; part of the comment in the database."""
    min: float | None = None
    """Least value that is accepted."""
    max: float | None = None
    """Greatest value that is accepted."""
    required: bool = False
    """Whether a record without the value is refused; key columns always are required."""
    volatile: bool = False
    """Whether a difference in this column alone is no change: the row counts as unchanged and stays as it
    is."""
    maintained: bool = False
    """Whether only Sightglass writes the column; it is looked for in no record."""
    large: bool = False
    """Whether it may hold megabytes, of which the key is a fingerprint: it is not read to find changes."""
    identifies: Literal["", "medium", "person"] = ""
    """What the value is the id of: who asks that a medium or a person be forgotten names one. A row goes
    with the medium that a column of its key, or a required one, names."""
    forms: tuple[Form, ...] = FORMS
    """How a timestamp may be written: `number` (seconds since 1970), `iso` (ISO 8601 with an offset),
    `digits` (seconds since 1970 as text, of nine digits or more)."""

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of the column."""
        return TYPES[self.type][0]

    @property
    def comment(self) -> str:
        """What the database says of the column."""
        return f"{self.doc} Unit: {self.unit}." if self.unit else self.doc

    @property
    def sql(self) -> str:
        """The DuckDB type of the column."""
        return TYPES[self.type][1]


class Described(msgspec.Struct):
    """What a schema file says of itself; all else in it are sections, each named as its table."""

    doc: Text
    """What the source is about."""


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One section: a table, where its rows come from, and how they are kept."""

    doc: Text
    """What a row stands for; becomes the comment in the database and the metadata in Parquet."""
    columns: dict[str, Column]
    """The columns, in the order of the table. The table of a source ends with those of `[lineage]` in
    `schemas/etl.toml`, which are declared nowhere else."""
    key: tuple[str, ...] = ()
    """Columns that identify a row: a row replaces the one with the same key. The key of a part begins with
    that of its whole."""
    stream: str = ""
    """Stream of the source whose records or files the rows are made of."""
    at: tuple[str, ...] = ROOT
    """Places in a record where the rows stand: `""` is the record itself, `a` an object in it, `a[]` each
    object of a list, `a[]/b[]` of a list within, `+a[]` of a list that the source module sets."""
    cursor: CursorKind = "time"
    """What says how far the stream was read, for a table that stands for its whole records: a `time`, an
    `integer` such as the number of a change, or a `text` such as a ULID, compared by its bytes. A `version`
    is of the same type. Only times are read again by the overlap, left for the next run by the lag, read side
    by side in ranges, and read by `sightglass backfill`."""
    version: str = ""
    """Column that orders the versions of a row: an older one never replaces a newer. Where none is named, the
    version that was received last counts."""
    part_of: str = ""
    """Table of the same stream that this one belongs to: with a row of that one, the whole, all of its parts
    are replaced as a set. A part inherits the key columns of a whole that stands for whole records, in front
    of its own; of one that it declares too, what it says itself holds, and the rest is inherited."""
    history_of: str = ""
    """Table whose replaced versions are kept here; its columns come in front of the own ones."""
    versions_of: str = ""
    """Table of whose rows the times of all versions are listed here."""
    whole_by: str = ""
    """Column without which a row is abridged: such a row never replaces a full one."""
    carried_by: str = ""
    """Table whose row, made of the same record, says by its version how new a row of this one is, which has
    no time of its own. Needs a table with `copies_of`."""
    copies_of: str = ""
    """Table of which is listed here when each row was carried; `version` and `whole_by` name the columns."""
    follows: str = ""
    """Table whose rows decide what stands here: `sql/<source>/after_load/` writes it. The key begins with the
    key of that one."""
    reads: tuple[str, ...] = ()
    """Fields of the record that the source module reads and no column holds; they do not count as unknown."""
    record_hash: str = ""
    """Maintained integer column for the hash of the record a row was made of, by which a record that comes
    just as it is stored is recognized. For rows that stand for whole records."""
    bucket: str = ""
    """Column whose values say in which bucket a row is where `sightglass rebuild --remote` spreads the rows
    over workers: of the key, or required and never another in rows of one key. A part, a history, and a list
    of versions or copies have that of their table. What is looked at together (the tables of one stream, what
    a statement of the source joins) must name the same. Where a table names none, its source stays in one
    bucket."""
    by_month: str = ""
    """Time column by whose months the published table is cut; where none is named, it stays one file."""
    floor: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Fewest rows to publish: up to 1 a share of the rows published before, else their number."""

    @property
    def is_derived(self) -> bool:
        """Whether its rows are made of those of another table, not of records."""
        return bool(self.history_of or self.versions_of or self.copies_of or self.follows)


class Outline(msgspec.Struct):
    """What of a section tells which columns it inherits, as written."""

    columns: dict[str, dict[str, Any]]
    key: tuple[str, ...] = ()
    at: tuple[str, ...] = ROOT
    part_of: str = ""


def inherit(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the sections with the key columns that parts inherit; ValueError if one is malformed."""
    outlines = msgspec.convert(sections, dict[str, Outline])
    return {
        name: {**sections[name], "columns": _columns(part, outlines.get(part.part_of))}
        for name, part in outlines.items()
    }


def _columns(part: Outline, whole: Outline | None) -> dict[str, dict[str, Any]]:
    if whole is None or whole.at != ROOT:
        return part.columns
    inherited = {
        name: {**_seen_from(part, name, whole.columns[name]), **part.columns.get(name, {})}
        for name in whole.key
        if name in whole.columns
    }
    return {**inherited, **part.columns, **inherited}  # first in order, and as completed


def _seen_from(part: Outline, name: str, column: dict[str, Any]) -> dict[str, Any]:
    """Return a column of the whole with its paths as they are from where the rows of the part stand."""
    if part.at == ROOT:
        return column
    paths = column.get("path", name)
    return {**column, "path": f"/{paths}" if isinstance(paths, str) else [f"/{path}" for path in paths]}
