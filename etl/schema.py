"""The declarations in `schemas/`, read once; Arrow schemas, DDL and the data dictionary derive from here."""

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from etl.declaration import ROOT, Column, Declaration, Described, inherit
from etl.errors import ConfigError
from etl.values import CursorKind

LINEAGE = "lineage"
LINEAGE_TIME = "_loaded_at"
SYSTEM = "etl"


@dataclass(frozen=True, slots=True)
class Table:
    """One table: where its rows stand in the records of a stream, and its columns in order."""

    schema: str
    name: str
    declared: Declaration
    columns: dict[str, Column]
    """All columns in the order of the table, lineage included."""

    @property
    def qualified(self) -> str:
        """The name to use in SQL."""
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the columns that identify a row."""
        return self.declared.key

    @property
    def version(self) -> str:
        """Name of the column that orders the versions of a row; empty where the last one sent wins."""
        return self.declared.version

    @property
    def whole_by(self) -> str:
        """Name of a column without which a row is abridged; empty where none ever is."""
        return self.declared.whole_by

    @property
    def by_month(self) -> str:
        """Name of the time column by whose months the published table is cut; empty where it stays whole."""
        return self.declared.by_month

    @property
    def floor(self) -> float:
        """Fewest rows to publish: up to 1 as a share of the rows published before, else as their number."""
        return self.declared.floor

    @property
    def maintained(self) -> list[str]:
        """Names of the columns that only this program writes."""
        return [name for name, column in self.columns.items() if column.maintained]

    @property
    def content(self) -> list[str]:
        """Names of the columns that the API's data fills."""
        return [name for name, column in self.columns.items() if not column.maintained]

    @property
    def written(self) -> list[str]:
        """Names of the columns that a load fills from received records: the content, and their hash."""
        return [*self.content, *filter(None, [self.declared.record_hash])]

    @property
    def small(self) -> list[str]:
        """Names of the columns that tell what a row holds without its large ones."""
        return [name for name, column in self.columns.items() if not column.large]

    def not_null(self, name: str) -> bool:
        """Whether the column must have a value."""
        return name in self.key or self.columns[name].required

    def arrow(self) -> pa.Schema:
        """Return the Arrow schema of the table, with the docs as field metadata.

        Only the key is never NULL: a column may be declared as required after rows were stored without it.
        """
        return pa.schema(
            [
                pa.field(name, column.arrow, name not in self.key, {"doc": column.doc})
                for name, column in self.columns.items()
            ],
            {"doc": self.declared.doc},
        )

    def ddl(self, *, keyed: bool = False, optional: Collection[str] = ()) -> Iterator[str]:
        """Yield the statements that create the table with its comments, on request with its primary key.

        The `optional` columns may be NULL, whatever is declared.
        """
        lines = [
            f"{quote(name)} {column.sql}{' NOT NULL' if self.not_null(name) and name not in optional else ''}"
            for name, column in self.columns.items()
        ]
        if keyed:
            lines.append(f"PRIMARY KEY ({', '.join(map(quote, self.key))})")
        inside = ",\n    ".join(lines)
        yield f"CREATE TABLE IF NOT EXISTS {self.qualified} (\n    {inside}\n)"
        yield from self.comments()

    def comments(self, kind: Literal["TABLE", "VIEW"] = "TABLE") -> Iterator[str]:
        """Yield the statements that put the docs into the database."""
        yield f"COMMENT ON {kind} {self.qualified} IS {literal(self.declared.doc)}"
        for name, column in self.columns.items():
            yield f"COMMENT ON COLUMN {self.qualified}.{quote(name)} IS {literal(column.comment)}"


