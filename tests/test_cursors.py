"""Cursors that are integers or texts: where they move, and what is refused where they are declared."""

import json
from pathlib import Path

import pytest
from conftest import table
from support.bench import HEAVY, Bench, stream

from etl.config import load
from etl.errors import ConfigError
from etl.extract.stream import Action, Bundle, Checkpoint, Page, Watermark
from etl.load.stream_stats import stats_json
from etl.pipeline.rebuild import rebuild
from etl.schema import Source
from etl.values import Cursor

pytestmark = pytest.mark.usefixtures("usual_umask")
VALUES = "SELECT cursor_at, cursor_value FROM etl.cursors"
RESULTS = "SELECT media_id FROM cogniac.results ORDER BY ALL"


@pytest.fixture
def cog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs of Cogniac."""
    return Bench("cogniac", tmp_path, monkeypatch)


def record(at: int) -> Page:
    """A page with a record of this time; heavy enough to be loaded before anything else is read."""
    one = b'{"media": {"media_id": "m%d"}, "updated_at": %d, "detections": []}' % (at, at)
    return Page("detections", [one + b" " * HEAVY], {"application_id": "A"})


def declare(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Let the cursors of all streams be declared as this."""
    monkeypatch.setattr(Source, "cursor_of", lambda _source, _stream: kind)


@pytest.mark.parametrize(
    ("kind", "marks", "stands"),
    [
        ("integer", [[9], [12, 10], [11]], [9, 12, 12]),
        ("integer", [[-7], [-9, None], [0]], [-7, -7, 0]),
        ("integer", [[2**62], [2**63], [2**63 - 1]], [2**62, 2**62, 2**63 - 1]),
        ("text", [["01H9"], ["01HA", "01Ha"], ["01HZ"]], ["01H9", "01Ha", "01Ha"]),
        ("text", [["9"], ["10"], ["é", "z", "\uffff", "\U00010000"]], ["9", "9", "\U00010000"]),
    ],
)
def test_a_cursor_that_is_no_time_moves_on_and_never_back(
    cog: Bench, monkeypatch: pytest.MonkeyPatch, kind: str, marks: list[list[Cursor]], stands: list[Cursor]
) -> None:
    """Integers by their value and texts by their bytes; the log gives the same, and so says the report."""
    declare(monkeypatch, kind)
    told: list[Checkpoint] = []
    said, stored = [], []
    for number, each in enumerate(marks):
        bundles: list[Bundle] = [[record(number + 1), Watermark(at)] for at in each]
        report = cog.run([stream(*bundles, told=told.append)], SIGHTGLASS_RAW_DAYS="forever")
        said += [stats_json(stats)["cursor"] for stats in report.streams]
        stored += cog.rows(VALUES)
    again = cog.home.with_name(f"{cog.home.name}-again")
    rebuild(load((), {}, {"SIGHTGLASS_HOME": str(cog.home)}), [], again, lambda: cog.now, alone=True)

    assert stands == said
    assert [(None, each) for each in stands] == [(at, json.loads(value)) for at, value in stored]
    assert stored[-1:] == table(again, VALUES)
    assert [(None, 0, ()), *((each, 0, ()) for each in stands[:-1])] == [
        (each.cursor, each.start, each.done) for each in told
    ]


@pytest.mark.parametrize(
    ("kind", "at"), [("integer", "12"), ("integer", 2**63), ("text", 12), ("time", "12")]
)
def test_a_cursor_stays_where_it_cannot_go_and_the_stream_says_so(
    cog: Bench, monkeypatch: pytest.MonkeyPatch, kind: str, at: Cursor
) -> None:
    """What an API sent in the place of a number loads its records all the same."""
    declare(monkeypatch, kind)

    report = cog.run([stream([record(1), Watermark(at)])])

    assert [f"it was read up to what is no {kind}, so the cursor stays"] == [
        stats.notice for stats in report.streams
    ]
    assert ("ok", [], [("m1",)]) == (report.status, cog.rows(VALUES), cog.rows(RESULTS))


def test_ranges_of_time_are_refused_where_the_cursor_is_no_time(
    cog: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be entered as times that they are not."""
    declare(monkeypatch, "integer")
    about = {"source": "cogniac", "stream": "detections", "partition": "", "start_us": 1, "end_us": 2}

    with pytest.raises(ConfigError) as caught:
        cog.run([stream([Action("mark_range_read", {**about, "newest_us": None})])])

    assert (
        "cogniac reads its stream detections in ranges of time, and its cursor is declared as integer"
        == str(caught.value)
    )


@pytest.mark.parametrize(
    ("before", "at", "after"),
    [("time", 12, "integer"), ("integer", 12, "time"), ("text", "12", "integer"), ("integer", 12, "text")],
)
def test_a_cursor_of_another_declaration_is_not_believed(
    cog: Bench, monkeypatch: pytest.MonkeyPatch, before: str, at: Cursor, after: str
) -> None:
    """Neither the warehouse nor the log moves a cursor by what was declared otherwise: all is read again."""
    told: list[Checkpoint] = []
    declare(monkeypatch, before)
    cog.run([stream([record(1), Watermark(at)])], SIGHTGLASS_RAW_DAYS="forever")
    declare(monkeypatch, after)
    again = cog.home.with_name(f"{cog.home.name}-again")
    rebuild(load((), {}, {"SIGHTGLASS_HOME": str(cog.home)}), [], again, lambda: cog.now, alone=True)
    cog.run([stream(told=told.append)])

    assert ([None], []) == ([each.cursor for each in told], table(again, VALUES))
