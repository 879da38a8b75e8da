"""Which files a publish writes, who may read them, and what nobody can read past them."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from glob import escape
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT
from support.partitions import settings_of
from support.publish_kills import held, seen
from support.readers import ANSWERS, begun, result

from etl.load.warehouse import open_for_writing
from etl.publish import publish
from etl.publish.bi import open_bi


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A warehouse that holds results of many months, published."""
    umask = os.umask(0o022)
    changed(
        tmp_path,
        """
        INSERT INTO cogniac.results BY NAME
        SELECT
            'a' AS application_id, 'm' || i AS media_id, '' AS focus_key, 'r' AS _run_id, now() AS _loaded_at,
            TIMESTAMPTZ '2025-01-15' + to_months(CAST(i % 12 AS INTEGER)) AS updated_at
        FROM range(120) t(i)""",
    )
    yield tmp_path
    os.umask(umask)


def changed(home: Path, statement: str, **more: str) -> int:
    """How many files were written after a change to the warehouse."""
    with closing(open_for_writing(home)) as warehouse:
        warehouse.connection.execute(statement)
        return publish(warehouse, settings_of(home, **more)).files


def stats(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file that readers look at, by its partition: one written anew is seen."""
    lake = (folder / "lake").resolve()
    paths = {f"lake/{path.relative_to(lake)}".partition(".")[0]: path for path in lake.rglob("*.parquet")}
    paths["bi.duckdb"] = folder / "bi.duckdb"
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in paths.items()}


def test_a_small_change_rewrites_only_what_it_touched(home: Path) -> None:
    """Of tables with many partitions, one row more is one file more to write; all others stay."""
    before = stats(home)
    files = changed(
        home, "UPDATE cogniac.results SET detection_count = 1, _loaded_at = now() WHERE media_id = 'm3'"
    )
    after = stats(home)

    different = {name for name in after if before.get(name) != after[name]}
    assert ({"lake/cogniac/results/2025-04"}, 1) == (different, files)
    assert 12 == len([name for name in after if name.startswith("lake/cogniac/results/2025-")])


def test_bi_is_rewritten_only_for_new_definitions(home: Path) -> None:
    """However much the rows change it stays the same file; one that is lost or damaged is made again."""
    bi, insert = home / "bi.duckdb", "INSERT INTO etl.runs (run_id, started_at, status, version) VALUES "
    elsewhere = {"SIGHTGLASS_LAKE_URI": f"file://{home}/lake"}
    found = [bi.stat().st_ino]
    for number, more in enumerate(({}, {}, elsewhere, elsewhere, {})):
        changed(home, f"{insert} ('r{number}', now(), 'ok', '0.0')", **more)
        found.append(bi.stat().st_ino)
    kept = [one == other for one, other in pairwise(found)]
    made = []
    for damage in (b"", bi.read_bytes()[:5000], None):
        bi.unlink() if damage is None else bi.write_bytes(damage)
        changed(home, "SELECT 1")
        made.append(seen(home) == held(home))

    assert [True, True, False, True, False] == kept
    assert [True] * 3 == made


TWICE = """
import os, sys
from pathlib import Path
from etl.cli import settings_for
from etl.load.warehouse import open_for_writing
from etl.publish import publish

settings = settings_for({"SIGHTGLASS_HOME": sys.argv[1]}, {}, Path(os.devnull))
warehouse = open_for_writing(settings.home)
for month in (1, 2):
    warehouse.connection.execute(
        "INSERT INTO etl.runs VALUES ($1, make_timestamptz($1), NULL, 'ok', 0, '0.0', NULL, NULL)",
        [month * 5_000_000_000_000],
    )
    publish(warehouse, settings)
warehouse.close()
"""


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o444), (0o027, 0o750, 0o440)])
def test_the_umask_says_who_may_read_what_is_published(
    tmp_path: Path, umask: int, folder: int, file: int
) -> None:
    """All that is published follows it, and nobody may write it; the warehouse is its owner's alone."""
    command = [sys.executable, "-c", TWICE, str(tmp_path)]
    subprocess.run(command, check=True, umask=umask, env={**os.environ, "PYTHONPATH": str(ROOT)})
    paths = [tmp_path / "bi.duckdb", tmp_path / "versions", *(tmp_path / "versions").rglob("*")]
    noted = [path for path in paths if path.suffix == ".json"]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths if path not in noted}

    assert {(True, folder), (False, file)} == modes
    assert {file | 0o200} == {stat.S_IMODE(path.stat().st_mode) for path in noted}
    assert 0o600 == stat.S_IMODE((tmp_path / "warehouse.duckdb").stat().st_mode)


