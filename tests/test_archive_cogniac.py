"""Cogniac's media in the archive, by size: from the links that are stored, or from new ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant, Sightglass, serving, table
from support.archives import archived, as_published, gaps, path_of
from support.kills import AT_A_COMMIT, Moment, content, died, place
from support.tables import differing, everything

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.picture import picture
from etl.demo.script import FOREVER, LOGIN_PAGE, Answer, Rule, Script
from etl.demo.server import serve

FILES = """
    SELECT media_id, rendition, state, archive_path, content_type, bytes, error
    FROM cogniac.media_files ORDER BY ALL
"""
WRITTEN = "SELECT media_id FROM cogniac.media_files WHERE _run_id ="
SIZE = CogniacSize(applications=1, records=6)
SMALL = {"SIGHTGLASS_COGNIAC_ARCHIVE": "454"}


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A few records, and their pictures on a host of their own."""
    with serving(CogniacSimulator(1, SIZE)) as served, serve(served.cogniac.files) as url:
        served.cogniac.camera.files_url = url
        yield served


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac, its small pictures being wanted."""
    return Sightglass(tmp_path, {**plant.cogniac_login, **SMALL})


def media(plant: Plant) -> list[str]:
    """The ids of all media that results are about."""
    (application,) = plant.cogniac.applications()
    found = plant.cogniac.truth(application["application_id"])
    return sorted({record["media"]["media_id"] for record in found})


def kept(media_id: str, size: str = "454") -> tuple[Any, ...]:
    """The row of an archived picture."""
    made = picture(media_id if size == "original" else f"{media_id}_max_{size}")
    return media_id, size, "archived", path_of(made, "cogniac"), "image/jpeg", len(made), None


def test_wanted_sizes_are_archived_once(plant: Plant, sightglass: Sightglass) -> None:
    """One row per medium and size; no credentials go along, and no link is asked for."""
    first = sightglass("run", SIGHTGLASS_COGNIAC_ARCHIVE="454, original")
    asked = len(plant.cogniac.file_watch.requests)
    second = sightglass("run", SIGHTGLASS_COGNIAC_ARCHIVE="original,454")

    every = media(plant)
    assert (0, 0) == (first.code, second.code), first.err + second.err
    assert [kept(each, size) for each in every for size in ("454", "original")] == table(
        sightglass.home, FILES
    )
    assert {row[3] for row in table(sightglass.home, FILES)} == archived(sightglass.home).keys()
    assert asked == len(plant.cogniac.file_watch.requests) == 2 * len(every)
    assert not any(seen.has_credentials for seen in plant.cogniac.file_watch.requests)
    assert not any("/1/media/" in seen.path for seen in plant.cogniac.requests)


def test_nothing_is_asked_where_no_archive_is_set(plant: Plant, sightglass: Sightglass) -> None:
    """Neither for a file, nor for a medium."""
    ran = sightglass.but_for({"SIGHTGLASS_COGNIAC_ARCHIVE": ""})("run", "--json")

    assert "media_files" not in {each["stream"] for each in ran.report["streams"]}
    assert [] == list(plant.cogniac.file_watch.requests)
    assert not any("/1/media/" in seen.path for seen in plant.cogniac.requests)


@pytest.mark.parametrize("size", ["45x", "0", "-454", "Original", "٤٥٤"])
def test_a_size_that_is_none_is_refused(plant: Plant, sightglass: Sightglass, size: str) -> None:
    """Before anything is asked."""
    ran = sightglass("run", SIGHTGLASS_COGNIAC_ARCHIVE=f"454,{size}")

    said = (
        f"sightglass: SIGHTGLASS_COGNIAC_ARCHIVE: {size} is no size; give pixels, such as 454, or original\n"
    )
    assert (2, said, []) == (ran.code, ran.err, list(plant.cogniac.requests))


@pytest.mark.parametrize(
    "answer", [Answer(status=403), Answer(status=404), LOGIN_PAGE], ids=["403", "404", "login"]
)
def test_a_stored_link_that_has_expired_is_asked_for_anew(
    plant: Plant, sightglass: Sightglass, answer: Answer
) -> None:
    """However the server says so; the medium tells its links of now."""
    assert sightglass.but_for({"SIGHTGLASS_COGNIAC_ARCHIVE": ""})("run").code == 0
    plant.cogniac.file_watch.fault = Script(Rule(path="", times=FOREVER, answer=answer))
    with serve(CogniacSimulator(1, SIZE).files) as fresh:
        plant.cogniac.camera.files_url = fresh
        ran = sightglass("run")

    every = media(plant)
    assert (0, [kept(each) for each in every], []) == (
        ran.code,
        table(sightglass.home, FILES),
        gaps(sightglass.home),
    )
    asked = sorted(seen.path for seen in plant.cogniac.requests if "/1/media/" in seen.path)
    assert [f"/1/media/{each}" for each in every] == asked


def test_a_size_that_there_is_not_is_no_gap(plant: Plant, sightglass: Sightglass) -> None:
    """The row says so; it is looked for again once the medium has changed."""
    first = sightglass("run", SIGHTGLASS_COGNIAC_ARCHIVE="99")
    asked = sum("/1/media/" in seen.path for seen in plant.cogniac.requests)
    second = sightglass("run", SIGHTGLASS_COGNIAC_ARCHIVE="99")

    every = media(plant)
    assert (0, 0, []) == (first.code, second.code, gaps(sightglass.home))
    assert [(each, "99", "absent", None, None, None, None) for each in every] == table(sightglass.home, FILES)
    assert len(every) == asked == sum("/1/media/" in seen.path for seen in plant.cogniac.requests)


def test_a_medium_that_is_gone_is_no_gap(plant: Plant, sightglass: Sightglass) -> None:
    """Neither its file nor itself is there any more: nothing can be missing, and nobody asks again."""
    gone = media(plant)[0]
    plant.cogniac.file_watch.fault = Script(Rule(path=gone, times=FOREVER, answer=Answer(status=404)))
    plant.cogniac.fault = Script(Rule(path=f"/1/media/{gone}", times=FOREVER, answer=Answer(status=404)))
    first = sightglass("run")
    asked = len(plant.cogniac.file_watch.requests)
    second = sightglass("run")

    assert (0, 0, []) == (first.code, second.code, gaps(sightglass.home))
    assert (gone, "454", "absent", *4 * (None,)) == table(sightglass.home, FILES)[0]
    assert asked == len(plant.cogniac.file_watch.requests)


def test_what_cannot_be_had_is_a_gap_until_it_is_there(plant: Plant, sightglass: Sightglass) -> None:
    """It fails no run; the next one asks again; where it is wanted no more, it is missing no more."""
    gone = media(plant)[0]
    plant.cogniac.file_watch.fault = Script(Rule(path=gone, times=FOREVER, answer=Answer(status=403)))
    bad = sightglass("run")
    named = gaps(sightglass.home)
    unwanted = sightglass.but_for({"SIGHTGLASS_COGNIAC_ARCHIVE": ""})("run")
    left = gaps(sightglass.home)
    plant.cogniac.file_watch.fault = None
    good = sightglass("run")

    assert (0, 0, 0) == (bad.code, unwanted.code, good.code)
    assert [("cogniac", "media_files", f"{gone}/454", "file in the archive")] == [each[:4] for each in named]
    assert "answered 403" in named[0][4]
    assert ([], [kept(each) for each in media(plant)]) == (left, table(sightglass.home, FILES))


def test_a_limit_leaves_the_rest_to_later_runs(plant: Plant, sightglass: Sightglass) -> None:
    """Named as one gap; the log gives the same tables."""
    full = sightglass("run", SIGHTGLASS_ARCHIVE_DISK="0.001", SIGHTGLASS_CONCURRENCY="1")
    named, count = gaps(sightglass.home), len(archived(sightglass.home))
    more = sightglass("run")
    before = everything(sightglass.home)
    rebuilt = Sightglass(sightglass.folder, {})("rebuild", "--json")

    rest = len(media(plant)) - count
    why = "the archive is full: SIGHTGLASS_ARCHIVE_DISK allows 0.001 MB"
    assert 0 < rest < len(media(plant))
    assert [("cogniac", "media_files", "archive", f"{rest} files in the archive", why)] == named
    assert (0, 0, []) == (full.code, more.code, gaps(sightglass.home))
    assert [kept(each) for each in media(plant)] == table(sightglass.home, FILES)
    assert (0, {}) == (rebuilt.code, differing(before, everything(sightglass.home)))


def test_a_file_that_is_lost_is_fetched_again(plant: Plant, sightglass: Sightglass) -> None:
    """A row that says archived is held against the folder."""
    assert sightglass("run").code == 0
    first = media(plant)[0]
    (sightglass.home / "archive" / kept(first)[3]).unlink()
    assert sightglass("run").code == 0

    assert [kept(each) for each in media(plant)] == table(sightglass.home, FILES)
    assert {kept(each)[3] for each in media(plant)} == archived(sightglass.home).keys()


def test_a_file_that_is_lost_is_missing_for_readers_too(plant: Plant, sightglass: Sightglass) -> None:
    """Though no limit lets it be fetched again: its row is that of the run, and of the log too."""
    assert sightglass("run").code == 0
    first, *others = media(plant)
    (sightglass.home / "archive" / kept(first)[3]).unlink()
    ran = sightglass("run", "--json", SIGHTGLASS_ARCHIVE_DISK="0.000001")
    told, before = as_published(sightglass.home, FILES), everything(sightglass.home)
    by_this_run = as_published(sightglass.home, f"{WRITTEN} '{ran.report['run_id']}'")
    verified = sightglass("verify", "cogniac", "--quick")
    rebuilt = sightglass("rebuild", "--json")

    lost = (first, "454", "missing", None, *kept(first)[4:6], "it is not in the archive any more")
    assert sorted([lost, *map(kept, others)]) == told == table(sightglass.home, FILES)
    assert [(first,)] == by_this_run
    assert (0, 0, 0) == (ran.code, verified.code, rebuilt.code), verified.err
    assert {} == differing(before, everything(sightglass.home))


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_any_commit_costs_nothing(plant: Plant, tmp_path: Path, side: str) -> None:
    """The next run leaves the same rows and files as one that nothing befell."""
    alone = dict.fromkeys(plant.neurons_login, "") | SMALL
    spared = place(tmp_path / "spared", plant).but_for(alone)
    assert spared("run").code == 0
    killed = 0
    for number in range(2, 8):
        sightglass = place(tmp_path / str(number), plant).but_for(alone)
        killed += died(sightglass, Moment(AT_A_COMMIT, number, side))
        assert 0 == sightglass("run").code
        assert content(spared.home) == content(sightglass.home)
        assert archived(spared.home) == archived(sightglass.home)
    assert killed
