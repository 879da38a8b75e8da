"""Answers the requests for lists: by time with `next`, by name with `last_key`."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from starlette.requests import Request

from etl.demo.cogniac.ledger import Ledger
from etl.demo.cogniac.login import entry
from etl.demo.cogniac.query import BadQueryError, Limits, Page, Query, View, next_link, page, parse
from etl.demo.cogniac.variants import ApiVariant

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list that is paged by time: whose records, seen how, with which page sizes."""

    owner: str
    ledger: Ledger
    limits: Limits
    view: Callable[[Query], View]
    has_model: bool = False
    holds_records: bool = False
    """Its items are records of the application that owns it, not something made of them."""


class Pages:
    """Pages of any listing; counts them where some come empty, remembers them where that is wanted."""

    def __init__(self, *, remember: bool) -> None:
        self._counts: Counter[str] = Counter()
        self._remember = remember
        self._served: dict[str, dict[bytes, None]] = {}

    def answer(self, request: Request, listing: Listing, variant: ApiVariant, now: float) -> JsonDict:
        """Return the body of the answer to one request."""
        by_default = listing.has_model and variant.only_model_by_default
        try:
            query = parse(request.query_params, listing.limits, now, only_model_by_default=by_default)
        except BadQueryError as bad:
            raise entry(400, f"Invalid Input: {bad}.", "0402099") from None
        abridged = query.abridged or (variant.abridged_after_first and query.cursor is not None)
        found = page(listing.ledger, query, variant, listing.view(replace(query, abridged=abridged)))
        if self._comes_empty(request.url.path, query, found, variant):
            found = Page([], found.detour, None)
        if self._remember and listing.holds_records:
            served = self._served.setdefault(listing.owner, {})
            served.update(
                (msgspec.json.encode(record, order="deterministic"), None) for record in found.items
            )
        if found.cursor is None:
            return {"data": found.items, "paging": {}}
        link = _link(request, listing.owner, query.next_parameters(found.cursor), variant)
        return {"data": found.items, "paging": {"next": link}}

    def served(self, application_id: str) -> list[JsonDict]:
        """Every version of every record of an application that was in an answer, in order of appearance."""
        if not self._remember:
            raise RuntimeError("pass record_served=True to the simulator")
        return [msgspec.json.decode(record) for record in self._served.get(application_id, ())]

    def _comes_empty(self, path: str, query: Query, found: Page, variant: ApiVariant) -> bool:
        leads_on = query.cursor is not None and query.cursor.after_empty
        if not variant.empty_pages or found.detour is None or leads_on:
            return False
        self._counts[path] += 1
        return self._counts[path] % variant.empty_pages == 0


def listed(found: Sequence[JsonDict], key: str, last_key: str | None, most: int) -> JsonDict:
    """Return the part of a list that follows `last_key`, at most so many unless 0, and the next key."""
    names = [str(shown[key]) for shown in found]
    begin = names.index(last_key) + 1 if last_key in names else 0
    end = begin + most if most else len(found)
    return {"data": found[begin:end], **({"last_key": names[end - 1]} if end < len(found) else {})}


def _link(request: Request, owner: str, parameters: dict[str, str], variant: ApiVariant) -> str:
    """`next`, as it is read; it names this server by the name that the client uses."""
    host, path, query = request.headers["host"], request.scope["raw_path"].decode(), request.url.query
    if variant.next_link == "itself":
        return f"http://{host}{path}" + (f"?{query}" if query else "")
    if variant.next_link == "other_host":
        # Another name of the same server: whoever follows does arrive, and is seen in the log.
        name, colon, port = host.partition(":")
        host = ("127.0.0.1" if name == "localhost" else "localhost") + colon + port
    if variant.next_link == "unabridged":
        del parameters["abridged_media"]
    return next_link(f"http://{host}{path}", owner, parameters)
