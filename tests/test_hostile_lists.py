"""Lists that are out of order, that end too soon, or whose times are not their places: nothing is lost."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import Row, rows
from hostile import DETECTIONS, Answer, Placed, Request, T, cogniac, of_cogniac, record, serving
from support.variants import load


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
    assert (4 if time > 10**12 else 0, 0) == (first.code, second.code)


def in_order(many: int, names: Literal["place", "time", "nothing"] = "place") -> Placed:
    """A list of so many records, one each second, in order."""
    return Placed([(T + number, record(number)) for number in range(many)], names=names)


def stands_at(home: Path) -> list[int]:
    """Where the cursor stands, in seconds after T."""
    return [row["cursor_at"] // 1_000_000 - T for row in rows(home, "etl.cursors")]


def test_links_that_name_no_time_are_followed_and_the_cursor_moves_once_they_end(tmp_path: Path) -> None:
    """What is in order all along is in order, whatever its links look like."""
    with serving(cogniac({DETECTIONS: in_order(250, names="nothing")})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert (list(range(250)), [249]) == (media_of(tmp_path / "home"), stands_at(tmp_path / "home"))


@pytest.mark.parametrize("many", [100, 200, 300])
def test_a_full_page_without_a_link_is_not_believed_to_be_the_last(tmp_path: Path, many: int) -> None:
    """A server that never sends `next` gives 100 of 300; asked for anew from there, it gives the rest."""
    placed = in_order(many)

    def without_next(request: Request) -> Answer:
        page = json.loads(placed(request).body)
        return Answer(json.dumps({**page, "paging": {}}).encode())

    with serving(cogniac({DETECTIONS: without_next})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert (list(range(many)), [many - 1]) == (media_of(tmp_path / "home"), stands_at(tmp_path / "home"))


@pytest.mark.parametrize("token", ["constant", "new"])
def test_links_that_lead_in_a_circle_are_named_and_the_cursor_stays(tmp_path: Path, token: str) -> None:
    """Two pages in no order that lead to each other, with the same links or with ever new ones."""
    halves = [[record(number * 97 % 200) for number in range(first, first + 100)] for first in (0, 100)]
    number = count()

    def circle(request: Request) -> Any:  # noqa: ANN401 -- any JSON
        half = int(request.query.get("half", 0))
        name = next(number) if token == "new" else "same"
        return {"data": halves[half], "paging": {"next": f"/x?half={1 - half}&token={name}"}}

    with serving(cogniac({DETECTIONS: circle})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    home = tmp_path / "home"
    (gap,) = rows(home, "etl.gaps")
    assert (3, list(range(200)), []) == (ran.code, media_of(home), stands_at(home))
    assert ("a1", "what changed after the beginning") == (gap["key"], gap["what"])
    assert gap["error"].startswith("the detections of a1 cannot be read to an end")


def test_empty_pages_that_lead_ever_on_are_named(tmp_path: Path) -> None:
    """Each empty page has a new link; the run ends all the same."""
    number = count()
    more = {DETECTIONS: lambda _request: {"data": [], "paging": {"next": f"/x?token={next(number)}"}}}
    with serving(cogniac(more)) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (3, ["a1"]) == (ran.code, [row["key"] for row in rows(tmp_path / "home", "etl.gaps")])


def test_a_server_that_ignores_where_to_begin_is_read_by_its_links(tmp_path: Path) -> None:
    """Every request without a link is answered with the first page."""
    placed = in_order(250)

    def from_the_start(request: Request) -> Answer:
        return placed(replace(request, query={**request.query, "start": "0"}))

    with serving(cogniac({DETECTIONS: from_the_start})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert (list(range(250)), [249]) == (media_of(tmp_path / "home"), stands_at(tmp_path / "home"))


def test_times_that_are_all_older_than_their_places_hide_nothing(tmp_path: Path) -> None:
    """The list is sorted and cut by another time than the one that its records show."""
    placed = Placed([(T + 3600 + number, record(number)) for number in range(250)])
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(250))) == (ran.code, media_of(tmp_path / "home"))


def test_small_pages_in_no_order_are_not_taken_for_sorted_by_chance(tmp_path: Path) -> None:
    """Of five records many are in order although the list is not."""
    numbers = [number * 61 % 120 for number in range(120)]
    placed = Placed([(T + number, record(number)) for number in numbers], limit=5, by_time=False)
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, []) == (ran.code, rows(tmp_path / "home", "etl.gaps"))
    assert list(range(120)) == media_of(tmp_path / "home")


@pytest.mark.parametrize("time", [None, "2026-03-04T05:00:00Z", "1772600100.5", "20260304", True, [1], {}])
def test_a_record_without_a_time_blocks_none_after_it(tmp_path: Path, time: Any) -> None:  # noqa: ANN401 -- any JSON
    """Wherever they stand, all others are loaded; what is a time by the declaration is one for the list."""
    placed = in_order(250)
    for number in (0, 99, 100, 249):
        placed.records[number] = (T + number, {**record(number), "updated_at": time})
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    readable = time == "2026-03-04T05:00:00Z"
    others = [number for number in range(250) if readable or number not in (0, 99, 100, 249)]
    refused = rows(tmp_path / "home", "etl.quarantine")
    assert (0 if readable else 4, others) == (ran.code, media_of(tmp_path / "home"))
    assert ([0, 4][not readable], []) == (len(refused), rows(tmp_path / "home", "etl.gaps"))


def test_no_clock_of_this_machine_makes_a_stream_blind(tmp_path: Path) -> None:
    """One that stands in 1970 reads all there is; one that was ten years ahead leaves no such cursor."""
    placed = in_order(150)
    placed.records.append((T + 150, record(150, T + 9 * 365 * 86_400)))
    with serving(cogniac({DETECTIONS: placed})) as server:
        environ = {"COG_API_KEY": "id:secret", "COG_URL_PREFIX": server.url}
        codes = [load(tmp_path, environ, datetime(1970, 1, 2, tzinfo=UTC)).exit_code]
        behind = media_of(tmp_path)
        codes.append(load(tmp_path, environ, datetime(2036, 1, 2, tzinfo=UTC)).exit_code)
        placed.records += [(T + number, record(number)) for number in (1000, 1001)]
        codes.append(load(tmp_path, environ).exit_code)

    assert ([0, 0, 0], list(range(151))) == (codes, behind)
    assert [*range(151), 1000, 1001] == media_of(tmp_path)
    assert [1001] == stands_at(tmp_path)


@pytest.mark.parametrize("names", ["place", "time"])
def test_a_run_that_fails_leaves_no_cursor_beyond_what_has_come(
    tmp_path: Path, names: Literal["place", "time"]
) -> None:
    """The first page ends with a time that is far from its place, and the API breaks down after the next."""
    placed, asked = in_order(350, names=names), count()
    placed.records[99] = (T + 99, record(99, T + 5000))

    def breaking_down(request: Request) -> Answer:
        return placed(request) if next(asked) < 3 else Answer(status=500)

    with serving(cogniac({DETECTIONS: breaking_down})) as server:
        first = of_cogniac(tmp_path, server)("run", SIGHTGLASS_CONCURRENCY="1")
        (stopped,), loaded = stands_at(tmp_path / "home"), media_of(tmp_path / "home")
    with serving(cogniac({DETECTIONS: placed})) as server:
        second = of_cogniac(tmp_path, server)("run")

    assert (3, 0) == (first.code, second.code)
    assert set(range(stopped + 1)) <= set(loaded)
    assert list(range(350)) == media_of(tmp_path / "home")


def test_displaced_records_are_kept_by_readers_side_by_side(tmp_path: Path) -> None:
    """Every twentieth of many stands in its old place with a time of another reader's part."""
    placed = in_order(1500)
    for number in range(0, 1500, 20):
        placed.records[number] = (T + number, record(number, T + 2000 + number))
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(1500))) == (ran.code, media_of(tmp_path / "home"))


