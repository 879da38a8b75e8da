"""Runs where a package is missing that telling others needs: one line says so, and no record is lost."""

from pathlib import Path

import pytest
from conftest import Plant, Sightglass, table

METRICS = {"SIGHTGLASS_METRICS_FILE": "sightglass.prom"}
TRACES = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
STANDS_IN = {
    "absent": "raise ModuleNotFoundError('No module named {name}', name='{name}')",
    "broken": "raise ImportError('libmissing.so.1: no such file')",
}
"""What stands in the place of a package: as if it were not there, or could not be loaded."""


@pytest.fixture
def bare(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command, of Cogniac alone, where neither extra is installed."""
    without(tmp_path, "absent")
    return Sightglass(tmp_path, plant.cogniac_login)


def without(folder: Path, how: str) -> None:
    """Have neither package where the command is started."""
    for name in ("prometheus_client", "opentelemetry"):
        (folder / f"{name}.py").write_text(STANDS_IN[how].format(name=name), encoding="utf-8")


def loaded(bare: Sightglass) -> list[tuple[int, ...]]:
    """How many records are stored, of how many that came."""
    found = "SELECT sum(inserted) FROM etl.run_streams WHERE stream = 'detections'"
    return table(bare.home, f"SELECT count(*), ({found}) FROM cogniac.results")  # noqa: S608 -- our own


@pytest.mark.parametrize(
    ("how", "named"), [("absent", "prometheus_client"), ("broken", "libmissing.so.1: no")]
)
def test_metrics_need_their_extra(plant: Plant, bare: Sightglass, how: str, named: str) -> None:
    """The settings are to be mended before anything is asked: exit code 2; the next run loads it all."""
    without(bare.folder, how)
    ran = bare("run", **METRICS)
    asked = len(plant.cogniac.requests)
    mended = bare("run")

    assert (2, "", 1, 0) == (ran.code, ran.out, ran.err.count("\n"), asked)
    assert ran.err.startswith(f"sightglass: SIGHTGLASS_METRICS_FILE needs {named}")
    assert ran.err.endswith(": pip install 'sightglass-etl[metrics]'\n")
    ((stored, brought),) = loaded(bare)
    assert (0, True) == (mended.code, stored == brought > 0)


@pytest.mark.parametrize(("how", "named"), [("absent", "opentelemetry"), ("broken", "libmissing.so.1: no")])
def test_traces_need_their_extra(bare: Sightglass, how: str, named: str) -> None:
    """Where a collector is may be said to all that a machine runs: the run is well, and a line tells."""
    without(bare.folder, how)
    ran = bare("run", **TRACES)
    usual = bare("run")

    last = ran.err.splitlines()[-1]
    assert (0, "") == (ran.code, ran.out)
    assert last.startswith(f"sightglass: traces need {named}")
    assert last.endswith(": pip install 'sightglass-etl[otel]'")
    assert ran.err.count("\n") == usual.err.count("\n") + 1
    ((stored, brought),) = loaded(bare)
    assert stored == brought > 0


@pytest.mark.parametrize(
    ("how", "named"), [("absent", "sqlglot"), ("broken", "libmissing.so.1: no such file")]
)
def test_marts_need_their_extra(tmp_path: Path, how: str, named: str) -> None:
    """In other dialects; one line says how to get it."""
    (tmp_path / "sqlglot.py").write_text(STANDS_IN[how].format(name="sqlglot"), encoding="utf-8")
    ran = Sightglass(tmp_path)("marts", "--dialect", "spark")

    said = f"sightglass: marts in other dialects need {named}: pip install 'sightglass-etl[marts]'\n"
    assert (2, "", said) == (ran.code, ran.out, ran.err)


def test_nobody_looks_for_an_extra_that_is_not_needed(bare: Sightglass) -> None:
    """Without the settings not a word is said of them."""
    ran = bare("run", OTEL_SDK_DISABLED="true", **TRACES)

    assert (0, False) == (ran.code, "pip install" in ran.err)
