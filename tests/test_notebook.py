"""The tour in docs/tour.ipynb shows what its cells give, to whoever runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import OURS, ROOT
from support.environments import needs, program

TOUR = ROOT / "docs" / "tour.ipynb"


def environment(home: Path) -> dict[str, str]:
    """The environment of a person with no settings."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**machine, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "HOME": str(home)}


def shown(notebook: str) -> list[Any]:
    """What each cell shows, lines put together."""
    cells = [each for each in json.loads(notebook)["cells"] if each["cell_type"] == "code"]
    return [
        {kind: "".join(lines) for kind, lines in (each.get("data") or {"printed": each["text"]}).items()}
        for cell in cells
        for each in cell["outputs"]
    ]


def test_the_tour_shows_what_its_cells_give(tmp_path: Path) -> None:
    """All of it. Otherwise: `make docs`."""
    copy = shutil.copy(TOUR, tmp_path)
    ran = subprocess.run(
        [sys.executable, ROOT / "docs" / "notebook.py", copy],
        capture_output=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        text=True,
        check=False,
    )

    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)
    assert TOUR.read_text(encoding="utf-8") == Path(copy).read_text(encoding="utf-8")
    assert {"printed", "text/html", "text/plain", "image/svg+xml"} == {
        kind for each in shown(TOUR.read_text(encoding="utf-8")) for kind in each
    }


@needs("orchestrators")
def test_jupyter_shows_the_same(tmp_path: Path) -> None:
    """Cell by cell."""
    ran = subprocess.run(
        [program("orchestrators", "python"), ROOT / "tests" / "support" / "run_in_jupyter.py", TOUR],
        capture_output=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        text=True,
        check=False,
    )

    assert 0 == ran.returncode, ran.stderr
    assert shown(TOUR.read_text(encoding="utf-8")) == shown(ran.stdout)
