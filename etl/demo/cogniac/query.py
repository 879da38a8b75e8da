"""How a list that is sorted by time is asked for and paged, under any reading of the documentation."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from starlette.datastructures import QueryParams

from etl.demo import timeline
from etl.demo.cogniac.ledger import Ledger
from etl.demo.cogniac.variants import ApiVariant

_CURSOR = re.compile(r"(\d+)(?:\.(\d{1,6}))?(?:(\d{6})(\d{10})([01]))?", re.ASCII)
"""A time, then perhaps: the rest of its microseconds, a record's id, whether an empty page handed it out."""

JsonDict = dict[str, Any]
View = Callable[[int], JsonDict | None]
"""What the API shows of a record of a ledger, None when the query filters it out."""


class BadQueryError(Exception):
    """A parameter that the API refuses."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins."""

    moment: int
    edge: int | None = None
    """The id at which to begin, or before which to end, among records of this moment; None: time decides."""
    after_empty: bool = False
    """Handed out by an empty page: its own page is not empty, or a scan would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The parameters of one request, defaults filled in."""

    start: float
    end: float
    lower: float
    upper: float
    limit: int
    reverse: bool
    consensus_none: bool
    only_user: bool
    only_model: bool
    abridged: bool
    cursor: Cursor | None

    def next_parameters(self, cursor: str) -> dict[str, str]:
        """Return what `next` repeats of this query, printed as the service prints it."""
        return {
            "start": _short(self.start) if self.start else "0",
            "end": _short(self.end),
            "probability_upper": _short(self.upper),
            "probability_lower": _short(self.lower),
            "limit": str(self.limit),
            "reverse": str(self.reverse),
            "consensus_none": str(self.consensus_none),
            "only_user": str(self.only_user),
            "only_model": str(self.only_model),
            "abridged_media": str(self.abridged),
            "cursor": cursor,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """What one request gets."""

    items: list[JsonDict]
    cursor: str | None
    """Of the next page, None on the last."""
    detour: str | None
    """The cursor by which an empty page would lead to these items; None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The page size of a list, when none is asked for and at most."""

    usual: int
    most: int


def parse(params: QueryParams, limits: Limits, now: float, *, only_model_by_default: bool) -> Query:
    """Return the query of a request, or BadQueryError."""
    flags = {name: _boolean(params, name) for name in ("only_user", "only_model")}
    if flags["only_user"] and flags["only_model"]:
        raise BadQueryError("only_user and only_model cannot both be set to True")
    neither = flags["only_user"] is None and flags["only_model"] is None
    limit = params.get("limit") or str(limits.usual)
    if not limit.isdigit() or int(limit) == 0:
        raise BadQueryError("limit")
    return Query(
        start=_number(params, "start", 0),
        end=_number(params, "end", now),
        lower=_number(params, "probability_lower", 0.0),
        upper=_number(params, "probability_upper", 1.0),
        limit=min(int(limit), limits.most),
        reverse=_boolean(params, "reverse") or False,
        consensus_none=_boolean(params, "consensus_none") or False,
        only_user=flags["only_user"] or False,
        only_model=only_model_by_default if neither else flags["only_model"] or False,
        abridged=_boolean(params, "abridged_media") or False,
        cursor=_cursor(params["cursor"]) if params.get("cursor") else None,
    )


def page(ledger: Ledger, query: Query, variant: ApiVariant, view: View) -> Page:
    """Return the records of a query from its cursor on, as many as fit one page."""
    low, high = _window(ledger, query, variant)
    if query.cursor is not None and query.reverse:
        high = min(high, _resume(ledger, query.cursor, variant, reverse=True))
    elif query.cursor is not None:
        low = max(low, _resume(ledger, query.cursor, variant, reverse=False))
    items: list[JsonDict] = []
    places: list[int] = []
    following = None
    for place in reversed(range(low, high)) if query.reverse else range(low, high):
        shown = view(ledger.order[place])
        if shown is None:
            continue
        if len(items) == query.limit:
            following = place
            break
        places.append(place)
        items.append(shown)
    detour = _before(ledger, places[0], variant, reverse=query.reverse) if places else None
    if following is None:
        return Page(items, None, detour)
    if _needs_more_than_time(ledger, places, following, variant):
        return Page(items, _after(ledger, places[-1], variant, reverse=query.reverse), detour)
    return Page(items, _printed(variant.tick(ledger.times[places[-1]])), detour)


def next_link(base: str, owner: str, parameters: dict[str, str]) -> str:
    """Return a link whose parameters stand in an order that is the same on every page of one owner."""
    names = sorted(parameters, key=lambda name: crc32(f"{owner}{name}".encode()))
    return f"{base}?&" + "&".join(f"{name}={parameters[name]}" for name in names)


def _window(ledger: Ledger, query: Query, variant: ApiVariant) -> tuple[int, int]:
    """Return the places in the order that lie between `start` and `end`."""

    def shown(moment: int) -> float:
        return timeline.seconds(variant.tick(moment))

    after = bisect_left if variant.start_inclusive else bisect_right
    before = bisect_right if variant.end_inclusive else bisect_left
    low = after(ledger.times, variant.bound(query.start), key=shown)
    return low, before(ledger.times, variant.bound(query.end), key=shown)


def _needs_more_than_time(ledger: Ledger, places: list[int], following: int, variant: ApiVariant) -> bool:
    """Whether the last time sent does not say where the next page begins."""
    moment = variant.tick(ledger.times[places[-1]])
    if variant.cursor == "exact":
        return variant.tick(ledger.times[following]) == moment
    # Repeating a page of one time only would repeat it for ever.
    return variant.cursor == "repeats" and variant.tick(ledger.times[places[0]]) == moment


def _after(ledger: Ledger, place: int, variant: ApiVariant, *, reverse: bool) -> str:
    """Return the cursor of a page that goes on right after the record at a place."""
    record = ledger.order[place]
    return f"{_exactly(ledger, place, variant)}{record if reverse else record + 1:010d}0"


def _before(ledger: Ledger, place: int, variant: ApiVariant, *, reverse: bool) -> str:
    """Return the cursor by which an empty page leads to the record at a place."""
    record = ledger.order[place]
    return f"{_exactly(ledger, place, variant)}{record + 1 if reverse else record:010d}1"


def _exactly(ledger: Ledger, place: int, variant: ApiVariant) -> str:
    moment = ledger.times[place]
    tick = variant.tick(moment)
    return f"{_printed(tick)}{moment - tick:06d}"


def _printed(moment: int) -> str:
    return f"{moment // timeline.SECOND}.{moment % timeline.SECOND:06d}"


def _cursor(text: str) -> Cursor:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise BadQueryError("cursor")
    whole, fraction, rest, edge, after_empty = found.groups()
    moment = int(whole) * timeline.SECOND + int((fraction or "").ljust(6, "0"))
    if edge is None:
        return Cursor(moment)
    return Cursor(moment + int(rest), int(edge), after_empty == "1")


def _resume(ledger: Ledger, cursor: Cursor, variant: ApiVariant, *, reverse: bool) -> int:
    """Where the page after a cursor begins; for a descending page, the place before which it begins."""
    if cursor.edge is not None:
        return ledger.place(cursor.moment, cursor.edge)
    again = variant.cursor == "repeats"
    edge = bisect_right if reverse == again else bisect_left
    return edge(ledger.times, variant.tick(cursor.moment), key=variant.tick)


def _number(params: QueryParams, name: str, default: float) -> float:
    try:
        return float(params[name]) if params.get(name) else default
    except ValueError:
        raise BadQueryError(name) from None


def _boolean(params: QueryParams, name: str) -> bool | None:
    words = {"true": True, "false": False, "1": True, "0": False}
    text = params.get(name)
    if not text:
        return None
    if text.lower() not in words:
        raise BadQueryError(name)
    return words[text.lower()]


def _short(value: float) -> str:
    """Twelve digits, as the service's old Python printed floats: an `end` of today keeps two decimals."""
    text = f"{value:.12g}"
    return text if isinstance(value, int) or "." in text or "e" in text else f"{text}.0"
