"""`sightglass.open`: what is published, in the forms that programs and notebooks take."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from conftest import Plant, Sightglass, Story, Truth

import sightglass as api
from etl import schema
from etl.views import views

TABLES = {table.qualified: table for source in schema.sources() for table in source.tables.values()}
MARTS = {view.qualified: view for view in views() if view.schema == "mart"}
DETECTIONS = "cogniac.detections"
QUERY = "SELECT run_id, started_at, exit_code, 7.5 AS exact FROM etl.runs ORDER BY run_id"
SURE = "SELECT subject_uid, probability FROM cogniac.detections WHERE probability >= 0.9"
COUNT = "SELECT count(*) FROM "


@pytest.fixture(scope="module")
def wh(story: Story) -> Iterator[api.Warehouse]:
    """What two loads have published."""
    with api.open(story.home) as opened:
        yield opened


def asked(home: Path, query: str) -> list[tuple[Any, ...]]:
    """What DuckDB itself answers, times as text."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


def test_an_answer_has_the_form_that_is_asked_for(wh: api.Warehouse, story: Story) -> None:
    """The same rows as Python, Arrow and polars have them, with times of UTC; it shows itself as a table."""
    answer = wh.sql(QUERY)
    expected = asked(story.home, QUERY.replace("started_at", "epoch_us(started_at)"))

    found = answer.fetchall()
    assert ("run_id", "started_at", "exit_code", "exact") == answer.columns
    assert expected == [(run, round(at.timestamp() * 1e6), *more) for run, at, *more in found]
    assert found == [*answer] == [tuple(each.values()) for each in answer.arrow().to_pylist()]
    assert found == answer.polars().rows() == pl.DataFrame(answer).rows()
    assert answer.arrow() == pa.table(answer) == answer.reader().read_all()
    assert pa.timestamp("us", "UTC") == answer.arrow().schema.field("started_at").type
    assert all(str(row[0]) in repr(answer) for row in found)


def test_an_answer_is_read_in_batches(wh: api.Warehouse) -> None:
    """However large it is, and after the warehouse is closed too."""
    with api.open(wh.home) as other:
        reader = other.sql("SELECT range AS number, 'text' AS text FROM range(100_000)").reader()

    sizes = [len(batch) for batch in reader]

    assert (100_000, True) == (sum(sizes), len(sizes) > 5)


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        ("SELECT $least + $more", {"least": 1, "more": 2}, [(3,)]),
        ("SELECT ?, ?", ["it's", None], [("it's", None)]),
        ("SELECT $2, $1", (1, 2), [(2, 1)]),
        ("SELECT $at", {"at": datetime(2026, 1, 1, tzinfo=UTC)}, [(datetime(2026, 1, 1, tzinfo=UTC),)]),
    ],
)
def test_parameters_are_no_part_of_the_query(
    wh: api.Warehouse,
    query: str,
    parameters: Any,  # noqa: ANN401 -- whatever DuckDB takes
    expected: list[tuple[object, ...]],
) -> None:
    """By name or by place, whatever they hold."""
    assert expected == wh.sql(query, parameters).fetchall()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 1; SELECT 2", "the query failed: these are 2 statements; give them one at a time"),
        ("", "the query failed: it asks for nothing"),
        ("CREATE TABLE x AS SELECT 1", "the query failed: CREATE changes something; only reading is allowed"),
        ("SET memory_limit = '1TB'", "the query failed: SET changes something; only reading is allowed"),
        ("FROM nowhere", "the query failed: Catalog Error: Table with name nowhere does not exist!"),
        ("FROM read_csv('/etc/passwd')", "the query failed: Permission Error: Cannot access file"),
        ("SELECT CAST('x' AS INTEGER)", "the query failed: Conversion Error: Could not convert string 'x'"),
        ("SELECT $least", "the query failed: Invalid Input Error: Values were not provided"),
    ],
)
def test_what_cannot_be_answered_raises_and_changes_nothing(
    wh: api.Warehouse, query: str, expected: str
) -> None:
    """One error that programs can catch, with the first line of what DuckDB says."""
    with pytest.raises(api.QueryError) as caught:
        wh.sql(query).fetchall()

    assert str(caught.value).startswith(expected)


