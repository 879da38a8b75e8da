"""An installed package works anywhere: its declarations and its SQL travel inside it."""

import os
import subprocess
import sys
import sysconfig
import venv
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


def test_wheel_says_that_it_is_typed(wheel: Path) -> None:
    """Type checkers of those who import it look for `py.typed`."""
    with zipfile.ZipFile(wheel) as archive:
        assert {"etl/py.typed", "sightglass/py.typed"} < {*archive.namelist()}


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as it is installed, with the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--quiet"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True, capture_output=True)
    return folder / "bin" / "sightglass"


def test_installed_command_runs_whatever_packages_are_around(command: Path, tmp_path: Path) -> None:
    """In a folder with another package `etl`, which is on the path as well, the demo loads and answers."""
    (tmp_path / "etl").mkdir()
    (tmp_path / "etl" / "__init__.py").write_text("raise SystemExit('not ours')", encoding="utf-8")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    demo = ["demo", "--home", "here", "--records", "60", "--media", "5"]

    done = subprocess.run(
        [command, *demo], cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
    )

    assert (0, True) == (done.returncode, "Where do people overrule the model most?" in done.stdout)


def test_another_package_of_the_name_that_was_imported_before_is_told(command: Path, tmp_path: Path) -> None:
    """One that comes first on the path is in nobody's way; one that is there already cannot be replaced."""
    (tmp_path / "etl").mkdir()
    (tmp_path / "etl" / "__init__.py").touch()
    python, environ = command.with_name("python"), {"PYTHONPATH": str(tmp_path)}

    after, before = (
        subprocess.run(
            [python, "-c", text], cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
        )
        for text in ("import sightglass; import etl.config", "import etl, sightglass")
    )

    assert (0, "") == (after.returncode, after.stderr)
    assert (
        "ImportError: sightglass needs its own package `etl`, and another of this name is imported already, "
        f"from {tmp_path}/etl/__init__.py: import sightglass before it, or give that one another name"
    ) == before.stderr.splitlines()[-1]