@pytest.mark.parametrize("place", ["/mnt/there", "/mnt/th[e]re *"])
def test_readers_elsewhere_see_a_lake_in_a_folder_whose_name_is_a_pattern(
    home: Path, tmp_path: Path, place: str
) -> None:
    """Neither the name of the folder here nor the one there stands for others."""
    odd = tmp_path / "o'd[d] *"
    shutil.copytree(home, odd, symlinks=True)
    changed(odd, "SELECT 1", SIGHTGLASS_LAKE_URI=place)
    with duckdb.connect(odd / "bi.duckdb", read_only=True) as reader:
        (text,) = reader.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'results'").fetchall()[0]

    assert f"file://{escape(place)}/versions/cogniac/results/**" in text


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_readers_elsewhere_see_the_lake_under_another_name(home: Path, scheme: str) -> None:
    """The views name the place that only readers have, while `sightglass sql` looks where the lake is."""
    place = home / "mounted" / "there"
    changed(home, "SELECT 1", SIGHTGLASS_LAKE_URI=f"{scheme}{place}/")
    query = "SELECT count(*) FROM cogniac.results"
    with open_bi(settings_of(home, SIGHTGLASS_LAKE_URI=f"{scheme}{place}/")) as connection:
        local = connection.execute(query).fetchall()
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        views = reader.execute(
            "SELECT sql FROM duckdb_views() WHERE schema_name IN ('cogniac', 'etl')"
        ).fetchall()
    place.parent.mkdir()
    place.symlink_to(home)
    found = {which: result(begun(which, ANSWERS, str(home / "bi.duckdb"))) for which in ("current", "reader")}

    assert [(120,)] == local
    assert [] == [
        sql for (sql,) in views if f"'file://{place}/versions/" not in sql or str(home / "versions") in sql
    ]
    assert held(home) == seen(home)
    assert found["current"]["answers"] == found["reader"]["answers"]
    assert 120 == len(found["reader"]["answers"]["cogniac.results"][1])


INSIDE = "SELECT count(DISTINCT media_id) FROM '{home}/versions/cogniac/results/*.parquet'"
OUTSIDE = (
    "FROM read_text('/etc/passwd')",
    "FROM read_text('{home}/versions/../run.lock')",
    "FROM read_blob('{home}/warehouse.duckdb')",
    "FROM glob('{home}/*')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM '{home}/raw/**/*.zst'",
    "ATTACH '{home}/warehouse.duckdb' AS ours",
    "COPY (SELECT 1) TO '{home}/one.csv'",
    "INSERT INTO etl.cursors FROM etl.cursors",
    "INSTALL httpfs",
    "SET allowed_directories = ['/']",
    "SET enable_external_access = true",
)


def test_what_is_published_is_all_that_can_be_read(home: Path) -> None:
    """The connection behind `sightglass sql` reaches no other file, and no setting that would let it."""
    refused = []
    with open_bi(settings_of(home)) as connection:
        for query in OUTSIDE:
            with pytest.raises(duckdb.Error):
                connection.execute(query.format(home=home)).fetchall()
            refused.append(query)
        inside = connection.sql(INSIDE.format(home=home)).fetchall()

    assert (list(OUTSIDE), [(120,)]) == (refused, inside)
