"""Neurons answers with an older state of a medium, as a copy of the API does that lags behind."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Row, Sightglass, all_rows, rows
from hostile import MEDIA, Answer, Hostile, Request, Routes, medium, of_neurons, serving

TIMES = {"old": "2026-05-01T10:05:00Z", "new": "2026-05-02T10:05:00Z", "timeless": None}
"""By state of the medium when it changed; its name is that of its state, and so is what its file holds."""
FOCUS = {"old": 1.0, "new": 77.0, "timeless": 5.0}
BACKFILL = "backfill neurons --since 2026-01-01 --until 2026-06-01"
FROM_FILES = ("assets", "frame_metrics")


class Lagging:
    """An API of one medium with one file, which is in one of several states."""

    def __init__(self) -> None:
        self.state = "new"
        self.is_lost = False

    def routes(self) -> Routes:
        """The list, the medium and its file, all of one state."""
        return {
            MEDIA: lambda asked: {"media": [self.medium(asked)], "pagination": {"total": 1}},
            f"{MEDIA}/.*": self.medium,
            "/files/.*": lambda _asked: (
                Answer(status=404) if self.is_lost else [{"focus": FOCUS[self.state]}]
            ),
        }

    def medium(self, asked: Request) -> Row:
        """The medium as it is."""
        link = f"http://{asked.headers['Host']}/files/metrics?signature=of-the-case"
        at = {"updated_at": TIMES[self.state]} | ({} if TIMES[self.state] else {"created_at": None})
        return medium(0, name=self.state, results={"metrics": link}, **at)


def shown(home: Path) -> tuple[Any, Any]:
    """The state of the medium that is stored, and what is stored of its file."""
    (row,) = rows(home, "neurons.media")
    return row["name"], [frame["value"] for frame in rows(home, "neurons.frame_metrics")]


def of(state: str) -> tuple[str, list[float]]:
    """What must be shown of a state."""
    return state, [FOCUS[state]]


def with_log(folder: Path, server: Hostile) -> Sightglass:
    """The command, which keeps all of its log."""
    return of_neurons(folder, server).but_for({"SIGHTGLASS_RAW_DAYS": "forever"})


@pytest.mark.parametrize(
    ("states", "stored"),
    [
        ("new old new", "new new new"),
        ("old new old", "old new new"),
        # Nobody can say whether it is older: the row is that which came last, and so is its file.
        ("new timeless new", "new timeless new"),
        ("timeless old", "timeless old"),
    ],
)
def test_files_are_those_of_the_state_that_is_stored(tmp_path: Path, states: str, stored: str) -> None:
    """Row and file go together after each run, and a rebuild from the log makes the same tables."""
    api, seen = Lagging(), []
    with serving(api.routes()) as server:
        sightglass = with_log(tmp_path, server)
        for state in states.split():
            api.state = state
            assert 0 == sightglass("run").code
            seen.append(shown(sightglass.home))
    before = all_rows(sightglass.home)

    assert list(map(of, stored.split())) == seen
    assert 0 == sightglass("rebuild").code
    for name in ("media", *FROM_FILES):
        assert before[f"neurons.{name}"] == all_rows(sightglass.home)[f"neurons.{name}"]


@pytest.mark.parametrize("command", ["run", BACKFILL])
def test_a_file_that_is_missing_is_not_taken_from_an_older_state(tmp_path: Path, command: str) -> None:
    """It stays a gap until the newer state comes again."""
    api = Lagging()
    with serving(api.routes()) as server:
        sightglass = with_log(tmp_path, server)
        api.is_lost = True
        sightglass("run")
        api.state, api.is_lost = "old", False
        sightglass(*command.split())
        lagging = shown(sightglass.home), [row["key"] for row in rows(sightglass.home, "etl.gaps")]
        api.state = "new"
        sightglass(*BACKFILL.split())
        sightglass("run")

    assert (("new", []), ["n0/metrics"]) == lagging
    assert (of("new"), []) == (shown(sightglass.home), rows(sightglass.home, "etl.gaps"))
