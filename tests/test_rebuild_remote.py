"""`sightglass rebuild --remote`: a cluster makes the tables that one machine does, to the last column."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from conftest import ROOT, Plant, Row, Sightglass, table
from support.kills import a_little, place, started
from support.remote import (
    COMPARED,
    DIES,
    HERE,
    KILLED,
    PACKAGES,
    SPARK,
    Dump,
    asked,
    complete,
    differing,
    of_files,
    of_warehouse,
    said_by,
    sail,
    spark,
)
from support.s3 import serving_store

from etl import __version__
from etl.demo.script import FOREVER, Answer, Rule, Script
from etl.errors import EnvironmentFaultError
from etl.extract.forgotten import begun, remember
from etl.pipeline.remote import job
from etl.pipeline.remote.job import here, rebuild_remotely
from etl.pipeline.remote.places import Place, place_of

LONG = "TEST_LONG" in os.environ
NOW = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = 150
"""Undeclared fields of one record: two such are too many for one part, and fit in two."""

UNKNOWN = "SELECT unknown FROM etl.runs WHERE unknown IS NOT NULL AND status <> 'undone'"


@dataclass(frozen=True, slots=True)
class Story:
    """A warehouse to which much has happened, and what one machine makes of its log."""

    raw: Path
    single: Dump
    unknown: list[str]
    """What its runs have named as undeclared."""


def active(plant: Plant) -> str:
    """The id of an application that is read."""
    found: str = next(one["application_id"] for one in plant.cogniac.applications() if one["active"])
    return found


def newest(plant: Plant, place: int) -> Row:
    """A copy of one of the newest records of it."""
    copied: Row = json.loads(json.dumps(list(plant.cogniac.truth(active(plant)))[-place]))
    return copied


def put(plant: Plant, place: int, **changed: Any) -> None:  # noqa: ANN401 -- any JSON
    """Let a record come anew, with these members."""
    record = {name: value for name, value in newest(plant, place).items() if name != "updated_at"}
    plant.cogniac.put(active(plant), record | changed)


def names(first: int) -> dict[str, int]:
    """Members that nobody has declared."""
    return {f"name_{number}": number for number in range(first, first + NAMES)}


def damaged(plant: Plant, place: int) -> list[Row]:
    """The assertions of a record, one of which has a probability that is none."""
    said: list[Row] = newest(plant, place)["detections"] or [{}]
    return [{**said[0], "probability": 5}, *said[1:]]


def lose(plant: Plant, count: int) -> None:
    """Let the API hold so many records of each application no more."""
    for application in plant.cogniac.applications():
        for each in list(plant.cogniac.truth(application["application_id"]))[:count]:
            plant.cogniac.remove(application["application_id"], each["media"]["media_id"], each["focus"])


def happen(sightglass: Sightglass, plant: Plant) -> None:
    """Several versions, refusals and their replay, deletions, missing files, an undone run, two refreshes."""

    def does(code: int, *arguments: str) -> None:
        ran = sightglass(*arguments)
        assert (code, arguments) == (ran.code, arguments)

    does(0, "run")
    plant.cogniac.advance(records=30, corrections=20)
    put(plant, 1, **names(0))
    put(plant, 3, detections=damaged(plant, 3))
    plant.neurons.file_watch.fault = Script(Rule(path="metrics", answer=Answer(status=404), times=FOREVER))
    plant.neurons.advance(media=3)
    does(4, "run")
    plant.neurons.remove(plant.neurons.media_ids()[0])
    plant.cogniac.advance(records=10, corrections=20)
    put(plant, 2, **names(1000))
    put(plant, 4, other_media=[{"media_id": "elsewhere", "filename": "e.jpg"}], **names(2000))
    does(4, "run")
    does(4, "quarantine", "replay")
    lose(plant, 1)
    does(4, "refresh", "cogniac.detections")
    lose(plant, 12)
    does(4, "refresh", "cogniac.detections")
    plant.cogniac.advance(records=10, corrections=10)
    ran = sightglass("run", "--json")
    does(0, "undo", ran.report["run_id"])
    plant.cogniac.advance(corrections=10)
    plant.neurons.advance(media=1)
    does(0, "run")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Its log, and what `sightglass rebuild` makes of the log alone."""
    with a_little(applications=2, records=60) as plant:
        sightglass = place(tmp_path_factory.mktemp("story") / "place", plant, SIGHTGLASS_RAW_DAYS="forever")
        happen(sightglass, plant)
    unknown = {name for (names,) in table(sightglass.home, UNKNOWN) for name in json.loads(names)}
    logs = Sightglass(tmp_path_factory.mktemp("alone"), {})
    shutil.copytree(sightglass.home / "raw", logs.home / "raw")
    assert logs("rebuild").code == 0
    return Story(logs.home / "raw", of_warehouse(logs.home), sorted(unknown))


