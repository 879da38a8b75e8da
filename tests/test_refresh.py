"""`sightglass refresh`: a stream read anew; what the API holds no more goes, all of it at one moment."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Sightglass, Truth, in_order, rows, table
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Placed,
    Request,
    T,
    cogniac,
    medium,
    of_cogniac,
    record,
    serving,
)
from support.kills import AT_A_COMMIT, Moment, content, died, place
from support.tables import differing, everything

LITTLE = {"applications": 2, "records": 60}
OF_COGNIAC = ("results", "detections", "detection_boxes")


def read_by(home: Path, query: str) -> list[tuple[Any, ...]]:
    """What readers see."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def removed(plant: Plant, count: int) -> list[tuple[str, str]]:
    """Records that the API holds no more from now on, by application and medium."""
    gone = []
    for application in plant.cogniac.applications():
        for each in list(plant.cogniac.truth(application["application_id"]))[:count]:
            found = application["application_id"], each["media"]["media_id"]
            plant.cogniac.remove(*found, each["focus"])
            gone.append(found)
    return gone


@pytest.fixture
def shrunk(plant: Plant, tmp_path: Path) -> Sightglass:
    """A warehouse of an API that has lost a record of each application since the last run."""
    sightglass = place(tmp_path / "place", plant, SIGHTGLASS_RAW_DAYS="forever")
    assert sightglass("run").code == 0
    plant.cogniac.advance(records=60)
    assert sightglass("run").code == 0
    assert removed(plant, 1)
    return sightglass


def holds_the_truth(sightglass: Sightglass, plant: Plant) -> bool:
    """Whether the current tables are what the API says now."""
    truth = Truth.now(plant).rows()
    return all(
        in_order(truth[name]) == in_order(rows(sightglass.home, f"cogniac.{name}")) for name in OF_COGNIAC
    )


def test_what_the_api_holds_no_more_goes(shrunk: Sightglass, plant: Plant) -> None:
    """A run does not see it; a refresh does, and says so; the history keeps it, as ended."""
    assert shrunk("run").code == 0
    history = "SELECT count(*), count(valid_to) FROM cogniac.detection_history"
    is_seen, ((versions, ended),) = holds_the_truth(shrunk, plant), read_by(shrunk.home, history)
    cursors = table(shrunk.home, "FROM etl.cursors ORDER BY ALL")
    ran = shrunk("refresh", "cogniac.detections", "--json")
    ((versions_after, ended_after),) = read_by(shrunk.home, history)
    before = everything(shrunk.home)
    rebuilt = shrunk("rebuild")

    assert (False, 0, True) == (is_seen, ran.code, holds_the_truth(shrunk, plant))
    assert (versions, True) == (versions_after, ended_after > ended)
    assert "taken away, for the API holds them no more: 1" in ran.err
    assert cursors == table(shrunk.home, "FROM etl.cursors ORDER BY ALL")
    assert (0, {}) == (rebuilt.code, differing(before, everything(shrunk.home)))
    ((seen,),) = read_by(shrunk.home, "SELECT count(*) FROM cogniac.results")
    assert len(rows(shrunk.home, "cogniac.results")) == seen


def test_one_partition_can_be_refreshed(shrunk: Sightglass, plant: Plant) -> None:
    """The others keep what they have."""
    first, *_ = [one["application_id"] for one in plant.cogniac.applications() if one["active"]]
    count = "SELECT count(*) FROM cogniac.results WHERE application_id {} ?"
    with duckdb.connect(shrunk.home / "warehouse.duckdb", read_only=True) as connection:
        before = [connection.execute(count.format(how), [first]).fetchall()[0][0] for how in ("=", "<>")]
    ran = shrunk("refresh", "cogniac.detections", first)
    with duckdb.connect(shrunk.home / "warehouse.duckdb", read_only=True) as connection:
        after = [connection.execute(count.format(how), [first]).fetchall()[0][0] for how in ("=", "<>")]

    assert (0, [before[0] - 1, before[1]]) == (ran.code, after)


