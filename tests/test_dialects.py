"""The marts in the SQL of other engines: each is read again by sqlglot, Spark's is run by Sail.

Sail is a server of Spark Connect. What it answers over Parquet files must be what DuckDB answers over the
same: floats within 1e-9, all else exactly, whatever the time zone of the session is.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from conftest import ROOT, TABLES, Plant, Ran, Sightglass
from sqlglot import exp
from support.marts import CASES, CLOCK, FOUND, VIEWS, load, made, zone_of

from etl.cli.marts import DIALECTS
from etl.dialects import WRITTEN, statements, translated
from etl.views import READ, UTC, View, views

LITTLE = {"applications": 3, "records": 45}
ZONES = ("UTC", "Europe/Berlin")
MARTS = [view.qualified for view in views() if view.schema == "mart"]

MADE = re.compile(r"^CREATE (?:OR REPLACE VIEW|SCHEMA IF NOT EXISTS) ((?:\w+\.\w+)?)", re.MULTILINE)
"""Finds the name of the view that a statement makes; empty where it makes a schema."""
PACKAGES = Path(os.environ.get("TEST_SPARK", Path(sys.prefix, "spark")))
"""Where Sail and its client are: theirs are packages, such as numpy, that the rest must do without."""

Rows = list[tuple[Any, ...]]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@every_dialect
def test_views_are_made_in_an_order_that_can_be_run(dialect: str) -> None:
    """Each reads declared tables and what was made before it, and sqlglot reads it as that dialect."""
    known = {*TABLES}
    created = []
    for tree in sqlglot.parse(";\n".join(statements(dialect)), read=dialect):
        assert isinstance(tree, exp.Create)
        if tree.kind == "SCHEMA":
            continue
        own = {cte.alias for cte in tree.find_all(exp.CTE)}
        read = {
            f"{each.db}.{each.name}" if each.db else each.name for each in tree.expression.find_all(exp.Table)
        }
        assert (True, set()) == (tree.args["replace"], read - own - known)
        created.append(f"{tree.this.db}.{tree.this.name}")
        known.add(created[-1])

    assert list(VIEWS) == created


@every_dialect
def test_command_prints_the_statements(tmp_path: Path, dialect: str) -> None:
    """And nothing else, each with a semicolon; it needs neither settings nor a warehouse."""
    ran = Sightglass(tmp_path)("marts", "--dialect", dialect)

    assert Ran(0, "".join(f"{each};\n\n" for each in statements(dialect)), "") == ran
    assert [] == list(tmp_path.iterdir())


def test_command_lets_days_begin_elsewhere(tmp_path: Path) -> None:
    """In a time zone that there is."""
    ran = Sightglass(tmp_path)("marts", "--dialect", "trino", "--time-zone", "Asia/Tokyo")
    refused = Sightglass(tmp_path)("marts", "--dialect", "trino", "--time-zone", "Mars/Base")

    printed = "".join(f"{each};\n\n" for each in statements("trino", "Asia/Tokyo"))
    assert Ran(0, printed, "") == ran
    assert ("'Asia/Tokyo'" in printed, "'UTC'" in printed) == (True, False)
    assert (2, "") == (refused.code, refused.out)
    assert "'Mars/Base' is no time zone such as Europe/Berlin" in refused.err


def test_command_needs_a_dialect(tmp_path: Path) -> None:
    """One that it has."""
    ran = [Sightglass(tmp_path)("marts", *given) for given in ((), ("--dialect", "basic"))]

    assert [(2, "")] * 2 == [(each.code, each.out) for each in ran]
    assert [True, True] == [", ".join(map(repr, DIALECTS)) in each.err for each in ran[1:]] + [
        "Missing option '--dialect'" in ran[0].err
    ]


EXPECTED = {
    ("median(v)", "spark"): "MEDIAN(v)",
    ("median(v)", "postgres"): "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY v)",
    ("median(v)", "snowflake"): "MEDIAN(v)",
    ("median(v)", "bigquery"): (
        "( ARRAY_AGG(v IGNORE NULLS ORDER BY v)[SAFE_ORDINAL(DIV(COUNT(v) + 1, 2))] + "
        "ARRAY_AGG(v IGNORE NULLS ORDER BY v)[SAFE_ORDINAL(DIV(COUNT(v), 2) + 1)] ) / 2"
    ),
    ("median(v)", "trino"): (
        "( ELEMENT_AT(ARRAY_SORT(ARRAY_AGG(v) FILTER(WHERE NOT v IS NULL)), ( COUNT(v) + 1 ) / 2) + "
        "ELEMENT_AT(ARRAY_SORT(ARRAY_AGG(v) FILTER(WHERE NOT v IS NULL)), COUNT(v) / 2 + 1) ) / 2"
    ),
    ("extract(EPOCH FROM t)", "spark"): "UNIX_MICROS(t) / CAST(1000000 AS DOUBLE)",
    ("extract(EPOCH FROM t)", "postgres"): "CAST(EXTRACT(EPOCH FROM t) AS DOUBLE PRECISION)",
    ("extract(EPOCH FROM t)", "snowflake"): "CAST(DATE_PART(EPOCH_MICROSECOND, t) AS DOUBLE) / 1000000",
    ("extract(EPOCH FROM t)", "bigquery"): "UNIX_MICROS(t) / 1000000",
    ("extract(EPOCH FROM t)", "trino"): "TO_UNIXTIME(t)",
    ("CAST(t AT TIME ZONE 'UTC' AS DATE)", "spark"): (
        "DATE_FROM_UNIX_DATE(CAST(FLOOR(UNIX_MICROS(t) / 86400000000) AS INT))"
    ),
    ("CAST(t AT TIME ZONE 'Asia/Tokyo' AS DATE)", "spark"): (
        "DATE_FROM_UNIX_DATE( CAST(FLOOR( UNIX_MICROS(FROM_UTC_TIMESTAMP(CAST(t AS TIMESTAMP), "
        "'Asia/Tokyo')) / 86400000000 ) AS INT) )"
    ),
    ("CAST(t AT TIME ZONE 'Asia/Tokyo' AS DATE)", "bigquery"): "DATE(t, 'Asia/Tokyo')",
    ("CAST(t AT TIME ZONE 'Asia/Tokyo' AS DATE)", "postgres"): "CAST(t AT TIME ZONE 'Asia/Tokyo' AS DATE)",
    ("CAST(t AT TIME ZONE 'UTC' AS DATE)", "postgres"): "CAST(t AT TIME ZONE 'UTC' AS DATE)",
    ("CAST(t AT TIME ZONE 'UTC' AS DATE)", "snowflake"): "CAST(CONVERT_TIMEZONE('UTC', t) AS DATE)",
    ("CAST(t AT TIME ZONE 'UTC' AS DATE)", "bigquery"): "DATE(t, 'UTC')",
    ("CAST(t AT TIME ZONE 'UTC' AS DATE)", "trino"): "CAST(AT_TIMEZONE(t, 'UTC') AS DATE)",
    ("CAST(date_trunc('week', d) AS DATE)", "spark"): "TRUNC(d, 'WEEK')",
    ("CAST(date_trunc('week', d) AS DATE)", "postgres"): "CAST(DATE_TRUNC('WEEK', d) AS DATE)",
    ("CAST(date_trunc('week', d) AS DATE)", "snowflake"): "DATEADD(DAY, 1 - DAYOFWEEKISO(d), d)",
    ("CAST(date_trunc('week', d) AS DATE)", "bigquery"): "DATE_TRUNC(d, ISOWEEK)",
    ("CAST(date_trunc('week', d) AS DATE)", "trino"): "CAST(DATE_TRUNC('WEEK', d) AS DATE)",
    ("CAST(date_trunc('month', d) AS DATE)", "spark"): "TRUNC(d, 'MONTH')",
    ("CAST(date_trunc('month', d) AS DATE)", "bigquery"): "DATE_TRUNC(d, MONTH)",
    ("CAST(date_trunc('month', d) AS DATE)", "snowflake"): "CAST(DATE_TRUNC('MONTH', d) AS DATE)",
    ("row_number() OVER (ORDER BY v)", "spark"): "CAST(ROW_NUMBER() OVER (ORDER BY v NULLS LAST) AS BIGINT)",
    ("row_number() OVER (ORDER BY v)", "trino"): "ROW_NUMBER() OVER (ORDER BY v)",
    ("rank() OVER (ORDER BY v DESC)", "spark"): "CAST(RANK() OVER (ORDER BY v DESC) AS BIGINT)",
    ("rank() OVER (ORDER BY v DESC)", "postgres"): "RANK() OVER (ORDER BY v DESC NULLS LAST)",
    ("dense_rank() OVER (ORDER BY v)", "spark"): "CAST(DENSE_RANK() OVER (ORDER BY v NULLS LAST) AS BIGINT)",
    ("dense_rank() OVER (ORDER BY v)", "bigquery"): "DENSE_RANK() OVER (ORDER BY v NULLS LAST)",
    ("count(*) FILTER (WHERE v)", "snowflake"): "COUNT_IF(v)",
    ("count(*) FILTER (WHERE v)", "bigquery"): "COUNTIF(v)",
}
"""What the forms become that the views are written in."""


@pytest.mark.parametrize(("form", "dialect"), EXPECTED)
def test_form_in_another_dialect(form: str, dialect: str) -> None:
    """Medians are exact, days those of UTC, ranks 64 bits wide, and seconds have their fraction."""
    found = translated(f"SELECT {form} AS a", dialect)

    assert f"SELECT {EXPECTED[form, dialect]} AS a" == " ".join(found.split())


def test_what_a_dialect_has_no_words_for_is_refused() -> None:
    """It is never left out."""
    with pytest.raises(sqlglot.UnsupportedError, match="JSONPathWildcard"):
        translated("SELECT json_extract_string(a, '$.*') FROM x", "bigquery")


SHARED = {
    *(
        "ABS",
        "AVG",
        "BOOL_AND",
        "BOOL_OR",
        "CASE",
        "CAST",
        "COALESCE",
        "COUNT",
        "CURRENT_TIMESTAMP",
        "DENSE_RANK",
        "EXISTS",
    ),
    *(
        "EXTRACT",
        "FIRST_VALUE",
        "FLOOR",
        "LAG",
        "LN",
        "LOGICAL_AND",
        "LOGICAL_OR",
        "LOWER",
        "MAX",
        "MEDIAN",
        "MIN",
        "NULLIF",
        "PERCENT_RANK",
    ),
    *("LENGTH", "RANK", "ROW_NUMBER", "SQRT", "SUBSTRING", "SUM", "TIMESTAMP_TRUNC"),
}
"""What each engine has, or a rule makes of what it has: sqlglot passes on what it does not know."""


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_use_no_function_but_those_of_all_engines(view: View) -> None:
    """Another one needs a look at each engine, and a rule where it differs."""
    tree = sqlglot.parse_one(view.query, read=WRITTEN)
    # AND, OR and the branches of CASE are functions to sqlglot.
    found = {
        each.sql_name() for each in tree.find_all(exp.Func) if not isinstance(each, exp.Connector | exp.If)
    }

    assert set() == found - SHARED


@contextmanager
def filled(case: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the tables of a case."""
    with made(zone_of(case)) as connection:
        for path in case.glob("*.*.csv"):
            load(connection, path.stem, path)
        yield connection


