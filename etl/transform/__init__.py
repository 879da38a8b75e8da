"""Records and files to typed Arrow tables, by the declarations alone.

`transform` is the one way in that depends on nothing but its arguments: no network, database, file or clock,
and nothing is remembered between two calls, so that it may run anywhere, any number of times:

    from etl import schema, sources
    from etl.extract.stream import Page
    from etl.transform import transform

    page = Page("detections", [b'{"media": ...}'], {"application_id": "..."})
    tables = transform(sources.source_module("cogniac"), schema.source("cogniac"), [page])
    tables["results"]  # a pyarrow.Table

A run uses `etl.transform.batch.Transformer`, which makes the same and also tells what was refused and why.
"""

from collections.abc import Iterable

import pyarrow as pa

from etl import schema
from etl.extract.stream import Delivery, Source
from etl.transform.batch import Transformer


def transform(source: Source, declared: schema.Source, parts: Iterable[Delivery]) -> dict[str, pa.Table]:
    """Arrow tables by table name of all pages and files among the parts; other deliveries have no rows.

    Each table has its declared columns that a load fills, `_extra`, and `_record`: which record of its stream
    a row was made of, counted from 0 without those that are refused. Refused records have no rows and are not
    told; a file that is refused has a row that says so.
    """
    results = Transformer(source, declared).transform(parts)
    return {name: rows for each in results.values() for name, rows in each.tables.items()}
