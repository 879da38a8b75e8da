"""Iceberg tables over the files of the lake: what readers of Iceberg find there, at any moment."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Plant, Sightglass
from support.iceberg import (
    again,
    by_path,
    complete,
    everything,
    files,
    in_iceberg,
    newest,
    put,
    snapshots,
)
from support.kills import place, started
from support.lake import plain
from support.open_tables import AT_A_CHANGE, TWO, Made, Rows, advance, holding, in_lake
from support.publish_kills import copy

from etl.publish import size
from etl.publish.files import remove

FORMAT = {"SIGHTGLASS_LAKE_FORMAT": "iceberg"}


@pytest.fixture
def asked(sightglass: Sightglass) -> Sightglass:
    """The command with Iceberg tables asked for."""
    return sightglass.but_for(FORMAT)


@pytest.fixture(scope="module")
def loaded(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse with Iceberg tables, and Delta tables beside."""
    both = {"SIGHTGLASS_LAKE_FORMAT": "delta, iceberg"}
    sightglass = place(tmp_path_factory.mktemp("loaded") / "place", served, **both)
    assert 0 == sightglass("run").code
    return sightglass


def test_rows_are_those_of_the_lake(plant: Plant, asked: Sightglass) -> None:
    """After a first run, one with corrections, and a rebuild, in the newest and the complete version."""
    iceberg = asked.home / "iceberg"
    found: list[tuple[Rows, Rows, Rows]] = []
    for command in ("run", "run", "rebuild"):
        assert 0 == asked(command).code
        found.append((in_lake(asked.home), in_iceberg(iceberg), newest(iceberg)))
        advance(plant)

    assert [(lake, lake, lake) for lake, _, _ in found] == found
    assert len(found[0][0]["cogniac.results"]) < len(found[1][0]["cogniac.results"])
    assert [] == [each for each in files(iceberg) if (iceberg / each).stat().st_nlink < 2]


def test_both_formats_hold_the_same(loaded: Sightglass) -> None:
    """Where both are asked for."""
    lake = in_lake(loaded.home)

    assert lake == in_iceberg(loaded.home / "iceberg")
    assert lake.keys() == {
        f"{log.parts[-3]}.{log.parts[-2]}" for log in (loaded.home / "delta").glob("*/*/_delta_log")
    }


def test_a_whole_version_is_read_as_the_docs_say(loaded: Sightglass) -> None:
    """The examples of docs/targets.md, with the folder of this warehouse."""
    text = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    lake = in_lake(loaded.home)
    examples = re.findall(r"```python\n(from pyiceberg.*?)```", text, re.DOTALL)
    said = []
    for example in examples:
        program = example.replace("/srv/warehouse", str(loaded.home)) + "print(results.num_rows)"
        ran = subprocess.run(
            [sys.executable, "-c", program], env=loaded.environment, capture_output=True, check=True
        )
        said.append(ran.stdout.decode())

    assert [f"{len(lake['cogniac.results'])}\n"] * 2 == said


def test_a_publish_without_news_changes_no_file(loaded: Sightglass) -> None:
    """What is there already is left as it is."""
    assert 0 == loaded("publish").code  # the runs that are entered since are news
    before = everything(loaded.home / "iceberg")
    assert 0 == loaded("publish").code

    assert before == everything(loaded.home / "iceberg")


def test_others_may_read_it_as_the_lake(loaded: Sightglass) -> None:
    """Every file and folder has the mode that the umask leaves, the catalog too; nobody may write data."""
    iceberg = loaded.home / "iceberg"
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in [iceberg, *iceberg.rglob("*")]}

    assert {(True, "0o755"), (False, "0o444"), (False, "0o644")} == modes


def test_the_folder_is_counted_once(loaded: Sightglass) -> None:
    """Three names of a file take its room once, and as the lake's."""
    measured_with = size.measured(loaded.home)
    bytes_of = {
        path.stat().st_ino: path.stat().st_blocks * 512
        for top in ("versions", "delta", "iceberg")
        for path in (loaded.home / top).rglob("*")
        if path.is_file() and not path.is_symlink()
    }

    assert sum(bytes_of.values()) == measured_with.lake


def test_only_what_changed_is_committed(made: Made) -> None:
    """A table without news keeps its snapshot, and a file without news is added once."""
    folder = put(made, TWO)
    first = f"{made.moment:016}"
    put(made, {"a.two": {"2024-02": [2, 4], "2024-01": None}})
    second = f"{made.moment:016}"

    changed = {"a.two": [first, second], "etl.published": [first, second]}
    assert {"a.one": [first], **changed} == snapshots(folder)
    assert made.rows() == in_iceberg(folder) == newest(folder)
    summary = by_path(folder, "a.two").snapshots()[-1].summary
    counted = ("added-records", "deleted-records", "total-records", "total-data-files")
    assert summary is not None
    assert ["2", "3", "2", "1"] == [summary[name] for name in counted]


