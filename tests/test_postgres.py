"""What is published stands in a PostgreSQL database besides: as one whole version, whatever befalls."""

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import ROOT, Plant, Sightglass, leaked, table
from support.kills import Moment, at_a_call, died, place
from support.postgres import IN_URL, PASSWORD, Database, Server, published, serving_postgres
from support.publish_kills import copy

from etl import schema
from etl.load.warehouse import open_for_writing
from etl.publish.postgres_target import LOCK
from etl.views import views

NAMES = count()
URL = "SIGHTGLASS_POSTGRES_URL"
SECONDS = "SIGHTGLASS_POSTGRES_SECONDS"
DASHBOARD = json.loads(
    (ROOT / "docs" / "dashboards" / "grafana" / "sightglass.json").read_text(encoding="utf-8")
)
CHANGES = (
    """
    INSERT INTO etl.runs (run_id, started_at, status, version)
    SELECT 'r' || i, TIMESTAMPTZ '2026-01-01' + to_months(CAST(i AS INTEGER)), 'ok', '0.0'
    FROM range($1, $2) t(i)""",
    """
    INSERT INTO etl.cursors (source, stream, partition, cursor_at, run_id)
    SELECT 'cogniac', 'detections', 'p' || i, now(), 'r' || i FROM range($1, $2) t(i)""",
    """
    UPDATE etl.runs SET started_at = started_at + INTERVAL 1 MONTH
    WHERE run_id = 'r' || ($1 - 1) AND $2 > 0""",
    "DELETE FROM etl.cursors WHERE partition = 'p' || ($1 - 2) AND run_id <> 'r' || $2",
)
"""What changes a table that is cut by months, moves a row of it to another, and takes one from a third."""

PLACE = "PostgreSQL 127.0.0.1:{0.port}/{0.name}"
ALL_ROWS = (
    "UPDATE cogniac.results SET detection_count = 7, _loaded_at = now()",
    "UPDATE neurons.media_metrics SET value = value + 0.1, _loaded_at = now()",
)
"""What changes each row of two tables."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for all tests of this file."""
    with serving_postgres() as found:
        yield found


@pytest.fixture
def database(server: Server) -> Database:
    """A database that nothing is in."""
    return server.database(f"test_{next(NAMES)}")


