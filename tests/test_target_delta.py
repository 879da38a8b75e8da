"""Delta tables over the files of the lake: what readers of Delta find there, at any moment."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Plant, Sightglass
from deltalake import DeltaTable
from support.delta import age, complete, files, in_delta, newest, rows_of, versions
from support.kills import place, started
from support.lake import plain
from support.open_tables import AT_A_CHANGE, TWO, Changes, Made, Rows, advance, holding, in_lake
from support.publish_kills import copy

from etl.errors import TargetError
from etl.load.warehouse import umask
from etl.publish import size
from etl.publish.delta import log as delta_log
from etl.publish.delta.tables import DeltaTables

FORMAT = {"SIGHTGLASS_LAKE_FORMAT": "delta"}


@pytest.fixture
def asked(sightglass: Sightglass) -> Sightglass:
    """The command with Delta tables asked for."""
    return sightglass.but_for(FORMAT)


@pytest.fixture(scope="module")
def loaded(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse with Delta tables."""
    sightglass = place(tmp_path_factory.mktemp("loaded") / "place", served, **FORMAT)
    assert 0 == sightglass("run").code
    return sightglass


def put(made: Made, changed: Changes) -> Path:
    """Bring the Delta tables to the next version; return their folder."""
    folder = made.home / "delta"
    folder.parent.mkdir(exist_ok=True)
    DeltaTables(folder).put(made.version(changed))
    return folder


def test_rows_are_those_of_the_lake(plant: Plant, asked: Sightglass) -> None:
    """After a first run, one with corrections, and a rebuild, in the newest and the complete version."""
    delta = asked.home / "delta"
    found: list[tuple[Rows, Rows, Rows]] = []
    for command in ("run", "run", "rebuild"):
        assert 0 == asked(command).code
        found.append((in_lake(asked.home), in_delta(delta), newest(delta)))
        advance(plant)

    assert [(lake, lake, lake) for lake, _, _ in found] == found
    assert len(found[0][0]["cogniac.results"]) < len(found[1][0]["cogniac.results"])
    assert [] == [
        path
        for path in delta.rglob("*.parquet")
        if "published" not in path.parts and path.stat().st_nlink < 2
    ]


def test_polars_reads_the_same(loaded: Sightglass) -> None:
    """With the columns and rows that the lake has, and the docs of the columns."""
    tables = complete(loaded.home / "delta")

    for name, rows in in_lake(loaded.home).items():
        path = loaded.home / "delta" / name.replace(".", "/")
        read = pl.read_delta(str(path), version=tables[name].version()).to_arrow()
        lake = pl.read_parquet(loaded.home / "lake" / name.replace(".", "/") / "*.parquet").to_arrow()
        assert lake.schema == read.schema
        assert rows == plain(read)
    fields = tables["cogniac.results"].schema().fields
    assert [] == [field.name for field in fields if not field.metadata.get("comment")]


def test_a_whole_version_is_read_as_the_docs_say(loaded: Sightglass) -> None:
    """The example of docs/targets.md, with the folder of this warehouse."""
    text = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"## Delta tables.*?```python\n(.*?)```", text, re.DOTALL)
    program = example.replace("/srv/warehouse", str(loaded.home)) + "print(len(tables), results.height)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=loaded.environment, capture_output=True, check=True
    )
    lake = in_lake(loaded.home)

    assert f"{len(lake)} {len(lake['cogniac.results'])}\n" == ran.stdout.decode()


def test_a_publish_without_news_changes_no_file(loaded: Sightglass) -> None:
    """What is there already is left as it is."""

    def told() -> dict[Path, int]:
        found = [path for path in (loaded.home / "delta").rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in found}

    assert 0 == loaded("publish").code  # the runs that are entered since are news
    before = told()
    assert 0 == loaded("publish").code

    assert before == told()


def test_others_may_read_it_as_the_lake(loaded: Sightglass) -> None:
    """Every file and folder, commits too, has the mode that the umask leaves, and nobody may write a file."""
    delta = loaded.home / "delta"
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in [delta, *delta.rglob("*")]}

    assert {(True, "0o755"), (False, "0o444")} == modes