def answer(connection: duckdb.DuckDBPyConnection, view: str) -> Rows:
    """What DuckDB answers to a view."""
    connection.execute("SET TimeZone = 'UTC'")
    return rows_of(view, connection.table(view).to_arrow_table())


def rows_of(view: str, table: pa.Table) -> Rows:
    """The rows in one order, without what is measured against the clock; times in UTC."""
    names = [name for name in table.column_names if name not in CLOCK.get(view, ())]
    columns = [
        table[name].cast(pa.timestamp("us", "UTC"))
        if pa.types.is_timestamp(table[name].type)
        else table[name]
        for name in names
    ]
    found = list(zip(*(column.to_pylist() for column in columns), strict=True))
    return sorted(found, key=lambda row: [str(round(v, 6) if isinstance(v, float) else v) for v in row])


def differing(expected: Rows, found: Rows) -> list[tuple[Any, Any]]:
    """The pairs of rows that differ, by more than a float may."""
    if len(expected) != len(found):
        return [(len(expected), len(found))]
    return [
        (one, other)
        for one, other in zip(expected, found, strict=True)
        if not all(is_same(*pair) for pair in zip(one, other, strict=True))
    ]


def is_same(one: object, other: object) -> bool:
    """Whether two values are equal and of one type; floats within 1e-9."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_what_is_printed_for_duckdb_answers_as_the_views(case: Path) -> None:
    """What sqlglot reads of the views is what they say."""
    mart = f"mart.{case.relative_to(CASES).parts[0]}"
    with filled(case) as connection:
        expected = answer(connection, mart)
        for statement in statements(WRITTEN, zone_of(case)):
            connection.execute(statement)

        assert [] == differing(expected, answer(connection, mart))


class Spark:
    """A process that answers views as Spark does."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    def __call__(
        self, tables: Mapping[str, Path], marts: Sequence[str], folder: Path, plant: str = UTC
    ) -> dict[str, dict[str, Rows]]:
        """By time zone, what the marts answer over tables that are folders of Parquet files.

        Days are those of the plant's time zone.
        """
        needed = {"", *marts, *(f"staging.{name}" for mart in marts for name in staged(mart))}
        folder.mkdir()
        job = {
            "format": "parquet",
            "tables": {name: str(path) for name, path in tables.items()},
            "statements": [each for each in statements("spark", plant) if MADE.findall(each)[0] in needed],
            "zones": ZONES,
            "views": marts,
            "folder": str(folder),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert '""\n' == said
        return {
            zone: {mart: rows_of(mart, pq.read_table(folder / f"{number}.{mart}.parquet")) for mart in marts}
            for number, zone in enumerate(ZONES)
        }


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """Sail, and a client of it, both in an environment of their own, which `make setup` makes."""
    if not (PACKAGES / "pysail").is_dir():
        pytest.fail(f"{PACKAGES} holds no Sail; `make setup` does this, or set TEST_SPARK")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "NO_PROXY": "127.0.0.1"}
    log = tmp_path_factory.mktemp("spark") / "log"
    with (
        log.open("w") as told,
        Popen(
            [sys.executable, ROOT / "tests" / "spark.py"],
            env=environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=told,
            encoding="utf-8",
        ) as process,
    ):
        try:
            yield Spark(process)
        finally:
            process.kill()


