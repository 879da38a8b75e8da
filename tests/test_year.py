"""A year of runs: whatever happened in it, at its end the tables are true, and a run costs what it did."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb
import pytest
from conftest import Sightglass, rows, serving, table
from support.folders import holding
from support.kills import AT_A_COMMIT
from support.narrower import narrow
from support.tables import differing, everything
from support.variants import differing as differing_of_neurons
from support.variants import stored
from support.year import SETTINGS, START, Figures, Year

from etl.archive.archive import place_of
from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant
from etl.demo.script import FOREVER, Answer, Clock, CutOff, Reset, Rule
from etl.errors import ConfigError
from etl.pipeline.forget import forget
from etl.pipeline.rebuild import rebuild
from etl.pipeline.run import dismiss, publish_again, replay
from etl.pipeline.undo import undo
from etl.pipeline.verify import verify
from etl.pipeline.windows import Scope

IS_LONG = "TEST_LONG" in os.environ
RUNS = 2000 if IS_LONG else 30
"""How many times the clock moves on; what happens brings a few runs of its own."""
MOST = 2 if IS_LONG else 4
"""How many times what it was a figure may become: of few runs no two are alike."""
DOWN = Answer(status=503)
OUTAGES = {
    "Cogniac is down": [Rule(path="^/+(1|21)/", times=FOREVER, answer=DOWN)],
    "Neurons is down": [Rule(path="^/predict/", times=FOREVER, answer=DOWN)],
    "both are down": [Rule(path="", times=FOREVER, answer=DOWN)],
    "the network resets all": [Rule(path="", times=FOREVER, answer=Reset())],
    "bodies are cut": [Rule(path="/(detections|media)$", times=FOREVER, answer=CutOff())],
}
TROUBLE = [
    Rule(path="/detections$", answer=CutOff()),
    Rule(path="/(applications|media)$", times=2, answer=Answer(status=500)),
    Rule(path="/subjects$", answer=Reset()),
]
PLACES = ("warehouse.duckdb", "lake", "raw")


# What happens, and in which part of the year


def switch_off(year: Year) -> None:
    """An application is read no more; what was read of it stays."""
    year.run()
    off = year.active()[-1]
    year.switched_off[off["application_id"]] = list(year.plant.cogniac.truth(off["application_id"]))
    year.plant.cogniac.put_application({**off, "active": False})
    year.run()


def begin_another(year: Year) -> None:
    """A new application, with records from its first day on."""
    like = year.active()[0]
    about = {"application_id": "New4pp1D", "name": "new", "created_at": year.lately()}
    year.plant.cogniac.put_application({**like, **about})
    year.arrive()
    year.run()


def extend(year: Year) -> None:
    """From now on Cogniac sends fields that nobody has declared, of applications too."""
    year.is_extended = True
    one = year.active()[0]
    year.plant.cogniac.put_application({**one, "hall": {"floor": 2}, "modified_at": year.lately()})
    year.arrive()
    report = year.run()

    assert {"cogniac.detections:media/lens", "cogniac.detections:detections/review"} <= set(report.unknown)


def answer_otherwise(year: Year) -> None:
    """For a while both APIs mean something else, where their documents leave it open."""
    year.plant.cogniac.variant = ApiVariant(start_inclusive=True, end_inclusive=True, cursor="repeats")
    year.plant.neurons.variant = NeuronsVariant(envelope="data", repeats_every=3, expired_status=410)
    year.run()


def answer_as_before(year: Year) -> None:
    """They mean again what they did at first."""
    year.plant.cogniac.variant, year.plant.neurons.variant = ApiVariant(), NeuronsVariant()
    year.run()


def spoil(year: Year) -> None:
    """Two records come that nothing accepts."""
    for place in range(2):
        one = {"media": {"media_id": f"SPOILED{place}"}, "focus": None, "detections": f"none at {year.now()}"}
        application_id = year.active()[place]["application_id"]
        year.plant.cogniac.put(application_id, one, at=year.lately())
        year.malformed.append((application_id, f"SPOILED{place}"))
    report = year.run(code=4)

    assert 2 == report.newly_quarantined


def settle(year: Year) -> None:
    """One of them is put right, the other goes; what cannot be replayed is dismissed."""
    (first, kept), (second, gone) = year.malformed
    year.put_right(first, kept)
    year.plant.cogniac.remove(second, gone)
    year.malformed = []
    year.run()
    report, still = replay(year.settings, [], year.now)
    for each in still:
        dismiss(year.settings, each.quarantine_id, year.now())

    assert (4, 2) == (report.exit_code, len(still))


def expire(year: Year) -> None:
    """The token expires while the detections are read."""
    year.run(Rule(path="/detections$", nth=2, do=year.plant.cogniac.expire_tokens))


def suffer(year: Year) -> None:
    """For a run each, an API is down; then there is trouble that a run gets over."""
    for rules in OUTAGES.values():
        year.live(0.1)
        year.run(*rules, code=3)
    year.live(0.1)
    year.run(*TROUBLE)


def kill(year: Year) -> None:
    """A run is killed at its commits, as a process of its own."""
    for side, number in (("before", 2), ("after", 3)):
        year.live(0.1)
        year.arrive()
        ran = year.command("run", before=f"SIDE, NUMBER = {side!r}, {number}\n{AT_A_COMMIT}")

        assert -signal.SIGKILL == ran.code
    year.run()


def back_up(year: Year) -> None:
    """The tables and the books are copied between two runs."""
    kept = year.sightglass.folder / "backup"
    kept.mkdir()
    for path in year.home.glob("warehouse.duckdb*"):
        shutil.copy(path, kept)


def restore(year: Year) -> None:
    """They are put back, over a log that holds more; readers see it once somebody has looked at it.

    Nothing but the tables knows of the last run, which has brought nothing, and of the sums of old ones.
    """
    year.run()
    year.run()
    for path in year.home.glob("warehouse.duckdb*"):
        path.unlink()
    for path in (year.sightglass.folder / "backup").iterdir():
        shutil.copy(path, year.home)
    year.run(code=4, check="not published, readers keep the version they have")
    publish_again(year.settings, year.now(), force=True)
    for each in year.forgotten:
        back = holding(year.home, each)
        again = forget(year.settings, "medium", each, year.now, place_of(year.settings))

        assert (True, 0, []) == (bool(back), again.exit_code, holding(year.home, each))
    year.run()


def forget_one(year: Year) -> None:
    """One medium is forgotten that Cogniac goes on to show."""
    year.forgotten.append(year.known_alone())
    found = forget(year.settings, "medium", year.forgotten[-1], year.now, place_of(year.settings))

    assert (0, []) == (found.exit_code, holding(year.home, year.forgotten[-1]))
    year.run()


def undo_one(year: Year) -> None:
    """The newest run is undone; the next one brings the same."""
    year.arrive()
    report = year.run()
    before = rows(year.home, "cogniac.results")
    found = undo(year.settings, report.run_id, year.now, with_later=False)
    less = rows(year.home, "cogniac.results")
    year.run()

    assert ([report.run_id], True) == (found.runs, len(less) < len(before))
    assert len(before) == len(rows(year.home, "cogniac.results"))


def undo_too_late(year: Year) -> None:
    """Where the log does not hold all any more, nothing is undone."""
    year.arrive()
    report = year.run()
    before = everything(year.home)
    with pytest.raises(ConfigError, match="this cannot be undone exactly, so nothing was"):
        undo(year.settings, report.run_id, year.now, with_later=False)

    assert {} == differing(before, everything(year.home))


def upgrade(year: Year) -> None:
    """The last run of an earlier release refuses what this one accepts; it declared its tables otherwise."""
    subject, application = year.plant.cogniac.subjects()[0], year.active()[0]
    year.plant.cogniac.put_subject({**subject, "expires_in": 5000})
    year.plant.cogniac.put_application({**application, "line": "hall 2", "modified_at": year.lately()})
    ran = year.command("run", PYTHONPATH=narrow(year.sightglass.folder / "earlier"))
    age(year.home)
    report, still = replay(year.settings, [], year.now)
    year.run()

    assert (4, 0, []) == (ran.code, report.exit_code, still)
    moved = (
        "SELECT table_name, column_name, change, moved_rows > 0, left_rows FROM etl.migrations ORDER BY ALL"
    )
    assert [
        ("cogniac.applications", "line", "removed", True, 0),
        ("cogniac.media", "image_width", "retyped", True, 0),
        ("cogniac.subjects", "expires_in", "added", True, 0),
    ] == table(year.home, moved)


def age(home: Path) -> None:
    """Make the warehouse what an earlier release would have made of the same.

    It lacks a column, has one that is not declared any more, and another one of another type.
    """
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        for statement in OTHERWISE:
            connection.execute(statement)


OTHERWISE = (
    "UPDATE cogniac.subjects SET _extra = json_object('expires_in', expires_in) WHERE expires_in IS NOT NULL",
    "ALTER TABLE cogniac.subjects DROP COLUMN expires_in",
    "ALTER TABLE cogniac.applications ADD COLUMN line VARCHAR",
    "UPDATE cogniac.applications SET line = _extra ->> 'line', _extra = NULL WHERE _extra IS NOT NULL",
    "ALTER TABLE cogniac.media ALTER COLUMN image_width TYPE VARCHAR",
)
"""What makes the tables of this release those of an earlier one, with the same values in them."""


EVENTS: dict[int, Callable[[Year], None]] = {
    1: undo_one,
    3: spoil,
    4: expire,
    5: switch_off,
    6: begin_another,
    7: settle,
    8: kill,
    13: upgrade,
    15: back_up,
    16: forget_one,
    17: restore,
    19: extend,
    20: suffer,
    22: answer_otherwise,
    24: answer_as_before,
    27: undo_too_late,
    28: restore,
}
"""By the thirtieth of the year in which it happens; the log reaches back to what is put back first, not to
what is put back the second time."""
if IS_LONG:
    EVENTS |= {21: spoil, 23: settle, 25: forget_one, 26: kill}


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """The year, lived through."""
    clock = Clock(START)
    cogniac = CogniacSimulator(1, CogniacSize(applications=4, records=max(150, RUNS)), clock=clock)
    for subject in cogniac.subjects():
        cogniac.put_subject({**subject, "expires_in": 6})
    neurons = NeuronsSimulator(1, NeuronsSize(media=12, video_share=0.5, frames=(50, 60)), clock=clock)
    with serving(cogniac, neurons, clock) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("year"), {**plant.settings, **SETTINGS})
        year = Year(plant, sightglass, clock, RUNS)
        due = {place * RUNS // 30: event for place, event in EVENTS.items()}
        year.run()
        for number in range(RUNS):
            year.live()
            due.get(number, Year.run)(year)
        # Nothing is left open: what is would be named as missing.
        neurons.advance(media=0)
        year.live()
        year.run()
        yield year


def test_the_tables_are_what_the_apis_say(year: Year) -> None:
    """All that Cogniac ever showed of what it lets read, and what Neurons holds now; no key stands twice."""
    assert year.expected() == stored(year.home)
    assert [] == differing_of_neurons(year.home, year.plant)


def test_verify_finds_nothing(year: Year) -> None:
    """Neither in what the APIs say, nor in the tables, the log and the lake."""
    found = verify(year.settings, [], year.now, Scope())

    assert (0, [], []) == (found.exit_code, found.differences, found.unasked)


def test_a_rebuild_gives_equal_tables(year: Year, tmp_path: Path) -> None:
    """To the last column of the last row, of the sources and of the system."""
    report = rebuild(year.settings, [], tmp_path / "other", year.now, alone=False)

    assert (0, {}) == (report.exit_code, differing(everything(year.home), everything(tmp_path / "other")))
    assert ([], []) == (report.incomplete, report.damaged)


def test_nothing_is_left_open(year: Year) -> None:
    """No refusal, no gap, nothing that waits for somebody, and nothing of what was forgotten."""
    states = {row["state"] for row in rows(year.home, "etl.quarantine")}

    assert ({"dismissed", "replayed"}, []) == (states, rows(year.home, "etl.gaps"))
    assert [] == rows(year.home, "etl.confirmations")
    assert {each: [] for each in year.forgotten} == {
        each: holding(year.home, each) for each in year.forgotten
    }


def test_a_run_costs_what_it_did(
    year: Year, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Neither requests, files and rows that are written, nor what is kept for each row grow with the runs.

    Of the lake there are as many files as months and tables. Seconds are told, and held to nothing.
    """
    figures = year.figures
    length = max(10, len(figures) // 10)
    early, late = figures[len(figures) // 3 :][:length], figures[-length:]
    record_testsuite_property("early", told(early))
    record_testsuite_property("late", told(late))

    def grown(of: Callable[[Figures], float]) -> float:
        """By how many times the usual figure has grown."""
        return median(map(of, late)) / median(map(of, early))

    measures: dict[str, Callable[[Figures], float]] = {
        "requests": lambda each: each.requests,
        "files written": lambda each: each.files,
        "rows written": lambda each: each.rows_written / each.rows,
        "bytes for each row": lambda each: sum(each.disk.values()) / each.rows,
        "bytes of the log": lambda each: each.disk["raw"],
        "files of the log": lambda each: each.kept["raw"],
        "files of the lake": lambda each: each.kept["lake"] / each.partitions,
        "open files": lambda each: each.open_files,
    }
    times = {name: round(grown(of), 2) for name, of in measures.items()}
    record_testsuite_property("times", times)

    assert {} == {name: found for name, found in times.items() if found > MOST}


def test_the_log_is_cut_off(year: Year) -> None:
    """It holds no day that was more than thirty days ago at the run before the last."""
    before = sorted(row["started_at"] for row in rows(year.home, "etl.runs"))[-2]
    oldest = datetime.fromtimestamp(before / 1_000_000, UTC) - timedelta(days=30)
    days = {path.name for path in (year.home / "raw").glob("*/*/*")}

    assert (True, set()) == (bool(days), {each for each in days if each <= f"{oldest:%Y-%m-%d}"})


def told(figures: list[Figures]) -> dict[str, float]:
    """The usual figures of some runs, as people are told of them."""
    return {
        "seconds": round(median(each.seconds for each in figures), 3),
        "requests": median(each.requests for each in figures),
        "files written": median(each.files for each in figures),
        "rows written": median(each.rows_written for each in figures),
        "rows": median(each.rows for each in figures),
        "partitions": median(each.partitions for each in figures),
        **{f"bytes of {name}": median(each.disk[name] for each in figures) for name in PLACES},
        **{f"files of {name}": median(each.kept[name] for each in figures) for name in PLACES},
    }
