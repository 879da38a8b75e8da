"""What follows from the rows that a batch wrote, as the SQL of their source says.

`sql/<source>/dropped/<table>.sql` is a query for the keys of rows that go, with their parts, from a table
without a history. `sql/<source>/after_load/` holds statements that are run after that, in the order of their
names. All may use `$run_id`.
"""

from collections.abc import Iterator

from etl import schema
from etl.load.sql import deletion
from etl.schema import Source


def after_load(source: Source) -> Iterator[str]:
    """Yield the statements to run, in order."""
    for name, query in _texts(source, "dropped"):
        table = source.tables[name]
        yield f"CREATE OR REPLACE TEMP TABLE dropped AS\n{query}"
        for each in (*source.parts_of(table), table):
            yield deletion(each, table.key, "dropped")
    for _, statement in _texts(source, "after_load"):
        yield statement


def _texts(source: Source, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the files of one kind."""
    for path in sorted((schema.sql_of(source.name) / source.name / kind).glob("*.sql")):
        yield path.stem, schema.statement(f"{source.name}/{kind}/{path.stem}")
