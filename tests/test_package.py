"""An installed package works anywhere: its declarations and its SQL travel inside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` would install."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_wheel_holds_every_schema_and_every_query(wheel: Path) -> None:
    """The files of `schemas/` and `sql/` are inside, below the package, byte for byte."""
    outside = {
        f"etl/{path.relative_to(CHECKOUT)}": path.read_bytes()
        for folder in ("schemas", "sql")
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file()
    }

    with zipfile.ZipFile(wheel) as archive:
        inside = {
            name: archive.read(name)
            for name in archive.namelist()
            if name.startswith(("etl/schemas/", "etl/sql/"))
        }

    assert outside == inside


def test_installed_command_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """From another folder, with nothing of the checkout on the path, the demo loads and answers."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed"), "PYTHONSAFEPATH": "1"}
    where = "import etl; print(etl.__file__)"
    demo = ["-m", "etl", "demo", "--home", "here", "--records", "60", "--media", "5"]

    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
    )
    done = subprocess.run(
        [sys.executable, *demo], cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
    )

    assert f"{tmp_path / 'installed' / 'etl' / '__init__.py'}\n" == found.stdout
    assert (0, True) == (done.returncode, "Where do people overrule the model most?" in done.stdout)