def test_the_folder_is_counted_once(loaded: Sightglass) -> None:
    """Two names of a file take its room once, and as the lake's."""
    measured_with = size.measured(loaded.home)
    bytes_of = {
        path.stat().st_ino: path.stat().st_blocks * 512
        for top in ("versions", "delta")
        for path in (loaded.home / top).rglob("*")
        if path.is_file() and not path.is_symlink()
    }

    assert sum(bytes_of.values()) == measured_with.lake


def test_only_what_changed_is_committed(made: Made) -> None:
    """A table without news keeps its version, and a file without news is added once."""
    folder = put(made, TWO)
    first = versions(folder)
    put(made, {"a.two": {"2024-02": [2, 4], "2024-01": None}})

    assert {"a/one": 0, "a/two": 0, "published": 0} == first
    assert {"a/one": 0, "a/two": 1, "published": 1} == versions(folder)
    assert made.rows() == in_delta(folder) == newest(folder)
    (commit,) = DeltaTable(str(folder / "a/two")).history(1)
    assert f"{made.moment:016}" == commit["sightglass.version"]


def test_columns_that_change_are_changed_there(made: Made) -> None:
    """Columns that an upgrade adds, takes away or gives another type come with their rows, at once."""
    folder = put(made, TWO)
    for columns in ({"id": "integer", "word": "text", "more": "json"}, {"id": "text", "more": "date"}):
        made.columns = columns
        everything: Changes = {
            name: {part: [1] if columns["id"] == "integer" else [] for part in parts}
            for name, parts in TWO.items()
        }
        put(made, everything)
        assert made.rows() == in_delta(folder) == newest(folder)
        assert [*columns] == DeltaTable(str(folder / "a/two")).schema().to_arrow().names


def test_a_table_that_is_no_more_goes_after_the_grace_period(made: Made) -> None:
    """Until then those can read it who have looked at the version before."""
    folder = put(made, TWO)
    before = complete(folder)
    del made.parts["a.two"]
    put(made, {})
    kept = [*complete(folder)], (folder / "a/two").is_dir(), rows_of(before["a.two"]).num_rows
    age(folder / "published/_delta_log", 601)
    put(made, {"a.one": {"all": [1]}})

    assert (["a.one"], True, 3) == kept
    assert not (folder / "a/two").exists()


def test_files_stay_for_those_who_read_the_version_before(made: Made) -> None:
    """They go a grace period after it was replaced, and at once where something is forgotten."""
    folder = put(made, TWO)
    put(made, {"a.two": {"2024-02": [4]}})
    second = complete(folder)
    put(made, {"a.two": {"2024-02": [5]}})
    age(folder / "published/_delta_log", 601)
    put(made, {"a.two": {"2024-02": [6]}})
    third = len(files(folder))
    with pytest.raises(OSError, match=r"2024-02.*parquet"):
        rows_of(second["a.two"])
    made.grace = 0
    DeltaTables(folder).put(made.release(f"{made.moment:016}"))

    assert (4, 3) == (third, len(files(folder)))
    assert 1 == len([*(folder / "published").glob("*.parquet")])
    assert made.rows() == in_delta(folder)


def test_a_version_stays_readable_though_the_next_publish_was_killed_long_ago(made: Made) -> None:
    """What a table has done since does not count until it is said to be complete."""
    folder = put(made, TWO)
    before = complete(folder)
    keep = folder.with_name("kept")
    copy(folder / "published", keep)
    put(made, {"a.two": {"2024-02": [4]}})
    copy(keep, folder / "published")
    age(folder / "a/two/_delta_log", 5_000)
    put(made, {"a.two": {"2024-02": [5]}})

    assert 3 == rows_of(before["a.two"]).num_rows
    assert made.rows() == in_delta(folder) == newest(folder)


def test_a_reader_sees_whole_versions_alone(made: Made) -> None:
    """Beside ten publishes, all tables that `published` names hold what one version holds."""
    names = [f"a.t{number}" for number in range(6)]
    folder = put(made, {name: {"all": [0]} for name in names})
    over = Event()

    def look() -> list[set[str]]:
        seen = []
        while not over.is_set():
            seen.append({str(rows) for rows in in_delta(folder).values()})
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(look)
        for number in range(1, 11):
            put(made, {name: {"all": [number]} for name in names})
        over.set()
        seen = reader.result()

    assert seen
    assert [1] * len(seen) == [*map(len, seen)]