@dataclass(frozen=True, slots=True)
class Source:
    """One schema file: the tables of one API, or of the system itself."""

    name: str
    doc: str
    tables: dict[str, Table]

    def of_stream(self, stream: str) -> list[Table]:
        """Return the tables that are cut from records of this stream."""
        return [t for t in self.tables.values() if t.declared.stream == stream and not t.declared.is_derived]

    def bucket_of(self, table: Table) -> str:
        """Return the name of the column whose values spread the rows of a table; empty where none does."""
        declared = table.declared
        origin = declared.part_of or declared.history_of or declared.versions_of or declared.copies_of
        return declared.bucket or (self.bucket_of(self.tables[origin]) if origin in self.tables else "")

    @property
    def is_spread(self) -> bool:
        """Whether the rows of all tables can be spread over buckets, each of which is loaded by itself."""
        return all(map(self.bucket_of, self.tables.values()))

    def cursor_of(self, stream: str) -> CursorKind:
        """Return what the cursor of a stream is."""
        return next(
            (t.declared.cursor for t in self.of_stream(stream) if t.declared.cursor != "time"), "time"
        )

    def timeless(self) -> list[str]:
        """Return the streams whose cursors are no times."""
        return sorted({t.declared.stream for t in self.tables.values() if t.declared.cursor != "time"})

    def version_of(self, stream: str) -> tuple[Table, str] | None:
        """Return the table and column whose values say how far a stream has come; None where none does."""
        kind = VERSION_TYPES[self.cursor_of(stream)]
        dated = (t for t in self.of_stream(stream) if t.version and t.columns[t.version].type == kind)
        return next(((t, t.version) for t in dated), None)

    def parts_of(self, table: Table) -> list[Table]:
        """Return the tables whose rows are replaced as a set together with a row of this one."""
        return [t for t in self.tables.values() if t.declared.part_of == table.name]

    def history_of(self, table: Table) -> Table | None:
        """Return the table that keeps every version of this one's rows."""
        return next((t for t in self.tables.values() if t.declared.history_of == table.name), None)

    def following(self, table: Table) -> list[Table]:
        """Return the tables that are written by what the rows of this one say."""
        return [t for t in self.tables.values() if t.declared.follows == table.name]

    def versions_of(self, table: Table) -> Table | None:
        """Return the table that lists the times of every version of this one's rows."""
        return next((t for t in self.tables.values() if t.declared.versions_of == table.name), None)

    def carrier_of(self, table: Table) -> Table | None:
        """Return the table whose row, cut from the same record, says how new a row of this one is."""
        return self.tables.get(table.declared.carried_by)

    def copies_of(self, table: Table) -> Table | None:
        """Return the table that lists when rows of this one were carried."""
        return next((t for t in self.tables.values() if t.declared.copies_of == table.name), None)


VERSION_TYPES: dict[CursorKind, str] = {"time": "timestamp", "integer": "integer", "text": "text"}
"""Of each kind of cursor the type of the column that orders versions."""


def quote(name: str) -> str:
    """Return the name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def folder(name: str) -> Path:
    """Where the files of `schemas` or `sql` are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name


def names() -> list[str]:
    """Return the names of all APIs: the schema files, without the system's own."""
    return sorted(path.stem for path in folder("schemas").glob("*.toml") if path.stem != SYSTEM)


@cache
def statement(name: str) -> str:
    """Return the SQL text of `sql/<name>.sql`."""
    return (folder("sql") / f"{name}.sql").read_text(encoding="utf-8")


@cache
def has_statement(name: str) -> bool:
    """Whether there is a `sql/<name>.sql`."""
    return (folder("sql") / f"{name}.sql").is_file()


@cache
def source(name: str) -> Source:
    """Return the declared tables of one schema file; ConfigError says what is wrong with the file."""
    doc, declarations = _read(name)
    lineage = {} if name == SYSTEM else _read(SYSTEM)[1][LINEAGE].columns
    declarations.pop(LINEAGE, None)
    tables = {}
    for section, declared in declarations.items():
        inherited = declarations[declared.history_of].columns if declared.history_of else {}
        tables[section] = Table(name, section, declared, {**inherited, **declared.columns, **lineage})
    made = Source(name, doc, tables)
    for table in made.tables.values():
        _check(made, table)
    return made


def sources() -> list[Source]:
    """All APIs and, last, the system's own tables."""
    return [source(name) for name in [*names(), SYSTEM]]