@pytest.fixture(scope="module")
def ran(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse of one run."""
    sightglass = place(tmp_path_factory.mktemp("ran") / "place", served, SIGHTGLASS_RAW_DAYS="forever")
    assert 0 == sightglass("run").code
    return sightglass


@pytest.fixture
def home(ran: Sightglass, tmp_path: Path, database: Database) -> Sightglass:
    """A copy of it, which publishes into the database."""
    copy(ran.folder, tmp_path / "place")
    return Sightglass(tmp_path / "place", {**ran.settings, URL: database.url})


def change(sightglass: Sightglass, number: int, *more: str) -> None:
    """Change a few tables of the warehouse."""
    umask = os.umask(0o022)
    with closing(open_for_writing(sightglass.home)) as warehouse:
        for each in CHANGES:
            warehouse.connection.execute(each, [number, number + 1])
        for each in more:
            warehouse.connection.execute(each)
    os.umask(umask)


def differing(sightglass: Sightglass, database: Database) -> dict[str, Any]:
    """The tables and marts that are not as the lake has them: what is there, and what ought to be."""
    found, expected = database.seen(), published(sightglass.home)
    names = found.keys() | expected.keys()
    return {
        name: (found.get(name), expected.get(name)) for name in names if found.get(name) != expected.get(name)
    }


def version(sightglass: Sightglass) -> str:
    """The version that the lake has."""
    commits = (sightglass.home / "versions").glob("*.commit")
    return max(path.stem for path in commits)


def test_every_version_is_there_as_a_whole(home: Sightglass, database: Database) -> None:
    """After the first one, rows that move or go, a new month, a run and a rebuild: all is as in the lake."""
    assert (0, {}) == (home("publish").code, differing(home, database))
    for number in (1, 2, 3):
        change(home, number)
        assert (0, {}) == (home("publish", "--force").code, differing(home, database))
    ran = home("run")
    assert (0, {}) == (ran.code, differing(home, database))
    rebuilt = home("rebuild")
    assert (0, {}) == (rebuilt.code, differing(home, database))

    told = database.ask("SELECT version, home, nul_characters, is_vacuum_due FROM etl.published")
    assert [(version(home), str(home.home), 0, False)] == told
    assert [] == leaked([PASSWORD, IN_URL], ran, home.home)


def test_tables_tell_what_they_mean(home: Sightglass, database: Database) -> None:
    """Comments and keys are those of the declarations."""
    home("publish")

    expected = {
        (each.schema, each.name, name, column.comment)
        for source in schema.sources()
        for each in source.tables.values()
        for name, column in each.columns.items()
    }
    comments = database.ask(
        "SELECT n.nspname::text, c.relname::text, a.attname::text, col_description(c.oid, a.attnum) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE relkind = 'r' AND attnum > 0 AND nspname IN ('cogniac', 'neurons', 'etl') "
        "AND relname NOT LIKE 'published%'"
    )
    assert expected == set(comments)
    keys = database.ask(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'p' AND conrelid::regclass::text NOT LIKE 'etl.published%'"
    )
    assert {
        (each.qualified, f"PRIMARY KEY ({', '.join(each.key)})")
        for source in schema.sources()
        for each in source.tables.values()
    } == {(name, text.replace('"', "")) for name, text in keys if not name.startswith("pg_")}
    marts = [view for view in views() if view.schema == "mart"]
    assert [(len(marts),)] == database.ask(
        "SELECT count(obj_description(c.oid)) FROM pg_class c WHERE relnamespace = 'mart'::regnamespace"
    )


def as_grafana_asks(query: str) -> str:
    """A query with what Grafana puts for its macro: it knows no brackets within its own."""
    return re.sub(r"\$__timeFilter\(([^)]*)\)", r"\1 BETWEEN '2000-01-01Z' AND '2100-01-01Z'", query)


def test_dashboard_of_grafana_is_answered(home: Sightglass, database: Database) -> None:
    """Each panel's query: series as time, name and number, and as many rows as there are in the marts."""
    home("publish")
    asked = {each["title"]: each["targets"][0] for each in DASHBOARD["panels"]}

    with database.connected() as cursor:
        answers = {}
        for title, target in asked.items():
            cursor.execute(as_grafana_asks(target["rawSql"]))
            answers[title] = cursor.fetch_arrow_table()

    series = [title for title, target in asked.items() if target["format"] == "time_series"]
    assert [["timestamp[us, tz=UTC]", "string", "double"]] * len(series) == [
        [str(each.type) for each in answers[title].schema] for title in series
    ]
    distinct = "SELECT count(*) FROM (SELECT DISTINCT {} FROM mart.{})"
    expected = {
        "Defect rate": distinct.format(
            "day, subject",
            "coverage JOIN (SELECT DISTINCT application_id, coalesce(subject_name, subject_uid) AS subject "
            "FROM mart.defect_rate_daily) AS subjects USING (application_id)",
        ),
        "Detections": distinct.format("day, asserted_by", "detections_daily"),
        "Agreement with models": distinct.format(
            "week, coalesce(application_name, application_id)", "model_agreement"
        ),
        "Reviewed media": distinct.format("day, coalesce(application_name, application_id)", "coverage"),
        "Review next": "SELECT least(count(*), 100) FROM mart.review_queue",
        "Attention and memory": "SELECT least(count(*), 100) FROM mart.media_scores",
        "Pipeline health": "SELECT count(*) FROM mart.pipeline_health",
    }
    with duckdb.connect(home.home / "bi.duckdb", read_only=True) as lake:
        counts = {title: lake.execute(query).fetchall()[0][0] for title, query in expected.items()}
    assert counts == {title: answer.num_rows for title, answer in answers.items()}


def test_a_version_that_is_there_is_not_written_again(home: Sightglass, database: Database) -> None:
    """Nor is a row that stays as it is, beside others of its partition."""
    home("publish")
    change(home, 1)
    home("publish", "--force")
    before = database.ask("SELECT xmin::text, version FROM etl.published")
    again = home("publish")
    after = database.ask("SELECT xmin::text, version FROM etl.published")
    rows = database.ask("SELECT run_id, xmin::text FROM etl.runs WHERE run_id NOT LIKE 'r%'")
    change(home, 2)
    home("publish", "--force")

    assert (0, before) == (again.code, after)
    assert rows == database.ask("SELECT run_id, xmin::text FROM etl.runs WHERE run_id NOT LIKE 'r%'")


def test_text_that_postgresql_cannot_hold_is_replaced_and_counted(
    home: Sightglass, database: Database
) -> None:
    """A NUL becomes U+FFFD; JSON stays as it came, with an escaped NUL, equal keys and its numbers."""
    odd = '{"b": "\\u0000", "a": 1.0, "a": 1e400}'
    update = f"UPDATE etl.runs SET version = 'a' || chr(0) || chr(0), unknown = '{odd}'"  # noqa: S608
    change(home, 1, f"{update} WHERE run_id = 'r1'")
    assert 0 == home("publish").code
    change(home, 2, "UPDATE etl.runs SET version = chr(0) || 'b' WHERE run_id = 'r2'")
    assert 0 == home("publish", "--force").code

    assert [("r1", "a\ufffd\ufffd", odd), ("r2", "\ufffdb", None)] == database.ask(
        "SELECT run_id, version, unknown::text FROM etl.runs WHERE run_id IN ('r1', 'r2') ORDER BY run_id"
    )
    assert [(3,)] == database.ask("SELECT nul_characters FROM etl.published")


def test_a_key_that_no_index_can_hold_costs_the_key_alone(home: Sightglass, database: Database) -> None:
    """All rows are there, and found again by the next publish; with the row the key comes back."""
    home("publish")
    key = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'etl.cursors'::regclass AND contype = 'p'"
    long = "SELECT 'a', 'b', string_agg(md5(CAST(i AS VARCHAR)), ''), 'c' FROM range(200) t(i)"
    change(home, 1, f"INSERT INTO etl.cursors (source, stream, partition, run_id) {long}")
    assert (0, {}, [(0,)]) == (home("publish").code, differing(home, database), database.ask(key))
    change(home, 2, "UPDATE etl.cursors SET run_id = 'd' WHERE source = 'a'")
    assert (0, {}, [(0,)]) == (home("publish", "--force").code, differing(home, database), database.ask(key))
    change(home, 3, "DELETE FROM etl.cursors WHERE source = 'a'")
    assert (0, {}) == (home("publish", "--force").code, differing(home, database))
    database.do("VACUUM etl.cursors")
    change(home, 4)
    assert (0, {}, [(1,)]) == (home("publish", "--force").code, differing(home, database), database.ask(key))


def test_a_table_of_another_shape_is_given_the_new_one(home: Sightglass, database: Database) -> None:
    """Columns come, go and change their type; rights and views stay, tables that are no more go."""
    home("publish")
    database.do(
        "CREATE ROLE reader_of_shapes",
        "GRANT SELECT ON etl.runs TO reader_of_shapes",
        "CREATE VIEW public.own AS SELECT run_id FROM etl.runs",
        "ALTER TABLE etl.runs DROP CONSTRAINT runs_pkey, DROP COLUMN command, ADD COLUMN former text, "
        "DROP COLUMN exit_code, ADD COLUMN exit_code text, ADD PRIMARY KEY (run_id, started_at)",
        "ALTER TABLE mart.live ADD COLUMN former text",
        "CREATE TABLE etl.former (a text)",
        "ALTER TABLE etl.former OWNER TO writer",
        "UPDATE etl.published_partitions SET shape = 'former' WHERE table_name IN ('etl.runs', 'mart.live')",
        "INSERT INTO etl.published_partitions VALUES ('etl.former', 'all', 'x', 'x', NULL, NULL, 0)",
    )
    change(home, 1)

    assert (0, {}) == (home("publish").code, differing(home, database))
    assert [(True,)] == database.ask("SELECT has_table_privilege('reader_of_shapes', 'etl.runs', 'SELECT')")
    assert [("r1",)] == database.ask("SELECT run_id FROM public.own WHERE run_id = 'r1'")
    assert [("PRIMARY KEY (run_id)",)] == database.ask(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'etl.runs'::regclass AND contype = 'p'"
    )


def test_what_somebody_else_has_changed_is_made_good(home: Sightglass, database: Database) -> None:
    """A table that was dropped is made again at once, rows that were deleted with the next change of it."""
    home("publish")
    database.do("DROP TABLE etl.cursors", "DROP TABLE mart.live")
    assert (0, {}) == (home("publish").code, differing(home, database))
    change(home, 1)
    home("publish")
    database.do("DELETE FROM etl.runs")
    change(home, 2)
    assert (0, {}) == (home("publish", "--force").code, differing(home, database))


def test_columns_that_somebody_else_has_altered_are_made_good(home: Sightglass, database: Database) -> None:
    """With the next change of a table, in all of its rows: none is rounded, nor refused for ever."""
    home("publish")
    database.do(
        "ALTER TABLE cogniac.results DROP COLUMN focus_x0",
        "ALTER TABLE cogniac.results RENAME COLUMN focus_y0 TO top",
        "ALTER TABLE cogniac.results ALTER COLUMN detection_count TYPE text",
        "ALTER TABLE neurons.media_metrics ALTER COLUMN value TYPE real",
        "ALTER TABLE mart.media_scores DROP COLUMN avoidance",
        "ALTER TABLE etl.cursors ADD COLUMN own integer NOT NULL DEFAULT 0",
    )
    change(home, 1, *ALL_ROWS)
    ran = home("publish", "--force")
    database.do("ALTER TABLE etl.cursors DROP COLUMN own")

    assert (0, {}) == (ran.code, differing(home, database))


FOREIGN = {
    "for a row there": (
        ("CREATE TABLE public.own (run_id text REFERENCES etl.runs)", "INSERT INTO public.own TABLE run_ids"),
        (
            'update or delete on table "runs" violates foreign key constraint "own_run_id_fkey" '
            'on table "own"; drop the constraint that somebody has added'
        ),
    ),
    "of another owner": (
        ("ALTER TABLE etl.runs OWNER TO postgres",),
        "permission denied for table runs; let the tables be the user's own again, without policies",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_stands_in_the_way_is_told_in_the_words_of_the_server(
    home: Sightglass, database: Database, name: str
) -> None:
    """Without the statement that it refused, and with what to do."""
    statements, said = FOREIGN[name]
    home("publish")
    change(home, 1)
    home("publish", "--force")
    database.do("CREATE VIEW run_ids AS SELECT run_id FROM etl.runs", *statements)
    change(home, 1, "DELETE FROM etl.runs")
    ran = home("publish", "--force")

    told = "keeps the version that it has, the next run tries again"
    assert f"sightglass: {PLACE.format(database)} {told}: {said}\n" in ran.err
    assert 4 == ran.code


@pytest.mark.parametrize("is_first", [True, False])
def test_a_kill_at_any_moment_is_made_good_by_the_next(
    home: Sightglass, database: Database, *, is_first: bool
) -> None:
    """The database has the version before, or the new one, and the next publish brings it."""
    if not is_first:
        home("publish")
        change(home, 1)
    before = database.seen()
    deaths = [
        *(Moment(at_a_call(*SESSION, "execute"), number) for number in (1, 15, 60 if is_first else 20)),
        *(Moment(at_a_call(*SESSION, "append"), number) for number in ((3, 12) if is_first else (1, 2))),
        Moment(at_a_call(*SESSION, "commit"), 1),
    ]
    for death in deaths:
        assert (death[1:], True) == (death[1:], died(home, death, "publish"))
        assert before == database.seen()
    assert died(home, Moment(at_a_call(*SESSION, "commit"), 1, "after"), "publish")
    after = differing(home, database)
    again = home("publish")

    assert ({}, 0, {}) == (after, again.code, differing(home, database))


SESSION = ("etl.publish.postgres_session", "owner.Session")


def test_a_reader_sees_whole_versions_alone(home: Sightglass, database: Database) -> None:
    """In one REPEATABLE READ transaction beside ten publishes all tables are of the version it reads of."""
    home("publish")
    seen: dict[str, set[tuple[Any, ...]]] = {}
    is_over = threading.Event()

    def read() -> None:
        with database.connected(autocommit=False) as cursor:
            while not is_over.is_set():
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                answers = []
                for query in (
                    "SELECT version FROM etl.published",
                    "SELECT max(substr(run_id, 2)::int) FROM etl.runs WHERE run_id ~ '^r[0-9]+$'",
                    "SELECT max(substr(partition, 2)::int) FROM etl.cursors WHERE partition ~ '^p[0-9]+$'",
                    "SELECT max(since) FROM etl.published_partitions WHERE table_name NOT LIKE 'mart%'",
                ):
                    cursor.execute(query)
                    answers.append(cursor.fetchone()[0])
                seen.setdefault(answers[0], set()).add(tuple(answers[1:]))
                cursor.execute("COMMIT")

    reader = threading.Thread(target=read)
    reader.start()
    expected: dict[str, tuple[Any, ...]] = {version(home): (None, None, version(home))}
    for number in range(1, 11):
        change(home, number)
        assert 0 == home("publish", "--force").code
        expected[version(home)] = (number, number, version(home))
    is_over.set()
    reader.join()

    assert {each: {expected[each]} for each in seen} == seen
    assert len(seen) > 5


def test_what_cannot_be_reached_catches_up(home: Sightglass, server: Server, database: Database) -> None:
    """A server that is down costs no other reader anything: exit code 4, and a line that says what to do."""
    home("publish")
    change(home, 1)
    server.stop()
    try:
        down = home("publish")
    finally:
        server.start()
    behind = differing(home, database)
    refused = home("publish", **{URL: database.url.replace(IN_URL, "falsches-wort")})
    absent = home("publish", **{URL: database.url.replace(database.name, "nowhere")})
    mended = home("publish")

    keeps = "keeps the version that it has, the next run tries again: connection to server at "
    where = f"PostgreSQL 127.0.0.1:{database.port}"
    at = f'{keeps}"127.0.0.1", port {database.port} failed: '
    no_password = 'password authentication failed for user "writer"'
    no_database = 'FATAL:  database "nowhere" does not exist'
    assert [
        f"{where}/{database.name} {at}Connection refused; see whether the server is up, and to {URL}",
        f"{where}/{database.name} {at}FATAL:  {no_password}; see to user and password in {URL}",
        f"{where}/nowhere {at}{no_database}; see whether the server is up, and to {URL}",
    ] == [each.err.splitlines()[0].removeprefix("sightglass: ") for each in (down, refused, absent)]
    assert (4, 4, 4) == (down.code, refused.code, absent.code)
    assert [] == leaked([PASSWORD, IN_URL, "falsches-wort"], refused, home.home)
    assert {"etl.runs", "etl.cursors"} <= behind.keys()
    assert (0, {}) == (mended.code, differing(home, database))


def test_a_server_that_answers_nothing_is_given_up(
    home: Sightglass, server: Server, database: Database
) -> None:
    """Whether it takes no connection, lets a lock be waited for, or stops in the midst of it."""
    quick = home.but_for({SECONDS: "1", URL: f"{database.url}?connect_timeout=2"})
    with server.frozen(server.pid):
        deaf = quick("publish")
    with database.connected(autocommit=False) as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})::text")
        cursor.fetchall()
        locked = quick("publish")
        with quick.start("publish") as process:
            while not (
                waiting := database.ask(
                    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
            ):
                assert process.poll() is None
            with server.frozen(waiting[0][0]):
                _, said = process.communicate(timeout=60)
    mended = home("publish")

    assert (4, 4, 4) == (deaf.code, locked.code, process.returncode)
    assert "timeout expired; see whether the server is up" in deaf.err
    assert (
        "canceling statement due to lock timeout; somebody reads or changes the table for long" in locked.err
    )
    assert "the server has not answered for 4 seconds" in said
    assert (0, {}) == (mended.code, differing(home, database))


def test_a_connection_that_breaks_undoes_all(home: Sightglass, database: Database) -> None:
    """Told in one line; the next publish brings the version."""
    with database.connected(autocommit=False) as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})::text")
        cursor.fetchall()
        with home.start("publish") as process:
            while not (
                waiting := database.ask(
                    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
            ):
                assert process.poll() is None
            database.ask(f"SELECT pg_terminate_backend({waiting[0][0]})")
            _, said = process.communicate(timeout=60)

    assert (4, True) == (process.returncode, "terminating connection due to administrator command" in said)
    assert {} == database.seen()
    assert (0, {}) == (home("publish").code, differing(home, database))


def test_a_signal_ends_it_while_the_server_is_waited_for(home: Sightglass, database: Database) -> None:
    """Ctrl-C is heard at once."""
    with database.connected(autocommit=False) as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})::text")
        cursor.fetchall()
        with home.start("publish") as process:
            while not database.ask("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=10)

    assert (143, 1) == (process.returncode, said.count("\n"))


def test_another_warehouse_is_refused(home: Sightglass, database: Database, tmp_path: Path) -> None:
    """Unless it is told to take over; a warehouse that was put back to what it was brings that version."""
    home("publish")
    copy(home.folder, tmp_path / "other")
    other = Sightglass(tmp_path / "other", home.settings)
    copy(home.home, tmp_path / "backup")
    change(home, 1)
    home("publish")
    before = database.seen()
    refused = other("publish")
    after = database.seen()
    copy(tmp_path / "backup", home.home)
    restored = (home("publish").code, differing(home, database))
    _, _, update = refused.err.splitlines()[0].partition("take over: ")
    database.do(update)
    change(other, 5)

    assert (4, before) == (refused.code, after)
    assert f"the database holds what the warehouse in {home.home} publishes" in refused.err
    assert (0, {}) == restored
    assert (0, {}) == (other("publish").code, differing(other, database))


def test_tables_of_others_are_not_touched(home: Sightglass, database: Database) -> None:
    """A table in the way is named, and nothing is made beside it."""
    database.do("CREATE SCHEMA etl AUTHORIZATION writer", "CREATE TABLE etl.runs (a text)")
    ran = home("publish")

    assert (4, {"etl.runs": []}) == (ran.code, database.seen())
    assert "etl.runs is there and is not Sightglass's: move it away, or name another database" in ran.err


def test_a_role_without_rights_is_told_what_it_needs(home: Sightglass, database: Database) -> None:
    """To make schemas; or that they are there and its own."""
    database.do(f"REVOKE CREATE ON DATABASE {database.name} FROM writer")
    refused = home("publish")
    database.do(
        *(f"CREATE SCHEMA {name} AUTHORIZATION writer" for name in ("cogniac", "neurons", "etl", "mart"))
    )
    given = home("publish")

    assert (4, True) == (refused.code, "let the owner of the database run: GRANT CREATE" in refused.err)
    assert (0, {}) == (given.code, differing(home, database))


def files_with(database: Database, text: str) -> list[str]:
    """The tables of which a file holds a text, with what belongs to them."""
    database.do("CHECKPOINT")
    paths = database.ask(
        "SELECT c.relname::text, pg_relation_filepath(c.oid) FROM pg_class c "
        "WHERE pg_relation_filepath(c.oid) IS NOT NULL AND relnamespace <> 'pg_catalog'::regnamespace"
    )
    return [name for name, path in paths if text.encode() in (database.folder / "data" / path).read_bytes()]


def test_what_is_forgotten_leaves_no_trace(home: Sightglass, database: Database, server: Server) -> None:
    """Not even in the files of the server, once no open transaction sees it any more."""
    home("publish")
    ((medium,), (other,)) = table(
        home.home, "SELECT DISTINCT media_id FROM cogniac.results ORDER BY ALL LIMIT 2"
    )
    held = bool(files_with(database, medium))
    with database.connected(autocommit=False) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1 FROM pg_class LIMIT 1")
        cursor.fetchall()
        seen = home("forget", "--media", medium)
        still = bool(files_with(database, medium))
    later = home("publish")
    gone = files_with(database, medium)
    server.stop()
    down = home("forget", "--media", other)
    server.start()
    caught_up = home("publish")

    assert (True, 4, True) == (held, seen.code, still)
    assert "rows that are gone stay on its disk as long as a transaction is open" in seen.err
    assert (0, []) == (later.code, gone)
    assert (4, 0, []) == (down.code, caught_up.code, files_with(database, other))
    assert {} == differing(home, database)
    assert [(False,)] == database.ask("SELECT is_vacuum_due FROM etl.published")


def test_who_is_forgotten_is_not_named_in_what_was_refused_either(
    home: Sightglass, database: Database
) -> None:
    """The beginning of a record that is too large keeps its id: by its content alone it is another row."""
    ((user,),) = table(home.home, "SELECT min(user_id) FROM cogniac.detections WHERE user_id LIKE '%@%'")
    refused = (
        f"'q' AS quarantine_id, '{user} and more' AS record, 'beginning' AS encoding, 'record' AS kind, "
        "'cogniac' AS source, 'detections' AS stream, '' AS partition, 'large' AS reason, '$' AS path, "
        "'r1' AS run_id, '{}' AS context, 'open' AS state, now() AS seen_at"
    )
    change(home, 1, f"INSERT INTO etl.quarantine BY NAME SELECT {refused}")
    published = home("publish", "--force")
    known = database.ask("SELECT record FROM etl.quarantine")
    forgot = home("forget", "--user", user)

    assert (0, [(f"{user} and more",)], 0) == (published.code, known, forgot.code)
    assert {} == differing(home, database)
    assert [] == files_with(database, user)


def test_the_extra_is_missed_before_anything_is_asked(home: Sightglass, served: Plant) -> None:
    """Exit code 2 and a line that names it; so does an address that is none, which is not shown."""
    (home.folder / "adbc_driver_postgresql.py").write_text("raise ImportError(name='adbc_driver_postgresql')")
    asked = len(served.cogniac.requests)
    missing = home("run")
    (home.folder / "adbc_driver_postgresql.py").unlink()
    wrong = home("run", **{URL: f"mysql://writer:{IN_URL}@127.0.0.1/x"})

    assert (2, "") == (missing.code, missing.out)
    assert (
        f"sightglass: {URL} needs adbc_driver_postgresql: pip install 'sightglass-etl[postgres]'\n"
        == missing.err
    )
    assert (
        2,
        f"sightglass: {URL} must be an address such as postgresql://user:password@host:5432/database",
    ) == (wrong.code, wrong.err.partition(",")[0])
    assert asked == len(served.cogniac.requests)
