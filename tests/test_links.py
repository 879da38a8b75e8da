"""Signed links live for minutes: what comes late, what stays away, and where no credentials go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina
from conftest import Plant, Row, in_order, rows, serving
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp

from etl.config import load
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import FOREVER, Answer, Clock, Rule, Script
from etl.demo.server import serve
from etl.pipeline import run as pipeline
from etl.sources.neurons import OwnSettings

SOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
VIDEO = {"media_id": "film", "status": "done", "type": "video", "metrics": {}}
FILES = {
    "metrics": b'[{"focus": 1}]',
    "frt_frame_metrics": b'[{"memory": 2}]',
    "aoi_scores": b"name,score\nA,1\n",
    "brand_detection_metrics": b'[{"name": "A", "score": 3}]',
}
"""Four files of one video, all of which hold rows."""
PATHS = {
    "metrics": "/film/media_nvai_metrics.json",
    "frt_frame_metrics": "/film/media_frt_metrics.json",
    "aoi_scores": "/film/media_aoi_scores.csv",
    "brand_detection_metrics": "/film/media_brand_detection_metrics.json",
}
PARENT = "/predict/v2/media/film"
LOADED = dict.fromkeys(FILES, "loaded")
GONE = Answer(status=404, body=b'{"detail": "no such file"}')


@dataclass(slots=True)
class Film:
    """One video, served; runs against it at times of the test's choosing."""

    plant: Plant
    clock: Clock
    home: Path

    def run(self, later: timedelta = timedelta(0), *, slow: timedelta = timedelta(0)) -> pipeline.Report:
        """Run so much later; `slow`: so much time goes by each time anybody looks at the clock."""
        self.clock.advance(later.total_seconds())

        def now() -> datetime:
            self.clock.advance(slow.total_seconds())
            return datetime.fromtimestamp(self.clock(), UTC)

        environ = {**self.plant.neurons_login, "SIGHTGLASS_HOME": str(self.home)}
        settings = load([OwnSettings], environ, file=Path(os.devnull))
        return pipeline.run(settings, ["neurons"], now, lambda _stats, _records: None)

    def asked(self) -> tuple[int, list[str]]:
        """How often the medium was asked for by its id, and which files were, in no order; forgets both."""
        parent = [seen.path for seen in self.plant.neurons.requests if seen.path == PARENT]
        files = sorted(seen.path for seen in self.plant.neurons.file_requests)
        self.plant.neurons.requests.clear()
        self.plant.neurons.file_requests.clear()
        return len(parent), files

    def states(self) -> dict[str, str]:
        """What became of each file."""
        return {row["asset"]: row["state"] for row in rows(self.home, "neurons.assets")}

    def gaps(self) -> list[Row]:
        """All gaps."""
        return in_order(rows(self.home, "etl.gaps"))

    def complete(self) -> bool:
        """Whether the medium is held to be complete."""
        return [True] == [row["is_complete"] for row in rows(self.home, "neurons.media")]

    def answering(self, path: str, answer: ASGIApp, times: int = FOREVER) -> Script:
        """Let the file server answer this instead of a file."""
        script = Script(Rule(path=path, answer=answer, times=times))
        self.plant.neurons.file_watch.fault = script
        return script


@contextmanager
def showing(home: Path, *, lifetime: float = 300, status: int = 403) -> Iterator[Film]:
    """One video with four files, in a list of its own."""
    clock = Clock(SOON.timestamp())
    variant = NeuronsVariant(expired_status=status)  # type: ignore[arg-type]  # any of three
    neurons = NeuronsSimulator(1, NeuronsSize(media=0), variant=variant, clock=clock, link_lifetime=lifetime)
    with serving(neurons=neurons) as plant:
        neurons.put(VIDEO, FILES)
        # Links of one second are the same; those minted anew shall not be.
        neurons.fault = Script(Rule(path=PARENT, do=lambda: clock.advance(1), times=FOREVER))
        yield Film(plant, clock, home)


@pytest.fixture(autouse=True)
def _here_and_without_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine is asked, and nothing waits between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def test_links_that_are_fresh_are_used_as_they_came(tmp_path: Path) -> None:
    """Each file is fetched once, by the link in the list; nothing else is asked for."""
    with showing(tmp_path) as film:
        report = film.run()
        asked = film.asked()

    assert (0, 0, LOADED, True) == (report.exit_code, report.gaps, film.states(), film.complete())
    assert (0, sorted(PATHS.values())) == asked


