"""A media list whose elements leave out what each medium has is made up for."""

from pathlib import Path

from conftest import Plant, Sightglass, in_order, rows
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def test_a_list_without_results_is_completed_one_by_one(plant: Plant, tmp_path: Path) -> None:
    """Where the elements of the list name no files, each medium is asked for, and loaded as it then is."""
    whole = Sightglass(tmp_path / "whole", plant.neurons_login)
    short = Sightglass(tmp_path / "short", plant.neurons_login)
    for each in (whole, short):
        each.folder.mkdir()
    assert 0 == whole("run").code

    def without_results(request: Request) -> Response | None:
        if request.url.path != "/predict/v2/media":
            return None
        media = [
            {name: medium[name] for name in medium if name != "results"} for medium in plant.neurons.truth()
        ]
        offset = int(request.query_params["offset"])
        return JSONResponse({"media": media[offset:], "pagination": {"total": len(media)}})

    plant.neurons.fault = without_results
    first, second = short("run"), short("run")

    assert (0, 0, True) == (first.code, second.code, second.err.rstrip().endswith("nothing changed"))
    for name in ("neurons.media", "neurons.assets", "neurons.frame_metrics"):
        assert in_order(rows(whole.home, name)) == in_order(rows(short.home, name))
