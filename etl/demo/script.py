"""What may happen while an API is being read: rules for the `fault` of either simulator, and their answers.

One script may serve several servers at once: `simulator.fault = simulator.file_watch.fault = script`.
"""

import asyncio
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

FOREVER = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """On the n-th request for a path, and on so many after it, do this and answer that."""

    path: str
    """A regular expression that is searched in the path."""
    query: str = ""
    """Another, for what follows the question mark."""
    nth: int = 1
    """The first request to act on, counted among those that match, whatever other rules do to them."""
    times: int = 1
    """How many matching requests in a row to act on; FOREVER for all."""
    do: Callable[[], object] | None = None
    """Called before the request is answered."""
    answer: ASGIApp | None = None
    """Comes instead of the API's answer: one of those below, or any response; None: the API answers."""


class Script:
    """Rules for the requests of one test; a `fault`. Where several rules answer, the first one does."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        self._matched = [0] * len(rules)
        self._acted = [0] * len(rules)
        self._failures: list[Exception] = []

    def __call__(self, request: Request) -> ASGIApp | None:
        """Act on a request."""
        acting = self._acting(request.scope["path"], request.scope["query_string"].decode("latin-1"))
        for rule in acting:
            try:
                if rule.do is not None:
                    rule.do()
            except Exception as failure:  # the client gets a 500, as from any bug; `check` tells which
                self._failures.append(failure)
                raise
        return next((rule.answer for rule in acting if rule.answer is not None), None)

    @property
    def acted(self) -> list[int]:
        """On how many requests each rule has acted so far."""
        with self._lock:
            return list(self._acted)

    def check(self) -> None:
        """Raise what went wrong in a rule, or AssertionError where one never came to act."""
        if self._failures:
            raise self._failures[0]
        idle = [rule for rule, acted in zip(self._rules, self.acted, strict=True) if not acted]
        if idle:
            raise AssertionError(f"never happened: {idle}")

    def _acting(self, path: str, query: str) -> list[Rule]:
        acting = []
        with self._lock:
            for place, rule in enumerate(self._rules):
                if not (re.search(rule.path, path) and re.search(rule.query, query)):
                    continue
                self._matched[place] += 1
                if 0 <= self._matched[place] - rule.nth < rule.times:
                    self._acted[place] += 1
                    acting.append(rule)
        return acting


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer that is not the API's."""

    status: int = 200
    body: bytes = b'{"message": "It was the script.", "detail": "It was the script."}'
    content_type: str = "application/json"
    retry_after: int | datetime | str | None = None
    """Sent as seconds, as an HTTP date, or as it stands; None: no such header. A datetime must be in UTC."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = {"content-type": self.content_type}
        if isinstance(self.retry_after, datetime):
            headers["retry-after"] = format_datetime(self.retry_after, usegmt=True)
        elif self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        await Response(self.body, self.status, headers)(scope, receive, send)


LOGIN_PAGE = Answer(body=b"<!doctype html><title>Log in</title>", content_type="text/html")
"""HTML with status 200, as a proxy in between answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """A body that breaks off: the length that is announced never comes, and the connection is closed."""

    sent: bytes = b'{"data": [{"detections": [{"detection_id": "'
    missing: int = 1000
    """How many more bytes are announced."""
    status: int = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is."""
        del scope, receive
        length = str(len(self.sent) + self.missing).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.sent, "more_body": True})


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset before any answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut it; needs `etl.demo.server`."""
        del send
        scope["state"]["reset"](scope["client"])
        await _gone(receive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """No answer until the client gives up or the server stops; after `most_s` the connection is reset."""

    most_s: float = 60.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait."""
        try:
            await asyncio.wait_for(_gone(receive), self.most_s)
        except TimeoutError:
            await Reset()(scope, receive, send)


@dataclass(slots=True)
class Clock:
    """A clock for a simulator that moves only when told to, from a rule too."""

    now: float

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


async def _gone(receive: Receive) -> None:
    """Return when the connection is no more."""
    while (await receive())["type"] != "http.disconnect":
        pass
