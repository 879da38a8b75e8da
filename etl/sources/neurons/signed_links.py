"""Links as leases: they live for minutes, and all of one medium are renewed together, once."""

import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from etl.errors import ClientError, SourceError
from etl.values import UNREADABLE

LINK = re.compile(
    rb"((?i:https?)(?::|\\+u003[aA])(?:\\*/|\\+u002[fF]){2}"
    rb'[^\s"?]+?)(?:\?|(?<!\\)\\++u003[fF])'
    # Where this is JSON, in JSON or in a text, backslashes before a quote belong to the quote: without them
    # it would end the text it stands in. Possessive, so that a long row of them is looked at once.
    rb'(?:[^\s"\\]|\\++(?!"|u0022))*+'
)
"""An address with a query, whichever of its characters are escaped, however often."""
SIGNED = re.compile(
    rb"(?:sig|signature|token|expires|credential|policy|key)(?:=|\\+u003d|%3d)", re.IGNORECASE
)
"""What a query has that opens a file to whoever holds it."""

EXPIRED = frozenset({403, 404, 410})
"""How a file server may say that a link has expired; no document does."""
LIFE = timedelta(minutes=4)
"""How long a link is trusted; the documents promise at most five minutes."""


T = TypeVar("T")


class SignedLinks:
    """The links of one medium, minted together; shared by the threads that fetch its files."""

    def __init__(
        self, links: Mapping[str, Any], minted: datetime, renew: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.links = links
        self._minted = minted
        self._renew = renew
        self._renewed = False
        self._lock = threading.Lock()

    def link(self, name: str, now: datetime) -> str:
        """Return a link to this file that is young enough; SourceError where there is none."""
        with self._lock:
            if now - self._minted >= LIFE:
                self._ask(now)
            link = self.links.get(name)
        if isinstance(link, str) and link:
            return link
        raise SourceError("the results name no link")

    def instead_of(self, expired: str, name: str, now: datetime) -> str | None:
        """Return a newer link than the one that has expired; None where the medium has no other."""
        with self._lock:
            if self.links.get(name) == expired:
                self._ask(now)
            link = self.links.get(name)
        return link if isinstance(link, str) and link not in ("", expired) else None

    def fetched(self, name: str, now: Callable[[], datetime], fetch: Callable[[str], T]) -> T:
        """Return what is fetched by the link, or by a new one where that has expired.

        SourceError where there is none, and what `fetch` raises.
        """
        link = self.link(name, now())
        try:
            return fetch(link)
        except ClientError as refused:
            if refused.status not in EXPIRED:
                raise
            newer = self.instead_of(link, name, now())
            if newer is None:
                raise
            return fetch(newer)

    def _ask(self, now: datetime) -> None:
        if not self._renewed:
            self._renewed = True
            self.links = self._renew()
            self._minted = now


def redact(_stream: str, record: bytes) -> bytes:
    """Return the record without the signatures of its links, which open the files to anybody."""
    return LINK.sub(rb"\1", record)


def steady(_stream: str, record: bytes) -> bytes:
    """Return the record without what is minted anew each time it is sent: the signatures of its links.

    The queries of other links stay, for a difference in them is a change.
    """
    if LINK.search(record) is None:
        return record
    try:
        results = bytes(msgspec.json.decode(record, type=_Linked).results)
    except UNREADABLE:
        return redact("", record)
    begin = record.find(results) if results else len(record)

    def shortened(link: re.Match[bytes]) -> bytes:
        if begin <= link.start() < begin + len(results):
            return link[1]
        # Not as if it had no query: rows of earlier versions hold it with its signature, and are made anew.
        return link[1] + b"?" if SIGNED.search(link[0]) else link[0]

    return LINK.sub(shortened, record)


def unsigned(value: object) -> object:
    """Return a decoded JSON value without the signatures of the links in its texts."""
    if isinstance(value, str):
        return redact("", value.encode()).decode()
    if isinstance(value, dict):
        return {unsigned(name): unsigned(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(unsigned, value))
    return value


class _Linked(msgspec.Struct):
    """The part of a medium whose links are signed."""

    results: msgspec.Raw = msgspec.Raw()