LATE = "SELECT CAST(if(range = 190_000, 'x', '1') AS INTEGER) AS number FROM range(200_000)"


@pytest.mark.parametrize("form", ["arrow", "fetchall", "polars", "reader"])
def test_what_goes_wrong_late_raises_the_same(wh: api.Warehouse, form: str) -> None:
    """A row that cannot be worked out, after many that could."""
    with pytest.raises(api.QueryError) as caught:
        list(getattr(wh.sql(LATE), form)())

    assert "the query failed: Conversion Error: Could not convert string 'x' to INT32" == str(caught.value)


def test_a_query_that_needs_more_memory_than_it_may_have_says_so(story: Story) -> None:
    """With the setting that gives more."""
    with (
        api.open(story.home, settings={"SIGHTGLASS_SQL_MEMORY": 64}) as small,
        pytest.raises(api.EnvironmentFaultError) as caught,
    ):
        small.sql("SELECT length(string_agg(range, '-')) FROM range(50_000_000)").fetchall()

    assert str(caught.value).startswith("this needs more memory than the 64 MB of SIGHTGLASS_SQL_MEMORY")


def test_rows_of_a_table_are_those_that_are_asked_for(wh: api.Warehouse, story: Story) -> None:
    """These columns, in this order, of the rows that meet a condition, which may end in a comment."""
    found = wh.arrow(
        DETECTIONS, ["subject_uid", "probability"], "probability >= $least -- sure", {"least": 0.9}
    )

    expected = asked(story.home, SURE)
    assert ["subject_uid", "probability"] == found.column_names
    assert sorted(expected) == sorted(tuple(row.values()) for row in found.to_pylist())
    assert [*TABLES["etl.runs"].columns] == wh.arrow("runs").column_names