def staged(name: str) -> set[str]:
    """The names of the views in `staging` that a view reads, by others too."""
    own = set(READ.findall(VIEWS[name].query))
    return own.union(*(staged(f"staging.{each}") for each in own))


def tables_of(name: str) -> set[str]:
    """The tables that a view reads, by others too."""
    texts = [VIEWS[each].query for each in (name, *(f"staging.{each}" for each in staged(name)))]
    return {table for text in texts for table in re.findall(r"\b(?:cogniac|neurons|etl)\.\w+", text)}


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_spark_answers_to_each_case_what_duckdb_does(case: Path, spark: Spark, tmp_path: Path) -> None:
    """Over the rows by which each mart is held to what it answers, in either time zone."""
    mart = f"mart.{case.relative_to(CASES).parts[0]}"
    folders = {table: tmp_path / table for table in tables_of(mart)}
    with filled(case) as connection:
        expected = answer(connection, mart)
        for table, folder in folders.items():
            folder.mkdir()
            columns = pa.schema([each.with_nullable(nullable=True) for each in TABLES[table].arrow()])
            pq.write_table(connection.table(table).to_arrow_table().cast(columns), folder / "all.parquet")
    found = spark(folders, [mart], tmp_path / "answers", zone_of(case))

    assert expected
    assert {zone: [] for zone in ZONES} == {
        zone: differing(expected, marts[mart]) for zone, marts in found.items()
    }


EMPTY = {"mart.aoi_ranking", "mart.attention_drop", "mart.brand_exposure", "mart.postback_reconciliation"}
"""Marts over what the few records of the simulators have none of; their cases have it."""


def test_spark_answers_over_the_lake_what_duckdb_does(served: Plant, spark: Spark, tmp_path: Path) -> None:
    """All marts, over the files that a run has published."""
    sightglass = Sightglass(tmp_path, served.settings)
    code = sightglass("run").code
    lake = sightglass.home / "lake"
    with duckdb.connect(sightglass.home / "bi.duckdb", read_only=True) as connection:
        expected = {mart: answer(connection, mart) for mart in MARTS}
    tables = {table: lake.joinpath(*table.split(".")) for table in TABLES}
    found = spark(tables, MARTS, tmp_path / "answers")

    assert (0, EMPTY) == (code, {mart for mart, rows in expected.items() if not rows})
    assert {zone: {mart: [] for mart in MARTS} for zone in ZONES} == {
        zone: {mart: differing(expected[mart], rows) for mart, rows in marts.items()}
        for zone, marts in found.items()
    }
