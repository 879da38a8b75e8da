"""`sightglass dbt` writes a package of dbt, which dbt itself builds over what a run has published."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import Any

import duckdb
import pytest
from conftest import ROOT, TABLES, Ran, Sightglass, Story

from etl import dbt, schema
from etl.views import SCHEMAS, views

PACKAGES = Path(os.environ.get("TEST_DBT", Path(sys.prefix, "dbt")))
"""Where dbt is: its packages want others in versions that the rest must do without."""
START = "from dbt.cli.main import cli; cli()"
SOURCE = re.compile(r"source\('(\w+)', '(\w+)'\)")
Json = dict[str, Any]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package as the command writes it."""
    assert Ran(0, "", f"sightglass: wrote {tmp_path}/package\n") == Sightglass(tmp_path)(
        "dbt", "--into", "package"
    )
    return tmp_path / "package"


def dbt_run(package: Path, home: Path, *arguments: str) -> int:
    """Run dbt in the package, over what is published in a home; return its exit code."""
    if not (PACKAGES / "dbt").is_dir():
        pytest.fail(f"{PACKAGES} holds no dbt; `make setup` does this, or set TEST_DBT")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGES),
        "SIGHTGLASS_HOME": str(home),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    command = [sys.executable, "-c", START, *arguments, "--profiles-dir", "."]
    ran = run(command, cwd=package, env=environment, stdout=PIPE, stderr=STDOUT, timeout=300, check=False)
    sys.stdout.write(ran.stdout.decode())
    return ran.returncode