def test_the_story_has_what_it_is_told_for(story: Story) -> None:
    """No comparison below is one of nothing with nothing."""
    columns = {table.qualified: [*table.columns] for table in COMPARED}

    def of(table: str, column: str) -> list[Any]:
        return [row[columns[table].index(column)] for row in story.single[table]]

    assert {"open", "replayed"} == {*of("etl.quarantine", "state")}
    assert any(of("neurons.media", "deleted_at"))
    assert "missing" in of("neurons.assets", "state")
    assert any("name_1000" in (extra or "") for extra in of("cogniac.results", "_extra"))
    assert any(of("cogniac.detection_history", "valid_to"))
    assert "elsewhere" in of("cogniac.media_copies", "media_id")


@pytest.mark.parametrize("buckets", [1, 8])
def test_any_number_of_buckets_gives_the_same(story: Story, tmp_path: Path, buckets: int) -> None:
    """One process that does one bucket after the other makes what `sightglass rebuild` does."""
    report = rebuild_remotely((str(story.raw), str(tmp_path / "out")), here, NOW, buckets)

    assert {} == differing(story.single, of_files(tmp_path / "out"))
    assert (0, [], [], story.unknown) == (report.exit_code, report.damaged, report.incomplete, report.unknown)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Sail with two workers."""
    with sail(tmp_path_factory.mktemp("sail") / "log") as found:
        yield found


def test_a_cluster_gives_the_same(story: Story, tmp_path: Path) -> None:
    """Sail with two workers, asked by the command, which says what was made."""
    for number in range(2):
        out = tmp_path / f"out{number}"
        with sail(tmp_path / f"log{number}") as address:
            ran = asked(tmp_path)(
                "rebuild", "--remote", address, str(story.raw), str(out), "--buckets", "4", "--json"
            )
        # Sail 0.7 itself ends without a word once in a while: that is named, and no fault of ours.
        if "failed to connect to all addresses" not in ran.err:
            break
    rows = {name: len(some) for name, some in story.single.items()}

    assert (0, {}) == (ran.code, differing(story.single, of_files(out)))
    assert (rows, story.unknown, [], []) == tuple(
        ran.report[name] for name in ("rows", "unknown", "damaged", "incomplete")
    )
    assert f"rows in {out}, folder {ran.report['folder']}" in ran.err.splitlines()[-1]


@pytest.mark.skipif(not LONG, reason="takes minutes: make test-long does it")
@pytest.mark.skipif(not SPARK, reason="there is no Java, or SPARK_HOME names no Spark of version 4")
def test_spark_gives_the_same(story: Story, tmp_path: Path) -> None:
    """A local cluster of Spark itself, with two workers that are processes of their own."""
    with spark(tmp_path) as found:
        ran = asked(tmp_path)("rebuild", "--remote", found, str(story.raw), str(tmp_path / "out"))

    assert (0, {}) == (ran.code, differing(story.single, of_files(tmp_path / "out")))


def test_a_damaged_part_is_named_and_the_rest_of_its_run_left_out(story: Story, tmp_path: Path) -> None:
    """As on one machine: the tables are equal, and the exit code is 4."""
    single = Sightglass(tmp_path, {})
    raw = single.home / "raw"
    shutil.copytree(story.raw, raw)
    second = sorted((raw / "cogniac" / "log").rglob("*.zst"))[1]
    second.write_bytes(second.read_bytes()[:-20])
    ran = single("rebuild", "--json")
    report = rebuild_remotely((str(raw), str(tmp_path / "out")), here, NOW, 3)

    assert (4, ["cogniac"], 1) == (ran.code, ran.report["incomplete"], len(ran.report["damaged"]))
    assert (4, ["cogniac"], ran.report["damaged"]) == (report.exit_code, report.incomplete, report.damaged)
    assert (ran.report["parts"], {}) == (
        report.parts,
        differing(of_warehouse(single.home), of_files(tmp_path / "out")),
    )


def test_a_rebuild_that_is_killed_is_not_complete(story: Story, tmp_path: Path) -> None:
    """What was complete before stays; the next one takes its place, and removes what the killed one left."""
    sightglass, out = asked(tmp_path), tmp_path / "out"
    arguments = ("rebuild", "--remote", "sc://here", str(story.raw), str(out), "--buckets", "1")
    codes, folders = [], []
    for program in (HERE, KILLED, HERE):
        with started(sightglass, program, *arguments) as process:
            process.communicate(timeout=200)
        codes.append(process.returncode)
        folders.append((complete(out)["folder"], len([each for each in out.iterdir() if each.is_dir()])))

    first, killed, last = folders
    assert [0, -signal.SIGKILL, 0] == codes
    assert (1, (first[0], 2), 1) == (first[1], killed, last[1])
    assert ({}, True) == (differing(story.single, of_files(out)), first[0] != last[0])


def test_an_object_store_does_as_well(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read there, and the tables are put there, what stood there before them last."""
    with serving_store() as (store, variables):
        for name, value in variables.items():
            if not name.startswith("SIGHTGLASS"):
                monkeypatch.setenv(name, value)
        for path in story.raw.rglob("*.*"):
            if path.is_file():
                name = path.relative_to(story.raw).as_posix()
                store.objects[f"bucket/home/raw/{name}"] = path.read_bytes()
                # Nothing of the log: it stands in no folder of a day.
                store.objects[f"bucket/home/raw/{name.replace('/log/', '/log/copy/')}"] = path.read_bytes()
        store.objects["bucket/out/"] = b""
        reports = [rebuild_remotely(("s3://bucket/home/raw", "s3://bucket/out"), here, NOW, 2) for _ in "12"]
        found = {
            name: body
            for name, body in store.objects.items()
            if name.startswith(("bucket/out/c", "bucket/out/2"))
        }
    for name, body in found.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)

    assert {} == differing(story.single, of_files(tmp_path / "bucket" / "out"))
    assert {reports[1].folder, "complete.json"} == {name.split("/")[2] for name in found}