@pytest.mark.parametrize("status", [403, 404, 410])
def test_files_that_expired_together_ask_their_parent_once(tmp_path: Path, status: int) -> None:
    """Between list and download all four links ran out: one question brings four new ones."""
    with showing(tmp_path, lifetime=30, status=status) as film:
        film.plant.neurons.file_watch.fault = Script(Rule(path="^/film/", do=lambda: film.clock.advance(60)))
        report = film.run()
        parents, files = film.asked()

    assert (0, LOADED, True) == (report.exit_code, film.states(), film.complete())
    assert (1, 4) == (parents, len(set(files)))
    assert 4 < len(files) <= 8


def test_a_file_that_came_in_time_is_not_fetched_again(tmp_path: Path) -> None:
    """Where one link of four is refused, that file alone is fetched a second time, by a new link."""
    with showing(tmp_path) as film:
        script = film.answering(PATHS["aoi_scores"], GONE, times=1)
        report = film.run()
        script.check()
        asked = film.asked()

    assert (0, LOADED) == (report.exit_code, film.states())
    assert (1, sorted([*PATHS.values(), PATHS["aoi_scores"]])) == asked


def test_a_link_older_than_its_life_is_not_tried(tmp_path: Path) -> None:
    """Where minutes go by between list and download, new links are asked for first, and none is refused."""
    with showing(tmp_path, lifetime=100_000) as film:
        report = film.run(slow=timedelta(minutes=4))
        answers = {seen.status for seen in film.plant.neurons.file_requests}
        asked = film.asked()

    assert (0, LOADED) == (report.exit_code, film.states())
    assert ({200}, 1, sorted(PATHS.values())) == (answers, *asked)


def test_a_refusal_that_is_no_expiry_asks_for_no_new_link(tmp_path: Path) -> None:
    """A 400 is no matter of time: the file is missing with that reason, and its parent is left alone."""
    with showing(tmp_path) as film:
        film.answering(PATHS["metrics"], Answer(status=400, body=b'{"detail": "odd"}'))
        film.run()
        asked = film.asked()
        (gap,) = film.gaps()

    assert f"GET {film.plant.neurons.files_url}film/media_nvai_metrics.json answered 400: odd" == gap["error"]
    assert LOADED | {"metrics": "missing"} == film.states()
    assert (0, sorted(PATHS.values())) == asked


def test_a_file_that_stays_missing_is_a_gap_with_its_reason(tmp_path: Path) -> None:
    """It is tried by its link and by a new one; the others are loaded, and the run is no failure."""
    with showing(tmp_path) as film:
        film.answering(PATHS["metrics"], GONE)
        report = film.run()
        asked = film.asked()
        (gap,) = film.gaps()

    said = f"GET {film.plant.neurons.files_url}film/media_nvai_metrics.json answered 404: no such file"
    named = {"source": "neurons", "stream": "assets", "key": "film/metrics", "what": "missing file"}
    assert named | {"error": said, "attempts": 1} == {
        name: value for name, value in gap.items() if name not in ("since", "next_at")
    }
    assert (0, 1, LOADED | {"metrics": "missing"}) == (report.exit_code, report.gaps, film.states())
    assert not film.complete()
    assert (1, sorted([*PATHS.values(), PATHS["metrics"]])) == asked


PAUSES = (0, 10, 20, 40, 80, 160, 320, 640, 1280, 1440)
"""Minutes after each attempt before the next."""


def test_a_missing_file_is_tried_again_after_a_growing_pause(tmp_path: Path) -> None:
    """The next run tries it, then none before its time, which doubles from ten minutes to a day."""
    minute, tried, before = timedelta(minutes=1), [], []
    with showing(tmp_path) as film:
        film.answering(PATHS["metrics"], GONE)
        film.run()
        film.asked()
        for pause in PAUSES:
            if pause in (10, 1440):
                film.run(pause * minute - timedelta(seconds=2))
                before += film.asked()[1]
            film.run(timedelta(seconds=2) if pause in (10, 1440) else pause * minute)
            tried.append(film.asked()[1])
        (gap,) = film.gaps()

    assert [] == before
    assert [[PATHS["metrics"]] * 2] * len(PAUSES) == tried
    assert len(PAUSES) + 1 == gap["attempts"]
    assert SOON.timestamp() * 1_000_000 == gap["since"]


