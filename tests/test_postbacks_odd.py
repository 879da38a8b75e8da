"""Posts that are odd, that come at an odd place, or that polling tells nothing of."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from conftest import Plant, Sightglass

from etl.config import load
from etl.pipeline.run import run
from etl.sources import cogniac
from etl.sources.cogniac.postbacks import envelope_of


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def run_later(sightglass: Sightglass, after: timedelta) -> int:
    """Run by a clock that is so far ahead; the exit code."""
    environ = {**sightglass.settings, "SIGHTGLASS_HOME": str(sightglass.home)}
    settings = load([cogniac.OwnSettings], environ, file=Path(os.devnull))
    now = datetime.now(UTC) + after
    return run(settings, ["cogniac"], lambda: now, lambda _stats, _pending: None).exit_code


@pytest.mark.parametrize("body", ["{" + " " * 200_000 + '"', "['" + "\\'" * 200_000, "[" * 200_000 + "'"])
def test_what_is_broken_late_is_given_up_soon(body: str) -> None:
    """However many blanks, quotes or brackets come before it: a post must not hold a run up for hours."""
    begun = monotonic()

    assert envelope_of(body.encode(), "", "2026-03-01T00:00:00Z") is None
    assert monotonic() - begun < 5
