"""Walk a list page by page, however it is paged: by cursor, `last_key` or link, by offset, by page number.

A walker is told how to ask for a page, and yields what comes. It believes no order, no length and no total:
each step proves progress, what was seen is not yielded again where records have keys, and an end that could
not be proven is a SourceError, raised once all that could be read has been yielded.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from etl.errors import ClientError, SourceError
from etl.extract.list_page import MOST_EMPTY, Circle, Links, ListPage, fresh, keys_of

__all__ = ["ListPage", "by_next", "by_number", "by_offset", "keys_of"]

ROUND = (5, 16)
"""The longest page of a server is a multiple of one of these: most lists are not, and are asked for once."""
MOST_PAGES = 10_000_000
MOST_PASSES = 4
"""How often an odd list is walked while each walk brings something new."""
MOST_REPEATS = 3
"""Pages in a row that bring nothing new, after which a list is taken to go round in circles."""
END_PAGES = 2
"""Numbered pages in a row that are empty, after which nothing is taken to follow."""


def by_next(ask: Callable[[Any], ListPage], what: str, first: object = None) -> Iterator[ListPage]:
    """Yield pages each of which says what leads to the next: a cursor, a `last_key`, a link.

    `ask` is told that, and `first` for the first page. SourceError where it leads back to what was read.
    """

    def lead(page: ListPage) -> object:
        return None if page.next == "" else page.next

    links = Links(ask, lead, lambda page: page.records, first, what)
    circle, repeats, page = Circle(), 0, links.filled(ask(first))
    while True:
        yield page
        repeats += circle.closes(page.keys)
        following = links.after(page) if repeats < MOST_REPEATS else None
        if following is None:
            break
        page = following
    if lead(page) is not None:
        raise SourceError(f"the list of {what} cannot be read to an end: it leads back to what was read")


def by_offset(  # noqa: PLR0913 -- what is odd about a list
    ask: Callable[[int], ListPage],
    what: str,
    limit: int,
    *,
    first: int = 0,
    seen: set[Hashable] | None = None,
    ask_number: Callable[[int], ListPage] | None = None,
    ask_next: Callable[[Any], ListPage] | None = None,
) -> Iterator[Sequence[bytes]]:
    """Yield what the list holds from an offset on, each record once; `seen` gathers the keys.

    `ask` is told an offset, and asks for so many records as `limit` says. Where the list turns out to know no
    offsets, `ask_next` is told the parameters of a link that pages have as their `next`, else `ask_number`
    the number of a page, from 1 on.
    """
    seen = set() if seen is None else seen
    walk, proven = Walk(ask, what, limit, first, seen, ask_number, ask_next), False
    for _ in range(MOST_PASSES):
        before = len(seen)
        yield from walk.pages()
        walk.proven = walk.proven and not walk.goes_on()
        proven |= walk.proven
        came = first + len(seen)
        if walk.proven and not walk.repeated and (walk.total is None or came >= walk.total):
            return
        if len(seen) == before or walk.total == came:
            break
    if not proven and (walk.total != first + len(seen) or walk.says_more):
        raise _unproven(what, first + len(seen), walk.total)


@dataclass(slots=True)
class Walk:
    """A walk along the list, page by page; what it met before is not yielded again.

    A record deleted meanwhile moves all later ones to lower offsets. So each page is asked for one place
    before the end of the page before it: where it shows nothing of that page, some have slipped through, and
    the offset goes back until the pages meet.
    """

    ask: Callable[[int], ListPage]
    what: str
    limit: int
    first: int
    seen: set[Hashable]
    ask_number: Callable[[int], ListPage] | None
    ask_next: Callable[[Any], ListPage] | None
    total: int | None = None
    """How many records the list says it has; None where it does not say, or said fewer than came."""
    proven: bool = False
    """Whether the last walk came to an end behind which there is nothing."""
    repeated: bool = False
    """Whether a page with new records showed others again, besides the last one of the page before."""
    says_more: bool = False
    """Whether its last page held records and says that more follow."""
    in_place: bool = True
    """Whether each of its pages began where the one before ended, and was no longer than asked for."""
    _asked: int = 0
    _longest: int = 0
    _lied: bool = False
    _reached: int = 0
    _last: Hashable = None

    def pages(self) -> Iterator[Sequence[bytes]]:
        """Yield what the list holds and was not seen before."""
        self._reached, self._last, self.in_place, self.proven = self.first, None, True, False
        self.repeated = False
        page, repeats = self._next(self.first), 0
        opening = page.keys
        while repeats < MOST_REPEATS:
            found = self._fresh(page)
            if found:
                yield found
            repeats = 0 if found else repeats + 1
            self._arrive(page)
            if self._ends(page, brought=bool(found)):
                return
            page = self._next(max(self._reached - 1, page.offset + 1))
            if page.records and page.keys == opening:
                yield from self._by_links(page) if self._leads(page) else self._by_number()
                return

    def goes_on(self) -> bool:
        """Whether more follows, as the last page says: some say so behind which there is nothing."""
        return self.says_more and bool(self._ask(self._reached).records)

    def _arrive(self, page: ListPage) -> None:
        """Note how far the walk has come."""
        if page.records:
            overlaps = page.offset == self._reached - 1 and page.keys[0] == self._last
            is_next = overlaps or page.offset == self._reached
            self.in_place = self.in_place and is_next and len(page.records) <= self.limit
            self._reached, self._last = page.end, page.keys[-1]

    def _ends(self, page: ListPage, *, brought: bool) -> bool:
        """Whether to stop after this page, and whether that is where the list ends."""
        came = len(self.seen) + self.first
        if self.total is not None and came > self.total < self._reached:
            self._lied, self.total = True, None
        if self.total is None:
            self.proven = (not brought and len(page.records) < self._longest) or not self._longest
            return self.proven
        if self._reached < self.total:
            return not page.records
        if brought and self._reached == self.total and self._may_be_cut(page):
            return False
        self.proven = self.in_place or came >= self.total
        return self.proven or not brought

    def _may_be_cut(self, page: ListPage) -> bool:
        """Whether what is called the total may be the length of the page.

        It may where the page is as long as it can be: as was asked for, or as the server lets any page be,
        which it need not say. Then it says of its first page that this is all there is.
        """
        length = len(page.records)
        if page.next:
            return True
        is_round = any(length % each == 0 for each in ROUND)
        return length >= min(page.limit or self.limit, self.limit) or (length == self.total and is_round)

    def _next(self, offset: int) -> ListPage:
        """Return the page that goes on from what was seen.

        At the offset, before it, or beyond what is missing.
        """
        page = self._ask(offset)
        if not page.records and self._expected(offset):
            page = self._ask(offset)
        if self._goes_on(page):
            return page
        at, back = offset, 1
        while at > self.first:
            at, back = max(self.first, at - back), 2 * back
            before = self._ask(at)
            if self._goes_on(before):
                if not self.seen.issuperset(before.keys):
                    return before
                break
        ahead = 1
        while not page.records and self._expected(offset, ahead):
            page, ahead = self._ask(offset + ahead), 2 * ahead
        return page

    def _goes_on(self, page: ListPage) -> bool:
        """Whether nothing can have slipped between the page and what was seen."""
        if page.offset >= self._reached:
            return bool(page.records) or not self._expected(page.offset)
        return not self.seen.isdisjoint(page.keys)

    def _expected(self, offset: int, ahead: int = 0) -> bool:
        """Whether there should be records so far ahead; where nobody says so, within the length of a page."""
        if self.total is None:
            return offset + ahead < self._reached or 0 < ahead < self.limit
        return offset + ahead < self.total

    def _leads(self, page: ListPage) -> bool:
        """Whether it is known how to ask for the next page: by which parameter a cursor is, nobody says."""
        return self.ask_next is not None and isinstance(page.next, dict)

    def _by_links(self, opening: ListPage) -> Iterator[Sequence[bytes]]:
        """Yield what the links of pages lead to; SourceError where they lead in a circle."""
        ask_next = self.ask_next
        for page in by_next(lambda place: ask_next(place) if place and ask_next else opening, self.what):
            found = self._fresh(page)
            if found:
                yield found
        self.says_more, self.proven = False, True

    def _by_number(self) -> Iterator[Sequence[bytes]]:
        """Yield what pages by their numbers bring.

        The list begins anew at each offset, which it does not know.
        """
        last, numbered = self._longest, False
        for number in range(1, MOST_PAGES if self.ask_number else 1):
            try:
                page = self._ask(self.first, number)
            except ClientError:
                break
            found = self._fresh(page)
            if found:
                yield found
                last, numbered = len(page.records), True
            elif number > 1:
                last = last if page.records else 0
                break
        if self.total is not None:
            self.proven = self.first + len(self.seen) >= self.total
        elif self.ask_number:
            # Where it knows no numbers either, each answer is the whole list, unless it is cut off at a page.
            self.proven = last < self._longest if numbered else last != self.limit

    def _ask(self, offset: int, number: int | None = None) -> ListPage:
        self._asked += 1
        if self._asked > MOST_PAGES:
            raise SourceError(f"the {self.what} list has no end")
        ask_number = self.ask_number
        page = self.ask(offset) if number is None or ask_number is None else ask_number(number)
        page.offset = offset
        self.total = None if self._lied else page.total
        self.says_more = bool(page.records and page.next)
        self._longest = max(self._longest, len(page.records))
        return page

    def _fresh(self, page: ListPage) -> Sequence[bytes]:
        """Return what was not seen before of a page."""
        found = fresh(page, self.seen)
        # One place of overlap with the page before is asked for; more than that has moved meanwhile.
        self.repeated |= len(page.keys) - len(found) > 1 and bool(found)
        return found


def by_number(ask: Callable[[int], ListPage], what: str) -> Iterator[Sequence[bytes]]:
    """Yield what the pages of a list hold, which are asked for by their numbers from 1 on; each record once.

    A record that is deleted meanwhile moves another one to a page that was read before, and no number shows
    it: so a list of several pages is walked until nothing new comes, twice at least.
    """
    seen: set[Hashable] = set()
    for passed in range(MOST_PASSES):
        before, walk = len(seen), NumberedWalk(ask, what, seen)
        yield from walk.pages()
        is_settled = walk.filled <= 1 or (passed and len(seen) == before)
        if is_settled and walk.proven and (walk.total or 0) <= len(seen):
            return
        if is_settled:
            break
    raise _unproven(what, len(seen), walk.total)


class NumberedWalk:
    """One walk along pages by their numbers."""

    def __init__(self, ask: Callable[[int], ListPage], what: str, seen: set[Hashable]) -> None:
        self._ask = ask
        self._what = what
        self._seen = seen
        self._longest = 0
        self.filled = 0
        """How many pages held anything."""
        self.total: int | None = None
        """How many records the list holds, as its last page that held any has said."""
        self.proven = False
        """Whether it came to an end behind which there is nothing."""

    def pages(self) -> Iterator[Sequence[bytes]]:
        """Yield what was not seen before, up to the end or to a page that came before."""
        circle, before, empty = Circle(), list[Hashable](), 0
        for number in range(1, MOST_PAGES):
            page = self._page(number)
            if not page.records:
                empty += 1
                if empty >= (MOST_EMPTY if self._lacks(number) else END_PAGES):
                    self.proven = True
                    return
                continue
            self.total, empty = page.total, 0
            if page.keys == before or circle.closes(page.keys):
                # Beyond the end some give the last page once more, which is shorter than others: or all of
                # the list, whatever they are asked for, or its beginning.
                is_last = page.keys == before and len(page.records) < self._longest
                self.proven = is_last or self.total == len(self._seen)
                return
            self.filled += 1
            self._longest, before = max(self._longest, len(page.records)), list(page.keys)
            if found := fresh(page, self._seen):
                yield found
        raise SourceError(f"the {self._what} list has no end")

    def _lacks(self, number: int) -> bool:
        """Whether there should be records on pages beyond this number."""
        return len(self._seen) < (self.total or 0) > number * self._longest

    def _page(self, number: int) -> ListPage:
        try:
            return self._ask(number)
        except ClientError as error:
            # So do some say that a page is beyond the end.
            if number > 1 and error.status == HTTPStatus.NOT_FOUND:
                return ListPage([])
            raise


def _unproven(what: str, came: int, total: int | None) -> SourceError:
    said = "it says nowhere how many there are" if total is None else f"it says {total:,}"
    return SourceError(f"the {what} list has no end that could be proven: {came:,} {what} came, {said}")