def test_a_run_that_does_not_try_a_file_counts_no_attempt(tmp_path: Path) -> None:
    """A gap whose time comes while a run goes on is tried by the next run, without another pause."""
    with showing(tmp_path) as film:
        film.answering(PATHS["metrics"], GONE)
        _ = film.run(), film.run(), film.asked()
        film.plant.neurons.put(VIDEO | {"media_id": "late"}, {"metrics": FILES["metrics"]})
        film.plant.neurons.file_watch.fault = Script(Rule(path="^/late/", do=lambda: film.clock.advance(60)))
        film.run(timedelta(minutes=9, seconds=30))
        asked = film.asked()
        (gap,) = film.gaps()

    assert (0, ["/late/media_nvai_metrics.json"]) == asked
    assert 2 == gap["attempts"]


def test_a_file_that_arrives_later_closes_its_gap(tmp_path: Path) -> None:
    """It is fetched alone; then nothing is missing, and the medium is complete."""
    with showing(tmp_path) as film:
        film.answering(PATHS["metrics"], GONE)
        film.run()
        film.asked()
        film.plant.neurons.file_watch.fault = None
        report = film.run()
        asked = film.asked()
        quiet = film.run()
        rest = film.asked()

    assert (0, 0, 0, []) == (report.exit_code, report.gaps, quiet.gaps, film.gaps())
    assert (LOADED, True) == (film.states(), film.complete())
    assert ((0, [PATHS["metrics"]]), (0, [])) == (asked, rest)
    assert [1.0] == [
        row["value"] for row in rows(tmp_path, "neurons.frame_metrics") if row["asset"] == "metrics"
    ]


def test_a_medium_deleted_meanwhile_is_no_gap_for_long(tmp_path: Path) -> None:
    """Its files are missing in the run that met it going; the next run finds it gone, and nothing missing."""
    with showing(tmp_path) as film:
        remove = Rule(path="^/film/", do=lambda: film.plant.neurons.remove("film"), times=FOREVER)
        film.plant.neurons.file_watch.fault = Script(remove)
        report = film.run()
        parents, files = film.asked()
        states = film.states()
        later = film.run()
        (medium,) = rows(tmp_path, "neurons.media")

    assert (0, 4, dict.fromkeys(FILES, "missing")) == (report.exit_code, report.gaps, states)
    assert (1, True) == (parents, {*files} <= {*PATHS.values()})
    assert (0, 0, True) == (later.exit_code, later.gaps, "deleted_at" in medium)


def test_a_new_link_may_lead_to_another_host(tmp_path: Path) -> None:
    """Links are taken as they come, and neither host is told the key."""
    with showing(tmp_path) as film, serve(film.plant.neurons.files) as other:
        first = film.plant.neurons.files_url

        def moved(request: Request) -> ASGIApp | None:
            film.plant.neurons.files_url = other
            return Answer(status=403) if request.headers["host"] in first else None

        film.plant.neurons.file_watch.fault = moved
        report = film.run()
        hosts = {f"http://{seen.headers['host']}/" for seen in film.plant.neurons.file_requests}
        told = [seen.path for seen in film.plant.neurons.file_requests if seen.has_credentials]
        parents, _ = film.asked()

    assert (0, LOADED, 1) == (report.exit_code, film.states(), parents)
    assert ({first, other}, []) == (hosts, told)


def test_a_redirected_download_is_followed_without_credentials(tmp_path: Path) -> None:
    """Wherever the file server sends a download, the file is loaded and no key, cookie or login sent."""
    with showing(tmp_path) as film, serve(film.plant.neurons.files) as other:
        query = film.plant.neurons._link("film", "metrics").partition("?")[2]  # noqa: SLF001 -- its signature
        there = f"{other.rstrip('/')}{PATHS['metrics']}?{query}"
        film.answering(PATHS["metrics"], RedirectResponse(there), times=1)
        report = film.run()
        seen = [each for each in film.plant.neurons.file_requests if each.path == PATHS["metrics"]]
        told = {"x-api-key", "authorization", "cookie"} & {name for each in seen for name in each.headers}

    assert (0, LOADED) == (report.exit_code, film.states())
    assert [307, 200] == [each.status for each in seen]
    assert other == f"http://{seen[1].headers['host']}/"
    assert set() == told