def test_secrets_do_not_show_in_what_was_refused(story: Story, tmp_path: Path) -> None:
    """Workers know none: who asks hides them, before it says that all is there."""
    addresses = (str(story.raw), str(tmp_path / "out"))
    rebuild_remotely(addresses, here, NOW, 1, lambda text: text.replace("undeclared", "***"))
    shown = of_files(tmp_path / "out")["etl.quarantine"]
    expected = sorted(
        tuple(each and each.replace("more than 200 undeclared", "more than 200 ***") for each in row)
        for row in story.single["etl.quarantine"]
    )

    assert (expected, True) == (shown, shown != story.single["etl.quarantine"])


def test_what_a_cluster_loses_is_noticed(story: Story, tmp_path: Path) -> None:
    """A bucket that nobody answers for, or a file that is not there: nothing is complete."""
    out = tmp_path / "out"

    def forgets(parts: pa.Table) -> list[str]:
        return [*here(parts)][1:]

    def loses(parts: pa.Table) -> list[str]:
        told = [*here(parts)]
        next(out.glob("*/cogniac/results/*")).unlink()
        return told

    with pytest.raises(EnvironmentFaultError, match="the cluster has lost something of cogniac"):
        rebuild_remotely((str(story.raw), str(out)), forgets, NOW, 1)
    with pytest.raises(EnvironmentFaultError, match=r"lacks cogniac/results/00000\.parquet that a worker"):
        rebuild_remotely((str(story.raw), str(out)), loses, NOW, 1)

    assert not (out / "complete.json").exists()


