"""How the list of detections is asked for and paged, with every reading of the documentation switchable."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

from starlette.datastructures import QueryParams

from etl.demo import timeline
from etl.demo.cogniac_ledger import Ledger

JsonDict = dict[str, Any]
View = Callable[[int], JsonDict | None]
"""What the API shows of a record of a ledger, None when the query filters it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What the documents leave open; by default bounds are strict, as the documentation words them."""

    start_inclusive: bool = False
    """`start` itself is included."""
    end_inclusive: bool = False
    """`end` itself is included."""
    cursor: Literal["exact", "repeats", "skips"] = "exact"
    """Where a page begins, seen from the last record sent before: right after it; at the first record of the
    same time, which is sent again; after all records of that time, so that some are never sent."""
    only_model_by_default: bool = True
    """With neither flag given, an application with a model shows its model's assertions only."""


class BadQueryError(Exception):
    """A parameter that the API refuses."""


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
    cursor: str | None

    def next_parameters(self, cursor: str) -> dict[str, str]:
        """What `next` repeats of this query, printed as the service prints it."""
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
    """What one request gets, and the cursor of the next one, None on the last page."""

    items: list[JsonDict]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The page size of a list, when none is asked for and at most."""

    usual: int
    most: int


def parse(params: QueryParams, limits: Limits, now: float, *, only_model_by_default: bool) -> Query:
    """The query of a request, or BadQueryError."""
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
        cursor=params.get("cursor") or None,
    )


def page(ledger: Ledger, query: Query, readings: Readings, view: View) -> Page:
    """The records of a query from its cursor on, as many as fit one page."""
    low, high = _window(ledger, query, readings)
    if query.cursor is not None and query.reverse:
        high = min(high, _resume(ledger, query, readings))
    elif query.cursor is not None:
        low = max(low, _resume(ledger, query, readings))
    items: list[JsonDict] = []
    places: list[int] = []
    for place in reversed(range(low, high)) if query.reverse else range(low, high):
        shown = view(ledger.order[place])
        if shown is None:
            continue
        places.append(place)
        if len(items) == query.limit:
            return Page(items, _cursor(ledger, places, readings))
        items.append(shown)
    return Page(items, None)


def next_link(base: str, owner: str, parameters: dict[str, str]) -> str:
    """A link whose parameters stand in an order of no meaning that is the same on every page of one owner."""
    names = sorted(parameters, key=lambda name: crc32(f"{owner}{name}".encode()))
    return f"{base}?&" + "&".join(f"{name}={parameters[name]}" for name in names)


def _window(ledger: Ledger, query: Query, readings: Readings) -> tuple[int, int]:
    """The places in the order that lie between `start` and `end`."""
    after = bisect_left if readings.start_inclusive else bisect_right
    before = bisect_right if readings.end_inclusive else bisect_left
    low = after(ledger.times, query.start, key=timeline.seconds)
    return low, before(ledger.times, query.end, key=timeline.seconds)


def _cursor(ledger: Ledger, places: list[int], readings: Readings) -> str:
    """The last time sent, with six decimals; more digits name the record where the time alone will not do."""
    *sent, following = places
    moment = ledger.times[sent[-1]]
    plain = f"{moment // timeline.SECOND}.{moment % timeline.SECOND:06d}"
    splits_a_tie = ledger.times[following] == moment
    stands_still = ledger.times[sent[0]] == moment  # repeating this page would repeat it for ever
    if (readings.cursor == "exact" and splits_a_tie) or (readings.cursor == "repeats" and stands_still):
        return f"{plain}{ledger.order[sent[-1]]:010d}"
    return plain


def _resume(ledger: Ledger, query: Query, readings: Readings) -> int:
    """Where the page after a cursor begins; for a descending page, the place before which it begins."""
    whole, _, fraction = (query.cursor or "").partition(".")
    if not (whole.isdigit() and (fraction or "0").isdigit()):
        raise BadQueryError("cursor")
    moment = int(whole) * timeline.SECOND + int(fraction[:6].ljust(6, "0"))
    if fraction[6:]:
        record = int(fraction[6:])
        return ledger.place(moment, record if query.reverse else record + 1)
    again = readings.cursor == "repeats"
    edge = bisect_right if query.reverse == again else bisect_left
    return edge(ledger.times, moment)


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
