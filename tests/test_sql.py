"""`sightglass sql` answers in a form for machines, or in a table for people, and changes nothing."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Ran, Sightglass, read_terminal, serving, table
from support.partitions import settings_of

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.publish.bi import open_bi
from etl.publish.query import CHANGING

KINDS = """
    SELECT
        TIMESTAMPTZ '2026-01-02 03:04:05.000006+01' AS moment,
        DATE '2026-01-02' AS day,
        NULL AS nothing,
        [1, NULL, 3] AS list,
        {'b': 'ü', 'a': [0.5::DOUBLE]} AS struct,
        JSON '{"a":[1,2]}' AS json,
        'Größe "XL", 日本' AS text,
        1e-7 AS number,
        true AS flag
"""
ANSWER = {
    "moment": "2026-01-02T02:04:05.000006Z",
    "day": "2026-01-02",
    "nothing": None,
    "list": [1, None, 3],
    "struct": {"b": "ü", "a": [0.5]},
    "json": '{"a":[1,2]}',
    "text": 'Größe "XL", 日本',
    "number": 1e-7,
    "flag": True,
}


LATE = "SELECT (CASE WHEN i = 15000 THEN 'x' ELSE '1' END)::INTEGER FROM range(20000) t(i)"
PARTS = ("list", "struct", "number", "flag")
HIDDEN = (
    "json_execute_serialized_sql(json_serialize_sql('"
    "WITH a AS (COPY (SELECT 1) TO ''{home}/versions/x.csv'') FROM a'))"
)
"""A query that writes, as a text that is no query before it is at work."""
HARMLESS = {
    "add",
    "create_sort_key",
    "current_query",
    "current_query_id",
    "date_add",
    "duckdb_live_query_metrics",
    "json_copy_strftime_if_date",
    "json_copy_strftime_if_timestamp",
    "json_remove",
    "query_table",
}
"""Functions of DuckDB that are called as if they changed something, and only read."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightglass]:
    """A warehouse with a little in it."""
    with serving(CogniacSimulator(1, CogniacSize(records=10))) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("sql"), plant.cogniac_login)
        assert 0 == sightglass("run").code
        yield sightglass


@pytest.mark.parametrize("options", [[], ["--csv"]])
def test_the_answer_is_csv_where_output_is_no_terminal(loaded: Sightglass, options: list[str]) -> None:
    """Times are ISO 8601 in UTC, NULL is empty, text is UTF-8; what is no text, or has parts, is JSON."""
    ran = loaded("sql", *options, KINDS)

    header, cells = csv.reader(ran.out.splitlines())
    found = dict(zip(header, cells, strict=True))
    assert ANSWER | {"nothing": ""} == found | {name: as_json(found[name]) for name in PARTS}
    assert (0, "") == (ran.code, ran.err)