def test_time_travel_reads_what_was_there_then(made: Made) -> None:
    """Each snapshot within the grace period has its rows, also where columns came and went since."""
    folder = put(made, TWO)
    first = made.rows()["a.two"]
    made.columns = {"id": "integer", "more": "text"}
    put(made, {"a.one": {"all": [3]}, "a.two": {"2024-01": [8], "2024-02": [9], "2024-03": None}})
    table = by_path(folder, "a.two")
    then, now = (plain(table.scan(snapshot_id=each.snapshot_id).to_arrow()) for each in table.snapshots())

    assert (first, made.rows()["a.two"]) == (then, now)


def test_columns_of_another_type_are_never_misread(made: Made) -> None:
    """They come with their rows; snapshots with the same name of another type stay in older metadata."""
    folder = put(made, TWO)
    before = complete(folder)
    rows = made.rows()
    made.columns = {"id": "integer", "word": "json", "more": "text"}
    put(made, {"a.one": {"all": [3]}, "a.two": {"2024-01": [8], "2024-02": [9], "2024-03": None}})
    assert made.rows() == in_iceberg(folder) == newest(folder)
    made.columns = {"id": "text", "word": "text"}
    put(made, {name: {part: [] for part in parts} for name, parts in TWO.items()})
    made.parts["a.one"].clear()

    assert {"a.one": [], "a.two": []} == newest(folder)
    assert 1 == len(by_path(folder, "a.two").snapshots())
    assert rows == {name: plain(table.scan().to_arrow()) for name, table in before.items()}


def test_a_table_that_is_emptied_is_empty(made: Made) -> None:
    """For all readers, and it may be filled again."""
    folder = put(made, TWO)
    put(made, {"a.two": {part: [] for part in TWO["a.two"]}})
    empty = in_iceberg(folder)["a.two"], newest(folder)["a.two"]
    put(made, {"a.two": {"2024-02": [7]}})

    assert ([], []) == empty
    assert made.rows() == in_iceberg(folder) == newest(folder)


def test_a_table_that_is_no_more_goes_after_the_grace_period(made: Made) -> None:
    """Until then those can read it who have looked at the version before."""
    folder = put(made, TWO)
    before = complete(folder)
    del made.parts["a.two"]
    put(made, {})
    kept = [*complete(folder)], (folder / "a/two").is_dir(), before["a.two"].scan().to_arrow().num_rows
    put(made, {"a.one": {"all": [1]}}, later=601)

    assert (["a.one"], True, 3) == kept
    assert not (folder / "a/two").exists()
    assert ["a.one", "etl.published"] == sorted(snapshots(folder))


def test_files_stay_for_those_who_read_the_version_before(made: Made) -> None:
    """They go a grace period after it was replaced, and at once where something is forgotten."""
    folder = put(made, TWO)
    put(made, {"a.two": {"2024-02": [4]}})
    second = complete(folder)
    put(made, {"a.two": {"2024-02": [5]}})
    assert 2 == second["a.two"].scan().to_arrow().num_rows
    put(made, {"a.two": {"2024-02": [6]}}, later=601)
    third = len(files(folder)), len(by_path(folder, "a.two").snapshots())
    with pytest.raises(OSError, match=r"2024-02|avro"):
        second["a.two"].scan().to_arrow()
    made.grace = 0
    again(made)

    assert ((4, 2), 3) == (third, len(files(folder)))
    assert {"a.one": 1, "a.two": 1, "etl.published": 1} == {
        name: len(found) for name, found in snapshots(folder).items()
    }
    assert 1 == len([*(folder / "etl/published/data").iterdir()])
    assert made.rows() == in_iceberg(folder) == newest(folder)


def test_the_folder_stays_small(made: Made) -> None:
    """However many versions there were: no metadata stay that nobody needs, and no list of what went."""
    folder = put(made, TWO)
    for number in range(25):
        put(made, {"a.two": {"2024-02": [number]}}, later=400 * number)

    assert len([*(folder / "a/two/metadata").iterdir()]) <= 20
    assert len([*(folder / "etl/published/metadata").iterdir()]) <= 20
    assert 5 >= len(files(folder))
    table = by_path(folder, "a.two")
    current = table.current_snapshot()
    assert current is not None
    assert 1 == len(current.manifests(table.io))
    assert made.rows() == in_iceberg(folder) == newest(folder)


def test_a_reader_sees_whole_versions_alone(made: Made) -> None:
    """Beside ten publishes, all tables that `published` names hold what one version holds."""
    names = [f"a.t{number}" for number in range(6)]
    folder = put(made, {name: {"all": [0]} for name in names})
    over = Event()

    def look() -> list[set[str]]:
        seen = []
        while not over.is_set():
            seen.append({str(rows) for rows in in_iceberg(folder).values()})
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(look)
        for number in range(1, 11):
            put(made, {name: {"all": [number]} for name in names})
        over.set()
        seen = reader.result()

    assert seen
    assert [1] * len(seen) == [*map(len, seen)]