def test_a_displaced_record_among_ties_ends_them_not(tmp_path: Path) -> None:
    """350 share one time; one on the second page of these shows another."""
    groups = [(T + number, number) for number in range(50)]
    groups += [(T + 50, number) for number in range(50, 400)]
    groups += [(T + 100 + number, number) for number in range(400, 450)]
    placed = Placed([(at, record(number, at)) for at, number in groups])
    placed.records[210] = (T + 50, record(210, T + 60))
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(450))) == (ran.code, media_of(tmp_path / "home"))


def test_several_times_in_the_future_end_no_list(tmp_path: Path) -> None:
    """Three at the end of the first page, which `next` confirms."""
    placed = in_order(350, names="time")
    for number in (97, 98, 99):
        placed.records[number] = (T + number, record(number, T + 10 * 365 * 86_400 + number))
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(350))) == (ran.code, media_of(tmp_path / "home"))
    assert [349] == stands_at(tmp_path / "home")


def test_a_record_that_moves_to_its_new_place_proves_nothing_of_those_between(tmp_path: Path) -> None:
    """It ends the first page with its new time, and has moved there when the second is asked for."""
    placed = Placed([(T + 100 * number, record(number, T + 100 * number)) for number in range(350)])
    placed.names = "time"
    placed.records[99] = (T + 9900, record(99, T + 30_050))

    def move(page: int) -> None:
        if page == 2:
            placed.records[99] = (T + 30_050, record(99, T + 30_050))

    placed.on_page = move
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(350))) == (ran.code, media_of(tmp_path / "home"))