def as_json(cell: str) -> Any:  # noqa: ANN401 -- any JSON
    """The JSON in a cell, or the cell where it is none."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def test_the_answer_is_one_json_object(loaded: Sightglass) -> None:
    """`--json` names the columns and holds each row as an object."""
    ran = loaded("sql", "--json", KINDS)

    assert ({"columns": list(ANSWER), "rows": [ANSWER]}, "", 0) == (ran.report, ran.err, ran.code)
    assert 1 == len(ran.out.splitlines())


EXOTIC = {
    "DATE '10000-01-01'": "10000-01-01",
    "DATE '0044-03-15 (BC)'": "0044-03-15 (BC)",
    "DATE 'infinity'": "infinity",
    "TIMESTAMP '-infinity'": "-infinity",
    "TIMESTAMPTZ '294247-01-10 04:00:54.775806+00'": "294247-01-10T04:00:54.775806Z",
    "TIMESTAMP '2020-01-02 03:04:05.5'": "2020-01-02T03:04:05.500000",
    "TIMESTAMP_NS '2020-01-02 03:04:05.123456789'": "2020-01-02T03:04:05.123456789",
    "TIMESTAMP_S '2020-01-02 03:04:05'": "2020-01-02T03:04:05",
    "TIME '24:00:00'": "24:00:00",
    "TIMETZ '12:00:00+01'": "12:00:00+01",
    "INTERVAL '1 month 2 days 3.5 seconds'": "1 month 2 days 00:00:03.5",
    "170141183460469231731687303715884105727::HUGEINT": 170141183460469231731687303715884105727,
    "18446744073709551615::UBIGINT": 18446744073709551615,
    "12345678901234567890123456789012345678::DECIMAL(38, 0)": 12345678901234567890123456789012345678,
    "1.50::DECIMAL(3, 2)": 1.5,
    "'101'::BIT": "101",
    r"'\x00\xFF'::BLOB": "00ff",
    "'a'::ENUM('a', 'b')": "a",
    "UUID '00000000-0000-0000-0000-000000000001'": "00000000-0000-0000-0000-000000000001",
    "union_value(one := 1)": "1",
    "MAP {DATE 'infinity': [NULL, 1.5]}": [["infinity", [None, 1.5]]],
    "array_value(1, 2)": [1, 2],
    "row(1, DATE '10000-01-01')": "(1, 10000-01-01)",
    "{'a \"b': {'c': [TIMESTAMPTZ '2020-01-02 03:04:05+01', NULL]}}": {
        'a "b': {"c": ["2020-01-02T02:04:05Z", None]}
    },
    "{'a': 'inf'::DOUBLE}": {"a": None},
    "{}": "{}",
    "[{'a': {}}]": [{"a": "{}"}],
    "NULL": None,
}
"""By what is asked for, what JSON holds of it."""


def test_values_of_every_type_are_printed(loaded: Sightglass) -> None:
    """What JSON, CSV or Python cannot hold is text, as DuckDB has it, inside of others too."""
    names = [f"c{number}" for number in range(len(EXOTIC))]
    query = "SELECT " + ", ".join(f"{asked} AS {name}" for asked, name in zip(EXOTIC, names, strict=True))
    as_json, as_csv = loaded("sql", "--json", query), loaded("sql", "--csv", query)

    assert [dict(zip(names, EXOTIC.values(), strict=True))] == as_json.report["rows"], as_json.err
    _, cells = csv.reader(as_csv.out.splitlines())
    cases = zip(EXOTIC.values(), cells, strict=True)
    text = [("" if value is None else value, cell) for value, cell in cases]
    assert [value for value, _ in text] == [
        cell if isinstance(value, str) else json.loads(cell) for value, cell in text
    ]


@pytest.mark.parametrize("number", ["12345678901234567890.123456789", "0.1", "-0.00"])
def test_numbers_keep_all_of_their_digits(loaded: Sightglass, number: str) -> None:
    """In JSON as numbers, in CSV too: a sum of money, a sum of counts."""
    query = f"SELECT CAST('{number}' AS DECIMAL(38, {len(number.partition('.')[2])})) AS n"
    as_json, as_csv = loaded("sql", "--json", query), loaded("sql", "--csv", query)

    shown = number.removeprefix("-") if not float(number) else number
    assert f'{{"columns": ["n"], "rows": [{{"n":{shown}}}]}}\n' == as_json.out
    assert f"n\n{shown}\n" == as_csv.out


def test_null_and_empty_text_are_told_apart(loaded: Sightglass) -> None:
    """By quotes, or by a word for NULL; a text that is that word has quotes."""
    query = "SELECT NULL AS a, '' AS b, 'NULL' AS c, 'x,y' AS d"
    found = [loaded("sql", query).out, loaded("sql", "--null", "NULL", query).out]
    lone = loaded("sql", "--null", "-", "SELECT unnest([NULL, '', '-', 'a']) AS a").out

    assert ['a,b,c,d\n,"",NULL,"x,y"\n', 'a,b,c,d\nNULL,,"NULL","x,y"\n'] == found
    assert 'a\n-\n\n"-"\na\n' == lone


def test_the_query_comes_from_a_file_or_standard_input(loaded: Sightglass, tmp_path: Path) -> None:
    """With comments before it, and with the mark that editors of Windows put first."""
    file = tmp_path / "query.sql"
    file.write_bytes("\ufeff-- what for\n/* a */ SELECT 'ü' AS b;\n".encode())
    found = [loaded("sql", "-f", str(file)).out]
    for arguments in [[], ["-"], ["-f", "-"]]:
        with file.open() as query:
            ran = subprocess.run(
                [sys.executable, "-m", "etl", "sql", *arguments],
                env=loaded.environment,
                stdin=query,
                capture_output=True,
                check=False,
            )
        found.append(ran.stdout.decode())

    assert ["b\nü\n"] * 4 == found


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        (b"SELECT 1", ["-f", "{file}", "SELECT 1"], "give a QUERY, or a FILE that holds one"),
        (b"SELECT '\xff'", ["-f", "{file}"], "the query failed: it is no UTF-8"),
        (b" " * (2**24 + 1), ["-f", "{file}"], "the query failed: it is larger than 16 MiB"),
        (b"", ["-f", "{file}"], "the query failed: it asks for nothing"),
        (b"", ["-f", "{file}/none"], "cannot read {file}/none: Not a directory"),
        (b"", ["--json", "--csv", "SELECT 1"], "an answer has one form"),
        (b"", ["SELECT 1; SELECT 2"], "the query failed: these are 2 statements; give them one at a time"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(
    loaded: Sightglass, tmp_path: Path, content: bytes, arguments: list[str], complaint: str
) -> None:
    """With exit code 2."""
    file = tmp_path / "query.sql"
    file.write_bytes(content)
    ran = loaded("sql", *(each.replace("{file}", str(file)) for each in arguments))

    assert (2, "") == (ran.code, ran.out)
    assert complaint.replace("{file}", str(file)) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "query",
    [
        "SELECT copy FROM (SELECT 1 AS copy)",
        "SELECT count(copy) AS copy FROM (SELECT 1 AS copy) WHERE copy IN (1)",
        "WITH copy AS (SELECT 1 AS copy) FROM copy",
        "-- COPY\nSELECT 1 AS copy",
        "PIVOT (SELECT 'copy' AS a, 1 AS b) ON a USING sum(b)",
        'PIVOT (SELECT \'a\' AS query, 1 AS "copy") ON query USING sum("copy")',
        "SELECT query FROM (SELECT 1 AS query)",
        "SELECT 1; -- all",
        "SELECT 1 ; /* all; */ ;",
        "VALUES (1) UNION SELECT 1",
    ],
)
def test_what_only_reads_is_answered(loaded: Sightglass, query: str) -> None:
    """However it begins, and whatever its columns are called."""
    ran = loaded("sql", "--csv", query)

    assert (0, "1") == (ran.code, ran.out.splitlines()[-1]), ran.err


def test_a_query_can_be_explained(loaded: Sightglass) -> None:
    """With and without being answered, with options, and in brackets."""
    for how in ("EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN (FORMAT json)", "explain /* a */ analyze ("):
        ran = loaded("sql", f"{how} SELECT 1 AS copy{')' * how.endswith('(')}")
        assert (0, True) == (ran.code, "explain" in ran.out.splitlines()[0]), ran.err


def test_an_answer_is_a_file_of_parquet_or_a_stream_of_arrow(loaded: Sightglass, tmp_path: Path) -> None:
    """With the types that the columns have, and names that are told apart."""
    query = "SELECT 1 AS a, 'ü' AS a, TIMESTAMPTZ '2026-01-02 03:04:05+01' AS at FROM range(3)"
    path = tmp_path / "answer.parquet"
    ran = loaded("sql", "--parquet", str(path), query)
    command = [sys.executable, "-m", "etl", "sql", "--arrow", query]
    printed = subprocess.run(command, env=loaded.environment, capture_output=True, check=True).stdout
    streamed = pa.ipc.open_stream(printed).read_all()

    moment = datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert (0, "", "") == (ran.code, ran.out, ran.err)
    assert [{"a": 1, "a_1": "ü", "at": moment}] * 3 == pq.read_table(path).to_pylist() == streamed.to_pylist()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "place",
    [
        *("warehouse.duckdb", "bi.duckdb", "lake/x.parquet", "raw/x.parquet", "run.lock", "forgotten.key"),
        *("archive", "iceberg/catalog.db", "new.parquet", "../none/x.parquet"),
    ],
)
def test_no_answer_takes_the_place_of_the_warehouse(loaded: Sightglass, place: str) -> None:
    """One line and exit code 2."""
    ran = loaded("sql", "--parquet", str(loaded.home / place), "SELECT 1")

    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert str(loaded.home / place) in ran.err


def test_an_answer_that_breaks_off_leaves_no_file(loaded: Sightglass, tmp_path: Path) -> None:
    """Not even half of one: the file that was there stays."""
    path = tmp_path / "answer.parquet"
    path.write_bytes(b"former")
    ran = loaded("sql", "--parquet", str(path), LATE)

    assert (2, b"former", [path]) == (ran.code, path.read_bytes(), list(tmp_path.iterdir())), ran.err


def test_table_of_every_type_is_drawn(loaded: Sightglass) -> None:
    """A terminal gets a table of them."""
    ours, theirs = pty.openpty()
    with loaded.start("sql", f"SELECT {', '.join(EXOTIC)}", out=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        _, said = process.communicate()

    assert (0, "", "┌") == (process.returncode, said, shown[:1])


def test_what_no_json_number_can_say_is_null(loaded: Sightglass) -> None:
    """The object is JSON even where a value is infinite or no number."""
    ran = loaded("sql", "--json", "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, 0.5::DOUBLE AS c")

    strictly = json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [{"a": None, "b": None, "c": 0.5}] == strictly.decode(ran.out)["rows"]


def test_the_answer_is_that_of_the_warehouse(loaded: Sightglass) -> None:
    """A query over the tables gives their rows."""
    query = "SELECT name, type FROM cogniac.applications ORDER BY name"

    expected = [{"name": name, "type": kind} for name, kind in table(loaded.home, query)]
    assert expected == loaded("sql", "--json", query).report["rows"]
    assert len(expected) == 6


def test_an_empty_answer_has_a_header(loaded: Sightglass) -> None:
    """No rows are no error."""
    assert Ran(0, "run_id\n", "") == loaded("sql", "SELECT run_id FROM etl.runs WHERE false")


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        (
            "SELECT nothing FROM etl.runs",
            'Binder Error: Referenced column "nothing" not found in FROM clause!',
        ),
        ("FROM nowhere", "Catalog Error: Table with name nowhere does not exist!"),
        ("SELECT 'x'::INTEGER", "Conversion Error: Could not convert string 'x' to INT32"),
        (
            LATE,
            "Conversion Error: Could not convert string 'x' to INT32",
        ),
    ],
)
def test_a_wrong_query_is_told_what_is_wrong(loaded: Sightglass, query: str, complaint: str) -> None:
    """Exit code 2 and DuckDB's own words, even where the fault shows late."""
    ran = loaded("sql", query)

    assert (2, f"sightglass: the query failed: {complaint}") == (ran.code, ran.err.splitlines()[0])
    assert 1 == ran.err.count("sightglass: ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("query", ["", " ", "/* nothing */"])
def test_a_query_of_nothing_is_told_so(loaded: Sightglass, query: str) -> None:
    """Exit code 2 and a message, for there is nothing to answer."""
    ran = loaded("sql", query)

    assert (2, "", True) == (ran.code, ran.out, ran.err.startswith("sightglass: "))
    assert "Traceback" not in ran.err


def test_something_must_be_published(tmp_path: Path) -> None:
    """Before the first run the message says what to do, and no file is made."""
    sightglass = Sightglass(tmp_path)

    expected = (
        f"sightglass: nothing is published in {sightglass.home} yet: run `sightglass run`, or name another "
        "--home\n"
    )
    assert Ran(2, "", expected) == sightglass("sql", "SELECT 1")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO etl.cursors SELECT * FROM etl.cursors",
        "UPDATE etl.cursors SET cursor_at = now()",
        "DELETE FROM cogniac.results",
        "CREATE TABLE main.mine AS SELECT 1",
        "DROP TABLE cogniac.results",
        "ALTER TABLE cogniac.results ADD COLUMN mine INTEGER",
        "SELECT 1; DELETE FROM cogniac.results",
        "ATTACH '{home}/warehouse.duckdb' AS again; DELETE FROM again.cogniac.results",
        "COPY (SELECT 1) TO '{home}/warehouse.duckdb'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/versions/x.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{home}/versions/x.csv'",
        "EXPLAIN ANALYZE (WITH a AS (COPY (SELECT 1) TO '{home}/versions/x.csv') FROM a)",
        "WITH a AS (COPY (SELECT 1) TO '{home}/versions/x.csv') FROM a",
        "FROM (WITH a AS (COPY (SELECT 1) TO '{home}/versions/x.csv') FROM a)",
        "PIVOT (WITH a AS (COPY (SELECT 1 AS b) TO '{home}/versions/x.csv') FROM a) ON b",
        "WITH a AS (COPY (SELECT 1 AS b) TO '{home}/versions/x.csv') PIVOT a ON Count USING count(*)",
        f"FROM {HIDDEN}",
        f"FROM JSON_execute_serialized_sql{HIDDEN.partition('sql')[2]}",
        f"DESCRIBE FROM {HIDDEN}",
        f"SELECT (FROM {HIDDEN})",
        f"PIVOT (FROM {HIDDEN}) ON Count",
        f'PIVOT (FROM system.main."json_execute_serialized_sql" /* */ {HIDDEN.partition("sql")[2]}) ON Count',
        f"EXPLAIN ANALYZE FROM {HIDDEN}",
        f"PIVOT (FROM json_execute_serialized_sql\u200b{HIDDEN.partition('sql')[2]}) ON Count",
        f"FROM query('FROM {HIDDEN.replace(chr(39), 2 * chr(39))}')",
        "FROM enable_profiling(format = 'json', save_location = '{home}/versions/x.csv')",
        "FROM enable_logging(storage = 'file', storage_path = '{home}/versions/x.csv')",
        "FROM enable_logging()",
        "UPDATE EXTENSIONS",
    ],
)
def test_nothing_can_be_changed(loaded: Sightglass, query: str) -> None:
    """Whatever would write is refused in a line, with exit code 2, and every row stays."""
    copy = (loaded.home / "warehouse.duckdb").read_bytes()

    ran = loaded("sql", query.replace("{home}", str(loaded.home)))
    unchanged = copy == (loaded.home / "warehouse.duckdb").read_bytes()
    (loaded.home / "warehouse.duckdb").write_bytes(copy)
    assert not (loaded.home / "versions/x.csv").exists()
    assert (2, "", True) == (ran.code, ran.out, unchanged)
    assert ran.err.startswith("sightglass: the query failed: ")
    assert "Traceback" not in ran.err


