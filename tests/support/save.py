"""What tests of several files share with `test_save`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from etl import schema
from etl.extract.stream import Delivery, Page
from etl.load.changes import Outcome
from etl.load.relation import relation
from etl.load.save import Lineage, save
from etl.load.tables import prepare
from etl.load.warehouse import Warehouse
from etl.transform.batch import Transformer

Json = dict[str, Any]
Rows = list[tuple[Any, ...]]
REPEATED = "SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1"


class Bench:
    """A warehouse in memory that takes batches of one API, each as a run of its own: r1, r2, ..."""

    def __init__(self, source: schema.Source, transformer: Transformer) -> None:
        self.source = source
        self.warehouse = Warehouse(duckdb.connect())
        prepare(self.warehouse.connection, source)
        self._transformer = transformer
        self._runs = 0

    def load(self, *deliveries: Delivery) -> list[Outcome]:
        """Load a batch as the next run; the outcome of each stream in it."""
        self._runs += 1
        lineage = Lineage(f"r{self._runs}", datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=self._runs))
        with self.warehouse.transaction():
            return [self.save(tables, lineage) for tables in self.cut(*deliveries)]

    def cut(self, *deliveries: Delivery) -> list[Json]:
        """The Arrow tables of each stream."""
        return [cut.tables for cut in self._transformer.transform(deliveries).values()]

    def save(self, tables: Json, lineage: Lineage) -> Outcome:
        """Write the tables inside the transaction that is open."""
        return save(self.warehouse.connection, self.source, tables, lineage).among([(0, 1_000)])

    def rows(self, query: str) -> Rows:
        """The answer to a query."""
        return self.warehouse.connection.execute(query).fetchall()

    def everything(self) -> dict[str, Rows]:
        """All rows of all tables, lineage included, as text."""
        return {
            name: self.rows(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {relation(table)} ORDER BY ALL")  # noqa: S608
            for name, table in self.source.tables.items()
        }

    def repeated_keys(self) -> dict[str, Rows]:
        """The keys that more than one row of a table has."""
        return {
            name: rows
            for name, table in self.source.tables.items()
            if (rows := self.rows(REPEATED.format(key=", ".join(table.key), table=relation(table))))
        }


def bench(name: str, module: Any) -> Iterator[Bench]:  # noqa: ANN401 -- a module
    """A warehouse for one API, in which keys are unique whatever a test loads."""
    made = Bench(schema.source(name), Transformer(module, schema.source(name)))
    yield made
    assert {} == made.repeated_keys()
    made.warehouse.close()


def page(*records: Json, stream: str = "detections") -> Page:
    """A page as the API sends it."""
    return Page(stream, [json.dumps(each).encode() for each in records], {"application_id": "A"})
