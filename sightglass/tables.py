"""What can be asked: tables and marts with their columns, and what these hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from etl.errors import QueryError
from etl.publish.query import Parameters
from etl.schema import quote

if TYPE_CHECKING:
    import polars as pl

    from sightglass.warehouse import Warehouse

LISTED = """
    SELECT schema_name, view_name, coalesce(comment, '')
    FROM duckdb_views()
    WHERE NOT internal AND database_name = current_database()
    ORDER BY ALL"""
COLUMNS = """
    SELECT schema_name, table_name, column_name, data_type, coalesce(comment, '')
    FROM duckdb_columns()
    WHERE NOT internal AND database_name = current_database()
    ORDER BY column_index"""


class UnknownNameError(QueryError, KeyError):
    """There is no table or column of this name; says which are called alike."""

    __str__ = Exception.__str__


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what it holds."""

    name: str
    type: str
    """As DuckDB calls it."""
    doc: str


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """A table or mart that is published."""

    name: str
    """With its schema: `cogniac.detections`."""
    doc: str
    """What its rows are; of a mart the question that it answers."""
    columns: Mapping[str, Column]
    _warehouse: "Warehouse" = field(compare=False)

    def arrow(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        parameters: Parameters = None,
    ) -> pa.Table:
        """Return its rows, as `Warehouse.arrow` does."""
        return self._warehouse.arrow(self.name, columns, where, parameters)

    def polars(self) -> "pl.LazyFrame":
        """Return it as a lazy frame, as `Warehouse.polars` does."""
        return self._warehouse.polars(self.name)

    def query(
        self, columns: Sequence[str] | None = None, where: str | None = None, rows: int | None = None
    ) -> str:
        """Return the query for its rows: these columns of those that meet a condition, so many at most."""
        if isinstance(columns, str) or columns == []:
            raise QueryError(f"columns of {self.name} are a list of names, of which there must be one")
        for name in columns or ():
            if name not in self.columns:
                raise UnknownNameError(f"{self.name} has no column {name}{_alike(name, self.columns)}")
        shown = ", ".join(map(quote, columns or self.columns))
        schema, _, name = self.name.partition(".")
        # The condition may end in a comment.
        among = f" WHERE (\n{where}\n)" if where is not None else ""
        return f"SELECT {shown} FROM {quote(schema)}.{quote(name)}{among}" + (  # noqa: S608 -- names of ours
            f" LIMIT {rows:d}" if rows is not None else ""
        )

    def __repr__(self) -> str:
        width = max(map(len, self.columns), default=0)
        kind = max((len(each.type) for each in self.columns.values()), default=0)
        lines = [f"  {each.name:{width}}  {each.type:{kind}}  {each.doc}" for each in self.columns.values()]
        return "\n".join([f"{self.name}: {self.doc}", *lines])


class Catalog(Mapping[str, Table]):
    """Tables by name."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables

    @classmethod
    def read(cls, cursor: duckdb.DuckDBPyConnection, warehouse: "Warehouse") -> "Catalog":
        """Return all tables as a connection sees them."""
        columns: dict[str, dict[str, Column]] = {}
        for schema, table, *column in cursor.execute(COLUMNS).fetchall():
            columns.setdefault(f"{schema}.{table}", {})[column[0]] = Column(*column)
        docs = {f"{schema}.{name}": doc for schema, name, doc in cursor.execute(LISTED).fetchall()}
        return cls({name: Table(name, doc, columns[name], warehouse) for name, doc in docs.items()})

    def of_schemas(self, is_wanted: Callable[[str], bool]) -> "Catalog":
        """Return the tables of the schemas that are wanted."""
        found = {name: each for name, each in self._tables.items() if is_wanted(name.partition(".")[0])}
        return Catalog(found)

    def __getitem__(self, name: str) -> Table:
        found = self._tables.get(name)
        if found is not None:
            return found
        short = [each for full, each in self._tables.items() if full.partition(".")[2] == name]
        if len(short) == 1:
            return short[0]
        if short:
            raise UnknownNameError(
                f"there are several tables {name}: {', '.join(each.name for each in short)}"
            )
        raise UnknownNameError(f"there is no table {name}{_alike(name, self._tables)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        width = max(map(len, self._tables), default=0)
        return "\n".join(f"{name:{width}}  {each.doc}" for name, each in self._tables.items())


def _alike(name: str, names: Mapping[str, object]) -> str:
    """Return the question whether one of a similar name was meant; all names where none is similar."""
    short = {each.partition(".")[2] or each: each for each in names}
    found = get_close_matches(name, names, 1) or [short[each] for each in get_close_matches(name, short, 1)]
    return f": did you mean {found[0]}?" if found else f"; there are {', '.join(names)}"