@pytest.mark.parametrize(
    ("table", "columns", "expected"),
    [
        ("cogniac.detection", None, "there is no table cogniac.detection: did you mean cogniac.detections?"),
        ("review_que", None, "there is no table review_que: did you mean mart.review_queue?"),
        ("media", None, "there are several tables media: cogniac.media, neurons.media"),
        (DETECTIONS, ["probabilty"], f"{DETECTIONS} has no column probabilty: did you mean probability?"),
        (DETECTIONS, [], f"columns of {DETECTIONS} are a list of names, of which there must be one"),
        (DETECTIONS, "media_id", f"columns of {DETECTIONS} are a list of names, of which there must be one"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_alike(
    wh: api.Warehouse,
    table: str,
    columns: Any,  # noqa: ANN401 -- what somebody may give
    expected: str,
) -> None:
    """Both as an error of Sightglass, and as mappings raise it for a name."""
    with pytest.raises(api.QueryError) as caught:
        wh.arrow(table, columns)

    assert expected == str(caught.value)
    assert table in wh.tables or table not in wh.marts


def test_every_table_is_a_lazy_frame_of_its_files(wh: api.Warehouse, story: Story) -> None:
    """With the rows that DuckDB shows; columns and conditions are pushed into the scan."""
    counted = {name: wh.polars(name).select(pl.len()).collect().item() for name in TABLES}
    lazy = wh.polars(DETECTIONS).filter(pl.col("probability") >= 0.9).select("subject_uid")

    assert {name: asked(story.home, COUNT + name)[0][0] for name in TABLES} == counted
    assert sorted(lazy.collect().rows()) == sorted(asked(story.home, SURE.replace(", probability", "")))
    plan = lazy.explain()
    assert ["Parquet SCAN", "PROJECT 2/28", "SELECTION"] == re.findall(
        r"Parquet SCAN|PROJECT 2/28|SELECTION", plan
    )
    assert pl.Datetime("us", "UTC") == wh.polars(DETECTIONS).collect_schema()["created_at"]


def test_every_mart_is_a_lazy_frame_that_duckdb_works_out(wh: api.Warehouse, story: Story) -> None:
    """When it is collected, with the columns that are wanted, and as few rows."""
    columns = {name: wh.polars(name).head(0).collect().columns for name in MARTS}
    daily = wh.marts["detections_daily"].polars()
    counted = daily.select(pl.len()).collect().item()
    some = daily.filter(pl.col("results") > 1).group_by("subject_uid").agg(pl.col("results").sum()).collect()

    assert {name: [*each.columns] for name, each in MARTS.items()} == columns
    assert [(counted,)] == asked(story.home, COUNT + "mart.detections_daily")
    assert sorted(some.rows()) == sorted(
        asked(
            story.home,
            "SELECT subject_uid, CAST(sum(results) AS BIGINT) FROM mart.detections_daily "
            "WHERE results > 1 GROUP BY ALL",
        )
    )
    assert 3 == len(daily.head(3).collect())
    assert daily.collect_schema() == daily.head(0).collect().schema


def test_tables_and_marts_say_what_they_hold(wh: api.Warehouse) -> None:
    """As they are declared; a mart is found by its name alone, too."""
    assert {name: each.declared.doc for name, each in TABLES.items()} == {
        name: each.doc for name, each in wh.tables.items()
    }
    assert {name: each.columns for name, each in MARTS.items()} == {
        name: {column.name: column.doc for column in each.columns.values()} for name, each in wh.marts.items()
    }
    queue = wh.marts["review_queue"]
    assert wh.marts["mart.review_queue"] == queue
    assert queue.arrow(["media_id"]).num_rows == wh.arrow("mart.review_queue").num_rows
    assert f"{queue.name}: {queue.doc}" == repr(queue).splitlines()[0]
    assert [("probability", "DOUBLE")] == re.findall(r"^  (probability) +(\w+)  ", repr(queue), re.MULTILINE)
    assert list(wh.marts) == [line.split()[0] for line in repr(wh.marts).splitlines()]


def test_a_status_is_what_the_command_prints(wh: api.Warehouse, story: Story, tmp_path: Path) -> None:
    """Typed, and as JSON just the same but for the time that has gone by."""
    ran = Sightglass(tmp_path)(
        "status", "--json", "--disk", "--max-age", "1h", SIGHTGLASS_HOME=str(story.home)
    )
    status = wh.status(timedelta(hours=1), with_disk=True)

    passing = {"checked_at", "published_age_s", "streams", "disk"}
    assert [*ran.report] == [*status.as_json()]
    assert {name: value for name, value in ran.report.items() if name not in passing} == {
        name: value for name, value in status.as_json().items() if name not in passing
    }
    assert [each["state"] for each in ran.report["streams"]] == [each.state for each in status.streams]
    assert json.loads(json.dumps(status.as_json())) == status.as_json()
    assert (ran.code, ran.code == 0) == (status.exit_code, status.ok)


def test_a_connection_of_ones_own_reads_only_and_sees_frames(story: Story) -> None:
    """It outlives what it was taken from."""
    with api.open(story.home) as opened:
        connection = opened.duckdb()
    wanted = pl.DataFrame({"exit_code": [0]})

    (count,) = connection.execute("SELECT count(*) FROM etl.runs JOIN wanted USING (exit_code)").fetchall()[0]
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        connection.execute("CREATE TABLE x AS SELECT 1")

    assert (3, 1) == (count, len(wanted))


def test_connections_of_the_same_program_to_the_same_file_are_left_alone(
    story: Story, tmp_path: Path
) -> None:
    """Neither those from before nor those made later are fenced in with the queries of this one."""
    (tmp_path / "own.csv").write_text("number\n7\n")
    own = f"SELECT number, ({COUNT} etl.runs) FROM '{tmp_path}/own.csv'"  # noqa: S608

    path = story.home / "bi.duckdb"
    with duckdb.connect(path, read_only=True) as before, api.open(path) as opened:
        assert [(7, 3)] == before.execute(own).fetchall()
        with duckdb.connect(story.home / "bi.duckdb", read_only=True) as later:
            assert [(7, 3)] == later.execute(own).fetchall()
        assert [(3,)] == opened.sql(COUNT + "etl.runs").fetchall()


def test_what_runs_publish_is_seen_at_once(plant: Plant, sightglass: Sightglass) -> None:
    """In the same program, from any thread, and by frames and readers from before as it was then."""
    given = {**sightglass.settings, "SIGHTGLASS_HOME": str(sightglass.home)}
    api.run(given)
    count = COUNT + DETECTIONS
    found: list[tuple[object, ...]] = []

    with api.open(sightglass.home) as opened:
        before, frame, answer = opened.sql(count).fetchall(), opened.polars(DETECTIONS), opened.sql(count)
        plant.cogniac.advance(records=20)
        api.run(given)
        threads = [threading.Thread(target=lambda: found.extend(opened.sql(count))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        earlier = frame.select(pl.len()).collect().item()
        now = opened.polars(DETECTIONS).select(pl.len()).collect().item()

        truth = sum(
            len(record["detections"]) for each in Truth.now(plant).records.values() for record in each
        )
        assert [(truth,)] * 4 == found
        assert ([(truth,)], truth) == (answer.fetchall(), now)
        assert before == [(earlier,)] != [(now,)]


def test_new_views_are_seen_without_opening_it_again(plant: Plant, sightglass: Sightglass) -> None:
    """Which is more than a connection to the file does: this one looks whether it was replaced."""
    sightglass("run")
    days = "SELECT CAST(min(day) AS VARCHAR), CAST(max(day) AS VARCHAR) FROM mart.detections_daily"

    with api.open(sightglass.home) as opened:
        before = opened.sql(days).fetchall()
        sightglass("publish", SIGHTGLASS_TIME_ZONE="Pacific/Kiritimati")
        after = opened.sql(days).fetchall()

    assert plant.settings
    assert before != after == asked(sightglass.home, days)


def test_a_folder_that_was_copied_is_read_itself_and_that_is_told(story: Story, tmp_path: Path) -> None:
    """The views of the copied file lead to the folder that it was copied from."""
    shutil.copytree(story.home, tmp_path / "copied", symlinks=True)

    with pytest.warns(UserWarning, match="was copied or moved") as told:
        opened = api.open(tmp_path / "copied")
    with opened:
        count, names = opened.sql(COUNT + "etl.runs").fetchall(), {*opened.tables}

    assert (1, [(3,)], {*TABLES}) == (len(told), count, names)
    assert __file__ == told[0].filename


def test_nothing_is_read_where_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is that of the settings unless another is named, and none is made."""
    monkeypatch.chdir(tmp_path)

    told = []
    for home in (None, "other"):
        with pytest.raises(api.NotPublishedError) as caught:
            api.open(home)
        told.append(str(caught.value))

    hint = "run `sightglass run`, or name another --home"
    assert [
        f"nothing is published in {tmp_path / name} yet: {hint}" for name in ("warehouse", "other")
    ] == told
    assert [] == [*tmp_path.iterdir()]


def test_what_is_closed_or_of_another_process_says_so(story: Story) -> None:
    """DuckDB would hang in a process that was forked while it was open."""
    with api.open(story.home) as opened:
        answer = opened.sql("SELECT 1")
        child = os.fork()
        if not child:
            code = 1
            try:
                opened.sql("SELECT 1")
            except api.ClosedError as error:
                code = 0 if "was opened by another process: open it in this one" in str(error) else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
    with pytest.raises(api.ClosedError) as caught:
        answer.fetchall()

    assert 0 == status
    assert f"the warehouse {story.home} is closed: open it again" == str(caught.value)
    assert f"<sightglass.Warehouse '{story.home}' (closed)>" == repr(opened)
