"""`docs/python.md`: each of its examples runs, in their order, and what it names is there."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OURS, ROOT, Plant, Sightglass

import sightglass as api

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FIRST = re.findall(r"^```python\n(.*?)^```$", api.__doc__ or "", re.MULTILINE | re.DOTALL)
"""What the package itself shows."""
ERRORS = re.findall(r"^\| `(\w+Error)`", PAGE, re.MULTILINE)
SHOWN = """
assert report.ok and count > 0 and told.startswith("nothing is published in")
assert ["applications", "subjects"] == sorted({stream for stream, _ in progress} - {"detections"})
assert status.as_json()["exit_code"] == status.exit_code
"""


def test_every_example_runs(plant: Plant, sightglass: Sightglass, tmp_path: Path) -> None:
    """As one program, in a folder whose warehouse is there; nothing is said, not even a warning."""
    sightglass("run", SIGHTGLASS_HOME=str(tmp_path / "warehouse"))
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environ = {**machine, **plant.settings, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join([*EXAMPLES, *FIRST, SHOWN])],
        cwd=tmp_path,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert (11, 1) == (len(EXAMPLES), len(FIRST))
    assert 11 == PAGE.count("```python")


def test_examples_are_typed_as_they_stand(tmp_path: Path) -> None:
    """A type checker that is strict has nothing to say of them, but that some lines are shown alone."""
    program = "\n".join(EXAMPLES).replace("progress = []", "progress: list[tuple[str, int]] = []")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (0, "Success: no issues found in 1 source file\n") == (done.returncode, done.stdout)


def test_all_that_is_offered_is_there_and_documented() -> None:
    """What `__all__` names can be had, has a docstring, and the page names each error and both functions."""
    found = {name: getattr(api, name) for name in api.__all__}
    named = set(re.findall(r"`(?:sightglass\.)?(\w+)", PAGE))

    assert [] == [name for name, each in found.items() if not (each.__doc__ or "").strip()]
    assert {name for name in found if name.endswith("Error")} <= named | {
        "CheckFailedError",
        "OutOfMemoryError",
    }
    assert set(ERRORS) <= set(found)
    assert sorted(api.__all__) == sorted({*dir(api)} & set(api.__all__))
    with pytest.raises(AttributeError, match="has no attribute 'opem'"):
        _ = api.opem  # type: ignore[attr-defined]


def test_what_is_imported_late_is_what_is_declared() -> None:
    """Type checkers and the program find the same classes under these names."""
    tree = ast.parse((ROOT / "sightglass" / "__init__.py").read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: each.module
        for each in checked.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
        if alias.name in api.__all__
    }

    assert declared == vars(api)["_HOMES"]


def test_it_costs_little_to_import() -> None:
    """Nothing that a call alone needs is imported with it."""
    heavy = ("duckdb", "pyarrow", "polars", "msgspec", "httpx", "click", "etl.config", "importlib.metadata")
    program = f"import sys, sightglass; print([each for each in {heavy} if each in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert "[]\n" == done.stdout


def test_the_readme_leads_to_the_page() -> None:
    """A newcomer finds it."""
    assert "(docs/python.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
