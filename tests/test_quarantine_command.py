"""`sightglass quarantine`: what was refused is listed and shown, closed, or loaded once it is accepted."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT, Plant, Ran, Row, Sightglass, Truth, all_rows, in_order, rows, serving, table
from starlette.requests import Request
from support.narrower import narrow

VIDEO = {"status": "done", "type": "video", "metrics": {}, "updated_at": "2026-05-01T00:00:00Z"}
REFUSED = VIDEO | {"media_id": "loud", "metrics": {"focus": 5000}}
LOUD, QUIET = b'[{"focus": 5000}]', b'[{"focus": 50}]'
SAID = {"detection_id": "d1", "subject_uid": "s1", "app_data_type": None}
SUMMARY = {"quarantine_id", "run_id", "kind", "source", "stream", "partition", "reason", "path", "state"}


def tables(home: Path) -> dict[str, list[Row]]:
    """What the sources' tables hold, without what each run writes anew."""
    return {name: in_order(found) for name, found in all_rows(home).items() if not name.startswith("etl.")}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A load by narrower declarations, a direct one by ours, and what `quarantine` made of the first."""

    refused: Ran
    text: Ran
    listed: Ran
    replay: Ran
    after: dict[str, list[Row]]
    again: Ran
    later: dict[str, list[Row]]
    home: Path
    direct: Path


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """What was refused of both sources, replayed twice; one record no declaration accepts."""
    narrower = narrow(tmp_path_factory.mktemp("narrower"))
    with serving() as plant:
        truth = Truth.now(plant)
        plant.cogniac.put(next(iter(truth.records)), {"detections": "none", "media": {"media_id": "m"}})
        plant.cogniac.put_application(truth.applications[0] | {"training_data_count": 5000})
        plant.cogniac.put_subject(truth.subjects[0] | {"expires_in": 5000})
        plant.neurons.put(REFUSED)
        plant.neurons.put(VIDEO | {"media_id": "film"}, {"metrics": LOUD, "frt_frame_metrics": QUIET})
        sightglass, direct = (Sightglass(tmp_path_factory.mktemp("home"), plant.settings) for _ in "12")
        direct("run")
        refused = sightglass("run", "--json", PYTHONPATH=narrower)
        text, listed = sightglass("quarantine"), sightglass("quarantine", "--json")
        twice = [(sightglass("quarantine", "replay", "--json"), all_rows(sightglass.home)) for _ in "12"]
    return Replayed(refused, text, listed, *twice[0], *twice[1], sightglass.home, direct.home)


def test_everything_refused_is_listed(replayed: Replayed) -> None:
    """One object or line for each, oldest first, with its reason and place, but without its content."""
    listed = replayed.listed.report["quarantine"]
    kept = {row["quarantine_id"]: row for row in replayed.after["etl.quarantine"]}
    lines = [
        f"{one['quarantine_id']}  {one['seen_at']}  open      "
        f"{' '.join(filter(None, (one['source'], one['stream'], one['partition'])))}: "
        f"{one['path']}: {one['reason']}"
        for one in listed
    ]

    assert (0, "", 4) == (replayed.listed.code, replayed.listed.err, replayed.refused.code)
    assert replayed.refused.report["newly_quarantined"] == len(listed) == len(kept) > 10
    for one in listed:
        row = kept[one["quarantine_id"]]
        expected = {name: row[name] for name in SUMMARY} | {"state": "open"}
        assert expected == {name: value for name, value in one.items() if name != "seen_at"}
    assert sorted(listed, key=lambda one: (one["seen_at"], one["quarantine_id"])) == listed
    assert (0, lines) == (replayed.text.code, replayed.text.out.splitlines())


STREAMS = {("cogniac", name) for name in ("applications", "subjects", "detections")}
STREAMS |= {("neurons", name) for name in ("media", "assets")}


def test_what_is_accepted_by_now_equals_a_direct_load(replayed: Replayed) -> None:
    """Records of each stream and files were refused; replayed, every table is as if they never had been."""
    refused = {(one["source"], one["stream"]) for one in replayed.listed.report["quarantine"]}

    assert STREAMS == refused
    assert tables(replayed.direct) == tables(replayed.home)


def test_a_file_that_is_replayed_is_a_gap_no_more(replayed: Replayed) -> None:
    """`etl.gaps` and the number in the report are those of a direct load."""
    expected, found = (
        sorted((row["stream"], row["key"], row["what"]) for row in rows(home, "etl.gaps"))
        for home in (replayed.direct, replayed.home)
    )

    assert (expected, len(expected)) == (found, replayed.replay.report["gaps"])


def test_what_is_refused_still_stays_open(replayed: Replayed) -> None:
    """Exit code 4 and one line tell of it; all else is marked as replayed."""
    states = {row["quarantine_id"]: row["state"] for row in replayed.after["etl.quarantine"]}
    (still,) = replayed.replay.report["still_refused"]

    assert ["$.detections", "open"] == [still["path"], states.pop(still["quarantine_id"])]
    assert {"replayed"} == {*states.values()}
    assert f"sightglass: replayed {len(states)}, still refused 1\n" == replayed.replay.err


def test_a_replay_is_entered_as_a_run(replayed: Replayed) -> None:
    """It is a run with counts for each stream, and they balance."""
    report = replayed.replay.report
    both = replayed.after["etl.runs"] + replayed.after["etl.run_streams"]
    run, *entered = (row for row in both if row["run_id"] == report["run_id"])

    assert ("partial", 4, True) == (run["status"], run["exit_code"], "finished_at" in run)
    assert STREAMS == {(row["source"], row["stream"]) for row in entered}
    assert {"ok"} == {row["status"] for row in entered}
    names = ("fetched", "inserted", "updated", "unchanged", "quarantined")
    counts = sorted([row[name] for name in names] for row in entered)
    assert sorted([one[name] for name in names] for one in report["streams"]) == counts
    assert [sum(rest) for _, *rest in counts] == [fetched for fetched, *_ in counts]


def test_a_second_replay_does_nothing(replayed: Replayed) -> None:
    """It meets the one record that is refused still, and changes no row."""
    ran, still = replayed.again, replayed.replay.report["still_refused"]

    assert (4, [], still) == (ran.code, ran.report["streams"], ran.report["still_refused"])
    assert replayed.after | {"etl.runs": replayed.later["etl.runs"]} == replayed.later


@pytest.mark.parametrize("kind", ["record", "file"])
def test_one_is_shown_with_all_that_is_known_of_it(replayed: Replayed, kind: str) -> None:
    """Content, reason, place and context; as JSON the same."""
    row = next(row for row in replayed.later["etl.quarantine"] if row["kind"] == kind)
    sightglass = Sightglass(replayed.home.parent)

    shown = sightglass("quarantine", "show", row["quarantine_id"])
    said = sightglass("quarantine", "show", row["quarantine_id"], "--json").report
    head, _, content = shown.out.partition("\n\n")
    lines = dict(re.findall(r"^([\w ]+): +(.*)$", head, re.MULTILINE))
    expected = [row["record"] + "\n", row["reason"], row["path"], row["context"]]
    assert expected == [content, lines["reason"], lines["path"], json.loads(lines["context"])]
    assert lines["came by"].split() == [row[name] for name in ("source", "stream", "partition") if row[name]]
    names = (*SUMMARY, "context", "record", "encoding")
    assert {name: row[name] for name in names} == {name: said[name] for name in names}


def test_an_empty_quarantine_says_so(plant: Plant, sightglass: Sightglass) -> None:
    """Nothing on standard output for people, an empty list as JSON, and exit code 0."""
    sightglass("run", "cogniac", COG_API_KEY=plant.cogniac.api_key)

    assert (0, "", "sightglass: the quarantine is empty\n") == astuple(sightglass("quarantine"))
    assert (0, '{"quarantine": []}\n', "") == astuple(sightglass("quarantine", "--json"))


@pytest.mark.parametrize("arguments", [["show", "1"], ["dismiss", "1"], ["replay"]])
def test_without_a_warehouse_none_is_made(tmp_path: Path, arguments: list[str]) -> None:
    """A folder that is misspelt is told, and stays what it is: nothing."""
    ran = Sightglass(tmp_path, {})("quarantine", *arguments, "--home", "misspelt")

    assert (2, True) == (ran.code, "there is no warehouse in" in ran.err)
    assert [] == list(tmp_path.iterdir())


def test_a_check_that_holds_back_what_is_replayed_is_told(plant: Plant, sightglass: Sightglass) -> None:
    """Exit code 4 says that something is to be seen to; a line says what."""
    sightglass("run", "cogniac", COG_API_KEY=plant.cogniac.api_key)
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        connection.execute(
            "INSERT INTO cogniac.subjects BY NAME SELECT * REPLACE (now() AS _loaded_at) "
            "FROM cogniac.subjects LIMIT 1"
        )
    ran = sightglass("quarantine", "replay")

    assert (4, "sightglass: replayed 0, still refused 0") == (ran.code, ran.err.splitlines()[-1])
    assert "not published, readers keep the version they have: cogniac.subjects has two rows" in ran.err


def test_what_publishing_finds_after_a_dismissal_is_told(plant: Plant, sightglass: Sightglass) -> None:
    """A file of the lake that was damaged is named, as by a run."""
    plant.cogniac.put(
        next(iter(Truth.now(plant).records)), {"detections": "none", "media": {"media_id": "m"}}
    )
    assert 4 == sightglass("run").code
    (entry,) = sightglass("quarantine", "--json").report["quarantine"]
    file = next((sightglass.home / "versions" / "cogniac" / "subjects").glob("*.parquet"))
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-9])
    ran = sightglass("quarantine", "dismiss", entry["quarantine_id"])

    said = [
        (
            "sightglass: damaged files of the lake, written anew from the warehouse: "
            f"versions/cogniac/subjects/{file.name}; see to the disk"
        ),
        f"sightglass: dismissed {entry['quarantine_id']}",
    ]
    assert (0, said) == (ran.code, ran.err.splitlines())


@pytest.mark.parametrize("verb", ["show", "dismiss", "replay"])
def test_an_unknown_id_is_named(replayed: Replayed, verb: str) -> None:
    """Exit code 2, and one line that says where the known ones are listed."""
    said = "sightglass: there is no nemo in quarantine; `sightglass quarantine` lists what is\n"

    sightglass = Sightglass(replayed.home.parent)
    before = rows(sightglass.home, "etl.runs")
    assert (2, "", said) == astuple(sightglass("quarantine", verb, "nemo"))
    assert before == rows(sightglass.home, "etl.runs")


@contextmanager
def refusing(folder: Path, **settings: str) -> Iterator[tuple[Plant, Sightglass, str]]:
    """A plant, the command, and the folder of narrower declarations; `direct` is for another warehouse."""
    (folder / "direct").mkdir()
    with serving() as plant:
        yield plant, Sightglass(folder, plant.settings | settings), narrow(folder / "narrower")


def test_what_is_dismissed_is_closed(tmp_path: Path) -> None:
    """It stays listed, is not replayed, and the same content in a later run opens nothing."""
    with refusing(tmp_path) as (plant, sightglass, narrower):
        plant.neurons.put(REFUSED)
        sightglass("run", "neurons", PYTHONPATH=narrower)
        (row,) = rows(sightglass.home, "etl.quarantine")
        dismissed = sightglass("quarantine", "dismiss", row["quarantine_id"])
        later = sightglass("run", "neurons", "--json", PYTHONPATH=narrower)
        replays = [sightglass("quarantine", "replay", *ids) for ids in ((row["quarantine_id"],), ())]

    assert (0, "", f"sightglass: dismissed {row['quarantine_id']}\n") == astuple(dismissed)
    assert (0, 0) == (later.code, later.report["newly_quarantined"])
    assert [(0, "", "sightglass: replayed 0, still refused 0\n")] * 2 == [astuple(each) for each in replays]
    assert [row | {"state": "dismissed"}] == rows(sightglass.home, "etl.quarantine")
    assert "loud" not in {each["media_id"] for each in rows(sightglass.home, "neurons.media")}


def spoil(plant: Plant, application: Row, title: str, *, loud: bool, at: float) -> None:
    """Give an application, a record with its medium, and a file a version that is refused, or is not."""
    number, probability = (5000, 0.95) if loud else (50, 0.25)
    plant.cogniac.put_application(application | {"name": title, "training_data_count": number})
    said = SAID | {"probability": probability, "created_at": at}
    record = {"detections": [said], "media": {"media_id": "m", "title": title}, "updated_at": at}
    plant.cogniac.put(application["application_id"], record)
    frames = json.dumps([{"focus": number}, {"focus": len(title)}]).encode()
    plant.neurons.put(VIDEO | {"media_id": "film"}, {"metrics": frames})


AT = 1_790_000_000.5
CURRENT = [f"cogniac.{name}" for name in ("applications", "results", "detections", "media")]
CURRENT += [f"neurons.{name}" for name in ("assets", "frame_metrics")]


@pytest.mark.parametrize("loud", [False, True], ids=["loaded meanwhile", "refused as well"])
def test_of_several_versions_the_newest_stays(tmp_path: Path, *, loud: bool) -> None:
    """An older version, replayed, never stands in for what came after it, be that loaded or replayed too."""
    with refusing(tmp_path, SIGHTGLASS_LAG="0") as (plant, sightglass, narrower):
        application = next(one for one in plant.cogniac.applications() if one["active"])
        spoil(plant, application, "older", loud=True, at=AT)
        refused = sightglass("run", PYTHONPATH=narrower)
        spoil(plant, application, "newer!", loud=loud, at=AT + 1)
        later = sightglass("run", PYTHONPATH=narrower)
        replay = sightglass("quarantine", "replay")
        direct = replace(sightglass, folder=tmp_path / "direct")
        direct("run")

    assert (4, 4 * loud, 0) == (refused.code, later.code, replay.code)
    expected, found = (tables(home) for home in (direct.home, sightglass.home))
    assert {name: expected[name] for name in CURRENT} == {name: found[name] for name in CURRENT}


def test_the_files_of_a_replayed_medium_come_with_the_next_run(tmp_path: Path) -> None:
    """They were fetched in vain while it was refused; then everything is as after a direct load."""
    with refusing(tmp_path) as (plant, sightglass, narrower):
        plant.neurons.put(REFUSED, {"metrics": QUIET})
        refused = sightglass("run", "neurons", PYTHONPATH=narrower)
        sightglass("quarantine", "replay")
        ran = sightglass("run", "neurons")
        direct = replace(sightglass, folder=tmp_path / "direct")
        direct("run", "neurons")

    assert (4, 0) == (refused.code, ran.code)
    assert tables(direct.home) == tables(sightglass.home)


def test_a_replay_is_no_listing_of_all_media(tmp_path: Path) -> None:
    """Where full listings are hours apart, a replayed medium does not put the next one off."""
    with refusing(tmp_path) as (plant, sightglass, narrower):
        plant.neurons.put(REFUSED)
        sightglass("run", "neurons", PYTHONPATH=narrower)
        query = (ROOT / "sql" / "neurons" / "last_sweep.sql").read_text(encoding="utf-8")
        swept = table(sightglass.home, query)
        replay = sightglass("quarantine", "replay")

    assert (0, "sightglass: replayed 1, still refused 0\n") == (replay.code, replay.err)
    assert swept == table(sightglass.home, query)


def test_a_replay_waits_for_no_run(tmp_path: Path) -> None:
    """While a run holds the warehouse it exits 75 and changes nothing; so does `dismiss`."""
    arrived, go_on = threading.Event(), threading.Event()

    def wait(_request: Request) -> None:
        arrived.set()
        go_on.wait(60)

    with refusing(tmp_path) as (plant, sightglass, narrower):
        plant.neurons.put(REFUSED)
        sightglass("run", "neurons", PYTHONPATH=narrower)
        (row,) = rows(sightglass.home, "etl.quarantine")
        plant.neurons.fault = wait
        with sightglass.start("run", "neurons", out=subprocess.DEVNULL, err=subprocess.DEVNULL) as first:
            arrived.wait(60)
            replay = sightglass("quarantine", "replay", "--json")
            dismissed = sightglass("quarantine", "dismiss", row["quarantine_id"])
            go_on.set()

    said = f"sightglass: another run (process {first.pid}, since "
    for ran in (replay, dismissed):
        assert (75, "", True, 1) == (ran.code, ran.out, ran.err.startswith(said), ran.err.count("\n"))
    assert [row | {"state": "open"}] == rows(sightglass.home, "etl.quarantine")
    assert 2 == len(rows(sightglass.home, "etl.runs"))
