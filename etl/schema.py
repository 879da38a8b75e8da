"""The declarations in `schemas/`, read once; Arrow schemas, DDL and the data dictionary derive from here."""

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from etl import plugins
from etl.declaration import ROOT, Column, Declaration, Described, inherit
from etl.declaration_checks import check
from etl.errors import ConfigError
from etl.values import VERSION_TYPES, CursorKind

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

    @property
    def no_rows(self) -> str:
        """A query for its columns, and none of its rows."""
        nulls = (f"CAST(NULL AS {column.sql}) AS {quote(name)}" for name, column in self.columns.items())
        return f"SELECT {', '.join(nulls)} WHERE false"

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

    def volatile_members(self, stream: str) -> frozenset[str]:
        """Return the members of the records of a stream in which a difference alone is no change."""
        paths = {
            path if table.declared.at == ROOT else path.removeprefix("/") * path.startswith("/")
            for table in self.of_stream(stream)
            for name, column in table.columns.items()
            if column.volatile
            for path in ([column.path or name] if isinstance(column.path, str) else column.path or [name])
        }
        return frozenset(path.removeprefix("/") for path in paths if path)

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
    """Return the names of all APIs: the schema files, and those of other packages, but the system's own."""
    ours = (path.stem for path in folder("schemas").glob("*.toml") if path.stem != SYSTEM)
    return sorted([*ours, *plugins.installed()])


@cache
def statement(name: str) -> str:
    """Return the SQL text of `sql/<name>.sql`."""
    return _sql(name).read_text(encoding="utf-8")


@cache
def has_statement(name: str) -> bool:
    """Whether there is a `sql/<name>.sql`."""
    return _sql(name).is_file()


def _sql(name: str) -> Path:
    return sql_of(name.partition("/")[0]) / f"{name}.sql"


def sql_of(source: str) -> Path:
    """Return the folder in which `<source>/` may be: that of all SQL here, or that of another package."""
    plugin = plugins.installed().get(source) if not (folder("sql") / source).is_dir() else None
    return plugin.sql if plugin else folder("sql")


@cache
def source(name: str) -> Source:
    """Return the declared tables of one schema file; ConfigError says what is wrong with the file."""
    plugin = plugins.installed().get(name) if name != SYSTEM else None
    return _of_file(plugin.schema if plugin else folder("schemas") / f"{name}.toml")


@cache
def _of_file(path: Path) -> Source:
    name = path.stem
    doc, declarations = _read(path)
    lineage = {} if name == SYSTEM else _read(folder("schemas") / f"{SYSTEM}.toml")[1][LINEAGE].columns
    declarations.pop(LINEAGE, None)
    tables = {}
    for section, declared in declarations.items():
        inherited = declarations[declared.history_of].columns if declared.history_of else {}
        tables[section] = Table(name, section, declared, {**inherited, **declared.columns, **lineage})
    made = Source(name, doc, tables)
    for table in made.tables.values():
        check(made, table)
    return made


def sources(home: Path | None = None) -> list[Source]:
    """All APIs and, last, the system's own tables; of a warehouse also those that are not installed here."""
    kept = [_of_file(each.schema) for each in plugins.kept(home).values()] if home else []
    return [*map(source, names()), *kept, source(SYSTEM)]


def _read(path: Path) -> tuple[str, dict[str, Declaration]]:
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
        doc = msgspec.convert(sections, Described).doc
        del sections["doc"]
        return doc, msgspec.convert(inherit(sections), dict[str, Declaration])
    except (OSError, ValueError) as error:
        raise ConfigError(f"schemas/{path.name}: {error}") from error
