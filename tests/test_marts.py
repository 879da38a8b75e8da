"""The views in `sql/mart` and `sql/staging`; each mart is held to what it answers by data alone.

A case is a folder `tests/mart/<view>/<case>` with an input `<schema>.<table>.csv` for each table that matters
and the answer, `expected.csv`, without what is measured against the clock. An input has only the columns that
matter; the others are NULL, in key columns too. A cell with nothing in it is NULL, `""` is the empty string.
Where a file `time_zone` names a time zone, days are those there.
Numbers are compared to nine decimal places; the order of the rows is no part of the answer.
"""

import os
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from subprocess import run

import duckdb
import pytest
from support import edges
from support.marts import CASES, CLOCK, FOUND, ROOT, VIEWS, create, header, load, made, zone_of

from etl import schema, views
from etl.declaration import TYPES
from etl.errors import ConfigError
from etl.publish import report

Rows = list[tuple[str | None, ...]]
every_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


def described(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """The columns of a table or view, and their types."""
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {name}").fetchall()}


def rows(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]) -> Rows:
    """All rows as text, in one order."""
    shown = ", ".join(
        f"CAST({f'round({schema.quote(name)}, 9)' if kind == 'DOUBLE' else schema.quote(name)} AS VARCHAR)"
        for name, kind in columns.items()
    )
    return connection.execute(f"SELECT {shown} FROM {table} ORDER BY ALL").fetchall()  # noqa: S608 -- our own


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_view_gives_the_expected_answer(case: Path) -> None:
    """Over the rows of a case the view answers exactly what is expected."""
    view = VIEWS[f"mart.{case.relative_to(CASES).parts[0]}"]
    with made(zone_of(case)) as connection:
        for path in case.glob("*.*.csv"):
            load(connection, path.stem, path)
        columns = {
            name: kind
            for name, kind in described(connection, view.qualified).items()
            if name not in CLOCK.get(view.qualified, ())
        }
        create(connection, "expected", columns)
        load(connection, "expected", case / "expected.csv")

        assert header(case / "expected.csv") == list(columns)
        assert rows(connection, "expected", columns) == rows(connection, view.qualified, columns)


def test_ages_are_measured_against_the_clock() -> None:
    """However new the newest run is, the time since the last good one grows, and so does the records' age."""
    insert_runs = """
        INSERT INTO etl.runs (run_id, started_at, status, command)
        SELECT name, now() - to_hours(hours), 'ok', command
        FROM (VALUES ('r1', 50, 'run'), ('r2', 5, 'run'), ('r3', 1, 'backfill')) AS run(name, hours, command)
    """
    insert_streams = """
        INSERT INTO etl.run_streams (run_id, source, stream, partition, status, fetched, inserted, updated)
        SELECT COLUMNS(*), 0, 0, 0
        FROM (VALUES
            ('r1', 'cogniac', 'detections', 'a1', 'ok'),
            ('r2', 'cogniac', 'detections', 'a1', 'failed'),
            ('r3', 'cogniac', 'detections', 'a1', 'ok'),
            ('r2', 'cogniac', 'detections', 'a2', 'failed'),
            ('r1', 'neurons', 'media', '', 'ok'),
            ('r1', 'neurons', 'assets', '', 'ok'),
            ('r2', 'neurons', 'media', 'tail', 'ok')
        )
    """
    insert_cursor = """
        INSERT INTO etl.cursors (source, stream, partition, cursor_at)
        VALUES ('cogniac', 'detections', 'a1', now() - INTERVAL 75 MINUTE)
    """
    query = """
        SELECT source, stream, partition, age_hours, record_age_hours
        FROM mart.pipeline_health
        ORDER BY ALL
    """
    with made() as connection:
        connection.begin()  # within it, `now` is one moment
        for statement in (insert_runs, insert_streams, insert_cursor):
            connection.execute(statement)

        found = connection.execute(query).fetchall()

    assert [
        ("cogniac", "detections", "a1", 50.0, 1.25),
        ("cogniac", "detections", "a2", None, None),
        ("neurons", "assets", "", 5.0, None),
        ("neurons", "media", "", 5.0, None),
        ("neurons", "media", "tail", 5.0, None),
    ] == found


