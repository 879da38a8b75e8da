"""A list of media that breaks the rules: it is read to a proven end, or named as one that has none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Sightglass, rows, table
from hostile import MEDIA, Answer, Hostile, Request, Said, medium, of_neurons, serving
from support.hostile_listing import Answering, N, media, paged, routes, window


def loaded(home: Path) -> set[str]:
    """The media that are stored and not marked as deleted."""
    return {row["media_id"] for row in rows(home, "neurons.media") if "deleted_at" not in row}


def ids(count: int = N) -> set[str]:
    """The ids of so many media."""
    return {one["media_id"] for one in media(count)}


def ends(home: Path) -> list[tuple[str, str | None]]:
    """How the stream of each run ended, and why."""
    return [
        (status, error)
        for status, error in table(home, "SELECT status, error FROM etl.run_streams ORDER BY started_at")
    ]


def unproven(came: int, said: str) -> str:
    """What is said of a list that has no proven end."""
    return f"the media list has no end that could be proven: {came} media came, {said}"


@pytest.mark.parametrize(
    ("count", "total", "requests"),
    [
        (250, 250, 3),
        (250, None, 4),
        (100, None, 2),
        (99, 99, 1),
        (50, 50, 2),
        (6, 6, 1),
        (6, None, 2),
        (1, None, 2),
    ],
)
def test_a_list_that_keeps_the_rules_is_asked_for_no_page_too_many(
    tmp_path: Path, count: int, total: int | None, requests: int
) -> None:
    """The last page ends it by the total; without one, or where it may be cut off, one that is not new."""
    with serving(routes(paged(media(count), total))) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids(count), requests) == (ran.code, loaded(tmp_path / "home"), server.count(MEDIA))


NOT_PAGED = {
    "the first hundred whatever the offset": lambda _asked: {
        "media": media()[:100],
        "pagination": {"total": N},
    },
    "the same without a total": lambda _asked: media()[:100],
}


@pytest.mark.parametrize("answer", NOT_PAGED.values(), ids=NOT_PAGED)
def test_a_list_that_knows_no_offset_is_loaded_as_far_as_it_goes_and_named(
    tmp_path: Path, answer: Answering
) -> None:
    """What came is loaded, the stream is a gap, and what is stored and not listed is not held to be gone."""
    state: dict[str, Answering] = {"now": paged(media(), N)}

    def listed(asked: Request) -> Said:
        return state["now"](asked)

    with serving(routes(listed)) as server:
        sightglass = of_neurons(tmp_path, server)
        first = sightglass("run")
        state["now"] = answer
        ran = sightglass("run")

    said = (
        "it says 250" if "total" in str(answer(Request("", {}, {}))) else "it says nowhere how many there are"
    )
    assert (0, 3, ids()) == (first.code, ran.code, loaded(sightglass.home))
    assert [("ok", None), ("failed", unproven(100, said))] == ends(sightglass.home)
    gaps = [(row["stream"], row["key"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
    assert [("media", "", unproven(100, said))] == gaps


@pytest.mark.parametrize(("first", "total"), [(0, N), (1, N), (1, None)])
def test_a_list_that_pages_by_number_is_walked_by_number(
    tmp_path: Path, first: int, total: int | None
) -> None:
    """A server that knows `page` and no offset gives all it has, whichever number its first page has."""

    def answer(asked: Request) -> Said:
        start = 50 * (int(asked.query.get("page", first)) - first)
        about = {} if total is None else {"pagination": {"total": total}}
        return {"media": media()[start : start + 50], **about}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids()) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize(("times", "total"), [(1, N), (1, None), (2, None), (3, N)])
def test_an_empty_page_in_the_middle_loses_nothing(tmp_path: Path, times: int, total: int | None) -> None:
    """It is asked for again, and where it stays empty its media come with a page that overlaps it."""
    empty = iter(range(times))

    def answer(asked: Request) -> Said:
        is_empty = int(asked.query["offset"]) > 0 and next(empty, None) is not None
        about = {} if total is None else {"pagination": {"total": total}}
        return {"media": [] if is_empty else window(media(), asked), **about}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids()) == (ran.code, loaded(tmp_path / "home"))


def test_a_part_that_stays_empty_is_stepped_over_and_named(tmp_path: Path) -> None:
    """What lies behind it is loaded, the stream fails, and what it hides is not held to be gone."""
    state = {"hidden": range(0)}

    def answer(asked: Request) -> Said:
        listed = [] if int(asked.query["offset"]) in state["hidden"] else window(media(), asked)
        return {"media": listed, "pagination": {"total": N}}

    with serving(routes(answer)) as server:
        sightglass = of_neurons(tmp_path, server)
        state["hidden"] = range(50, 150)
        first = sightglass("run")
        hidden = ids() - loaded(sightglass.home)
        state["hidden"] = range(0)
        second = sightglass("run")
        state["hidden"] = range(50, 150)
        third = sightglass("run")

    assert (3, 0, 3) == (first.code, second.code, third.code)
    assert (True, ids()) == (0 < len(hidden) < 100, loaded(sightglass.home))


@pytest.mark.parametrize(("most", "total"), [(1, 60), (1, None), (7, None), (50, 60)])
def test_pages_may_be_shorter_than_what_was_asked_for(tmp_path: Path, most: int, total: int | None) -> None:
    """A server that caps the length of its pages is read on to the end."""
    with serving(routes(paged(media(60), total, most))) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids(60)) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize("total", [0, 100, 199, None, "250", -1, 2.5, True, [250]])
def test_a_total_that_is_too_small_or_none_ends_nothing(tmp_path: Path, total: object) -> None:
    """A total that is less than what came, or no count, is not believed, and the list is read to its end."""
    with serving(routes(paged(media(), total))) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids()) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize("pagination", [None, []])
def test_a_pagination_of_another_shape_is_none(tmp_path: Path, pagination: object) -> None:
    """Whatever stands there, the list is read to its end."""
    with serving(routes(lambda asked: {"media": window(media(), asked), "pagination": pagination})) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids()) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize(("most", "said"), [(100, {}), (50, {}), (50, {"limit": 100}), (25, {}), (32, {})])
def test_a_total_that_is_the_length_of_the_page_ends_nothing(
    tmp_path: Path, most: int, said: Mapping[str, int]
) -> None:
    """Where a full page is called all there is, it is asked what comes after it.

    Full is also what is shorter than was asked for, but as long as a server may let a page be.
    """

    def answer(asked: Request) -> Said:
        page = window(media(), asked, most)
        return {"media": page, "pagination": {"total": len(page), **said}}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids()) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize("grows", [False, True])
def test_a_total_that_is_never_reached_is_named(tmp_path: Path, *, grows: bool) -> None:
    """What there is is loaded, the walk ends by itself, and the stream is named as one that lacks media."""

    def answer(asked: Request) -> Said:
        total = int(asked.query["offset"]) + 1000 if grows else N + 10**15
        return {"media": window(media(), asked), "pagination": {"total": total}}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    ((status, error),) = ends(tmp_path / "home")
    assert (3, ids(), "failed") == (ran.code, loaded(tmp_path / "home"), status)
    assert str(error).startswith("the media list has no end that could be proven: 250 media came, it says 1,")
    assert server.count(MEDIA) < 200


def test_media_that_are_listed_on_several_pages_are_loaded_once(tmp_path: Path) -> None:
    """A list in which a hundred media stand twice is read to the end; no medium is fetched twice."""
    listed = [*media()[:100], *media()[:100], *media()[100:]]
    with serving(routes(paged(listed, len(listed)))) as server:
        ran = of_neurons(tmp_path, server)("run", "--json")

    (stream,) = [one for one in ran.report["streams"] if one["stream"] == "media"]
    assert (0, ids(), N) == (ran.code, loaded(tmp_path / "home"), stream["fetched"])


def test_a_list_that_shifts_while_it_is_read_is_walked_again(tmp_path: Path) -> None:
    """A medium that appears at the front moves all others; a second walk finds it."""
    state = {"listed": media()}

    def answer(asked: Request) -> Said:
        page = window(state["listed"], asked)
        about = {"total": len(state["listed"])}
        if asked.query["offset"] == "0":
            state["listed"] = [medium(999), *media()]
        return {"media": page, "pagination": about}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids() | {"n999"}) == (ran.code, loaded(tmp_path / "home"))


def test_a_list_that_goes_round_in_circles_comes_to_an_end(tmp_path: Path) -> None:
    """A server that begins anew behind its end is left, and named where it says there is more."""
    listed = media(120)

    def answer(asked: Request) -> Said:
        offset = int(asked.query["offset"])
        page = [listed[(offset + place) % 120] for place in range(100)]
        return {"media": page, "pagination": {"total": 10**6}}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (3, ids(120)) == (ran.code, loaded(tmp_path / "home"))
    assert [("failed", unproven(120, "it says 1,000,000"))] == ends(tmp_path / "home")
    assert server.count(MEDIA) < 50


def test_an_element_without_an_id_is_quarantined_and_hides_nothing(tmp_path: Path) -> None:
    """It counts as one of those that are listed, and all others are loaded."""
    listed: list[Any] = media(150)
    listed[120] = {"name": "nobody"}
    listed[99] = "no medium"
    with serving(routes(paged(listed, 150))) as server:
        ran = of_neurons(tmp_path, server)("run")

    refused = {row["record"] for row in rows(tmp_path / "home", "etl.quarantine")}
    assert (4, ids(150) - {"n99", "n120"}) == (ran.code, loaded(tmp_path / "home"))
    assert {'{"name": "nobody"}', '"no medium"'} == refused
    assert 2 == server.count(MEDIA)


def test_an_account_that_is_said_to_hold_media_and_shows_none_is_named(tmp_path: Path) -> None:
    """An empty list is the end only where the total does not say otherwise."""
    with serving(routes(paged([], 5))) as server:
        said = of_neurons(tmp_path, server)("run")
    with serving(routes(paged([], 0))) as server:
        empty = of_neurons(tmp_path / "home", server)("run")

    assert (3, [("failed", unproven(0, "it says 5"))]) == (said.code, ends(tmp_path / "home"))
    assert (0, 1) == (empty.code, server.count(MEDIA))


# Deletions


def account(tmp_path: Path, state: dict[str, Any], server: Hostile) -> Sightglass:
    """The command with an account whose list is `state["listed"]`, loaded once."""
    sightglass = of_neurons(tmp_path, server)
    state["listed"] = media(30)
    assert 0 == sightglass("run").code
    return sightglass


def following(state: dict[str, Any]) -> dict[str, Answering]:
    """Routes to a list that a case may change, in which each medium that is listed can be asked for too."""
    missing = Answer(b'{"detail": "no such medium"}', 404)

    def one(asked: Request) -> Said:
        name = asked.path.rpartition("/")[2]
        there = [*state["listed"], *state.get("unlisted", [])]
        return next((each for each in there if each["media_id"] == name), missing)

    def listed(asked: Request) -> Said:
        return paged(state["listed"], len(state["listed"]))(asked)

    return {MEDIA: listed, f"{MEDIA}/.*": one}


def test_up_to_a_tenth_of_the_media_may_be_gone_at_once(tmp_path: Path) -> None:
    """Three of thirty that the list has no more, and that are 404, are marked as deleted."""
    state: dict[str, Any] = {}
    with serving(following(state)) as server:
        sightglass = account(tmp_path, state, server)
        state["listed"] = media(30)[3:]
        ran = sightglass("run")

    assert (0, ids(30) - ids(3), []) == (ran.code, loaded(sightglass.home), rows(sightglass.home, "etl.gaps"))


def test_more_than_a_tenth_is_held_back_until_it_is_confirmed(tmp_path: Path) -> None:
    """Run after run marks nothing and says what confirms it; then the next one marks, and only that one."""
    state: dict[str, Any] = {}
    with serving(following(state)) as server:
        sightglass = account(tmp_path, state, server)
        early = sightglass("confirm", "deletions", "neurons")
        state["listed"] = media(30)[4:]
        held = [sightglass("run", "--json") for _ in range(2)]
        before = loaded(sightglass.home)
        gap = [(row["key"], row["what"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
        confirmed = sightglass("confirm", "deletions", "neurons")
        ran = sightglass("run")
        after, gaps = loaded(sightglass.home), rows(sightglass.home, "etl.gaps")
        state["listed"] = media(30)[10:]
        again = sightglass("run")

    command = "`sightglass confirm deletions neurons`"
    assert (2, "sightglass: no deletions of neurons are held back: there is nothing to confirm\n") == (
        early.code,
        early.err,
    )
    line = f"sightglass: neurons deletions held back, 4 of 30 at once: if they are right, {command} lets"
    assert [(0, 1, True)] * 2 == [(one.code, one.report["gaps"], line in one.err) for one in held]
    assert (ids(30), 0, 0, ids(30) - ids(4), []) == (before, confirmed.code, ran.code, after, gaps)
    what = "whether 4 of 30 media are deleted: the list has them no more, and none is marked"
    advice = f"more than a tenth at once: {command} lets the next run mark them"
    assert [("deletions", what, advice)] == gap
    assert (0, after) == (again.code, loaded(sightglass.home))
    assert "held back, 6 of 26 at once" in again.err


def test_what_is_listed_again_needs_no_confirmation_any_more(tmp_path: Path) -> None:
    """A list that was cut short for a while leaves nothing to confirm, and nothing marked."""
    state: dict[str, Any] = {}
    with serving(following(state)) as server:
        sightglass = account(tmp_path, state, server)
        state["listed"] = []
        sightglass("run")
        state["listed"] = media(30)
        ran = sightglass("run", "--json")

    assert (0, 0, ids(30)) == (ran.code, ran.report["gaps"], loaded(sightglass.home))
    assert [] == rows(sightglass.home, "etl.confirmations")


def test_what_is_not_listed_and_still_there_is_not_gone(tmp_path: Path) -> None:
    """A medium is held to be gone by its own answer alone."""
    state: dict[str, Any] = {}
    with serving(following(state)) as server:
        sightglass = account(tmp_path, state, server)
        state["listed"], state["unlisted"] = media(30)[2:], media(30)[:1]
        ran = sightglass("run")

    assert (0, ids(30) - {"n1"}) == (ran.code, loaded(sightglass.home))


def test_runs_that_read_no_full_listing_mark_nothing(tmp_path: Path) -> None:
    """Neither the end of the list nor a backfill says that a medium is gone; the next full listing does."""
    state: dict[str, Any] = {}
    with serving(following(state)) as server:
        sightglass = of_neurons(tmp_path, server)
        state["listed"] = [*media(30), medium(30, status="started")]
        assert 0 == sightglass("run").code
        state["listed"] = media(30)[1:]
        tail = sightglass("run", SIGHTGLASS_NEURONS_SWEEP="24")
        backfill = sightglass("backfill", "neurons", "--since", "2026-01-01")
        before = loaded(sightglass.home)
        full = sightglass("run")

    assert (0, 0, 0) == (tail.code, backfill.code, full.code)
    assert (ids(31), ids(30) - {"n0"}) == (before, loaded(sightglass.home))