NO_LOG = "there is no log in {here}/nothing: name the folder raw/ of a warehouse"
FOREIGN = "{here} holds what no rebuild has put there, "
INSIDE = "{raw}/made is in the folder of the logs: name one outside of it"
KIND = "ftp://a/b is neither a folder, file:///folder, nor s3://, gs:// or az:// with a bucket and a prefix"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (("{here}/nothing", "{here}/out"), NO_LOG),
        (("{raw}", "{here}"), FOREIGN),
        (("{raw}", "{raw}/made"), INSIDE),
        (("ftp://a/b", "{here}/out"), KIND),
        (("{raw}", "ftp://a/b"), KIND),
    ],
)
def test_places_that_do_not_do_are_named(
    story: Story, address: str, tmp_path: Path, places: tuple[str, str], said: str
) -> None:
    """In one line, with exit code 2, and nothing is put anywhere."""
    (tmp_path / "something").write_text("else")
    about = {"here": tmp_path, "raw": story.raw}
    ran = asked(tmp_path)("rebuild", "--remote", address, *(each.format(**about) for each in places))

    assert (2, 1, True) == (
        ran.code,
        ran.err.count("\n"),
        ran.err.startswith(f"sightglass: {said.format(**about)}"),
    )
    assert not (tmp_path / "out").exists()


def test_workers_without_sightglass_or_with_another_are_named(story: Story, tmp_path: Path) -> None:
    """In one line that says what to install there."""
    none, other = tmp_path / "none", tmp_path / "other"
    none.mkdir()
    (none / "etl.py").write_text("raise ModuleNotFoundError(\"No module named 'etl'\", name='etl')")
    (other / "etl").mkdir(parents=True)
    for path in [*(ROOT / "etl").iterdir(), ROOT / "schemas", ROOT / "sql"]:
        of = other / "etl" if path.parent.name == "etl" else other
        (of / path.name).symlink_to(path)
    (other / "etl" / "__init__.py").unlink()
    (other / "etl" / "__init__.py").write_text('__version__ = "0.0.1"')
    ran = []
    for folder in (none, other):
        with sail(tmp_path / "log", f"{folder}:{PACKAGES}") as found:
            ran.append(asked(tmp_path)("rebuild", "--remote", found, str(story.raw), str(tmp_path / "out")))

    assert [(2, 1), (2, 1)] == [(each.code, each.err.count("\n")) for each in ran]
    assert f"have no etl: install sightglass-etl {__version__} there, for Python 3." in ran[0].err
    said = f"the workers have Sightglass 0.0.1, this is {__version__}: install the same version there"
    assert f"sightglass: {said}\n" == ran[1].err


def test_a_cluster_that_dies_is_named(story: Story, tmp_path: Path) -> None:
    """While it works: one line, exit code 2, and nothing is complete."""
    with sail(tmp_path / "log", first=DIES) as found:
        ran = asked(tmp_path)("rebuild", "--remote", found, str(story.raw), str(tmp_path / "out"))

    assert (2, 1, True) == (ran.code, ran.err.count("\n"), " failed: " in ran.err)
    assert not (tmp_path / "out" / "complete.json").exists()