def test_two_sorted_lists_one_after_the_other_are_read_by_their_links(tmp_path: Path) -> None:
    """What was asked for by time before the disorder showed has left some out: they are read again."""
    numbers = [*range(0, 700, 2), *range(1, 700, 2)]
    placed = Placed([(T + number, record(number)) for number in numbers], by_time=False)
    with serving(cogniac({DETECTIONS: placed})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, list(range(700))) == (ran.code, media_of(tmp_path / "home"))


def test_a_link_that_is_no_address_fails_its_stream_alone(tmp_path: Path) -> None:
    """In a list of detections; the applications are loaded."""
    page = {"data": [record(n * 97 % 250) for n in range(100)], "paging": {"next": "http://["}}
    with serving(cogniac({DETECTIONS: page})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (3, ["a1"]) == (ran.code, [row["key"] for row in rows(tmp_path / "home", "etl.gaps")])


def test_an_application_that_is_listed_twice_is_read_if_either_is_active(tmp_path: Path) -> None:
    """First inactive, then active."""
    listed = [{"application_id": "a1", "active": False}, {"application_id": "a1", "active": True}]
    routes = cogniac({DETECTIONS: {"data": [record(1)], "paging": {}}}, applications=listed)
    with serving(routes) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, [1]) == (ran.code, media_of(tmp_path / "home"))


def test_requests_that_a_renewed_token_repeats_are_counted(tmp_path: Path) -> None:
    """Each page that is refused with an old token is asked for twice, and the second time is a retry."""
    placed, minted, calls = Placed([(T + each, record(each)) for each in range(450)]), count(1), count(1)

    def token(_request: Request) -> Row:
        return {"access_token": f"token-number-{next(minted)}"}

    def answer(request: Request) -> Answer:
        return Answer(b"{}", 401) if next(calls) in (2, 5) else placed(request)

    with serving(cogniac({DETECTIONS: answer, "/1/token": token})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json", SIGHTGLASS_CONCURRENCY="1")
        asked = server.count("detections")

    told = {each["stream"]: (each["requests"], each["retries"]) for each in ran.report["streams"]}
    assert (0, (asked, 2)) == (ran.code, told["detections"])
