"""Sources that other packages bring: installed by pip, broken, of a name that is taken, and gone again."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import OURS, ROOT, Plant
from support.acme import KEY, NOTES, SIGHTINGS, Acme, blocks, serving

from etl import plugins

FILES = {
    "pyproject.toml": "pyproject.toml",
    "acme_sightglass/acme.toml": "schemas/acme.toml",
    "acme_sightglass/__init__.py": "etl/sources/acme.py",
}
"""The files of the package, and under which names the guide shows them."""
GONE = "acme-sightglass 1.0 brought the source acme, and is not installed: its tables stay as they are"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
COMMAND = "from sightglass.__main__ import main\nmain()"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the package that the guide ends with."""
    folder = tmp_path_factory.mktemp("acme")
    for path, shown in FILES.items():
        (folder / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / path).write_text(blocks(shown), encoding="utf-8")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder / "packages")]
    subprocess.run([*PIP, "install", *options, str(folder / "project")], check=True, capture_output=True)
    return folder / "packages"


@dataclass
class Place:
    """The command where some packages are installed, and the APIs that it reads."""

    folder: Path
    environ: dict[str, str]
    packages: Path | None = None

    def __call__(self, *arguments: str, program: str = COMMAND, **environ: str) -> tuple[int, Any, str]:
        """Run the command: its exit code, what it answered as JSON, and what it told people."""
        paths = os.pathsep.join(map(str, filter(None, [ROOT, self.packages])))
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            cwd=self.folder,
            env={**self.environ, "PYTHONPATH": paths, **environ},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """What readers get."""
        with duckdb.connect(self.folder / "warehouse" / "bi.duckdb", read_only=True) as connection:
            return connection.execute(query).fetchall()

    def seen(self) -> tuple[int, int]:
        """How many sightings and notes readers see."""
        (counts,) = self.ask(
            "SELECT (SELECT count(*) FROM acme.sightings), (SELECT count(*) FROM acme.notes)"
        )
        return counts[0], counts[1]


