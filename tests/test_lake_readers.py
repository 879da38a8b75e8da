"""Engines that read files: each listing of the lake is one version, whose files stay as they are."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import Plant, Sightglass, serving, table
from support.partitions import Small, agree, made_up
from support.store import CHANGE, RESULTS, changed

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.publish.files import remove
from etl.publish.lake import Lake
from etl.publish.layout import Layout

PUBLISHES = 200 if "TEST_LONG" in os.environ else 20
ROWS = 300
Seen = tuple[int, int, int]
"""How many rows there are, and the smallest and largest value of what each publish raises in all of them."""


def by_polars(folder: Path) -> Seen:
    """All files of a folder, as polars scans them."""
    value = pl.col("value")
    found = pl.scan_parquet(folder / "**/*.parquet").select(pl.len(), value.min().alias("a"), value.max())
    count, least, most = found.collect().row(0)
    return count, least, most


def by_arrow(folder: Path) -> Seen:
    """The same as a dataset of Arrow."""
    values = ds.dataset(folder, format="parquet").to_table(columns=["value"])[0].to_pylist()
    return len(values), min(values), max(values)


def by_duckdb(folder: Path) -> Seen:
    """The same as a pattern of DuckDB."""
    with duckdb.connect() as connection:
        found = connection.read_parquet(f"{folder}/*.parquet").aggregate("count(*), min(value), max(value)")
        count, least, most = found.fetchall()[0]
        return count, least, most


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A lake of one table of several months."""
    made = Small(tmp_path, made_up("a"))
    for month, start in enumerate(range(0, ROWS, 100), start=1):
        made.insert(f"2026-0{month}-01 00:00:00+00", 100, start)
    made.execute("UPDATE small.a SET value = 0")
    made.publish()
    yield made
    made.close()


@pytest.mark.parametrize("read", [by_polars, by_arrow, by_duckdb])
def test_readers_of_files_see_one_version_whole(small: Small, read: Callable[[Path], Seen]) -> None:
    """Beside many publishes, where they follow the link once: no error, no row twice, none missing."""
    ended, wrong, versions = threading.Event(), list[str](), set[int]()

    def look_often() -> None:
        while not ended.is_set() or not versions:
            folder = (small.folder / "lake").resolve() / "small" / "a"
            try:
                count, least, most = read(folder)
            except Exception as error:  # noqa: BLE001 -- whatever it is, a reader has met it
                wrong.append(str(error))
                return
            versions.add(least)
            if (count, least) != (ROWS, most):
                wrong.append(f"{count} rows, {least} to {most}")

    reading = threading.Thread(target=look_often)
    reading.start()
    for _ in range(PUBLISHES):
        small.execute("UPDATE small.a SET value = value + 1, also_at = now()")
        small.publish()
    ended.set()
    reading.join()

    assert [] == wrong
    assert (True, True) == (len(versions) > 1, agree(small))


@pytest.mark.parametrize("pattern", ["lake/**/results/*.parquet", "lake/cogniac/results/**"])
def test_no_pattern_finds_a_row_twice(tmp_path: Path, pattern: str) -> None:
    """What was replaced stands beside the lake."""
    for _ in range(3):
        changed(tmp_path, *([RESULTS] if not (tmp_path / "lake").exists() else []), CHANGE)

    with duckdb.connect() as connection:
        found = connection.read_parquet(f"{tmp_path}/{pattern}").count("*").fetchall()
    assert [(30,)] == found


def test_the_folders_of_versions_go_after_the_grace_period(tmp_path: Path) -> None:
    """Who has followed the link before has that long; each is whole until then."""
    changed(tmp_path, RESULTS, CHANGE)
    first = (tmp_path / "lake").resolve()
    changed(tmp_path, CHANGE)
    second = (tmp_path / "lake").resolve()
    folders = [each / "cogniac" / "results" for each in (first, second)]
    kept = [set(ds.dataset(each).to_table()["detection_count"].to_pylist()) for each in folders]
    Lake(tmp_path, now=lambda: int(second.name) + 700_000_000).clean(600)

    assert [{1}, {2}] == kept
    assert (False, True) == (first.exists(), second.exists())


