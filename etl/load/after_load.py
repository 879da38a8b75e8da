"""What follows from the rows that a batch wrote, as the SQL of their source says.

`sql/<source>/dropped/<table>.sql` is a query for the keys of rows that go, with their parts, from a table
without a history. `sql/<source>/after_load/` holds statements that are run after that, in the order of their
names; those in a folder of the name of a stream in it only where the batch brought something of that stream.
All may use `$run_id`.
"""

from collections.abc import Collection, Iterator

from etl import schema
from etl.extract.stream import THE_RUN
from etl.load.sql import deletion
from etl.schema import Source


def after_load(source: Source, streams: Collection[str]) -> Iterator[str]:
    """Yield the statements to run, in order, after a batch that brought something of these streams.

    What was done by hand, as `THE_RUN`, may be about any.
    """
    for name, query in _texts(source, "dropped"):
        table = source.tables[name]
        yield f"CREATE OR REPLACE TEMP TABLE dropped AS\n{query}"
        for each in (*source.parts_of(table), table):
            yield deletion(each, table.key, "dropped")
    if THE_RUN in streams:
        streams = {table.declared.stream for table in source.tables.values()}
    for kind in ("after_load", *(f"after_load/{name}" for name in sorted(streams))):
        for _, statement in _texts(source, kind):
            yield statement


def _texts(source: Source, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the files of one kind."""
    for path in sorted((schema.sql_of(source.name) / source.name / kind).glob("*.sql")):
        yield path.stem, schema.statement(f"{source.name}/{kind}/{path.stem}")