@pytest.fixture
def there(behind: Sightglass, tmp_path: Path) -> Iterator[Sightglass]:
    """The same, in the same folder each time: metadata name whole paths."""
    copy(behind.folder, tmp_path / "kept")
    yield behind
    remove(behind.folder)
    copy(tmp_path / "kept", behind.folder)


@pytest.mark.parametrize("number", range(1, 300, 23))
def test_a_kill_at_any_moment_is_made_good(number: int, there: Sightglass) -> None:
    """Readers keep the complete version that they had, and the next publish brings the new one."""
    iceberg = there.home / "iceberg"
    before = in_iceberg(iceberg)
    with started(there, f"NUMBER, FOLDER = {number}, '/home/iceberg'\n{AT_A_CHANGE}", "publish") as process:
        process.communicate(timeout=100)
    left = in_iceberg(iceberg)
    after = there("publish")

    assert process.returncode in (0, -signal.SIGKILL)
    assert left in (before, in_lake(there.home))
    assert (0, in_lake(there.home)) == (after.code, in_iceberg(iceberg))
    assert in_lake(there.home) == newest(iceberg)


def test_forget_leaves_nothing_there(asked: Sightglass) -> None:
    """No file of the Iceberg tables holds what was forgotten, also where they are asked for no more."""
    assert 0 == asked("run").code
    for settings in (FORMAT, {"SIGHTGLASS_LAKE_FORMAT": ""}):
        media_id = pq.read_table(asked.home / "lake/cogniac/results")["media_id"][0].as_py()
        ran = asked("forget", "--media", media_id, **settings)
        assert 0 == ran.code, ran.err
        iceberg = asked.home / "iceberg"
        assert [] == holding(iceberg, media_id)
        assert [] == [path for path in everything(iceberg) if media_id.encode() in path.read_bytes()]
        assert bool(settings["SIGHTGLASS_LAKE_FORMAT"]) == iceberg.exists()
    assert 0 == asked("publish").code
    assert in_lake(asked.home) == in_iceberg(asked.home / "iceberg")


def test_what_is_in_the_way_is_named(asked: Sightglass) -> None:
    """The lake is published, and the next run catches up."""
    asked.home.mkdir()
    (asked.home / "iceberg").write_text("mine")
    ran = asked("run")
    lake = in_lake(asked.home)
    (asked.home / "iceberg").unlink()
    once_more = asked("run")

    named = f"cannot write in {asked.home}/iceberg: File exists"
    assert (4, True, True) == (ran.code, named in ran.err, "Traceback" not in ran.err)
    assert "move away what stands in its place" in ran.err
    assert len(lake["cogniac.results"]) > 0
    assert (0, in_lake(asked.home)) == (once_more.code, in_iceberg(asked.home / "iceberg"))


def test_the_extra_is_needed(plant: Plant, asked: Sightglass) -> None:
    """Without it a run ends before anything is asked; without the setting nobody looks for it."""
    (asked.folder / "pyiceberg.py").write_text("raise ImportError('no such thing', name='pyiceberg')")
    ran = asked("run")
    asked_for = len(plant.cogniac.requests)
    plain_run = asked("run", SIGHTGLASS_LAKE_FORMAT="")

    said = "sightglass: SIGHTGLASS_LAKE_FORMAT needs pyiceberg: pip install 'sightglass-etl[iceberg]'\n"
    assert (2, said, 0, 0) == (ran.code, ran.err, asked_for, plain_run.code)


def test_settings_of_pyiceberg_that_it_cannot_read_are_named(asked: Sightglass) -> None:
    """It reads a file of the folder it works in while it is loaded."""
    (asked.folder / ".pyiceberg.yaml").write_text("catalog: [")
    ran = asked("run")

    said = (
        "sightglass: SIGHTGLASS_LAKE_FORMAT: pyiceberg.catalog.sql cannot be loaded (FlowMappingDisallowed)"
    )
    assert (2, f"{said}: see to its own settings\n") == (ran.code, ran.err)


def test_a_clock_set_back_makes_no_table_go_back_in_time(made: Made) -> None:
    """Most readers refuse tables whose logs are not in order; snapshots go as soon as by the clock."""
    folder = put(made, TWO, later=3600)
    for number in range(3):
        put(made, {"a.two": {"2024-02": [number]}}, later=400 * number)
    for name in ("a.two", "etl.published"):
        held = by_path(folder, name).metadata
        times = [entry.timestamp_ms for entry in held.snapshot_log]
        assert [*sorted(times), held.last_updated_ms] == [*times, max(times[-1], held.last_updated_ms)]
        assert all(each.timestamp_ms <= held.last_updated_ms for each in held.metadata_log)

    assert 3 == len(snapshots(folder)["etl.published"])
    assert made.rows() == in_iceberg(folder) == newest(folder)
