"""The views of `sql/staging/` and `sql/mart/` in the SQL of other engines.

sqlglot (the extra `marts`) translates names, types, filters and the order of NULLs. The rules here are for
what it leaves as it is, or turns into what answers otherwise. They are few because the views are written in
what most engines share: a test holds them to it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlglot
from sqlglot import ErrorLevel, exp

from etl.views import SCHEMAS, UTC, views

WRITTEN = "duckdb"
"""The dialect the views are written in."""

SECONDS: Mapping[str, str] = {
    "bigquery": "UNIX_MICROS(:value) / 1000000",
    "postgres": "CAST(EXTRACT(EPOCH FROM :value) AS DOUBLE PRECISION)",
    "snowflake": "CAST(DATE_PART(EPOCH_MICROSECOND, :value) AS DOUBLE) / 1000000",
    "spark": "UNIX_MICROS(:value) / CAST(1000000 AS DOUBLE)",
    "trino": "TO_UNIXTIME(:value)",
}
"""Seconds since 1970 with their fraction, where EXTRACT(EPOCH ...) is none, cuts it off or is a decimal."""

UTC_DAY: Mapping[str, str] = {
    "spark": "DATE_FROM_UNIX_DATE(CAST(FLOOR(UNIX_MICROS(:value) / 86400000000) AS INT))",
}
DAY: Mapping[str, str] = {
    "bigquery": "DATE(:value, :zone)",
    "spark": (
        "DATE_FROM_UNIX_DATE("
        "CAST(FLOOR(UNIX_MICROS(FROM_UTC_TIMESTAMP(:value, :zone)) / 86400000000) AS INT))"
    ),
}
"""The day in a time zone, where a cast would give that of the session's."""

WEEK: Mapping[str, str] = {
    "bigquery": "DATE_TRUNC(:value, ISOWEEK)",
    "snowflake": "DATEADD(DAY, 1 - DAYOFWEEKISO(:value), :value)",
    "spark": "TRUNC(:value, 'WEEK')",
}
"""The Monday of a day's week, where weeks begin otherwise or a day becomes a moment."""

MONTH: Mapping[str, str] = {
    "bigquery": "DATE_TRUNC(:value, MONTH)",
    "spark": "TRUNC(:value, 'MONTH')",
}
"""The first day of a day's month, likewise."""

MEDIAN: Mapping[str, str] = {
    "bigquery": (
        "(ARRAY_AGG(:value IGNORE NULLS ORDER BY :value)[SAFE_ORDINAL(DIV(COUNT(:value) + 1, 2))]"
        " + ARRAY_AGG(:value IGNORE NULLS ORDER BY :value)[SAFE_ORDINAL(DIV(COUNT(:value), 2) + 1)]) / 2"
    ),
    "trino": (
        "(ELEMENT_AT(ARRAY_SORT(ARRAY_AGG(:value) FILTER(WHERE :value IS NOT NULL)), (COUNT(:value) + 1) / 2)"
        " + ELEMENT_AT(ARRAY_SORT(ARRAY_AGG(:value) FILTER(WHERE :value IS NOT NULL)), COUNT(:value) / 2 + 1)"
        ") / 2"
    ),
}
"""The exact median, where the engine has only an approximate one among its aggregates."""

RANK: Mapping[str, str] = {"spark": "CAST(:value AS BIGINT)"}
"""Ranks and row numbers as integers of 64 bits, where they have 32."""


def _seconds(node: exp.Expr) -> Any:  # noqa: ANN401 -- sqlglot's own nodes
    """Return the moment whose seconds since 1970 the node asks for; None for other nodes."""
    is_epoch = isinstance(node, exp.Extract) and node.name.upper() == "EPOCH"
    return node.expression if is_epoch else None


def _day(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return the moment in a time zone whose day the node asks for."""
    is_day = isinstance(node, exp.Cast) and node.is_type("date") and isinstance(node.this, exp.AtTimeZone)
    return node.this if is_day else None


def _utc_day(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return the moment whose day in UTC the node asks for."""
    at = _day(node)
    return at.this if at is not None and at.args["zone"].name == UTC else None


def _week(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return the day of whose week the node asks for the Monday."""
    return _truncated(node, "WEEK")


def _month(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return the day of whose month the node asks for the first day."""
    return _truncated(node, "MONTH")


def _truncated(node: exp.Expr, unit: str) -> Any:  # noqa: ANN401
    """Return the day of which the node asks for the first one in such a unit."""
    is_date = isinstance(node, exp.Cast) and node.is_type("date")
    if not is_date or not isinstance(node.this, exp.TimestampTrunc):
        return None
    return node.this.this if node.this.text("unit").upper() == unit else None


def _median(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return what the node asks the median of."""
    return node.this if isinstance(node, exp.Median) else None


def _rank(node: exp.Expr) -> Any:  # noqa: ANN401
    """Return the node itself where it is a rank or a row number."""
    ranks = (exp.RowNumber, exp.Rank, exp.DenseRank)
    return node.copy() if isinstance(node, exp.Window) and isinstance(node.this, ranks) else None


RULES: tuple[tuple[Callable[[exp.Expr], Any], Mapping[str, str]], ...] = (
    (_seconds, SECONDS),
    (_utc_day, UTC_DAY),
    (_day, DAY),
    (_week, WEEK),
    (_month, MONTH),
    (_median, MEDIAN),
    (_rank, RANK),
)
"""What is found in a query, and what stands for it in the dialects where that is needed."""


def statements(dialect: str, zone: str = UTC) -> Iterator[str]:
    """Yield the statements that make all views over tables that are there, each after what it reads.

    The days are those of a time zone.
    """
    for schema in SCHEMAS:
        yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for view in views():
        query = translated(view.query_in(zone), dialect)
        yield f"-- {view.doc}\nCREATE OR REPLACE VIEW {view.qualified} AS\n{query}"


def translated(query: str, dialect: str) -> str:
    """Return a query of the views in another dialect.

    Raises sqlglot's errors for what is no query, and for what the dialect has no words for.
    """
    tree = sqlglot.parse_one(query, read=WRITTEN)
    for find, templates in RULES:
        if dialect in templates:
            _replace(tree, find, sqlglot.parse_one(templates[dialect], read=dialect))
    return tree.sql(dialect, pretty=True, unsupported_level=ErrorLevel.RAISE)


def _replace(tree: exp.Expr, find: Callable[[exp.Expr], Any], template: exp.Expr) -> None:
    """Put the template, with what was found as its value, in the place of each node where something is."""
    # In a list first: what is put there holds what was found, and would be found again.
    for node in list(tree.walk()):
        value = find(node)
        if value is not None:
            parts = {"value": value}
            if isinstance(value, exp.AtTimeZone):
                parts = {"value": value.this, "zone": value.args["zone"]}
            node.replace(exp.replace_placeholders(template.copy(), **parts))