def artifact(package: Path, name: str) -> Json:
    """What dbt says of its last run."""
    found: Json = json.loads((package / "target" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, slots=True)
class SourceTest:
    """A test of a source in the package, as dbt has read it, and what it is given besides."""

    name: str
    table: str
    given: tuple[str, ...]


def source_tests(package: Path) -> dict[str, SourceTest]:
    """The tests of sources by the ids they have in dbt."""
    found = {}
    for name, node in artifact(package, "manifest")["nodes"].items():
        given = {**node.get("test_metadata", {"kwargs": {}})["kwargs"]}
        if source := SOURCE.search(given.pop("model", "")):
            values = (each if isinstance(each, str) else json.dumps(each) for each in given.values())
            found[name] = SourceTest(node["test_metadata"]["name"], ".".join(source.groups()), tuple(values))
    return found


def outcomes(package: Path) -> list[tuple[str, str]]:
    """Each test or model of the last run, by its id, and how it ended."""
    return [(each["unique_id"], each["status"]) for each in artifact(package, "run_results")["results"]]


def test_dbt_builds_the_package(package: Path, story: Story) -> None:
    """All tests pass, dbt knows every doc as it is declared, and the example holds what it asks for."""
    assert 0 == dbt_run(package, story.home, "build")

    assert {"pass", "success"} == {status for _, status in outcomes(package)}
    manifest = artifact(package, "manifest")
    sources = {f"{each['source_name']}.{each['name']}": each for each in manifest["sources"].values()}
    declared = {name: (table.declared.doc, comments(name)) for name, table in TABLES.items()}
    declared |= {view.qualified: (view.doc, view.columns) for view in views()}
    assert declared == {
        name: (
            each["description"],
            {column: said["description"] for column, said in each["columns"].items()},
        )
        for name, each in sources.items()
    }
    known = source_tests(package).values()
    assert {name: (json.dumps(table.key),) for name, table in TABLES.items()} == {
        each.table: each.given for each in known if each.name == "is_key"
    }
    assert {(name, column) for name, table in TABLES.items() for column in table.key} == {
        (each.table, *each.given) for each in known if each.name == "not_null"
    }
    with duckdb.connect(package / "sightglass_models.duckdb", read_only=True) as connection:
        connection.execute(f"ATTACH '{story.home}/bi.duckdb' AS bi (READ_ONLY)")
        made, expected = (
            connection.execute(f"SELECT sum(inspected), sum(defective) FROM {name}").fetchall()  # noqa: S608
            for name in ("main.defect_rate_by_application", "bi.mart.defect_rate_daily")
        )
    assert expected == made != [(None, None)]


def comments(table: str) -> Mapping[str, str]:
    """What a table's columns are said to mean."""
    return {name: column.comment for name, column in TABLES[table].columns.items()}


READ = (
    "etl.runs",
    *(
        f"cogniac.{each}"
        for each in ("applications", "detection_boxes", "detections", "media", "results", "subjects")
    ),
)
"""What is read where detections and results are tested."""
BREAK = """
INSERT INTO cogniac.results FROM cogniac.results LIMIT 1;
INSERT INTO cogniac.detections BY NAME
    SELECT * REPLACE (1.5 AS probability, 'other' AS detection_id) FROM cogniac.detections LIMIT 1;
INSERT INTO cogniac.detections BY NAME
    SELECT * REPLACE ('elsewhere' AS focus_key) FROM cogniac.detections LIMIT 1;
INSERT INTO cogniac.detections BY NAME
    SELECT * REPLACE ('removed' AS subject_uid) FROM cogniac.detections LIMIT 1;
INSERT INTO cogniac.detections BY NAME
    SELECT * REPLACE (NULL AS detection_id) FROM cogniac.detections LIMIT 1;
UPDATE etl.runs SET started_at = now() - INTERVAL 2 DAY;
"""


def test_generated_tests_fail_where_rows_are_wrong(package: Path, story: Story, tmp_path: Path) -> None:
    """A row that is there twice, a value beyond its limit, a part without its whole, a key without a value.

    A subject that no API has sent is a warning, and so is a last run two days ago.
    """
    with duckdb.connect(tmp_path / "bi.duckdb") as connection:
        connection.execute(f"ATTACH '{story.home}/bi.duckdb' AS good (READ_ONLY)")
        connection.execute("CREATE SCHEMA cogniac; CREATE SCHEMA etl")
        for name in READ:
            connection.execute(f"CREATE TABLE {name} AS FROM good.{name}")
        connection.execute(BREAK)

    tried = ("source:cogniac.results", "source:cogniac.detections")
    code = dbt_run(package, tmp_path, "test", "--select", *tried)
    known = source_tests(package)
    wrong = {known[name]: status for name, status in outcomes(package) if status != "pass"}
    fresh = dbt_run(package, tmp_path, "source", "freshness")

    assert (1, 0) == (code, fresh)
    key, whole = '["application_id", "media_id", "focus_key"]', "source('cogniac', 'results')"
    assert {
        SourceTest("is_key", "cogniac.results", (key,)): "fail",
        SourceTest("belongs_to", "cogniac.detections", (key, whole)): "fail",
        SourceTest(
            "belongs_to", "cogniac.detections", ('["subject_uid"]', "source('cogniac', 'subjects')")
        ): "warn",
        SourceTest("not_null", "cogniac.detections", ("detection_id",)): "fail",
        SourceTest("within", "cogniac.detections", ("probability", "0.0", "1.0")): "fail",
    } == wrong
    assert [("etl.runs", "warn")] == [
        (".".join(each["unique_id"].split(".")[2:]), each["status"])
        for each in artifact(package, "sources")["results"]
    ]


def test_package_is_written_again_beside_what_else_is_there(package: Path) -> None:
    """What Sightglass wrote is as it was; what dbt and people have put there stays."""
    own = {"target/manifest.json": "{}", "models/mine.sql": "SELECT 1"}
    for name, text in own.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    (package / "models" / "sources" / "etl.yml").write_text("gone", encoding="utf-8")

    ran = Sightglass(package.parent)("dbt", "--into", str(package), "--json")

    assert (0, {"dbt": str(package)}) == (ran.code, ran.report)
    assert dbt.package() | own == contents(package)


def contents(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_package_that_was_killed_at_its_first_file_is_written(tmp_path: Path) -> None:
    """The folder holds nothing yet by which it could be known."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "dbt_project.yml.part").write_text("# Made", encoding="utf-8")

    assert 0 == Sightglass(tmp_path)("dbt", "--into", "package").code
    assert dbt.package() == contents(tmp_path / "package")


@pytest.mark.parametrize(
    ("there", "text"),
    [("dbt_project.yml", "name: theirs\n"), ("notes.txt", "mine"), ("dbt_project.yml/models", "")],
    ids=["another project", "something else", "a folder of that name"],
)
def test_folder_with_something_else_is_left_alone(there: str, text: str, tmp_path: Path) -> None:
    """Nothing is written there, and the exit code is 2."""
    theirs = tmp_path / "package" / there
    theirs.parent.mkdir(parents=True)
    theirs.write_text(text, encoding="utf-8")

    ran = Sightglass(tmp_path)("dbt", "--into", "package")

    said = f"sightglass: {tmp_path}/package holds something else; name a new folder for the dbt package\n"
    assert Ran(2, "", said) == ran
    assert {there: text} == contents(tmp_path / "package")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the place of the folder, or of one below it, is exit code 2 without a traceback."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    found = [Sightglass(tmp_path)("dbt", "--into", into) for into in ("file", "file/package")]

    said = "sightglass: cannot write {}: Not a directory; move away what stands in its place\n"
    assert [
        Ran(2, "", said.format(tmp_path / "file")),
        Ran(2, "", said.format(tmp_path / "file" / "package")),
    ] == found


def test_every_file_tells_who_made_it() -> None:
    """So that nobody changes what the next version replaces."""
    files = dbt.package()

    assert [] == [name for name, text in files.items() if "Made by `sightglass dbt" not in text]
    assert files["dbt_project.yml"].startswith(dbt.MARK)
    static = {
        path.relative_to(ROOT / "sql" / "dbt").as_posix() for path in (ROOT / "sql" / "dbt").rglob("*.*")
    }
    schemas = {*schema.names(), schema.SYSTEM, *SCHEMAS}
    assert static | {f"models/sources/{name}.yml" for name in schemas} == {*files}