def test_what_was_taken_away_can_come_again(shrunk: Sightglass, plant: Plant) -> None:
    """Its versions stand once in the history, and a run publishes it."""
    application_id = next(one["application_id"] for one in plant.cogniac.applications() if one["active"])
    newest = list(plant.cogniac.truth(application_id))[-1]
    plant.cogniac.remove(application_id, newest["media"]["media_id"], newest["focus"])
    assert shrunk("refresh", "cogniac.detections").code == 0
    plant.cogniac.put(application_id, newest, at=newest["updated_at"])
    ran = shrunk("run")
    key = "application_id, media_id, focus_key, detection_id, subject_uid, valid_from, revision"
    doubled = f"SELECT 1 FROM cogniac.detection_history GROUP BY {key} HAVING count(*) > 1"  # noqa: S608

    assert (0, True, []) == (ran.code, holds_the_truth(shrunk, plant), read_by(shrunk.home, doubled))


def test_what_comes_again_with_a_change_from_before_holds_from_then_on(tmp_path: Path) -> None:
    """Two versions of an assertion never hold at once: the one that was taken away ended with the change."""
    first = record(0)
    listed: list[tuple[float, Any]] = [(each["updated_at"], each) for each in (first, record(1))]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        del listed[0]
        sightglass("refresh", "cogniac.detections")
        (changed,) = first["detections"]
        again = {**first, "updated_at": T + 60, "detections": [{**changed, "probability": 0.9}]}
        listed.append((T + 60, again))
        ran = sightglass("run")

    history = (
        "SELECT detection_id, probability, epoch(valid_from), epoch(valid_to), revision FROM {} ORDER BY ALL"
    )
    assert (0, [("d0", 0.5, T, T + 60, 0), ("d0", 0.9, T + 60, None, 0), ("d1", 0.5, T + 1, None, 0)]) == (
        ran.code,
        read_by(sightglass.home, history.format("cogniac.detection_history")),
    )


def test_more_than_a_tenth_is_held_back(shrunk: Sightglass, plant: Plant) -> None:
    """It is named, exit code 4, and goes when that is asked for."""
    removed(plant, 12)
    before = len(rows(shrunk.home, "cogniac.results"))
    held = shrunk("refresh", "cogniac.detections")
    between = len(rows(shrunk.home, "cogniac.results"))
    ran = shrunk("refresh", "cogniac.detections", "--force")

    assert (4, before, True) == (held.code, between, "`sightglass refresh --force`" in held.err)
    assert (0, True) == (ran.code, holds_the_truth(shrunk, plant))


def test_what_is_refused_is_not_taken_for_gone(tmp_path: Path) -> None:
    """A record that is sent and no longer accepted is still there: nothing is taken away."""
    listed: list[tuple[float, Any]] = [(each["updated_at"], each) for each in (record(0), record(1))]
    with serving({**cogniac({DETECTIONS: Placed(listed)})}) as server:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        listed[0][1]["detections"][0]["probability"] = 5
        ran = sightglass("refresh", "cogniac.detections")

    assert (4, 2) == (ran.code, len(rows(sightglass.home, "cogniac.results")))
    assert "nothing was taken away, for some of it was refused" in ran.err


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ("cogniac.nothing", "cogniac.nothing is no stream"),
        ("nobody.media", "nobody is no source"),
        ("neurons.assets", "neurons.assets is no stream that can be read anew by itself"),
        ("cogniac.postbacks", "there are cogniac.applications, cogniac.detections, cogniac.subjects"),
    ],
)
def test_an_unknown_stream_is_named(sightglass: Sightglass, stream: str, said: str) -> None:
    """With those that there are."""
    ran = sightglass("refresh", stream)

    assert (2, True) == (ran.code, said in ran.err)


