"""`sightglass report` writes the page into a file, whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from report_page import empty

from etl.cli import report
from etl.config import Settings
from etl.errors import EnvironmentFaultError


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder to work in, and nothing published but empty tables."""

    @contextmanager
    def open_bi(settings: Settings, _warn: object) -> Iterator[duckdb.DuckDBPyConnection]:
        assert tmp_path / "home" == settings.home
        with closing(empty()) as connection:
            yield connection

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "open_bi", open_bi)


@pytest.mark.parametrize(("arguments", "name"), [([], "report.html"), (["other.html"], "other.html")])
def test_page_is_written_where_it_is_asked_for(arguments: list[str], name: str, tmp_path: Path) -> None:
    """The file is report.html in the current folder, or the one named; its path is told to people."""
    (tmp_path / name).write_text("what was there before")

    ran = CliRunner().invoke(report.command, [*arguments, "--home", "home"])

    assert (0, "", f"sightglass: wrote {tmp_path / name}\n") == (ran.exit_code, ran.stdout, ran.stderr)
    assert [tmp_path / name] == list(tmp_path.iterdir())
    assert (tmp_path / name).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_names_the_file(tmp_path: Path) -> None:
    """`--json` prints one object with the path."""
    ran = CliRunner().invoke(report.command, ["--json", "--home", "home"])

    assert {"report": str(tmp_path / "report.html")} == json.loads(ran.stdout)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Where nothing can be written the message says so."""
    ran = CliRunner().invoke(report.command, ["nowhere/report.html", "--home", "home"])

    expected = f"cannot write {tmp_path}/nowhere/report.html: No such file or directory; name another FILE"
    assert isinstance(ran.exception, EnvironmentFaultError)
    assert expected == str(ran.exception)


@pytest.mark.parametrize("name", ["warehouse.duckdb", "bi.duckdb", "lake/cogniac/report.html"])
def test_what_is_of_the_warehouse_is_not_written_over(name: str, tmp_path: Path) -> None:
    """Nor is anything added to its folder; the file that is named stays as it is."""
    own = tmp_path / "home" / name
    own.parent.mkdir(parents=True)
    own.write_text("all that was ever loaded", encoding="utf-8")

    ran = CliRunner().invoke(report.command, [f"home/{name}", "--home", "home"])

    assert isinstance(ran.exception, EnvironmentFaultError)
    assert f"{own} is where Sightglass keeps its own files; name another" == str(ran.exception)
    assert [own] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "all that was ever loaded" == own.read_text(encoding="utf-8")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stays one; so do devices, which the superuser could replace."""
    os.mkfifo(tmp_path / "pipe")

    ran = CliRunner().invoke(report.command, ["pipe", "--home", "home"])

    assert isinstance(ran.exception, EnvironmentFaultError)
    assert f"{tmp_path}/pipe is no file that could be replaced; name another" == str(ran.exception)
    assert (tmp_path / "pipe").is_fifo()


def test_page_that_cannot_be_brought_in_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a failure the old file is whole, and nothing half-made lies beside it."""
    (tmp_path / "report.html").write_text("what was there before")

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)

    ran = CliRunner().invoke(report.command, ["--home", "home"])

    assert isinstance(ran.exception, EnvironmentFaultError)
    assert ["report.html"] == [path.name for path in tmp_path.iterdir()]
    assert "what was there before" == (tmp_path / "report.html").read_text()
