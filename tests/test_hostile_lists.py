"""Lists that are out of order, that end too soon, or whose times are not their places: nothing is lost."""

from pathlib import Path

import pytest
from conftest import rows
from hostile import DETECTIONS, Placed, T, cogniac, of_cogniac, record, serving


def media_of(home: Path) -> list[int]:
    """The numbers of the media in the results, sorted."""
    return sorted(int(row["media_id"][1:]) for row in rows(home, "cogniac.results"))


def test_a_record_whose_place_is_not_its_time_takes_no_other_with_it(tmp_path: Path) -> None:
    """Record 5 was corrected while it was read: it stands where it stood, and its body says a minute ago."""
    placed = Placed([(T + number, record(number)) for number in range(250)])
    placed.records[5] = (T + 5, record(5, T + 100_000))
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert list(range(250)) == media_of(tmp_path / "home")


def test_a_time_too_new_at_the_end_of_a_page_takes_none_of_the_next_with_it(tmp_path: Path) -> None:
    """The last record of the first page says 31 seconds more than its place."""
    placed = Placed([(T + number, record(number)) for number in range(250)])
    placed.records[99] = (T + 99, record(99, T + 130))
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert list(range(250)) == media_of(tmp_path / "home")


def test_a_list_that_is_always_newest_first_is_read_to_its_end(tmp_path: Path) -> None:
    """A server that ignores `reverse=False`."""
    placed = Placed([(T + number, record(number)) for number in range(249, -1, -1)], by_time=False)
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert list(range(250)) == media_of(tmp_path / "home")


def test_a_list_in_no_order_is_read_by_its_links_and_the_cursor_stays(tmp_path: Path) -> None:
    """Only `next` leads through it; all is loaded, and what is odd is said."""
    placed = Placed([(T + n * 97 % 250, record(n * 97 % 250)) for n in range(250)], by_time=False)
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    (stream,) = [each for each in ran.report["streams"] if each["stream"] == "detections"]
    assert (0, [], []) == (
        ran.code,
        rows(tmp_path / "home", "etl.gaps"),
        rows(tmp_path / "home", "etl.cursors"),
    )
    assert list(range(250)) == media_of(tmp_path / "home")
    assert "the list is not sorted by time: all of it was read, and the cursor stays" == stream["notice"]


@pytest.mark.parametrize("time", [T + 10 * 365 * 86_400, (T + 249) * 1000])
def test_a_time_in_the_future_makes_no_later_run_blind(tmp_path: Path, time: int) -> None:
    """One record is dated ten years ahead, or in milliseconds: what changes after it is still read."""
    placed = Placed([(T + number, record(number)) for number in range(250)], obeys_end=False)
    placed.records[249] = (time, record(249, time))
    with serving(cogniac({DETECTIONS: placed})) as server:
        sightglass = of_cogniac(tmp_path, server)
        first = sightglass("run", "--json")
        placed.records += [(T + 1000 + number, record(1000 + number)) for number in range(3)]
        second = sightglass("run", "--json")

    loaded = [*range(249 if time > 10**12 else 250), 1000, 1001, 1002]
    assert loaded == media_of(tmp_path / "home")
    assert [(T + 1002) * 1_000_000] == [row["cursor_at"] for row in rows(tmp_path / "home", "etl.cursors")]
    assert (4, 0) if time > 10**12 else (0, 0) == (first.code, second.code)