def _read(name: str) -> tuple[str, dict[str, Declaration]]:
    path = folder("schemas") / f"{name}.toml"
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
        doc = msgspec.convert(sections, Described).doc
        del sections["doc"]
        return doc, msgspec.convert(inherit(sections), dict[str, Declaration])
    except (OSError, ValueError) as error:
        raise ConfigError(f"schemas/{path.name}: {error}") from error


def _check(made: Source, table: Table) -> None:
    """Refuse a declaration that could not be loaded, with the name of the table."""
    whole = made.tables.get(table.declared.part_of)
    problems = [f"key column {name} is not declared" for name in table.key if name not in table.columns]
    if table.declared.part_of and whole is None:
        problems.append(f"part_of names no table: {table.declared.part_of}")
    problems += _wrong_order(made, table)
    if whole is not None:
        problems += [f"lacks {name}, key of {whole.name}" for name in whole.key if name not in table.key]
    if table.declared.carried_by and not (made.carrier_of(table) and made.copies_of(table)):
        problems.append("carried_by names no table, or none lists the copies")
    problems += _wrong_cursor(made, table)
    if not problems:
        problems += _wrong_bucket(made, table)
    if table.declared.record_hash:
        problems += _wrong_hash(table)
    problems += [
        f"{what} column {name} is not declared"
        for what, name in (
            ("version", table.version),
            ("whole_by", table.whole_by),
            ("by_month", table.by_month),
        )
        if name and name not in table.columns
    ]
    month = table.columns.get(table.by_month)
    if month is not None and month.type != "timestamp":
        problems.append(f"by_month column {table.by_month} is of type {month.type}, which has no months")
    if problems:
        raise ConfigError(f"schemas/{made.name}.toml: [{table.name}] {problems[0]}")


def _wrong_order(made: Source, table: Table) -> Iterator[str]:
    """Yield why a table cannot follow the one that it names."""
    followed = made.tables.get(table.declared.follows)
    if table.declared.follows and followed is None:
        yield f"follows names no table: {table.declared.follows}"
    if followed is not None and table.key[: len(followed.key)] != followed.key:
        yield f"its key does not begin with that of {followed.name}, which it follows"


def _wrong_cursor(made: Source, table: Table) -> Iterator[str]:
    """Yield why the cursor of its stream cannot be what it is declared as."""
    declared, kind = table.declared, table.declared.cursor
    is_whole = declared.at == ROOT and table in made.of_stream(declared.stream) and not declared.part_of
    if kind != "time" and not (declared.stream and is_whole):
        yield f"cursor is declared as {kind}, but its rows do not stand for whole records of a stream"
    column = table.columns.get(table.version)
    if column is None or not is_whole or not declared.stream:
        return
    if kind != made.cursor_of(declared.stream):
        yield f"its stream {declared.stream} has another cursor than {kind}"
    if column.type != VERSION_TYPES[kind]:
        yield f"the version {table.version} is of type {column.type}, the cursor is declared as {kind}"
    keeps = [made.versions_of(table), made.copies_of(table), *map(made.history_of, made.parts_of(table))]
    if kind != "time" and any(keeps):
        yield f"history is kept by times, and its versions are of type {column.type}"


def _wrong_bucket(made: Source, table: Table) -> Iterator[str]:
    """Yield why the rows cannot be spread as it is declared."""
    name, declared = made.bucket_of(table), table.declared
    if not name:
        return
    if name not in table.columns:
        yield (
            f"lacks {name}, the bucket of its table"
            if not declared.bucket
            else (f"bucket column {name} is not declared")
        )
    elif not table.not_null(name):
        yield f"bucket column {name} is neither of the key nor required"
    others = {made.bucket_of(each) for each in made.of_stream(declared.stream)} - {name}
    if declared.stream and others:
        yield f"its stream {declared.stream} is spread by {min(others) or 'nothing'} as well as by {name}"


def _wrong_hash(table: Table) -> Iterator[str]:
    """Yield what is wrong with the column for the hash of a record; rows that share a record have none."""
    column = table.columns.get(table.declared.record_hash)
    if column is None or not column.maintained or column.type != "integer":
        yield f"record_hash names no maintained integer column: {table.declared.record_hash}"
    if table.declared.at != ROOT:
        yield "record_hash is declared, but its rows do not stand for whole records"
