"""Records that share key and time and say different things: each is kept once, however often it is read."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import rows
from hostile import DETECTIONS, Placed, T, cogniac, record, serving
from support.variants import load

from etl.pipeline.source_loader import LOAD_LIMITS, LoadLimits


def twins(*probabilities: float) -> Placed:
    """Records of one medium and one time, each with another probability, after one that has no twin."""
    some = [record(1) for _ in probabilities]
    for each, probability in zip(some, probabilities, strict=True):
        each["detections"][0]["probability"] = probability
    return Placed([(T, record(0)), *((T + 1, each) for each in some)])


def turns(
    home: Path, url: str, number: int, first: int = 0, limits: LoadLimits = LOAD_LIMITS
) -> list[tuple[int, int, int]]:
    """How many records each of several runs inserted, updated and left as they were, ten minutes apart."""
    found = []
    for turn in range(first, first + number):
        at = datetime.fromtimestamp(T + 1000 + 600 * turn, UTC)
        ran = load(home, {"COG_API_KEY": "id:secret", "COG_URL_PREFIX": url}, at, limits)
        (of,) = [each for each in ran.streams if each.stream == "detections"]
        found.append((of.inserted, of.updated, of.unchanged))
    return found


def kept(home: Path) -> list[tuple[str, float, int]]:
    """Medium, probability and revision of all that is known of detections."""
    known = rows(home, "cogniac.detection_history")
    return sorted((row["media_id"], row["probability"], row["revision"]) for row in known)


def current(home: Path) -> list[tuple[str, float]]:
    """Medium and probability of the detections that hold."""
    return sorted((row["media_id"], row["probability"]) for row in rows(home, "cogniac.detections"))


def test_twins_are_kept_once_however_often_they_are_read(tmp_path: Path) -> None:
    """The last one holds; the others are revisions that held for no time. Later runs change nothing."""
    with serving(cogniac({DETECTIONS: twins(0.5, 0.7, 0.9)})) as server:
        ran = turns(tmp_path, server.url, 4)

    assert [(2, 2, 0), *[(0, 0, 4)] * 3] == ran
    assert [("m0", 0.5), ("m1", 0.9)] == current(tmp_path)
    assert [("m0", 0.5, 0), ("m1", 0.5, 0), ("m1", 0.7, 1), ("m1", 0.9, 2)] == kept(tmp_path)


@pytest.mark.parametrize("said", [(0.5, 0.9, 0.9), (0.5, 0.5, 0.9), (0.9, 0.5, 0.9)])
def test_twins_of_which_some_are_the_same_are_kept_once(tmp_path: Path, said: tuple[float, ...]) -> None:
    """Each change from one to the next is a revision; later runs change nothing."""
    with serving(cogniac({DETECTIONS: twins(*said)})) as server:
        turns(tmp_path, server.url, 1)
        first = kept(tmp_path)
        later = turns(tmp_path, server.url, 3, first=1)

    changes = [one for one, before in zip(said, (None, *said), strict=False) if one != before]
    assert [(0, 0, 0)] * 3 == [(inserted, updated, 0) for inserted, updated, _ in later]
    assert [("m0", 0.5, 0), *sorted(("m1", one, place) for place, one in enumerate(changes))] == first
    assert first == kept(tmp_path)
    assert [("m0", 0.5), ("m1", 0.9)] == current(tmp_path)


def test_twins_in_two_batches_are_told_by_the_next_run(tmp_path: Path) -> None:
    """What the later batch has made of them cannot be known by one hash: the next run reads them together."""
    placed = twins(0.5, 0.9)
    placed.limit = 2
    with serving(cogniac({DETECTIONS: placed})) as server:
        split = turns(tmp_path, server.url, 1, limits=LoadLimits(part_bytes=1, batch_bytes=1))
        ran = turns(tmp_path, server.url, 3, first=1)

    assert [(2, 1, 0)] == split
    assert [(0, 2, 1), (0, 0, 3), (0, 0, 3)] == ran
    assert [("m0", 0.5), ("m1", 0.9)] == current(tmp_path)


def test_one_of_several_twins_that_is_gone_leaves_the_last_of_the_others(tmp_path: Path) -> None:
    """It stays in the history, once; so does what comes back."""
    placed = twins(0.5, 0.7, 0.9)
    with serving(cogniac({DETECTIONS: placed})) as server:
        turns(tmp_path, server.url, 1)
        *others, last = placed.records
        placed.records = others
        without = turns(tmp_path, server.url, 2, first=1)
        then = current(tmp_path)
        placed.records = [*others, last]
        back = turns(tmp_path, server.url, 2, first=3)

    assert [(0, 2, 1), (0, 0, 3)] == without
    assert [("m0", 0.5), ("m1", 0.7)] == then
    assert [(0, 3, 1), (0, 0, 4)] == back
    assert [("m0", 0.5), ("m1", 0.9)] == current(tmp_path)


def test_a_record_that_is_corrected_within_a_second_and_back_is_as_it_was(tmp_path: Path) -> None:
    """It comes alone each time, so each is the newest word."""
    found = []
    for turn, probability in enumerate((0.5, 0.9, 0.5)):
        with serving(cogniac({DETECTIONS: twins(probability)})) as server:
            found += turns(tmp_path, server.url, 1, first=turn)
            assert [("m0", 0.5), ("m1", probability)] == current(tmp_path)

    assert [(2, 0, 0), (0, 1, 1), (0, 1, 1)] == found
    assert [("m0", 0.5, 0), *(("m1", *each) for each in ((0.5, 0), (0.5, 2), (0.9, 1)))] == kept(tmp_path)


def test_an_application_that_is_listed_twice_is_written_once(tmp_path: Path) -> None:
    """The last of the two holds, and later runs find nothing new."""
    listed = [{"application_id": "a1", "active": True, "name": name} for name in ("first", "last")]
    counts = []
    with serving(cogniac({DETECTIONS: twins(0.5)}, applications=listed)) as server:
        for turn in range(3):
            at = datetime.fromtimestamp(T + 1000 + 600 * turn, UTC)
            ran = load(tmp_path, {"COG_API_KEY": "id:secret", "COG_URL_PREFIX": server.url}, at)
            counts += [(each.inserted, each.updated) for each in ran.streams if each.stream == "applications"]

    assert [(1, 0), (0, 0), (0, 0)] == counts
    assert ["last"] == [row["name"] for row in rows(tmp_path, "cogniac.applications")]