@pytest.mark.parametrize("said", [0, 1], ids=["never", "always"])
def test_bounds_of_a_share_are_shares(said: int) -> None:
    """Where people always agreed with a model, or never, no bound is past 0 or 1, not by the last digit.

    Of subject `s7` seven assertions were judged; from 1 to 100 there is a subject for each number.
    """
    insert = """
        INSERT INTO cogniac.detection_history
            (application_id, media_id, focus_key, detection_id, subject_uid, asserted_by, probability,
             created_at, valid_from, revision)
        SELECT
            'a1', 'm' || media, '', asserted_by, 's' || subject, asserted_by, probability,
            valid_from, valid_from, 0
        FROM range(1, 101) AS subjects(subject)
        JOIN range(100) AS judged(media) ON media < subject
        CROSS JOIN (VALUES
            ('model', 1, TIMESTAMPTZ '2026-03-02 08:00:00Z'),
            ('user', $said, TIMESTAMPTZ '2026-03-02 09:00:00Z')
        ) AS assertions(asserted_by, probability, valid_from)
    """
    query = """
        SELECT
            count(*), sum(agreed), min(agreed_share_low) >= 0, max(agreed_share_high) <= 1,
            min(precision_low) >= 0, max(precision_high) <= 1,
            coalesce(max(recall_high), 1) <= 1, coalesce(max(false_positive_rate_high), 1) <= 1
        FROM mart.model_agreement
    """
    with made() as connection:
        connection.execute(insert, {"said": said})
        found = connection.execute(query).fetchall()

    assert [(100, 5050 * said, True, True, True, True, True, True)] == found


def test_every_mart_has_a_case() -> None:
    """No mart is without a case, and no case without its mart."""
    marts = {view.name for view in VIEWS.values() if view.schema == "mart"}

    assert marts == {path.relative_to(CASES).parts[0] for path in FOUND.values()}


def test_what_is_staged_is_common() -> None:
    """Each view in `staging` is read by several others or by the report, whose cases hold it too."""
    asked = [path.read_text(encoding="utf-8") for path in (ROOT / "sql" / "report").rglob("*.sql")]
    queries = [*(view.query for view in VIEWS.values()), *asked]
    read = Counter(name for query in queries for name in set(views.READ.findall(query)))

    assert read.keys() == {view.name for view in VIEWS.values() if view.schema == "staging"}
    assert min(read.values()) > 1


@every_view
def test_view_has_no_rows_before_the_first_run(view: views.View) -> None:
    """Over empty tables a view is empty, but for the settings."""
    with made() as connection:
        expected = [("UTC",)] if view.qualified == "mart.settings" else []
        assert expected == rows(connection, view.qualified, described(connection, view.qualified))


@every_view
def test_comment_documents_the_columns_of_the_query(view: views.View) -> None:
    """The columns that a view's comment describes are those of its query, in order, and of declared types."""
    with made() as connection:
        columns = described(connection, view.qualified)

    assert list(columns) == list(view.columns)
    assert set(columns.values()) <= {str(duckdb.sqltype(kind)) for _, kind in TYPES.values()}


@every_view
def test_comments_arrive_in_the_database(view: views.View) -> None:
    """A made view and each of its columns carry what its file says about them."""
    query = """
        SELECT '', comment FROM duckdb_views() WHERE schema_name = $schema AND view_name = $view
        UNION ALL
        SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = $schema AND table_name = $view
    """
    with made() as connection:
        found = connection.execute(query, {"schema": view.schema, "view": view.name}).fetchall()

    assert {"": view.doc, **view.columns} == dict(found)


@pytest.mark.parametrize("zone", [views.UTC, "Pacific/Kiritimati", "America/Los_Angeles"])
def test_what_declarations_admit_breaks_no_view(zone: str) -> None:
    """Rows at the edges of what each column may hold, of one video and one application, are answered."""
    with made(zone) as connection:
        for table in edges.TABLES:
            edges.fill(connection, table)
        broken = {view: why for view in VIEWS if (why := complaint_of(connection, view))}

        # What people should look at has no odd probabilities.
        assert {"mart.review_queue": "no rows"} == broken
        connection.execute("SET TimeZone = 'UTC'")
        assert report.page(connection, datetime(2026, 3, 3, tzinfo=UTC))


def complaint_of(connection: duckdb.DuckDBPyConnection, view: str) -> str:
    """What is wrong with the answer of a view, if anything."""
    try:
        return "" if connection.execute(f"FROM {view}").fetchall() else "no rows"
    except duckdb.Error as error:
        return str(error)


