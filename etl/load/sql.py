"""Fragments of SQL, made from lists of declared column names."""

from collections.abc import Iterable

from etl.schema import Table, quote


def names(columns: Iterable[str], of: str = "") -> str:
    """Return the columns as a list, of one relation where it is named."""
    return ", ".join(f"{of}.{quote(name)}" if of else quote(name) for name in columns)


def equal(columns: Iterable[str], left: str, right: str) -> str:
    """Return the condition that two rows agree in these columns, none of which is ever NULL."""
    return " AND ".join(f"{left}.{quote(name)} = {right}.{quote(name)}" for name in columns)


def deletion(table: Table, key: Iterable[str], others: str) -> str:
    """Return the statement that deletes the rows of a table with a key, or a whole's, that others list."""
    return f"DELETE FROM {table.qualified} AS stored USING {others} WHERE {equal(key, 'stored', others)}"


def plain(columns: Iterable[str], table: Table) -> dict[str, bool]:
    """Return the columns, each with whether it must be compared as text.

    JSON has no order of its own in DuckDB.
    """
    return {name: table.columns[name].type == "json" for name in columns}


def among(column: str, others: str, other: str = "") -> str:
    """Return the condition that this column of `stored` has a value that others have too.

    On one column alone DuckDB filters while it scans: the other columns are read of what is left.
    """
    return f"stored.{quote(column)} IN (SELECT {quote(other or column)} FROM {others})"


def same(columns: dict[str, bool], left: str, right: str) -> str:
    """Return the condition that two rows agree in these columns, NULL agreeing with NULL."""
    return " AND ".join(
        f"CAST({left}.{quote(name)} AS VARCHAR) IS NOT DISTINCT FROM CAST({right}.{quote(name)} AS VARCHAR)"
        if is_json
        else f"{left}.{quote(name)} IS NOT DISTINCT FROM {right}.{quote(name)}"
        for name, is_json in columns.items()
    )