def test_the_log_stays_short(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many versions there were: a checkpoint sums them up, and what it replaces goes."""
    monkeypatch.setattr(delta_log, "EVERY", 10)
    folder = put(made, TWO)
    umask()  # as it was when this process was started; later on it is as in a run
    before = os.umask(0o077)
    for number in range(25):
        put(made, {"a.two": {"2024-02": [number]}})
        age(folder / "published/_delta_log", 400)
    os.umask(before)

    for log in (folder / "a/two/_delta_log", folder / "published/_delta_log"):
        assert 1 == len([*log.glob("*.checkpoint.parquet")])
        assert len([*log.glob("*.json")]) <= 13
        assert {0o444 & ~umask()} == {path.stat().st_mode & 0o777 for path in log.iterdir()}
    assert 5 >= len(files(folder))
    assert made.rows() == in_delta(folder) == newest(folder)


def truncate(folder: Path) -> None:
    """Cut the newest commit short."""
    path = max((folder / "a/two/_delta_log").glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])


def without_log(folder: Path) -> None:
    """Take the log away."""
    for path in (folder / "a/two/_delta_log").iterdir():
        path.unlink()


def without_file(folder: Path) -> None:
    """Take a file away."""
    (folder / files(folder)[-1]).unlink()


def other_published(folder: Path) -> None:
    """Let `published` say what nobody understands."""
    max((folder / "published/_delta_log").glob("*.json")).write_text("{}\n")


def without_checkpoint(folder: Path) -> None:
    """Take away the checkpoint without which the log is none."""
    max((folder / "a/two/_delta_log").glob("*.checkpoint.parquet")).unlink()


def torn_checkpoint(folder: Path) -> None:
    """Cut the checkpoint short."""
    os.truncate(max((folder / "a/two/_delta_log").glob("*.checkpoint.parquet")), 100)


def written_by_another(folder: Path) -> None:
    """Let another program write a row."""
    table = DeltaTable(str(folder / "a/two"))
    pl.DataFrame({"id": [9], "word": ["x"]}).write_delta(table, mode="append")


@pytest.mark.parametrize("damage", [truncate, without_log, without_file, other_published, written_by_another])
def test_what_became_of_it_is_made_good(made: Made, damage: Callable[[Path], None]) -> None:
    """Whatever was done to it, the next publish, without news too, brings the rows of the lake."""
    folder = put(made, TWO)
    put(made, {"a.two": {"2024-02": [4]}})
    damage(folder)
    DeltaTables(folder).put(made.release(f"{made.moment:016}"))

    assert made.rows() == in_delta(folder) == newest(folder)


@pytest.mark.parametrize("damage", [without_checkpoint, torn_checkpoint])
def test_a_damaged_checkpoint_is_made_good(
    made: Made, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next version brings the rows of the lake."""
    monkeypatch.setattr(delta_log, "EVERY", 2)
    made.grace = 0
    folder = put(made, TWO)
    for number in range(6):
        put(made, {"a.two": {"2024-02": [number]}})
    damage(folder)
    put(made, {"a.two": {"2024-02": [7]}})

    assert made.rows() == in_delta(folder) == newest(folder)


def test_a_home_that_is_restored_takes_its_tables_back(made: Made) -> None:
    """Where the lake is an older one than the tables are of, these get its files again."""
    folder = put(made, TWO)
    before, moment = {name: dict(parts) for name, parts in made.parts.items()}, made.moment
    put(made, {"a.two": {"2024-02": [4], "2024-04": [5]}, "a.three": {"all": [1]}})
    made.parts = before
    DeltaTables(folder).put(made.release(f"{moment:016}"))

    assert ["a.one", "a.two"] == [*complete(folder)]
    assert made.rows() == in_delta(folder) == newest(folder)


def test_what_others_keep_beside_it_stays(made: Made) -> None:
    """A Delta table of somebody else in the same folder is none of ours to remove."""
    folder = put(made, TWO)
    theirs = folder / "their/own"
    pl.DataFrame({"id": [1]}).write_delta(str(theirs))
    age(folder / "published/_delta_log", 601)
    put(made, {"a.one": {"all": [1]}})

    assert 1 == pl.read_delta(str(theirs)).height


@pytest.mark.parametrize("number", range(1, 166, 12))
def test_a_kill_at_any_moment_is_made_good(number: int, behind: Sightglass, tmp_path: Path) -> None:
    """Readers keep the complete version that they had, and the next publish brings the new one."""
    copy(behind.folder, tmp_path / "place")
    there = Sightglass(tmp_path / "place", behind.settings)
    before = in_delta(there.home / "delta")
    with started(there, f"NUMBER, FOLDER = {number}, '/home/delta'\n{AT_A_CHANGE}", "publish") as process:
        process.communicate(timeout=100)
    left = in_delta(there.home / "delta")
    again = there("publish")

    assert process.returncode in (0, -signal.SIGKILL)
    assert left in (before, in_lake(there.home))
    assert (0, in_lake(there.home)) == (again.code, in_delta(there.home / "delta"))


def test_forget_leaves_nothing_there(asked: Sightglass) -> None:
    """No file of the Delta tables holds what was forgotten, also where they are asked for no more."""
    assert 0 == asked("run").code
    for settings in (FORMAT, {"SIGHTGLASS_LAKE_FORMAT": ""}):
        media_id = pq.read_table(asked.home / "lake/cogniac/results")["media_id"][0].as_py()
        ran = asked("forget", "--media", media_id, **settings)
        assert 0 == ran.code, ran.err
        delta = asked.home / "delta"
        assert [] == holding(delta, media_id)
        assert bool(settings["SIGHTGLASS_LAKE_FORMAT"]) == delta.exists()
    assert 0 == asked("publish").code
    assert in_lake(asked.home) == in_delta(asked.home / "delta")


def test_what_could_not_be_forgotten_there_is_by_the_next(asked: Sightglass) -> None:
    """The exit code tells, and the same command makes it good."""
    assert 0 == asked("run").code
    media_id = pq.read_table(asked.home / "lake/cogniac/results")["media_id"][0].as_py()
    delta, aside = asked.home / "delta", asked.folder / "aside"
    delta.rename(aside)
    delta.write_text("mine")
    failed = asked("forget", "--media", media_id)
    delta.unlink()
    aside.rename(delta)
    before = holding(delta, media_id)
    again = asked("forget", "--media", media_id)

    assert (4, True) == (failed.code, "move away what stands in its place" in failed.err)
    assert [] != before
    assert (0, []) == (again.code, holding(delta, media_id))


def test_what_is_in_the_way_is_named(asked: Sightglass) -> None:
    """The lake is published, and the next run catches up."""
    asked.home.mkdir()
    (asked.home / "delta").write_text("mine")
    ran = asked("run")
    lake = in_lake(asked.home)
    (asked.home / "delta").unlink()
    again = asked("run")

    named = f"cannot write in {asked.home}/delta: File exists"
    assert (4, True, True) == (ran.code, named in ran.err, "Traceback" not in ran.err)
    assert "move away what stands in its place" in ran.err
    assert len(lake["cogniac.results"]) > 0
    assert (0, in_lake(asked.home)) == (again.code, in_delta(asked.home / "delta"))


def test_a_format_that_is_none_is_refused(plant: Plant, asked: Sightglass) -> None:
    """Before anything is asked."""
    ran = asked("run", SIGHTGLASS_LAKE_FORMAT="hudi")

    assert (
        2,
        "sightglass: SIGHTGLASS_LAKE_FORMAT must be delta, iceberg, or both with a comma, not 'hudi'\n",
    ) == (ran.code, ran.err)
    assert [] == [*plant.cogniac.requests]


def test_the_extra_is_needed(plant: Plant, asked: Sightglass) -> None:
    """Without it a run ends before anything is asked; without the setting nobody looks for it."""
    (asked.folder / "deltalake.py").write_text("raise ImportError('no such thing', name='deltalake')")
    ran = asked("run")
    asked_for = len(plant.cogniac.requests)
    plain_run = asked("run", SIGHTGLASS_LAKE_FORMAT="")

    said = "sightglass: SIGHTGLASS_LAKE_FORMAT needs deltalake: pip install 'sightglass-etl[delta]'\n"
    assert (2, said, 0, 0) == (ran.code, ran.err, asked_for, plain_run.code)


def test_who_writes_there_at_the_same_time_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of somebody else is never written over."""
    folder = put(made, TWO)
    link = os.link

    def late(source: Path, place: Path) -> None:
        if str(place).endswith("1.json"):
            place.write_text("theirs")
        link(source, place)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(TargetError, match="File exists"):
        put(made, {"a.two": {"2024-02": [4]}})

    assert "theirs" == max((folder / "a/two/_delta_log").glob("*.json")).read_text()
