"""Each way to walk a list brings all of it once, whatever the list does, or says that no end is proven."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

import pytest

from etl.errors import ClientError, SourceError
from etl.extract.paging import ListPage, by_next, by_number, by_offset

NUMBERS = list(range(25))
MANY = 10


def records(numbers: Sequence[int]) -> list[bytes]:
    """Records that hold these numbers."""
    return [b"%d" % each for each in numbers]


def walked(pages: Iterator[Any]) -> tuple[list[int], str]:
    """Return the numbers that came in their order, and what was said in the end."""
    came: list[int] = []
    try:
        for page in pages:
            came += [json.loads(each) for each in getattr(page, "records", page)]
    except SourceError as error:
        return came, str(error)
    return came, ""


def unproven(came: int, said: str = "it says nowhere how many there are") -> str:
    """What is said where a list of things has no end."""
    return f"the things list has no end that could be proven: {came} things came, {said}"


class Numbered:
    """A list by page numbers that changes before given requests."""

    def __init__(
        self,
        page: int = MANY,
        total: Callable[[int], int | None] = lambda _size: None,
        **changes: Callable[[list[int]], object],
    ) -> None:
        self.things = NUMBERS.copy()
        self.page = page
        self.total = total
        self.changes = changes
        self.asked: list[int] = []

    def __call__(self, number: int) -> ListPage:
        """Answer one request, from 1 on."""
        self.asked.append(number)
        if change := self.changes.get(f"before_{len(self.asked)}"):
            change(self.things)
        some = self.things[(number - 1) * self.page : number * self.page]
        return ListPage(records(some), total=self.total(len(self.things)))


def test_pages_by_number_are_read_to_the_end_twice_where_there_are_several() -> None:
    """A list of several pages is walked again, for a walk alone does not show what a deletion moved."""
    several, one = Numbered(), Numbered(page=30)

    assert (NUMBERS, "") == walked(by_number(several, "things"))
    assert (NUMBERS, "") == walked(by_number(one, "things"))
    assert ([1, 2, 3, 4, 5, 1, 2, 3, 4, 5], [1, 2, 3]) == (several.asked, one.asked)


@pytest.mark.parametrize("page", [1, 3, 7, 10, 24, 25, 26, 100])
def test_pages_by_number_may_be_of_any_length(page: int) -> None:
    """Pages shorter or longer than anybody asked for hide nothing."""
    assert (NUMBERS, "") == walked(by_number(Numbered(page=page), "things"))


def test_what_a_deletion_moves_to_a_page_that_was_read_comes_by_the_next_walk() -> None:
    """Number 10 moves to the first page once that was read, and comes in the end."""
    came, said = walked(by_number(Numbered(before_2=lambda things: things.remove(3)), "things"))

    assert ([*range(10), *range(11, 25), 10], "") == (came, said)


def test_a_deletion_that_an_addition_hides_from_the_total_is_found_too() -> None:
    """The total is the same throughout, as many came as it says, and one of them is not there any more."""

    def swap(things: list[int]) -> None:
        things.remove(3)
        things.append(25)

    came, said = walked(by_number(Numbered(total=lambda size: size, before_2=swap), "things"))

    assert (set(range(26)), 26, "") == (set(came), len(came), said)


def test_an_empty_page_in_the_middle_is_no_end() -> None:
    """One empty page is asked beyond; more of them where the list says that there is more."""

    def with_gap(empty: set[int], total: int | None) -> Callable[[int], ListPage]:
        pages = iter(range(0, 25, MANY))
        starts = {number: next(pages, 25) for number in range(1, 20) if number not in empty}
        return lambda number: ListPage(records(NUMBERS[starts.get(number, 25) :][:MANY]), total=total)

    assert (NUMBERS, "") == walked(by_number(with_gap({2}, None), "things"))
    assert (NUMBERS, "") == walked(by_number(with_gap({2}, 25), "things"))
    assert (NUMBERS[:10], unproven(10, "it says 25")) == walked(by_number(with_gap({2, 3}, 25), "things"))


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (lambda _size: 10, ""),
        (lambda _size: 0, ""),
        (lambda _size: 26, unproven(25, "it says 26")),
        (lambda _size: 10**18, unproven(25, "it says 1,000,000,000,000,000,000")),
    ],
)
def test_a_total_that_lies_ends_no_walk_early(total: Callable[[int], int], said: str) -> None:
    """A total that is too low is not believed; one that is too high leaves the end unproven."""
    listed = Numbered(total=total)

    assert (NUMBERS, said) == walked(by_number(listed, "things"))
    assert len(listed.asked) < 250


def test_pages_beyond_the_end_may_be_refused_or_be_the_last_once_more() -> None:
    """Not found is an end, and so is the last page again, where it is shorter than the others."""

    def refusing(number: int) -> ListPage:
        if number > 3:
            raise ClientError("gone", 404)
        return Numbered()(number)

    assert (NUMBERS, "") == walked(by_number(refusing, "things"))
    assert (NUMBERS, "") == walked(by_number(lambda number: Numbered()(min(number, 3)), "things"))


def test_a_page_that_is_refused_for_another_reason_is_no_end() -> None:
    """Nobody may read on, which is not that there is nothing."""

    def refusing(number: int) -> ListPage:
        if number == 2:
            raise ClientError("forbidden", 403)
        return Numbered()(number)

    assert (NUMBERS[:10], "forbidden") == walked(by_number(refusing, "things"))


def test_numbers_that_are_ignored_prove_no_end() -> None:
    """The first page again and again is the whole list only where the total says so."""
    first = records(NUMBERS[:10])

    assert (NUMBERS[:10], unproven(10)) == walked(by_number(lambda _number: ListPage(first), "things"))
    assert (NUMBERS[:10], "") == walked(by_number(lambda _number: ListPage(first, total=10), "things"))


def test_numbered_pages_that_go_round_in_circles_are_left() -> None:
    """A circle of any length is noticed, and is no end."""
    for length in (2, 3, 5):
        asked = count(1)

        def circle(number: int, length: int = length, asked: Iterator[int] = asked) -> ListPage:
            next(asked)
            place = (number - 1) % length
            return ListPage(records([place * 2, place * 2 + 1]))

        assert (list(range(2 * length)), unproven(2 * length)) == walked(by_number(circle, "things"))
        assert next(asked) < 60


def chain(places: Mapping[Any, tuple[Sequence[int], object]]) -> Callable[[Any], ListPage]:
    """A list by cursor: what each place holds, and where it leads."""
    return lambda place: ListPage(records(places[place][0]), next=places[place][1])


def test_pages_that_lead_on_are_read_to_the_one_that_leads_nowhere() -> None:
    """Cursors may be texts and numbers; null and an empty text are no cursor. Empty pages are passed over."""
    for last in (None, ""):
        ask = chain({None: ([1, 2], "a"), "a": ([], 0), 0: ([3], "b"), "b": ([4], last)})
        assert ([1, 2, 3, 4], "") == walked(by_next(ask, "things"))


LOST = "the list of things cannot be read to an end: it leads back to what was read"


def test_cursors_that_lead_back_are_left_and_named() -> None:
    """A loop back to the beginning, to itself, or to the middle is followed once."""
    for back in (None, "a", "b", "c"):
        places = {None: ([1], "a"), "a": ([2], "b"), "b": ([3], "c"), "c": ([4], back)}
        assert ([1, 2, 3, 4], LOST if back else "") == walked(by_next(chain(places), "things"))
    assert ([1], LOST) == walked(by_next(chain({"x": ([1], "x")}), "things", "x"))


def test_the_same_page_under_ever_new_cursors_is_left_and_named() -> None:
    """A list that has always a new cursor for what was read before has no end."""
    asked = count()

    came, said = walked(by_next(lambda _place: ListPage(records([1, 2]), next=next(asked)), "things"))

    assert ({1, 2}, LOST) == (set(came), said)
    assert next(asked) < 10


def test_empty_pages_without_end_are_left_and_named() -> None:
    """A hundred empty pages in a row are enough, wherever they lead."""
    asked = count()

    def empty(place: object) -> ListPage:
        return ListPage(records([1]) if place is None else [], next=next(asked))

    assert ([1], "100 empty pages of things one after the other") == walked(by_next(empty, "things"))
    assert 102 == next(asked)


def offset_list(
    things: list[int],
    limit: int = MANY,
    total: Callable[[], int | None] = lambda: None,
    changes: dict[int, Callable[[], None]] | None = None,
) -> Callable[[int], ListPage]:
    """A list by offset that changes before the requests of given numbers."""
    asked = count(1)

    def ask(offset: int) -> ListPage:
        (changes or {}).get(next(asked), lambda: None)()
        return ListPage(records(things[offset : offset + limit]), total=total())

    return ask


def test_offsets_are_walked_with_an_overlap_of_one() -> None:
    """Each page begins with the last record of the page before, and none comes twice."""
    offsets: list[int] = []

    def ask(offset: int) -> ListPage:
        offsets.append(offset)
        return offset_list(NUMBERS, total=lambda: 25)(offset)

    came = walked(by_offset(ask, "things", MANY))

    assert ((NUMBERS, ""), [0, 9, 18]) == (came, offsets)


def test_what_a_deletion_moves_to_lower_offsets_is_not_lost() -> None:
    """Three records of the first page are gone before the second is asked for: those after them come."""
    for total in (True, False):
        things = NUMBERS.copy()
        ask = offset_list(
            things,
            total=lambda things=things, total=total: len(things) if total else None,  # type: ignore[misc]
            changes={2: lambda things=things: things.__delitem__(slice(2, 5))},  # type: ignore[misc]
        )

        came, said = walked(by_offset(ask, "things", MANY))

        assert (NUMBERS, "") == (sorted(came), said)


@pytest.mark.parametrize("limit", [1, 4, 9, 11, 30])
def test_a_page_may_be_smaller_or_larger_than_asked_for(limit: int) -> None:
    """The offset goes by what came."""
    for total in (25, None):
        ask = offset_list(NUMBERS, limit, lambda total=total: total)  # type: ignore[misc]
        assert (NUMBERS, "") == walked(by_offset(ask, "things", MANY))


def test_offsets_that_are_ignored_prove_an_end_only_by_a_total() -> None:
    """An answer shorter than asked for may be cut off where nobody says how many there are."""
    first = records(NUMBERS[:7])

    assert (NUMBERS[:7], unproven(7)) == walked(by_offset(lambda _: ListPage(first), "things", MANY))
    assert (NUMBERS[:7], "") == walked(by_offset(lambda _: ListPage(first, total=7), "things", MANY))


@pytest.mark.parametrize("limit", [5, MANY])
def test_a_total_of_the_page_alone_is_not_believed(limit: int) -> None:
    """Where a page that is as long as it can be is called all there is, one more is asked for."""

    def ask(offset: int) -> ListPage:
        page = offset_list(NUMBERS, limit)(offset)
        return ListPage(page.records, total=len(page.records))

    assert (NUMBERS, "") == walked(by_offset(ask, "things", MANY))


@pytest.mark.parametrize(("many", "requests"), [(5, 2), (7, 1), (MANY, 2)])
def test_a_list_of_one_page_is_asked_for_at_most_once_more(many: int, requests: int) -> None:
    """Once where its length may be that of any page, and not at all where it can hardly be."""
    asked = count()
    ask = offset_list(NUMBERS[:many], total=lambda: many)

    came = walked(by_offset(lambda offset: (next(asked), ask(offset))[1], "things", MANY))

    assert ((NUMBERS[:many], ""), requests) == (came, next(asked))


def test_a_walk_by_offset_is_bounded_whatever_the_total_says() -> None:
    """Who says that there are more than come is asked a few more times, and then named."""
    asked = count()
    ask = offset_list(NUMBERS, total=lambda: 10**6)

    came = walked(by_offset(lambda offset: (next(asked), ask(offset))[1], "things", MANY))

    assert (NUMBERS, unproven(25, "it says 1,000,000")) == came
    assert next(asked) < 200


def test_pages_are_yielded_as_they_come() -> None:
    """What was read is there before the next page is asked for."""
    asked: list[object] = []

    def ask(place: object) -> ListPage:
        asked.append(place)
        return ListPage(records([len(asked)]), next=len(asked))

    assert 2 == len(list(islice(by_next(ask, "things"), 2)))
    assert [None, 1] == asked
