"""`sightglass plan`: what a run would ask, with what it asks itself, and that it writes nothing."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import Sightglass, table
from faults import RECORDS, Healthy
from hostile import MEDIA, Answer, cogniac, of_cogniac, serving
from support.folders import contents
from support.kills import PAUSED, started

LIST = "/1/tenants/[^/]+/applications"
DOWN = Answer(b'{"message": "no"}', 503)


def test_a_plan_says_what_a_run_would_ask_and_writes_nothing(loaded: Healthy) -> None:
    """Cursors less the overlap, up to now less the lag; lists as they were last; not a byte is changed."""
    loaded.restore()
    sightglass, server = loaded.sightglass, loaded.server
    ((cursor,),) = table(
        sightglass.home, "SELECT epoch_us(cursor_at) FROM etl.cursors WHERE stream = 'detections'"
    )
    before, asked = contents(sightglass.folder), len(server.asked)
    begun = datetime.now(UTC)

    ran = sightglass("plan", "--json")

    plan = ran.report
    lists = {one["stream"]: (one["requests"], one["records"]) for one in plan["streams"] if one["is_list"]}
    (detections,) = [one for one in plan["streams"] if one["stream"] == "detections"]
    until = datetime.fromisoformat(detections["until"])
    since = datetime.fromtimestamp(cursor / 1_000_000, UTC) - timedelta(hours=1)
    assert (0, "", 0, {}, []) == (ran.code, ran.err, plan["exit_code"], plan["failed"], plan["skipped"])
    assert {"applications": (1, 1), "subjects": (1, 0), "media": (7, 5)} == lists
    assert ("cogniac", "a1", since, 1, RECORDS) == (
        detections["source"],
        detections["partition"],
        datetime.fromisoformat(detections["since"]),
        detections["requests"],
        detections["records"],
    )
    assert begun - timedelta(seconds=5) <= until <= datetime.now(UTC) - timedelta(seconds=5)
    assert {"cogniac": 1, "neurons": 1} == plan["asked"]
    login = ["/1/users/current/tenants", "/1/token", "/1/tenants/current/applications"]
    assert [*login, MEDIA] == [each.path for each in server.asked[asked:]]
    assert before == contents(sightglass.folder)


def test_a_plan_before_the_first_run_has_no_numbers_that_nothing_tells(loaded: Healthy) -> None:
    """What the lists say is all there is to say; the folder of the warehouse is not even made."""
    fresh = Sightglass(loaded.sightglass.folder / "fresh", loaded.sightglass.settings)
    fresh.folder.mkdir()

    ran = fresh("plan")

    head, *lines = (line.split() for line in ran.out.splitlines())
    assert (0, "") == (ran.code, ran.err)
    assert ["source", "stream", "part", "from", "to", "requests", "records"] == head
    assert [
        ["cogniac", "applications", "all", "of", "it", "1", "1"],
        ["cogniac", "subjects", "all", "of", "it"],
        ["cogniac", "detections", "a1", "the", "beginning"],
        ["neurons", "media", "all", "of", "it", "1", "5"],
    ] == [line[:5] if line[1] == "detections" else line for line in lines]
    assert [] == list(fresh.folder.iterdir())


def test_how_much_comes_follows_from_what_runs_found(tmp_path: Path) -> None:
    """New records a second since the first load, times the span that is to be read."""
    with serving(cogniac({"/1/applications/a1/detections": {"data": []}})) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert 0 == sightglass("run").code
        change = """
            UPDATE etl.runs SET started_at = now() - INTERVAL 48 HOUR;
            INSERT INTO etl.runs (run_id, started_at, status, version, command)
            VALUES ('r2', now() - INTERVAL 24 HOUR, 'ok', '0.0', 'run');
            INSERT INTO etl.run_streams
            SELECT * REPLACE (
                'r2' AS run_id, 8640 AS fetched, 8640 AS inserted, now() - INTERVAL 24 HOUR AS started_at
            )
            FROM etl.run_streams WHERE stream = 'detections';
            INSERT INTO etl.cursors (source, stream, partition, cursor_at, run_id)
            VALUES ('cogniac', 'detections', 'a1', now() - INTERVAL 47 HOUR, 'r2');
        """
        with duckdb.connect(sightglass.home / "warehouse.duckdb") as warehouse:
            warehouse.execute(change)
        assert 0 == sightglass("publish").code

        ran = sightglass("plan", "--json", "cogniac", SIGHTGLASS_LAG="0")

    (found,) = [one for one in ran.report["streams"] if one["stream"] == "detections"]
    # 0.1 a second for 48 hours, the overlap of one included.
    assert (True, 173) == (17_280 <= found["records"] < 17_300, found["requests"])


def test_a_source_that_is_down_is_shown_as_runs_read_it(loaded: Healthy) -> None:
    """It is named with exit code 3; the plan of the others is as it was."""
    loaded.restore()
    loaded.server.instead[LIST] = DOWN
    try:
        ran = loaded.sightglass("plan", "--json", SIGHTGLASS_RETRY_BUDGET="0")
    finally:
        loaded.server.instead.clear()

    failed = ran.report["failed"]["cogniac"]
    assert (3, 3, ["cogniac"]) == (ran.code, ran.report["exit_code"], list(ran.report["failed"]))
    assert failed.endswith("/1/tenants/current/applications answered 503: no")
    assert f"sightglass: cogniac failed: {failed}\n" == ran.err
    assert ["applications", "detections", "subjects", "media"] == [
        one["stream"] for one in ran.report["streams"]
    ]


def test_a_plan_is_made_beside_a_run(loaded: Healthy) -> None:
    """A run that holds the warehouse is in nobody's way."""
    loaded.restore()
    with started(loaded.sightglass, PAUSED, "run") as process:
        assert process.stderr is not None
        assert "about to publish\n" == process.stderr.readline()
        ran = loaded.sightglass("plan", "--json")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=100)

    assert (0, 4) == (ran.code, len(ran.report["streams"]))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"COG_API_KEY": "", "NEURONS_API_KEY": ""},
            "sightglass: no source has credentials: for cogniac set ",
        ),
        ({"SIGHTGLASS_SOURCES": "acme"}, "sightglass: SIGHTGLASS_SOURCES: acme is no source; known are "),
    ],
)
def test_a_plan_without_a_login_is_exit_code_2(settings: dict[str, str], says: str, loaded: Healthy) -> None:
    """As a run would say it."""
    ran = loaded.sightglass.but_for(settings)("plan")

    assert (2, "", True) == (ran.code, ran.out, ran.err.startswith(says))
