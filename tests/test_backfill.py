"""`sightglass backfill`: a range of time is read again, and nothing else is touched."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import hostile
import pytest
from conftest import Plant, Ran, Row, Sightglass, Truth, all_rows, in_order, rows, serving
from hostile import medium, of_neurons
from support.hostile_listing import paged, routes

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize

SECOND = 1_000_000
FROM_FILES = ("assets", "frame_metrics", "aoi_frames", "aoi_metrics", "aoi_scores")
LOST = """
    DELETE FROM {table} WHERE {time} >= make_timestamptz({since}) AND {time} < make_timestamptz({until});
    CHECKPOINT"""


def iso(microseconds: int) -> str:
    """The time as people give it."""
    return f"{datetime.fromtimestamp(microseconds / SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def lose(home: Path, table: str, time: str, since: int, until: int) -> None:
    """Take the rows of a range of time out of a table, as no run of ours does."""
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute(LOST.format(table=table, time=time, since=since, until=until))


def cursors(home: Path) -> list[Row]:
    """Where each stream stands, whichever run brought it there."""
    return sorted(rows(home, "etl.cursors"), key=str)


@pytest.mark.parametrize("at_once", ["1", "16"])
def test_a_range_that_was_lost_is_there_again(tmp_path: Path, at_once: str) -> None:
    """What is missing comes back, little more than the range is read for it, and no cursor moves."""
    with serving(CogniacSimulator(3, CogniacSize(records=2_500))) as plant:
        sightglass = Sightglass(tmp_path, plant.cogniac_login | {"SIGHTGLASS_CONCURRENCY": at_once})
        sightglass("run")
        truth, stood = Truth.now(plant).rows(), cursors(sightglass.home)
        times = sorted(row["updated_at"] for row in truth["results"])
        since, until = (times[len(times) * part // 10] // SECOND * SECOND for part in (2, 9))
        for name in ("results", "detections", "detection_boxes", "result_versions"):
            lose(sightglass.home, f"cogniac.{name}", "updated_at", since, until)
        lose(sightglass.home, "cogniac.detection_history", "valid_from", since, until)
        lost = len(times) - len(rows(sightglass.home, "cogniac.results"))
        ran = sightglass("backfill", "cogniac", "--since", iso(since), "--until", iso(until), "--json")

    inserted = sum(one["inserted"] for one in ran.report["streams"])
    fetched = sum(one["fetched"] for one in ran.report["streams"] if one["stream"] == "detections")
    assert (0, "ok", stood) == (ran.code, ran.report["status"], cursors(sightglass.home))
    assert lost == inserted
    assert lost <= fetched <= lost + 5 * 100
    for name in ("results", "detections", "detection_boxes"):
        assert in_order(truth[name]) == in_order(rows(sightglass.home, f"cogniac.{name}"))


def test_it_can_come_before_the_first_run(tmp_path: Path) -> None:
    """A backfill into an empty warehouse leaves no cursor: the first run reads everything."""
    with serving(CogniacSimulator(1, CogniacSize(records=300))) as plant:
        sightglass = Sightglass(tmp_path, plant.cogniac_login)
        backfill = sightglass(
            "backfill", "cogniac", "--since", "2020-01-01", "--until", "2026-03-02T12:00:00Z"
        )
        early, stood = len(rows(sightglass.home, "cogniac.results")), cursors(sightglass.home)
        ran = sightglass("run")
        truth = Truth.now(plant).rows()

    assert (0, 0, []) == (backfill.code, ran.code, stood)
    assert early < len(truth["results"])
    assert in_order(truth["results"]) == in_order(rows(sightglass.home, "cogniac.results"))


def test_files_of_media_in_the_range_are_fetched_again(tmp_path: Path) -> None:
    """Neurons: all files of the media that changed in the range are loaded, and of no other medium."""
    with serving(None, NeuronsSimulator(1, NeuronsSize(media=6, frames=(50, 60)))) as plant:
        sightglass = Sightglass(tmp_path, plant.neurons_login)
        sightglass("run")
        media = sorted(rows(sightglass.home, "neurons.media"), key=lambda row: row["updated_at"])
        before = all_rows(sightglass.home)
        for name in FROM_FILES:
            with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
                connection.execute(f"DELETE FROM neurons.{name}")  # noqa: S608 -- names of our own
        since, until = (iso(media[place]["updated_at"] + SECOND * (place > 2)) for place in (1, 4))
        ran = sightglass("backfill", "neurons", "--since", since, "--until", until)
        after = all_rows(sightglass.home)

    chosen = {row["media_id"] for row in media[1:5]}
    assert (0, 6) == (ran.code, len(media))
    for name in FROM_FILES:
        expected = [row for row in before[f"neurons.{name}"] if row["media_id"] in chosen]
        assert in_order(expected) == in_order(after[f"neurons.{name}"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("cogniac", "Error: Missing option '--since'."),
        ("--since 2026-01-01", "Error: Missing argument 'SOURCE'."),
        ("acme --since 2026-01-01", "sightglass: acme is no source; known are cogniac, neurons"),
        (
            "cogniac --since yesterday",
            "sightglass: --since must be a date or a time in ISO 8601, not yesterday",
        ),
        (
            "cogniac --since 2999-02-01",
            "sightglass: --since must be in the past, which 2999-02-01 is not",
        ),
        (
            "cogniac --since 2999-02-01 --until 2999-03-01",
            "sightglass: --since must be in the past, which 2999-02-01 is not",
        ),
        (
            "cogniac --since 2026-02-01 --until 2026-01-01T12:00:00+02:00",
            "sightglass: --since must be earlier than --until, which 2026-02-01 is not",
        ),
        (
            "cogniac --since 0001-01-01 --until 0001-01-02",
            "sightglass: --until must be after 1970, which 0001-01-02 is not",
        ),
        (
            "cogniac --since 2026-01-01 --until=",
            "sightglass: --until is empty: give it a date or a time in ISO 8601",
        ),
    ],
)
def test_wrong_usage_exits_2(plant: Plant, sightglass: Sightglass, arguments: str, complaint: str) -> None:
    """The complaint is the last line, and nothing is asked."""
    ran = sightglass("backfill", *arguments.split())

    assert Ran(2, "", complaint) == Ran(ran.code, ran.out, ran.err.splitlines()[-1])
    assert plant.cogniac is not None


def test_media_that_cannot_be_read_or_have_no_time_come_as_in_a_run(tmp_path: Path) -> None:
    """A backfill loads or quarantines them, for nobody can say that they did not change in the range."""
    media = [
        medium(0),
        {**medium(1), "media_id": 17},
        medium(2, updated_at="yesterday"),
        medium(3, updated_at=None, created_at=None),
    ]
    with hostile.serving(routes(paged(media, len(media)), media)) as server:
        sightglass = of_neurons(tmp_path, server)
        backfill = sightglass("backfill", "neurons", "--since", "2026-03-01", "--until", "2026-03-05")
        backfilled = in_order(rows(sightglass.home, "neurons.media"))
        quarantined = {json.loads(row["record"])["name"] for row in rows(sightglass.home, "etl.quarantine")}
        ran = sightglass("run", "--json")

    (stats,) = ran.report["streams"]
    assert (4, ["n0", "n3"]) == (backfill.code, [row["media_id"] for row in backfilled])
    assert ({"ad 1", "ad 2"}, []) == (quarantined, rows(sightglass.home, "etl.gaps"))
    assert (2, 2) == (stats["unchanged"], stats["quarantined"])
