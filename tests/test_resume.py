"""A long load that is broken off goes on where it was: what was read side by side is not read again."""

from pathlib import Path

import pytest
from conftest import Row, Sightglass, Truth, in_order, rows, serving
from starlette.requests import Request
from starlette.responses import Response
from support.kills import AT_A_COMMIT, Moment, ahead, died, with_limits

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize

SMALL_MARKS = with_limits(part_bytes=20_000, batch_bytes=60_000)


def requests(home: Path) -> dict[str, int]:
    """Requests for detections, by the runs in their order."""
    runs = [run["run_id"] for run in sorted(rows(home, "etl.runs"), key=lambda run: run["started_at"])]
    asked = dict.fromkeys(runs, 0)
    for row in rows(home, "etl.run_streams"):
        asked[row["run_id"]] += row["requests"] * (row["stream"] == "detections")
    return asked


def ranges(home: Path) -> list[Row]:
    """What runs that were broken off have read beyond the cursor."""
    return rows(home, "etl.stretches")


@pytest.mark.parametrize("number", [8, 12])
def test_a_killed_load_costs_what_was_in_flight(tmp_path: Path, number: int) -> None:
    """The next run asks for the rest alone; in the end all is there and nothing is remembered."""
    with serving(CogniacSimulator(1, CogniacSize(applications=1, records=800))) as plant:
        settings = plant.cogniac_login | {"SIGHTGLASS_CONCURRENCY": "4"}
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        whole.mkdir()
        killed.mkdir()
        untouched, place = Sightglass(whole, settings), Sightglass(killed, settings)
        assert not died(untouched, Moment(SMALL_MARKS, 0))
        dead = died(place, Moment(SMALL_MARKS + AT_A_COMMIT, number))
        truth, left = Truth.now(plant), ranges(place.home)
        too_far = ahead(place.home, truth)
        ran = place("run")

    (all_of_them,) = requests(untouched.home).values()
    _, rest = requests(place.home).values()
    assert (True, [], 0, []) == (dead, too_far, ran.code, ranges(place.home))
    assert [] != left
    assert rest < all_of_them * 2 / 3
    for name in ("results", "detections"):
        assert in_order(truth.rows()[name]) == in_order(rows(place.home, f"cogniac.{name}"))
    cursors = [{**row, "run_id": ""} for row in rows(place.home, "etl.cursors")]
    assert cursors == [{**row, "run_id": ""} for row in rows(untouched.home, "etl.cursors")]


@pytest.mark.parametrize("may_be_late", [False, True])
def test_a_stream_that_fails_keeps_what_it_read(tmp_path: Path, *, may_be_late: bool) -> None:
    """Where one part of the time cannot be read, the others are loaded, and left out by the next run.

    Not so what lies within the overlap: something may still come late there.
    """
    with serving(CogniacSimulator(1, CogniacSize(applications=1, records=3_000))) as plant:
        overlap = str(20 * 365 * 86_400 if may_be_late else 3_600)
        settings = {"SIGHTGLASS_RETRY_BUDGET": "0", "SIGHTGLASS_OVERLAP": overlap}
        sightglass = Sightglass(tmp_path, {**plant.cogniac_login, **settings})
        times = sorted(row["updated_at"] for row in Truth.now(plant).rows()["results"])
        bad = range(times[1_000] // 1_000_000, times[1_400] // 1_000_000)

        def broken(request: Request) -> Response | None:
            start = float(request.query_params.get("start", 0))
            return Response(status_code=500) if int(start) in bad else None

        plant.cogniac.fault = broken
        first = sightglass("run")
        some, read = len(rows(sightglass.home, "cogniac.results")), ranges(sightglass.home)
        plant.cogniac.fault = None
        second = sightglass("run")
        truth = Truth.now(plant).rows()

    assert (3, 0) == (first.code, second.code)
    assert 1_000 <= some < 3_000
    assert may_be_late == ([] == [each for each in read if each["end_at"] > times[0]])
    assert [] == ranges(sightglass.home)
    assert in_order(truth["results"]) == in_order(rows(sightglass.home, "cogniac.results"))
