"""A list of media whose answers say that more follows, in words that no document has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Row, rows
from hostile import Request, medium, of_neurons, serving
from support.hostile_listing import media, routes, window

COUNT = 50
LINK = "https://files.example/predict/v2/media?cursor={}&limit=20"
Told = Callable[[int | None], Row]
"""What an answer says beside its media, by the cursor of the page after it; None on the last."""

LINKS: dict[str, Told] = {
    "next": lambda cursor: {"next": cursor and LINK.format(cursor)},
    "in pagination": lambda cursor: {"pagination": {"next": cursor and LINK.format(cursor)}},
    "in links": lambda cursor: {"links": {"next": {"href": cursor and LINK.format(cursor)}}},
    "with a total": lambda cursor: {
        "pagination": {"total": COUNT, "next_url": cursor and LINK.format(cursor)}
    },
}
NO_LINKS: dict[str, Told] = {
    "a cursor": lambda cursor: {"next_cursor": cursor and str(cursor)},
    "a yes": lambda cursor: {"meta": {"has_more": cursor is not None}},
    "a total of the page": lambda cursor: {"pagination": {"total": 20, "has_next": cursor is not None}},
}


def loaded(home: Path) -> set[str]:
    """The media that are stored."""
    return {row["media_id"] for row in rows(home, "neurons.media")}


def ids(count: int) -> set[str]:
    """The ids of so many media."""
    return {one["media_id"] for one in media(count)}


def by_cursor(told: Told) -> Callable[[Request], Row]:
    """A list that knows no offsets: pages of twenty from a cursor on."""

    def answer(asked: Request) -> Row:
        first = int(asked.query.get("cursor", 0))
        after = first + 20 if first + 20 < COUNT else None
        return {"media": media(COUNT)[first : first + 20], **told(after)}

    return answer


@pytest.mark.parametrize("told", LINKS.values(), ids=LINKS)
def test_a_list_that_knows_no_offsets_is_read_by_its_links(tmp_path: Path, told: Told) -> None:
    """To the page without one; their parameters are asked for, whatever host they name."""
    with serving(routes(by_cursor(told))) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids(COUNT)) == (ran.code, loaded(tmp_path / "home"))


@pytest.mark.parametrize("told", NO_LINKS.values(), ids=NO_LINKS)
def test_a_list_that_says_it_goes_on_and_not_where_has_no_proven_end(tmp_path: Path, told: Told) -> None:
    """What came is loaded, and the list is a gap: a page that is not full is not believed to be the last."""
    with serving(routes(by_cursor(told), media(COUNT))) as server:
        ran = of_neurons(tmp_path, server)("run")

    gaps = [row["error"] for row in rows(tmp_path / "home", "etl.gaps")]
    said = "it says 20" if "total" in str(told(None)) else "it says nowhere how many there are"
    assert (3, ids(20), [f"the media list has no end that could be proven: 20 media came, {said}"]) == (
        ran.code,
        loaded(tmp_path / "home"),
        gaps,
    )


@pytest.mark.parametrize("total", [COUNT, None])
def test_a_list_that_always_says_it_goes_on_ends_where_nothing_follows(
    tmp_path: Path, total: int | None
) -> None:
    """With offsets its end is proven by the page behind it, whatever the last one says."""

    def answer(asked: Request) -> Row:
        about: dict[str, Any] = {} if total is None else {"total": total}
        return {"media": window(media(COUNT), asked, 20), "pagination": {**about, "has_more": True}}

    with serving(routes(answer)) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, ids(COUNT)) == (ran.code, loaded(tmp_path / "home"))


def test_a_list_under_either_name_or_both_is_read_whole(tmp_path: Path) -> None:
    """Media stand in `media` in version 1 and may do so in `data`: an empty one hides no other."""
    with serving(routes(lambda _: {"media": [], "data": [medium(1), medium(2)]})) as server:
        ran = of_neurons(tmp_path, server)("run")

    assert (0, {"n1", "n2"}) == (ran.code, loaded(tmp_path / "home"))