def test_every_function_that_changes_something_is_known() -> None:
    """A newer DuckDB may bring others, of which none can be asked before somebody has looked at it."""
    verbs = (
        "add|attach|copy|create|deregister|destroy|disable|enable|exec|install|load|query|register|remove|"
        "truncate|write"
    )
    with closing(duckdb.connect()) as connection:
        found = connection.execute(
            "SELECT DISTINCT function_name AS name FROM duckdb_functions() "
            "WHERE function_type IN ('table', 'scalar') "
            "AND regexp_matches(name, '(^|_)(' || $1 || ')') AND NOT starts_with(name, '__')",
            [verbs],
        ).fetchall()

    assert {name for (name,) in found} - HARMLESS == CHANGING


def test_no_setting_can_be_changed_where_queries_are_answered(loaded: Sightglass) -> None:
    """By no function either, whatever it is called: those of who shares it would be changed too."""
    with open_bi(settings_of(loaded.home)) as connection:
        for query in ("FROM enable_logging()", "SET TimeZone = 'UTC'", "SET lock_configuration = false"):
            with pytest.raises(duckdb.InvalidInputException, match="the configuration has been locked"):
                connection.execute(query)
        zone = connection.cursor().execute("SELECT current_setting('TimeZone')").fetchall()

    assert [("UTC",)] == zone


def test_a_terminal_gets_a_table(loaded: Sightglass) -> None:
    """People see a drawn table, not CSV."""
    ours, theirs = pty.openpty()
    with loaded.start("sql", "SELECT 'Größe' AS what, 42 AS answer", out=theirs) as process:
        os.close(theirs)
        shown = read_terminal(ours)

    cells = [re.findall(r"[^│\s]+", line) for line in shown.splitlines() if "│" in line]
    assert [["what", "answer"], ["varchar", "int32"], ["Größe", "42"]] == cells
    assert 0 == process.returncode


@pytest.mark.parametrize("options", [["--csv"], ["--json"]])
def test_a_reader_that_has_enough_is_no_error(loaded: Sightglass, options: list[str]) -> None:
    """Closed like by `head`, the command ends quietly with exit code 0."""
    query = "SELECT i, repeat('x', 50) AS text FROM range(200000) t(i)"
    with loaded.start("sql", *options, query) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        begun = process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()

    assert ("i" if options == ["--csv"] else "{", "", 0) == (begun, said, process.returncode)