def test_media_of_neurons_are_read_anew_with_their_files(shrunk: Sightglass, plant: Plant) -> None:
    """Those that were deleted go with all that was known of them."""
    gone = next(iter(plant.neurons.truth()))["media_id"]
    plant.neurons.remove(gone)
    ran = shrunk("refresh", "neurons.media", "--json")

    assert (0, False) == (ran.code, gone in str(content(shrunk.home)))
    assert sorted(one["media_id"] for one in plant.neurons.truth()) == sorted(
        row["media_id"] for row in rows(shrunk.home, "neurons.media")
    )


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", [2, 4, 6])
def test_a_kill_leaves_readers_what_they_had(
    shrunk: Sightglass, plant: Plant, number: int, side: str
) -> None:
    """Run again, it comes to its end; the log then gives the same tables."""
    seen = read_by(shrunk.home, "SELECT count(*) FROM cogniac.results")
    died(shrunk, Moment(AT_A_COMMIT, number, side), "refresh", "cogniac.detections")
    between = read_by(shrunk.home, "SELECT count(*) FROM cogniac.results")
    ran = shrunk("refresh", "cogniac.detections")
    before = everything(shrunk.home)
    rebuilt = shrunk("rebuild")

    assert (seen, 0, True) == (between, ran.code, holds_the_truth(shrunk, plant))
    assert (0, {}) == (rebuilt.code, differing(before, everything(shrunk.home)))


def test_a_refresh_that_finds_no_stream_leaves_runs_alone(sightglass: Sightglass, plant: Plant) -> None:
    """In a warehouse that was never refreshed, nothing is there that could be over."""
    assert sightglass("run").code == 0
    refused = sightglass("refresh", "cogniac.detections", "no-such-application")
    plant.cogniac.advance(records=3)
    codes = [
        sightglass("run").code,
        sightglass("rebuild").code,
        sightglass("refresh", "cogniac.subjects").code,
    ]

    said = "sightglass: cogniac.detections has no no-such-application"
    assert (2, said) == (refused.code, refused.err.splitlines()[-1])
    assert [0, 0, 0] == codes


@pytest.mark.parametrize("ahead", [3 * 3600, 0], ids=["still", "no more"])
def test_what_an_api_dated_ahead_is_not_gone(tmp_path: Path, ahead: int) -> None:
    """Its clock is hours ahead, or was when it dated what is stored: no row goes that was not asked for."""
    now = time.time() + 3 * 3600
    times = [now - 1200 * number - 60 for number in range(100)]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)])
    late = f"{datetime.fromtimestamp(now - 60, UTC):%Y-%m-%dT%H:%M:%SZ}"
    media = [medium(1), medium(2, updated_at=late)]
    routes = cogniac({DETECTIONS: placed, MEDIA: lambda _request: {"media": media}})
    with serving(routes) as server:
        login = {"NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url}
        cog = of_cogniac(tmp_path, server)
        sightglass = replace(cog, settings={**cog.settings, **login})
        server.ahead = 3 * 3600
        loaded = sightglass("run")
        server.ahead = ahead
        ran = [sightglass("refresh", each) for each in ("cogniac.detections", "neurons.media")]

    assert [0, 0, 0] == [each.code for each in (loaded, *ran)]
    assert (100, 2) == (len(rows(cog.home, "cogniac.results")), len(rows(cog.home, "neurons.media")))


def test_what_moves_while_it_is_read_side_by_side_is_not_gone(tmp_path: Path) -> None:
    """Records that none of several readers has reached are corrected, once the last of all were read."""
    begun = time.time()
    times = [begun - 40 * 86_400 + number * 100 for number in range(3000)]
    times += [begun - 10 * 86_400 + number * 8000 for number in range(100)]
    placed = Placed([(moment, record(number, moment)) for number, moment in enumerate(times)])
    sent, moved = set[str](), list[int]()

    def answer(request: Request) -> Answer:
        page = placed(request)
        sent.update(one["media"]["media_id"] for one in json.loads(page.body)["data"])
        if len(sent) > 2300 and not moved:
            moved.extend([number for number in range(3000) if f"m{number}" not in sent][-40:-20])
            now = time.time()
            for number in moved:
                placed.records[number] = now, record(number, now)
        return page

    with serving(cogniac({DETECTIONS: answer})) as server:
        sightglass = of_cogniac(tmp_path, server)
        loaded = sightglass("run")
        moved.clear()
        sent.clear()
        ran = sightglass("refresh", "cogniac.detections")

    held = {row["media_id"]: row["updated_at"] for row in rows(sightglass.home, "cogniac.results")}
    truth = {one["media"]["media_id"]: round(at * 1e6) for at, one in placed.records if isinstance(one, dict)}
    assert (0, 0, 20, truth) == (loaded.code, ran.code, len(moved), held)