def test_two_rebuilds_into_one_place_leave_one_that_is_whole(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that ended first does not remove what the other has begun before it; it is told."""
    out = tmp_path / "out"
    addresses = (str(story.raw), str(out))
    is_put, may_end = Event(), Event()
    complete_first = vars(job)["_complete"]

    def slowly(parts: pa.Table) -> list[str]:
        told = [*here(parts)]
        is_put.set()
        assert may_end.wait(100)
        return told

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(rebuild_remotely, addresses, slowly, NOW, 1)
        assert is_put.wait(100)

        def overtaken(*given: Any) -> None:  # noqa: ANN401 -- what it takes itself
            complete_first(*given)
            if not may_end.is_set():
                may_end.set()
                other.result(100)

        monkeypatch.setattr(job, "_complete", overtaken)
        with pytest.raises(EnvironmentFaultError, match="another rebuild put tables into"):
            rebuild_remotely(addresses, here, NOW, 1)

    assert (complete(out)["folder"], {}) == (
        other.result().folder,
        differing(story.single, of_files(out)),
    )


def test_what_goes_while_it_is_said_to_be_there_is_noticed(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was complete before is so again."""
    out = tmp_path / "out"
    first = rebuild_remotely((str(story.raw), str(out)), here, NOW, 1)
    folder = type(place_of(str(out)))
    put_there = folder.put

    def loses(self: Place, name: str, content: bytes | Path) -> None:
        if name == "complete.json":
            for path in out.glob("*/cogniac/results/*"):
                if path.parts[-4] != first.folder:
                    path.unlink()
        put_there(self, name, content)

    monkeypatch.setattr(folder, "put", loses)
    with pytest.raises(EnvironmentFaultError, match=r"lacks cogniac/results/00000\.parquet that a worker"):
        rebuild_remotely((str(story.raw), str(out)), here, NOW, 1)

    assert (first.folder, {}) == (complete(out)["folder"], differing(story.single, of_files(out)))


def test_workers_that_see_another_place_are_named_where_secrets_are_known(
    story: Story, tmp_path: Path
) -> None:
    """What is not there is not looked into."""
    out = tmp_path / "out"

    def elsewhere(parts: pa.Table) -> list[str]:
        told = [*here(parts)]
        shutil.rmtree(out)
        return told

    with pytest.raises(EnvironmentFaultError, match="does every worker see that place"):
        rebuild_remotely((str(story.raw), str(out)), elsewhere, NOW, 1, lambda text: text)


def test_a_log_that_was_copied_alone_is_named(story: Story, tmp_path: Path) -> None:
    """Nobody is known there who was forgotten: one line says so, unless the list came too."""
    said = []
    for name in ("alone", "with"):
        shutil.copytree(story.raw / "neurons" / "log", tmp_path / name / "raw" / "neurons" / "log")
        if name == "with":
            remember(tmp_path / name, begun(tmp_path / name).with_one("medium", "4KJ2MX9Q"))
        where = (str(tmp_path / name / "raw"), str(tmp_path / name / "out"))
        _, told_of = said_by(asked(tmp_path), HERE, "sc://here", *where, "--buckets", "1")
        said.append([line for line in told_of.splitlines() if "forgotten" in line])

    raw = tmp_path / "alone" / "raw"
    line = f"no forgotten.json stands beside {raw}: whoever was forgotten comes back from an older log"
    assert [1, 0] == [*map(len, said)]
    assert line in said[0][0]


def test_a_copy_of_a_part_is_named_and_left_out(story: Story, tmp_path: Path) -> None:
    """It is no loss: the tables are those of the log without it."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(story.raw, raw)
    first = min((raw / "cogniac" / "log").rglob("*.zst"))
    copied = raw / "cogniac" / "log" / "2099-01-01" / first.name
    copied.parent.mkdir()
    shutil.copyfile(first, copied)
    report = rebuild_remotely((str(raw), str(out)), here, NOW, 1)

    names = [each.relative_to(raw).as_posix() for each in (copied, first)]
    said = f"{names[0]} has the number of {names[1]}, and is left out: move away the one that is a copy"
    assert (4, [said], []) == (report.exit_code, report.damaged, report.incomplete)
    assert {} == differing(story.single, of_files(out))