@contextmanager
def placed(folder: Path, packages: Path | None, acme: Acme, plant: Plant | None = None) -> Iterator[Place]:
    """A place where Acme, and the others if they are there, can be read."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with serving(acme) as url:
        given = {"ACME_KEY": KEY, "ACME_URL": url, "NO_PROXY": "127.0.0.1"}
        yield Place(folder, {**machine, **given, **(plant.cogniac_login if plant else {})}, packages)


@pytest.fixture
def acme() -> Acme:
    """An API with all its sightings and notes."""
    found = Acme()
    found.change(*range(1, SIGHTINGS + 1))
    return found


def bring(folder: Path, package: str, name: str, module: str) -> Path:
    """Install a package by hand that brings a source of this name with this text as its module."""
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8"
    )
    (about / "entry_points.txt").write_text(f"[sightglass.sources]\n{name} = {package}\n", encoding="utf-8")
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(module, encoding="utf-8")
    (folder / package / f"{name}.toml").write_text(blocks("schemas/acme.toml"), encoding="utf-8")
    return folder


def test_a_source_that_pip_installs_is_loaded_published_and_known_to_all_commands(
    packages: Path, tmp_path: Path, acme: Acme
) -> None:
    """A first run, an increment, a rebuild from the log, and how it stands."""
    with placed(tmp_path, packages, acme) as place:
        code, report, said = place("run", "--json")
        assert (0, ["acme"] * 2) == (code, [each["source"] for each in report["streams"]]), said
        assert ((SIGHTINGS, len(NOTES)), {}) == (place.seen(), report["missing"])
        acme.change(7, SIGHTINGS + 1)
        code, report, _ = place("run", "acme", "--json")
        assert (0, 2) == (code, report["streams"][0]["fetched"])
        (comment,) = place.ask("SELECT comment FROM duckdb_views() WHERE view_name = 'sightings'")

        rebuilt = place("rebuild", "acme", "--log-alone")[0]
        stands = {each["stream"]: each["state"] for each in place("status", "--json")[1]["streams"]}
        checks = [each for each in place("doctor", "--json")[1]["checks"] if each["name"] == "acme"]

    assert ("One row per sighting.", 0, (SIGHTINGS + 1, len(NOTES))) == (comment[0], rebuilt, place.seen())
    assert {"sightings": "ok", "notes": "ok"} == stands
    assert 1 == len(checks)


def test_tables_of_a_source_that_is_gone_stay_and_runs_say_so(
    packages: Path, tmp_path: Path, acme: Acme, plant: Plant
) -> None:
    """Until it is installed again, or what tells of them is removed, too; no row is lost by that."""
    with placed(tmp_path, packages, acme, plant) as place:
        place("run")
        place.packages = None
        plant.cogniac.advance(records=10)
        code, report, said = place("run", "--json", SIGHTGLASS_TIME_ZONE="Asia/Tokyo")
        loaded = {each["source"] for each in report["streams"]}
        named = place("run", "--json", SIGHTGLASS_SOURCES="cogniac")
        refused = [place(*each.split()) for each in ("rebuild", "verify", "forget --media x", "undo x")]
        snapshot = place("snapshot", "all.duckdb")[0]
        kept, lake = place.seen(), [*(tmp_path / "warehouse/lake/acme/sightings").glob("*.parquet")]

        shutil.rmtree(tmp_path / "warehouse/plugins")
        dropped = place("run", "--json")
        left = place.ask("SELECT count(*) FROM duckdb_views() WHERE schema_name = 'acme'")

        place.packages = packages
        acme.change(SIGHTINGS + 1)
        again, back, _ = place("run", "--json")

    assert (2, {"acme": GONE}, {"cogniac"}) == (code, report["missing"], loaded)
    assert f"sightglass: {GONE}\n" in said
    assert (0, {}) == (named[0], named[1]["missing"])
    assert [(2, None, f"sightglass: {GONE}; install it, then do this again\n")] * 4 == refused
    assert ((SIGHTINGS, len(NOTES)), 0, True) == (kept, snapshot, bool(lake))
    assert (0, {}, [(0,)]) == (dropped[0], dropped[1]["missing"], left)
    assert (0, {}, (SIGHTINGS + 1, len(NOTES))) == (again, back["missing"], place.seen())


def test_a_source_that_is_gone_is_known_though_its_package_is_not(tmp_path: Path) -> None:
    """What names the package was lost; its tables are there nonetheless."""
    (tmp_path / "plugins/acme").mkdir(parents=True)
    (tmp_path / "plugins/acme/acme.toml").write_text('doc = "Acme."', encoding="utf-8")

    assert {"acme": "a package whose name cannot be read"} == {
        name: each.package for name, each in plugins.kept(tmp_path).items()
    }


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError: No module named"),
        ("LOGIN = 'ACME_KEY'", "its module broken has no OwnSettings"),
    ],
)
def test_a_source_that_cannot_be_used_is_named_and_the_others_are_loaded(
    tmp_path: Path, acme: Acme, plant: Plant, module: str, why: str
) -> None:
    """By its package; who asks for it by name is told that alone, and nothing is asked."""
    packages = bring(tmp_path / "packages", "broken", "acme", module)
    with placed(tmp_path, packages, acme, plant) as place:
        code, report, said = place("run", "--json")
        alone = place("run", "acme")

    assert (2, ["acme"]) == (code, [*report["missing"]])
    assert {"cogniac"} == {each["source"] for each in report["streams"] if each["status"] == "ok"}
    assert "broken 1.0 brings the source acme" in report["missing"]["acme"]
    assert why in report["missing"]["acme"]
    assert f"sightglass: {report['missing']['acme']}\n" in said
    assert (2, f"sightglass: {report['missing']['acme']}\n") == (alone[0], alone[2])


@pytest.mark.parametrize(
    ("packages", "name", "said"),
    [
        (("one", "two"), "acme", "one 1.0 and two 1.0 both bring a source acme: uninstall one of them"),
        (
            ("one",),
            "cogniac",
            "sightglass-etl and one 1.0 both bring a source cogniac: uninstall one of them",
        ),
        (("one",), "mart", "sightglass-etl and one 1.0 both bring a source mart: uninstall one of them"),
        (
            ("one",),
            "Acme",
            "one 1.0: Acme is no name of a source: it must be lower case letters, digits and _",
        ),
    ],
)
def test_a_name_that_is_taken_is_refused_before_anything_is_asked(
    tmp_path: Path, acme: Acme, packages: tuple[str, ...], name: str, said: str
) -> None:
    """Whoever brings it; it would not be known whose tables these are."""
    for each in packages:
        bring(tmp_path / "packages", each, name, "")
    with placed(tmp_path, tmp_path / "packages", acme) as place:
        code, _, told = place("run")

    assert (2, True, 1) == (code, said in told, told.count("\n"))
    assert (0, False) == (len(acme.tokens), (tmp_path / "warehouse").exists())


FROM_PYTHON = """
import sys
sys.path.append(sys.argv[1])
import sightglass
from etl.pipeline import run as pipeline, source_loader, transform_worker
limits = source_loader.LoadLimits(worth_bytes=1, part_bytes=1000, batch_bytes=4000)
pipeline.run.__kwdefaults__["limits"] = limits
started = []
start = transform_worker.TransformWorker._started
transform_worker.TransformWorker._started = lambda *given: started.append(given) or start(*given)
report = sightglass.run()
with sightglass.open() as wh:
    rows = wh.arrow("acme.sightings").num_rows
print(f'{{"ok": {str(report.ok).lower()}, "rows": {rows}, "started": {len(started)}}}')
"""


def test_a_program_finds_what_it_alone_has_on_its_path(packages: Path, tmp_path: Path, acme: Acme) -> None:
    """The second process that makes the rows finds it too."""
    with placed(tmp_path, None, acme) as place:
        code, found, said = place(str(packages), program=FROM_PYTHON)

    assert (0, {"ok": True, "rows": SIGHTINGS, "started": 1}) == (code, found), said
    assert "" == said


def test_a_source_of_ones_own_sql_follows_what_was_loaded(packages: Path, tmp_path: Path, acme: Acme) -> None:
    """The statements in `sql/acme/after_load` beside its module are run, as those of Sightglass are."""
    own = shutil.copytree(packages, tmp_path / "packages")
    folder = own / "acme_sightglass/sql/acme/after_load"
    folder.mkdir(parents=True)
    statement = "UPDATE acme.sightings SET country = 'none' WHERE sighting_id = 's1' AND _run_id = $run_id"
    (folder / "countries.sql").write_text(f"-- Says it differently.\n{statement}\n", encoding="utf-8")
    with placed(tmp_path, own, acme) as place:
        code, _, said = place("run")

    assert 0 == code, said
    assert [("none",)] == place.ask("SELECT country FROM acme.sightings WHERE sighting_id = 's1'")
    assert (tmp_path / "warehouse/plugins/acme/sql/acme/after_load/countries.sql").is_file()
