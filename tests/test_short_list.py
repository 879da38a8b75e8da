"""A media list whose elements leave out what each medium has is made up for."""

from pathlib import Path

import pytest
from conftest import Plant, Sightglass, in_order, rows
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


@pytest.mark.parametrize("left_out", ["results", "metrics"])
def test_a_list_without_results_is_completed_one_by_one(plant: Plant, tmp_path: Path, left_out: str) -> None:
    """Where its elements name no files or no metrics, each medium is asked for, and loaded as it then is."""
    whole = Sightglass(tmp_path / "whole", plant.neurons_login)
    short = Sightglass(tmp_path / "short", plant.neurons_login)
    for each in (whole, short):
        each.folder.mkdir()
    assert 0 == whole("run").code

    def shortened(request: Request) -> Response | None:
        if request.url.path != "/predict/v2/media":
            return None
        media = [
            {name: medium[name] for name in medium if name != left_out} for medium in plant.neurons.truth()
        ]
        offset = int(request.query_params["offset"])
        return JSONResponse({"media": media[offset:], "pagination": {"total": len(media)}})

    plant.neurons.fault = shortened
    first, second = short("run"), short("run")

    assert (0, 0, True) == (first.code, second.code, second.err.rstrip().endswith("nothing changed"))
    for name in ("neurons.media", "neurons.media_metrics", "neurons.assets", "neurons.frame_metrics"):
        assert in_order(rows(whole.home, name)) == in_order(rows(short.home, name))


def test_a_run_that_marks_a_medium_as_deleted_says_so(plant: Plant, tmp_path: Path) -> None:
    """It has changed something, though no record came that did; the run after it has not."""
    sightglass = Sightglass(tmp_path, plant.neurons_login)
    sightglass("run")
    plant.neurons.remove(min(each["media_id"] for each in plant.neurons.truth()))
    ran, after = sightglass("run", "--json"), sightglass("run")

    last, later = (each.err.splitlines()[-1] for each in (ran, after))
    assert (0, {"deleted": 1}) == (ran.code, ran.report["marked"])
    assert (", 1 marked as deleted", ", nothing changed") == (last[-21:], later[-17:])
    assert 1 == sum("deleted_at" in row for row in rows(sightglass.home, "neurons.media"))