def test_the_folder_of_a_version_goes_in_one_step(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lists it finds all of its files, or no folder: of one that goes file by file, some would be all."""
    first = (small.folder / "lake").resolve()
    seen: list[tuple[str, bool]] = []

    def removed(path: Path) -> None:
        if path.parent == first.parent:
            seen.append((path.name, first.exists()))
        remove(path)

    monkeypatch.setattr("etl.publish.shown.remove", removed)
    small.execute("UPDATE small.a SET value = value + 1, also_at = now()")
    small.publish()
    Lake(small.folder).clean(0)

    assert (f"{first.name}.part", False) == seen[-1]
    assert not [path for path in first.parent.iterdir() if path.name.startswith(first.name)]


def test_what_the_link_leads_to_is_never_removed(small: Small) -> None:
    """Killed before the link was moved, and however late it is then: it leads to rows."""
    first = (small.folder / "lake").resolve()
    small.execute("UPDATE small.a SET value = 1, also_at = now()")
    small.publish()
    second = (small.folder / "lake").resolve()
    (small.folder / "lake").unlink()
    (small.folder / "lake").symlink_to(Path("versions", ".lakes", first.name))
    for later in (700, 7_000):
        clock = (int(second.name) + later * 1_000_000).__int__
        Lake(small.folder, now=clock).clean(600)
    kept = [first.exists(), second.exists()]
    small.publish(grace=0)

    assert ([True, True], second, True) == (kept, (small.folder / "lake").resolve(), agree(small))


def test_nothing_that_was_replaced_stays_without_grace_whatever_the_clock_says(small: Small) -> None:
    """Also of versions that were made by a clock that was ahead."""
    ahead = Lake(small.folder, small.lake.limits, now=lambda: time.time_ns() // 1_000 + 3_600_000_000)
    right, small.lake = small.lake, ahead
    small.execute("UPDATE small.a SET value = 1, also_at = now()")
    small.publish()
    small.lake = right
    small.execute("UPDATE small.a SET value = 3, also_at = now()")
    small.publish()
    for tree in (small.folder / "versions" / ".lakes").iterdir():
        os.utime(tree, (time.time() + 3_600,) * 2)
    small.execute("UPDATE small.a SET value = 2, also_at = now()")
    small.publish(grace=0)
    small.publish(grace=0)

    trees = list((small.folder / "versions" / ".lakes").iterdir())
    assert ([(small.folder / "lake").resolve()], True) == (trees, agree(small))


def test_a_file_that_is_listed_no_more_can_be_opened_for_a_while(small: Small) -> None:
    """Who has listed it before reads it to its end: another grace period has to pass before it goes."""
    files = list((small.folder / "versions" / "small" / "a").glob("*.parquet"))
    small.execute("UPDATE small.a SET value = 1, also_at = now()")
    small.publish()
    newest, found = int(Layout(small.folder).newest()), list[tuple[set[bool], int]]()
    for later in (601, 300, 1_300):
        Lake(small.folder, now=(newest + later * 1_000_000).__int__).clean(600)
        there = [path for path in files if path.exists()]
        rows = sum(pq.read_metadata(path).num_rows for path in there)
        found.append(({path.is_symlink() for path in there}, rows))

    assert [({True}, ROWS), ({True}, ROWS)] == found[:2]
    assert ROWS > found[2][1]


def test_commits_of_old_versions_keep_their_names_alone(tmp_path: Path) -> None:
    """Else lists of all files would stand there as many times as there are files."""
    for month in ("m0", "m1", "m2"):
        insert = [] if (tmp_path / "lake").exists() else [RESULTS]
        changed(tmp_path, *insert, f"{CHANGE} WHERE media_id = '{month}'")
    newest = Layout(tmp_path).newest()
    later = Lake(tmp_path, now=lambda: int(newest) + 601_000_000)
    later.clean(600)
    sizes = {path.stem: path.stat().st_size > 0 for path in (tmp_path / "versions").glob("*.commit")}
    release = changed(tmp_path, CHANGE)

    assert {newest} == {since for since, is_written in sizes.items() if is_written}
    assert len(sizes) > 2
    assert newest < release.version


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A simulator with a little in it."""
    with serving(CogniacSimulator(1, CogniacSize(applications=1, records=20))) as served:
        yield served


def test_a_lake_of_an_earlier_version_is_moved(plant: Plant, tmp_path: Path) -> None:
    """Its versions come to stand beside it, nothing is written anew, and `bi.duckdb` finds them."""
    sightglass = Sightglass(tmp_path, plant.settings)
    assert sightglass("run").code == 0
    home = sightglass.home
    newest = (home / "lake").resolve()
    shutil.copytree(newest, home / "former")
    (home / "lake").unlink()
    shutil.rmtree(home / "versions" / ".lakes")
    (home / "versions").rename(home / "former" / ".versions")
    (home / "former" / ".aside").mkdir()
    (home / "former" / "exports").mkdir()
    (home / "former" / "exports" / "q3.csv").write_text("of somebody else")
    (home / "former").rename(home / "lake")
    told = sightglass("status").code
    ran = sightglass("publish", "--json")

    assert (0, newest) == (ran.code, (home / "lake").resolve()), ran.err
    assert 2 == told
    assert ["exports/q3.csv"] == [
        str(path.relative_to(home / "lake.former"))
        for path in (home / "lake.former").rglob("*")
        if path.is_file()
    ]
    assert 20 == len(table(home, "FROM cogniac.results"))
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        assert [(20,)] == reader.execute("SELECT count(*) FROM cogniac.results").fetchall()


def test_a_former_lake_on_another_disk_is_named(plant: Plant, tmp_path: Path) -> None:
    """Nothing is written beside it unasked: the line says what to do."""
    sightglass = Sightglass(tmp_path, plant.settings)
    (tmp_path / "disk" / ".versions").mkdir(parents=True)
    sightglass.home.mkdir()
    (sightglass.home / "lake").symlink_to(tmp_path / "disk")
    ran = sightglass("run")

    assert (2, False) == (ran.code, (sightglass.home / "versions").exists())
    assert f"{sightglass.home / 'lake'} is on another disk" in ran.err