FORBIDDEN = "|".join(
    [
        *(
            r"SELECT \*",
            r"\w\.\*",
            r"\bmart\.",
            r"\b(?:now|today)\(",
            r"\bcurrent_(?:date|time)",
            r"\b\d{4}-\d\d",
        ),
        *(
            "QUALIFY",
            "BY ALL",
            r"\bWINDOW\b",
            "json",
            "->",
            r"\bunnest\b",
            r"\{",
            r"\b(?:greatest|least)\(",
            "TRY_CAST",
        ),
        r"\d\.\d+ [*/]|, \d\.\d+\)",
    ]
)
"""Whatever columns there are, other marts, the clock, literal dates, what other engines do not know or take
otherwise: also numbers with a point that are worked with, which are decimals in most."""


@every_view
def test_query_can_be_read_and_run_elsewhere(view: views.View) -> None:
    """A view lists its columns, reads no mart, and depends on rows alone, but for those that tell an age."""
    measured = view.query
    for _ in CLOCK.get(view.qualified, ()):
        measured = measured.replace("extract(EPOCH FROM current_timestamp)", "", 1)

    assert [] == re.findall(FORBIDDEN, measured)


GOOD = """\
-- Why?
-- Because.
--
--   a  First,
--      and more.
--   b  Second.
SELECT
    1 AS a,
    2 AS b
"""


def written(path: Path, text: str) -> Path:
    """The path of a file that holds this text."""
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_file_becomes_a_view(tmp_path: Path) -> None:
    """A view is what its file says: schema, name, question and what is added to it, columns and query."""
    path = written(tmp_path / "staging" / "why.sql", GOOD)

    found = views.read(path)

    columns = {"a": "First, and more.", "b": "Second."}
    assert views.View("staging", "why", "Why? Because.", columns, "SELECT\n    1 AS a,\n    2 AS b") == found


NO_QUESTION = "the first line must be a comment that asks what the view answers"
NO_COLUMNS = "an empty comment line must come before a line for each column"
NO_COLUMN = "must be a column's name, two spaces and what it holds"
NO_QUERY = "a query without a semicolon must follow the comment"
MALFORMED = {
    "no comment": (GOOD.partition("\nSELECT")[2], NO_QUESTION),
    "an empty file": ("", NO_QUESTION),
    "no question": (GOOD.replace("Why?", "So."), NO_QUESTION),
    "no columns": ("-- Why?\nSELECT 1 AS a\n", NO_COLUMNS),
    "nothing after the empty line": ("-- Why?\n--\nSELECT 1 AS a\n", NO_COLUMNS),
    "a doc without a column": (GOOD.replace("  a  First,", "        First,"), f"line 4 {NO_COLUMN}"),
    "a column without a doc": (GOOD.replace("  b  Second.", "  b"), f"line 6 {NO_COLUMN}"),
    "a column twice": (GOOD.replace("  b  ", "  a  "), "line 6 describes a again"),
    "no query": (GOOD.partition("SELECT")[0], NO_QUERY),
    "a semicolon": (GOOD.replace("AS b", "AS b;"), NO_QUERY),
}
"""What is wrong with a file, such a file, and what is said of it."""


@pytest.mark.parametrize(("text", "complaint"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    """A file that documents its view wrongly is refused with its name and what is wrong with it."""
    path = written(tmp_path / "mart" / "broken.sql", text)

    with pytest.raises(ConfigError) as caught:
        views.read(path)

    assert f"sql/mart/broken.sql: {complaint}" == str(caught.value)


def test_all_of_this_holds_on_the_floor() -> None:
    """With the version of DuckDB that is the floor, everything in this file holds too."""
    floor = Path(os.environ.get("TEST_DUCKDB_FLOOR", Path(sys.prefix, "duckdb-floor")))
    if not (floor / "duckdb").is_dir():
        pytest.fail(f"{floor} holds no DuckDB; `make setup` does this, or set TEST_DUCKDB_FLOOR")
    older = {**os.environ, "PYTHONPATH": f"{floor}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not floor", __file__]

    ran = run(command, cwd=ROOT, env=older, capture_output=True, text=True, timeout=300, check=False)

    assert 0 == ran.returncode, ran.stdout
