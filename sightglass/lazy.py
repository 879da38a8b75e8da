"""Lazy frames of polars over what is published: of what is not asked for, nothing is read."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from etl.publish.lake import Lake

if TYPE_CHECKING:
    from sightglass.warehouse import Answer

Ask = Callable[[Sequence[str] | None, int | None], "Answer"]
"""Gives the answer with these columns alone, or all, and so many rows at most."""


def scanned(home: Path, name: str) -> pl.LazyFrame | None:
    """Return a table as the files of the newest version hold it; None where it is no table of files."""
    lake = Lake(home)
    parts = lake.state().tables.get(name, {})
    files = [lake.path(name, part, each.since) for part, each in parts.items()]
    # Names of files are no patterns, and those of folders no columns.
    return pl.scan_parquet(files, glob=False, hive_partitioning=False) if files else None


def of_answer(ask: Ask) -> pl.LazyFrame:
    """Return what DuckDB answers: it works out the columns that are asked for, when they are collected."""
    schema = ask(None, 0).polars().schema

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        # Without any column, polars wants to know how many rows there are.
        wanted = [*schema][:1] if columns == [] else columns
        yield ask(wanted, 0).polars()
        for batch in ask(wanted, rows).reader():
            frame = pl.DataFrame(batch)
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(read, schema=schema)
