"""A clock that was ahead for one run, by days or years, or is behind: nothing waits until it is right."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina
from conftest import rows, table
from hostile import DETECTIONS, MEDIA, Answer, Hostile, Request, Said, T, cogniac, medium, record, serving
from support.hostile_listing import media, paged, routes

from etl.config import load
from etl.pipeline import run as pipeline
from etl.pipeline.rebuild import rebuild
from etl.pipeline.refresh import refresh, wanted
from etl.sources import neurons, own_settings

SOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
AHEAD = timedelta(days=2)
MINUTES = timedelta(minutes=10)
COUNT = 150
PAGES = 2
"""Requests of a full listing."""
TAIL = 3
"""Requests of a run that reads the end of the list alone."""


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def runs_at(home: Path, server: Hostile, times: Sequence[datetime], **given: str) -> list[int]:
    """Run at each of these times; how many pages of the list each run asked for."""
    environ = {"NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url, "SIGHTGLASS_HOME": str(home)}
    settings = load([neurons.OwnSettings], environ | given, file=Path(os.devnull))
    asked = []
    for now in times:
        before = server.count(MEDIA)
        pipeline.run(settings, ["neurons"], _at(now), lambda _stats, _pending: None)
        asked.append(server.count(MEDIA) - before)
    return asked


def _at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ("0", [PAGES] * 5),
        # The run after the one that was ahead lists all again, for nobody knows how long ago that was.
        ("24", [PAGES, PAGES, PAGES, TAIL, PAGES]),
    ],
)
def test_full_listings_go_on_after_a_run_that_was_ahead(
    tmp_path: Path, hours: str, expected: list[int]
) -> None:
    """They are counted from the last that was done, whatever its clock said; a day later one is due."""
    times = [SOON, SOON + AHEAD, SOON + MINUTES, SOON + 2 * MINUTES, SOON + timedelta(hours=25)]
    with serving(routes(paged(media(COUNT), COUNT))) as server:
        asked = runs_at(tmp_path, server, times, SIGHTGLASS_NEURONS_SWEEP=hours)

    assert expected == asked


def test_a_listing_that_was_ahead_is_not_believed_when_its_time_has_come(tmp_path: Path) -> None:
    """What counts is the one that was done last, not the one that bears the latest time."""
    times = [SOON, SOON + AHEAD, SOON + MINUTES, SOON + AHEAD + MINUTES]
    with serving(routes(paged(media(COUNT), COUNT))) as server:
        asked = runs_at(tmp_path, server, times, SIGHTGLASS_NEURONS_SWEEP="24")

    assert [PAGES] * 4 == asked


def test_a_missing_file_is_asked_for_again_after_a_run_that_was_ahead(tmp_path: Path) -> None:
    """No pause is longer than a day, and an attempt that is made begins a pause of its own."""
    state: dict[str, Said] = {"file": Answer(b'{"detail": "no such file"}', 404)}

    def listed(request: Request) -> Said:
        link = f"http://{request.headers['Host']}/files/metrics?signature=s"
        return {"media": [medium(0, results={"metrics": link})], "pagination": {"total": 1}}

    times = [SOON, SOON + AHEAD, SOON + AHEAD + MINUTES, SOON + MINUTES]
    with (
        serving({MEDIA: listed, f"{MEDIA}/.*": listed, "/files/.*": lambda _: state["file"]}) as server,
        stamina.set_testing(True, attempts=1),
    ):
        runs_at(tmp_path, server, times)
        (gap,) = (each for each in rows(tmp_path, "etl.gaps") if each["stream"] == "assets")
        state["file"] = b'[{"focus": 1}]'
        runs_at(tmp_path, server, [datetime.fromtimestamp(gap["next_at"] / 1_000_000, UTC)])

    until = datetime.fromtimestamp(gap["next_at"] / 1_000_000, UTC)
    assert (4, True) == (gap["attempts"], SOON < until < SOON + timedelta(days=1))
    assert ["loaded"] == [row["state"] for row in rows(tmp_path, "neurons.assets")]


def test_a_run_that_is_ahead_removes_nothing_from_the_log(tmp_path: Path) -> None:
    """Days are counted from the earlier of two runs: what is kept is gone once two agree that it is old."""
    archive = tmp_path / "raw" / "neurons" / "media"
    later = SOON + timedelta(days=40)
    with serving(routes(paged(media(3), 3))) as server:
        runs_at(tmp_path, server, [SOON, SOON + timedelta(days=3650), SOON + MINUTES])
        kept = {path.name for path in archive.iterdir()}
        runs_at(tmp_path, server, [later, later + MINUTES])
        left = {path.name for path in archive.iterdir()}

    assert ({"2026-06-01"}, set()) == (kept, left)


def test_a_file_that_changes_after_a_run_that_was_ahead_is_loaded(tmp_path: Path) -> None:
    """What comes next in the log is newer, whatever the clock said that wrote what is stored."""
    state: dict[str, Any] = {"file": b'[{"focus": 1}]', "at": "2026-05-01T10:05:00Z"}

    def listed(request: Request) -> Said:
        link = f"http://{request.headers['Host']}/files/metrics?signature=s"
        about = medium(0, results={"metrics": link}, updated_at=state["at"])
        return {"media": [about], "pagination": {"total": 1}}

    with serving(
        {MEDIA: listed, f"{MEDIA}/.*": listed, "/files/.*": lambda _: Answer(state["file"])}
    ) as server:
        runs_at(tmp_path, server, [SOON + AHEAD])
        state |= {"file": b'[{"focus": 77}]', "at": "2026-06-01T11:00:00Z"}
        runs_at(tmp_path, server, [SOON])
    loaded = rows(tmp_path, "neurons.frame_metrics")
    settings = load(own_settings(), {"SIGHTGLASS_HOME": str(tmp_path)}, file=Path(os.devnull))
    rebuild(settings, ["neurons"], None, _at(SOON + MINUTES), alone=True)

    assert [77] == [row["value"] for row in loaded]
    assert loaded == rows(tmp_path, "neurons.frame_metrics")


def test_a_list_without_times_is_followed_after_a_run_that_was_ahead(tmp_path: Path) -> None:
    """Applications have no version of their own."""
    state = {"name": "one"}

    def listed(_: Request) -> Said:
        return {"data": [{"application_id": "a1", "active": True, "name": state["name"]}]}

    found = []
    with serving(
        cogniac({DETECTIONS: {"data": [record(0)], "paging": {}}, "/1/tenants/[^/]+/applications": listed})
    ) as server:
        environ = {"COG_API_KEY": "a:b", "COG_URL_PREFIX": server.url, "SIGHTGLASS_HOME": str(tmp_path)}
        settings = load(own_settings(), environ, file=Path(os.devnull))
        for name, now in (("one", SOON + AHEAD), ("two", SOON), ("three", SOON + MINUTES)):
            state["name"] = name
            pipeline.run(settings, ["cogniac"], _at(now), lambda _stats, _pending: None)
            found += [row["name"] for row in rows(tmp_path, "cogniac.applications")]

    assert ["one", "two", "three"] == found


def test_what_is_taken_away_by_a_clock_that_is_behind_ends_no_sooner_than_it_began(tmp_path: Path) -> None:
    """No version ends before it held: one that began after such a time held for no time at all."""
    behind = datetime.fromtimestamp(T, UTC) + timedelta(hours=1)
    early, late = record(0), record(1, at=T + 7_200)
    listed = [early, late]
    with serving(cogniac({DETECTIONS: lambda _: {"data": listed, "paging": {}}})) as server:
        environ = {"COG_API_KEY": "a:b", "COG_URL_PREFIX": server.url, "SIGHTGLASS_HOME": str(tmp_path)}
        settings = load(own_settings(), environ, file=Path(os.devnull))
        pipeline.run(settings, ["cogniac"], _at(SOON), lambda _stats, _pending: None)
        listed.clear()
        what = wanted("cogniac.detections", None, force=True)
        refresh(settings, what, _at(behind), lambda _stats, _pending: None)

    kept = table(
        tmp_path, "SELECT detection_id, epoch(valid_from), epoch(valid_to) FROM cogniac.detection_history"
    )
    held = sorted((name, began - T, ended - T) for name, began, ended in kept)
    assert ([], [("d0", 0, 3_600), ("d1", 7_200, 7_200)]) == (rows(tmp_path, "cogniac.results"), held)
