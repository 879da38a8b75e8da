"""A medium that changes twice within a second: its times, which have no fractions, tell of one change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import rows
from hostile import MEDIA, medium, of_neurons, serving
from support.variants import load


@pytest.mark.parametrize(
    ("ago", "fetched", "value"), [(-5, 2, 2.0), (3600, 1, 1.0)], ids=["just now", "an hour ago"]
)
def test_files_that_were_fetched_when_a_medium_changed_are_fetched_once_more(
    tmp_path: Path, ago: int, fetched: int, value: float
) -> None:
    """They may be those from before; of a medium that changed long before, its times are believed."""
    at = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    film: dict[str, Any] = {}
    files = {"score": b"name,a\nA,1\n"}
    routes = {
        MEDIA: lambda _: {"media": [film], "pagination": {"total": 1}},
        "/film.csv": lambda _: files["score"],
    }
    with serving(routes) as server:
        sightglass = of_neurons(tmp_path, server)
        film |= medium(1, updated_at=at, results={"aoi_scores": f"{server.url}film.csv"})
        codes = [sightglass("run").code]
        files["score"] = b"name,a\nA,2\n"
        codes += [sightglass("run").code]
        count = server.count("film.csv")

    (score,) = rows(sightglass.home, "neurons.aoi_scores")
    assert ([0, 0], fetched, value) == (codes, count, score["value"])


def test_files_that_are_the_same_once_more_are_fetched_no_third_time(tmp_path: Path) -> None:
    """What is stored says when they were fetched last; what is published says the same."""
    files: dict[str, str] = {}
    film = medium(1, updated_at="2026-03-04T05:00:00Z", results=files)
    routes = {MEDIA: lambda _: {"media": [film]}, "/film.csv": b"name,a\nA,1\n"}
    counts = []
    with serving(routes) as server:
        files["aoi_scores"] = f"{server.url}film.csv"
        environ = {"NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url}
        for minutes in (0, 10, 20):
            load(tmp_path, environ, datetime(2026, 3, 4, 5, minutes, 5, tzinfo=UTC))
            counts.append(server.count("film.csv"))

    (kept,) = rows(tmp_path, "neurons.assets")
    with duckdb.connect(tmp_path / "bi.duckdb", read_only=True) as connection:
        ((published,),) = connection.execute("SELECT epoch_us(fetched_at) FROM neurons.assets").fetchall()
    assert ([1, 2, 2], published) == (counts, kept["fetched_at"])
    assert datetime(2026, 3, 4, 5, 10, 5, tzinfo=UTC).timestamp() * 1e6 == published
