"""Neurons' pictures and films in the archive: fetched within the lives of their links, each content once."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Plant, Sightglass, serving, table
from support.archives import (
    HEAT,
    PICTURE,
    archived,
    as_published,
    assets,
    gaps,
    medium,
    path_of,
    row_of,
)
from support.tables import differing, everything

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.script import FOREVER, LOGIN_PAGE, Answer, Clock, CutOff, Rule, Script
from etl.sources.neurons.pictures import NAMES

IN_NEURONS = ("neurons", "assets")
STATES = "SELECT state, error, _run_id, _loaded_at FROM neurons.assets WHERE asset = 'heat' ORDER BY media_id"


@pytest.fixture
def plant() -> Iterator[Plant]:
    """An account that holds what a test puts into it."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as served:
        yield served


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Neurons, its heat maps being wanted."""
    return Sightglass(tmp_path, {**plant.neurons_login, **HEAT})


def put(plant: Plant, **pictures: bytes) -> None:
    """Have one image for each picture, which is its heat map."""
    for media_id, content in pictures.items():
        plant.neurons.put(medium(media_id), {"heat": content, "fog": b"\xff\xd8\xfffog"})


def paths(plant: Plant) -> list[str]:
    """The paths of the files that were asked for, in some order."""
    return sorted(seen.path for seen in plant.neurons.file_requests)


def test_wanted_pictures_are_archived_once(plant: Plant, sightglass: Sightglass) -> None:
    """The row says where the file is and what it is; the next run asks for none; others stay skipped."""
    put(plant, a=PICTURE, b=PICTURE + b"b")
    first = sightglass("run")
    asked = paths(plant)
    second = sightglass("run")

    rows = [row_of("a", "heat", PICTURE), row_of("b", "heat", PICTURE + b"b")]
    skipped = [(each, "fog", "skipped", None, None, None, None, None) for each in ("a", "b")]
    assert (0, 0) == (first.code, second.code), first.err + second.err
    assert sorted(rows + skipped) == assets(sightglass.home, "heat", "fog")
    assert {path_of(PICTURE): PICTURE, path_of(PICTURE + b"b"): PICTURE + b"b"} == archived(sightglass.home)
    assert ["/a/media_nvai_heat.jpeg", "/b/media_nvai_heat.jpeg"] == asked == paths(plant)
    assert [] == gaps(sightglass.home)
    assert [(True,), (True,)] == table(sightglass.home, "SELECT is_complete FROM neurons.media")
    assert [False, False] == [seen.has_credentials for seen in plant.neurons.file_requests]


def test_nothing_is_asked_where_no_archive_is_set(plant: Plant, sightglass: Sightglass) -> None:
    """A run costs no request more, makes no folder, and enters no stream."""
    put(plant, a=PICTURE)
    ran = sightglass.but_for({"SIGHTGLASS_NEURONS_ARCHIVE": ""})("run", "--json")

    assert [("media", ""), ("assets", "")] == [
        (each["stream"], each["partition"]) for each in ran.report["streams"]
    ]
    assert ([], ["/predict/v2/media"]) == (paths(plant), [seen.path for seen in plant.neurons.requests])
    assert not (sightglass.home / "archive").exists()


def test_the_archive_is_for_the_owner_alone(plant: Plant, sightglass: Sightglass) -> None:
    """As the log is: nobody else may read the files or list the folders."""
    put(plant, a=PICTURE)
    assert sightglass("run").code == 0

    modes = {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
        for path in (sightglass.home / "archive").rglob("*")
    }
    assert {(True, 0o700), (False, 0o600)} == modes


def test_the_same_content_is_stored_once(plant: Plant, sightglass: Sightglass) -> None:
    """Many rows may name one file."""
    put(plant, a=PICTURE, b=PICTURE)
    assert sightglass("run").code == 0

    assert {path_of(PICTURE): PICTURE} == archived(sightglass.home)
    assert [row_of("a", "heat", PICTURE), row_of("b", "heat", PICTURE)] == assets(sightglass.home, "heat")


def test_pictures_that_were_skipped_are_archived_once_they_are_wanted(
    plant: Plant, sightglass: Sightglass
) -> None:
    """Also by runs that read only the end of the list."""
    put(plant, a=PICTURE)
    assert sightglass.but_for({"SIGHTGLASS_NEURONS_ARCHIVE": ""})("run").code == 0
    assert sightglass("run", SIGHTGLASS_NEURONS_SWEEP="100").code == 0

    assert [row_of("a", "heat", PICTURE)] == assets(sightglass.home, "heat")


def test_all_stands_for_every_picture_and_film(plant: Plant, sightglass: Sightglass) -> None:
    """Those too that no document names, in whatever format they come."""
    film, png = b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00", b"\x89PNG\r\n\x1a\n."
    plant.neurons.put(medium("v", type="video"), {"heat": film, "new_fog": (png, "image/jpeg")})
    assert sightglass("run", SIGHTGLASS_NEURONS_ARCHIVE="all").code == 0

    expected = [
        row_of("v", "heat", film, "mp4", "video/mp4"),
        row_of("v", "new_fog", png, "png", "image/png"),
    ]
    assert expected == assets(sightglass.home, "heat", "new_fog")


def test_a_metric_has_two_spellings(plant: Plant, sightglass: Sightglass) -> None:
    """The heat map of intent is that of buy, as of all metrics whose names have changed."""
    plant.neurons.put(medium("a"), {"buy_heat": PICTURE})
    assert sightglass("run", SIGHTGLASS_NEURONS_ARCHIVE="intent_heat").code == 0

    assert [row_of("a", "buy_heat", PICTURE)] == assets(sightglass.home, "buy_heat")


def test_a_name_that_is_none_is_refused(plant: Plant, sightglass: Sightglass) -> None:
    """With the name that was probably meant, or all that there are, before anything is asked."""
    near = sightglass("run", SIGHTGLASS_NEURONS_ARCHIVE="fog, haet")
    far = sightglass("run", SIGHTGLASS_NEURONS_ARCHIVE="metrics")

    begin = "SIGHTGLASS_NEURONS_ARCHIVE:"
    known = ", ".join(sorted(NAMES))
    assert (2, f"sightglass: {begin} haet is no picture of Neurons; did you mean heat?\n") == (
        near.code,
        near.err,
    )
    assert (2, f"sightglass: {begin} metrics is no picture of Neurons; known are all, {known}\n") == (
        far.code,
        far.err,
    )
    assert ([], False) == (list(plant.neurons.requests), sightglass.home.exists())


def test_a_place_that_is_none_is_refused(plant: Plant, sightglass: Sightglass) -> None:
    """An archive is a folder or an object store."""
    ran = sightglass("run", SIGHTGLASS_ARCHIVE="ftp://host/path")

    said = "sightglass: SIGHTGLASS_ARCHIVE must be a folder, or begin with s3://, gs://, az://\n"
    assert (2, said, []) == (ran.code, ran.err, list(plant.neurons.requests))


def test_a_link_that_has_expired_is_minted_anew(tmp_path: Path) -> None:
    """The medium is asked once more where the life of its link is over before it is used."""
    clock = Clock(1_772_700_000.0)
    simulator = NeuronsSimulator(1, NeuronsSize(media=0), clock=clock)
    with serving(neurons=simulator) as plant:
        put(plant, a=PICTURE)
        late = Rule(path="heat", do=lambda: clock.advance(301))
        simulator.file_watch.fault = Script(late)
        sightglass = Sightglass(tmp_path, {**plant.neurons_login, **HEAT})
        ran = sightglass("run")

    assert (0, [row_of("a", "heat", PICTURE)]) == (ran.code, assets(sightglass.home, "heat"))
    assert [403, 200] == [seen.status for seen in simulator.file_requests]
    asked = [seen.path for seen in simulator.requests]
    assert ["/predict/v2/media", "/predict/v2/media/a", "/predict/v2/media/a"] == asked


INSTEAD = {
    "gone": (Answer(status=404), "answered 404: It was the script."),
    "login": (LOGIN_PAGE, "the server sent an HTML or XML page in place of the file"),
    "error": (Answer(), "the server sent JSON in place of the file"),
    "text": (
        Answer(body=b"Sorry", content_type="text/plain"),
        "something that is no picture or film in place",
    ),
    "called a picture": (
        Answer(body=b"<svg/>", content_type="image/svg+xml"),
        "an HTML or XML page in place",
    ),
    "nothing": (Answer(body=b"", content_type="image/jpeg"), "the server sent nothing in place of the file"),
    "torn": (CutOff(sent=PICTURE), "IncompleteRead(17 bytes read, 1000 more expected)"),
}
"""What comes in place of a picture, and what is said of it."""


@pytest.mark.parametrize(("answer", "said"), INSTEAD.values(), ids=INSTEAD)
def test_what_is_no_whole_picture_is_not_archived(
    plant: Plant, sightglass: Sightglass, answer: Answer, said: str
) -> None:
    """It is named with what came, leaves nothing behind, and is asked for again by the next run."""
    put(plant, a=PICTURE)
    plant.neurons.file_watch.fault = Script(Rule(path="heat", times=FOREVER, answer=answer))
    bad = sightglass("run", SIGHTGLASS_RETRY_BUDGET="1")
    ((_, _, _, what, error),) = gaps(sightglass.home)
    states = [row[2] for row in assets(sightglass.home, "heat")]
    left = archived(sightglass.home)
    plant.neurons.file_watch.fault = None
    good = sightglass("run")

    assert (0, 0) == (bad.code, good.code)
    assert ("picture or film in the archive", ["skipped"], {}) == (what, states, left)
    assert said in error
    assert ([row_of("a", "heat", PICTURE)], []) == (assets(sightglass.home, "heat"), gaps(sightglass.home))


def test_a_body_that_breaks_off_is_asked_for_again(plant: Plant, sightglass: Sightglass) -> None:
    """Within the run, and from its beginning: nothing of the first attempt is in the file."""
    put(plant, a=PICTURE)
    plant.neurons.file_watch.fault = Script(
        Rule(path="heat", answer=CutOff(sent=b"\xff\xd8\xffthe first attempt"))
    )
    ran = sightglass("run")

    assert (0, {path_of(PICTURE): PICTURE}) == (ran.code, archived(sightglass.home)), ran.err


def test_what_an_archive_may_take_is_not_exceeded(plant: Plant, sightglass: Sightglass) -> None:
    """What has no room is named as one gap; once there is room, the next run takes it, the newest first."""
    sizes = {"a": 700_000, "b": 600_000, "c": 200_000}
    for day, (media_id, size) in enumerate(sizes.items(), start=1):
        about = medium(media_id, created_at=f"2026-03-0{day}T10:00:00Z")
        plant.neurons.put(about, {"heat": PICTURE + bytes(size)})
    one_by_one = {"SIGHTGLASS_CONCURRENCY": "1"}
    full = sightglass("run", SIGHTGLASS_ARCHIVE_DISK="1", **one_by_one)
    named, kept = (
        gaps(sightglass.home),
        [row[0] for row in assets(sightglass.home, "heat") if row[2] == "archived"],
    )
    more = sightglass("run", SIGHTGLASS_ARCHIVE_DISK="2", **one_by_one)

    why = "the archive is full: SIGHTGLASS_ARCHIVE_DISK allows 1 MB"
    assert [(*IN_NEURONS, "archive", "1 pictures and films in the archive", why)] == named
    assert (0, ["b", "c"]) == (full.code, kept)
    assert (0, 3, []) == (more.code, len(archived(sightglass.home)), gaps(sightglass.home))


def test_room_that_others_took_counts(plant: Plant, sightglass: Sightglass) -> None:
    """What was archived before is looked at, not remembered."""
    put(plant, a=PICTURE + bytes(700_000))
    assert sightglass("run", SIGHTGLASS_ARCHIVE_DISK="1").code == 0
    put(plant, b=PICTURE + bytes(400_000))
    assert sightglass("run", SIGHTGLASS_ARCHIVE_DISK="1").code == 0

    assert ["archived", "skipped"] == [row[2] for row in assets(sightglass.home, "heat")]


def test_a_film_that_is_larger_than_a_file_may_be_in_memory(plant: Plant, sightglass: Sightglass) -> None:
    """It is written as it comes."""
    put(plant, a=PICTURE + bytes(3 * 2**20))
    ran = sightglass("run", SIGHTGLASS_BODY_MEMORY="16")

    assert (0, ["archived"]) == (ran.code, [row[2] for row in assets(sightglass.home, "heat")])


def test_a_file_that_is_lost_is_fetched_again(plant: Plant, sightglass: Sightglass) -> None:
    """A row that says archived is held against the folder; what cannot be had any more is named."""
    put(plant, a=PICTURE, b=PICTURE + b"b")
    assert sightglass("run").code == 0
    (sightglass.home / "archive" / path_of(PICTURE)).unlink()
    (sightglass.home / "archive" / path_of(PICTURE + b"b")).write_bytes(b"")
    plant.neurons.file_watch.fault = Script(Rule(path="/b/", times=FOREVER, answer=Answer(status=404)))
    ran = sightglass("run")

    (_, _, key, _, error), lost = gaps(sightglass.home)[0], assets(sightglass.home, "heat")[1]
    assert (0, row_of("a", "heat", PICTURE)) == (ran.code, assets(sightglass.home, "heat")[0])
    assert ("b/heat", "skipped", None) == (key, *lost[2:4])
    assert "answered 404" in error


def states(sightglass: Sightglass) -> list[tuple[Any, ...]]:
    """What readers are told of the heat maps, as the warehouse says too: state, error, by which run, when."""
    told = as_published(sightglass.home, STATES)
    assert told == table(sightglass.home, STATES)
    return told


def test_readers_see_what_became_of_a_file_that_was_archived(plant: Plant, sightglass: Sightglass) -> None:
    """Lost and not fetched again, then wanted no more: its row is that of the run, and of the log too."""
    put(plant, a=PICTURE)
    assert sightglass("run").code == 0
    ((*first, by_first, at_first),) = states(sightglass)
    (sightglass.home / "archive" / path_of(PICTURE)).unlink()
    assert sightglass("run", SIGHTGLASS_ARCHIVE_DISK="0.000001").code == 0
    ((*lost, by_second, at_second),) = states(sightglass)
    assert sightglass.but_for({"SIGHTGLASS_NEURONS_ARCHIVE": ""})("run").code == 0
    ((*unwanted, by_third, at_third),) = states(sightglass)
    before = everything(sightglass.home)
    verified = sightglass("verify", "neurons", "--quick")
    rebuilt = sightglass("rebuild", "--json")

    gone = "it is not in the archive any more"
    assert [["archived", None], ["skipped", gone], ["skipped", None]] == [first, lost, unwanted]
    assert 3 == len({by_first, by_second, by_third})
    assert at_first < at_second < at_third
    assert (0, 0, {}) == (verified.code, rebuilt.code, differing(before, everything(sightglass.home))), (
        verified.err
    )


def test_a_picture_that_was_made_anew_is_archived_anew(plant: Plant, sightglass: Sightglass) -> None:
    """When the medium changes; the file of before stays, for its name is its content."""
    put(plant, a=PICTURE)
    assert sightglass("run").code == 0
    plant.neurons.put(medium("a", updated_at="2026-03-03T10:05:00Z"), {"heat": PICTURE + b"2"})
    assert sightglass("run").code == 0

    assert [row_of("a", "heat", PICTURE + b"2")] == assets(sightglass.home, "heat")
    assert {path_of(PICTURE), path_of(PICTURE + b"2")} == archived(sightglass.home).keys()


def test_a_backfill_leaves_the_archive(plant: Plant, sightglass: Sightglass) -> None:
    """What is archived of a medium that did not change stays so when its files are read again."""
    put(plant, a=PICTURE)
    assert sightglass("run").code == 0
    asked = len(plant.neurons.file_requests)
    ran = sightglass("backfill", "neurons", "--since", "2026-03-01", "--until", "2026-04-01")

    assert (0, asked) == (ran.code, len(plant.neurons.file_requests)), ran.err
    assert [row_of("a", "heat", PICTURE)] == assets(sightglass.home, "heat")


def test_what_nobody_wants_any_more_is_not_missing(plant: Plant, sightglass: Sightglass) -> None:
    """Where the setting is gone, so are the gaps; what is archived stays."""
    put(plant, a=PICTURE, b=PICTURE)
    script = Script(Rule(path="/b/", times=FOREVER, answer=Answer(status=404)))
    plant.neurons.file_watch.fault = script
    assert sightglass("run").code == 0
    before = gaps(sightglass.home)
    assert sightglass.but_for({"SIGHTGLASS_NEURONS_ARCHIVE": ""})("run").code == 0
    found = assets(sightglass.home, "heat")

    assert (["b/heat"], []) == ([gap[2] for gap in before], gaps(sightglass.home))
    assert [row_of("a", "heat", PICTURE), ("b", "heat", "skipped", *5 * (None,))] == found


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="nothing binds root")
def test_an_archive_that_cannot_be_written_fails_alone(plant: Plant, tmp_path: Path) -> None:
    """Everything else is loaded; one line says what is wrong and what to do."""
    put(plant, a=PICTURE)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    settings = {**plant.neurons_login, **HEAT, "SIGHTGLASS_ARCHIVE": str(locked)}
    sightglass = Sightglass(tmp_path, settings, bound=True)
    ran = sightglass("run")

    assert (3, [("done",)]) == (ran.code, table(sightglass.home, "SELECT status FROM neurons.media"))
    assert f"cannot write the archive {locked}/incoming/" in ran.err
    assert "Permission denied" in ran.err
    assert "make it writable" in ran.err
    assert "Traceback" not in ran.err


def test_a_host_that_is_down_does_not_hold_up_the_run(plant: Plant, sightglass: Sightglass) -> None:
    """After so many downloads that failed in a row the rest is left to later runs."""
    put(plant, **{f"m{number:02}": PICTURE for number in range(20)})
    plant.neurons.file_watch.fault = Script(Rule(path="heat", times=FOREVER, answer=Answer(status=503)))
    ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0", SIGHTGLASS_CONCURRENCY="1")

    named = [gap[3:] for gap in gaps(sightglass.home) if gap[2] == "archive"]
    why = "16 requests in a row have failed: the rest is left"
    assert (0, 16) == (ran.code, len(plant.neurons.file_requests))
    assert [("20 pictures and films in the archive", why)] == named


def test_an_api_that_is_down_does_not_hold_up_the_run(plant: Plant, sightglass: Sightglass) -> None:
    """Neither where links are minted: no file is asked for, and none is held to be missing."""
    put(plant, **{f"m{number:02}": PICTURE for number in range(21)})
    plant.neurons.fault = Script(Rule(path="/media/", times=FOREVER, answer=Answer(status=503)))
    ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0", SIGHTGLASS_CONCURRENCY="1")

    assert (0, 1 + 16, []) == (ran.code, len(plant.neurons.requests), paths(plant))
    assert "archive" in {gap[2] for gap in gaps(sightglass.home)}


def test_an_archive_that_cannot_be_looked_into_fails_alone(plant: Plant, sightglass: Sightglass) -> None:
    """Though nothing is to be fetched: nobody could tell whether all is there."""
    put(plant, a=PICTURE)
    assert sightglass("run").code == 0
    folder = (sightglass.home / "archive" / path_of(PICTURE)).parent
    bound = Sightglass(sightglass.folder, sightglass.settings, bound=True)
    folder.chmod(0)
    ran = bound("run")
    folder.chmod(0o700)

    assert 3 == ran.code
    assert f"cannot read the archive {sightglass.home / 'archive'}: Permission denied" in ran.err
    assert [row_of("a", "heat", PICTURE)] == assets(sightglass.home, "heat")


def test_a_warehouse_of_an_earlier_version_gets_what_is_new(plant: Plant, sightglass: Sightglass) -> None:
    """Its tables get the columns, and what was skipped there is archived."""
    put(plant, a=PICTURE)
    assert sightglass.but_for({"SIGHTGLASS_NEURONS_ARCHIVE": ""})("run").code == 0
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        connection.execute("ALTER TABLE neurons.assets DROP COLUMN archive_path")
        connection.execute("DROP TABLE cogniac.media_files")
    ran = sightglass("run")
    shown = sightglass("sql", "--json", "SELECT heat_path, archived_files FROM mart.creative_compare")

    assert (0, [row_of("a", "heat", PICTURE)]) == (ran.code, assets(sightglass.home, "heat"))
    assert [{"heat_path": path_of(PICTURE), "archived_files": 1}] == shown.report["rows"]
