"""One way to ask an API: timed out, retried, refused elsewhere, and named without its secrets."""

import logging
import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
import stamina
import stamina.instrumentation

from etl.config import Settings
from etl.errors import ClientError, SourceError
from etl.event import event
from etl.extract.address import InvalidRequestError, Reach
from etl.extract.body import Sink
from etl.extract.clock import HostClock
from etl.extract.deadline import is_over, left, within
from etl.extract.limiter import AdaptiveLimiter, pace
from etl.extract.memory import BodyMemory, Grow, TooLargeError
from etl.extract.refusal import retry_after, vendor_message
from etl.extract.stream import RequestStats
from etl.extract.tolerant import mended_page, mended_record
from etl.extract.transport import MOST_REDIRECTS, Exchange, Transport, open_client
from etl.redact import Redactor
from etl.setting import Secret, is_loopback
from etl.values import UNREADABLE

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
LONG = 8
"""Characters from which on a value that a request carried may be a token or a signature."""
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_PAUSE = 30.0
"""Seconds between two attempts, at most, where the API names no time."""
ONE_TRY_SECONDS = 60.0
"""How long a request may take that is not to be tried again."""
LONGEST_MESSAGE = 300
QUERY = re.compile(r"(https?://[^\s?]+)\?\S*")
"""An address with a query, in which tokens and signatures travel."""

JSON = {"Content-Type": "application/json"}

T = TypeVar("T")

# The default hook would log the call's arguments, link signatures included.
stamina.instrumentation.set_on_retry_hooks([])


class RetryableError(SourceError):
    """The API or the way to it failed in a manner that may pass."""

    def __init__(self, message: str, wait: timedelta | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.wait = wait
        self.status = status


class Asked(NamedTuple):
    """What is asked of a host: by GET, or where there is a body, of JSON, by POST."""

    url: str
    body: bytes | None = None


class Received(NamedTuple):
    """The body of an answer, and what is known of it."""

    body: bytes
    content_type: str
    is_whole: bool
    """Whether its end was announced."""
    is_cut: bool
    """Whether it goes on behind that."""


class LoginFailedError(Exception):
    """A login gave no token; carries the answer to where all answers are judged."""

    def __init__(self, response: httpx.Response, more: str) -> None:
        super().__init__("login failed")
        self.response = response
        self.more = more
        """What to check besides what the API's hint names."""


class Api:
    """One host to ask, with credentials for it alone; or, without a base, any host, without credentials."""

    def __init__(  # noqa: PLR0913 -- all that tells one host from another
        self,
        base: str | None,
        settings: Settings,
        *,
        auth: httpx.Auth | None = None,
        secrets: Sequence[Secret] = (),
        hint: str = "",
        rate: tuple[int, float] | None = None,
        reach: Reach | None = None,
    ) -> None:
        """`secrets` are those that no setting holds; `rate`: so many requests are allowed in so many seconds.

        `reach` is where links may lead: told by who asks a base, obeyed by who asks any host.
        """
        concurrency = settings.concurrency
        self.base = base and base.rstrip("/")
        self.budget = settings.retry_budget
        self._hint = hint
        self._limiter = AdaptiveLimiter(concurrency)
        self._memory = BodyMemory(settings)
        self._pace = pace(*rate) if rate else lambda: None
        """Waits until the host's documented rate allows another request."""
        self._secrets = [secret.reveal() for secret in (*settings.secrets, *secrets)]
        self._redact = Redactor(self._secrets)
        follows_links = base is None
        transport = Transport(
            concurrency, self._judge, reach or Reach(base or ""), follows_links=follows_links
        )
        self._client = open_client(transport, auth=auth, follows_links=follows_links)
        self.clock = HostClock()
        self._client.event_hooks = {"response": [lambda response: self.clock.note(response.headers)]}

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()

    def get(self, kind: type[T], url: str, stats: RequestStats, params: dict[str, str] | None = None) -> T:
        """Return the body of a GET, decoded as this type, from a path or an address on the base's host."""
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        return self._page(kind, Asked(self._full(url) + query), stats)

    def post(self, kind: type[T], url: str, stats: RequestStats, json: object) -> T:
        """Return what a POST with this JSON as its body answers, as `get` does.

        Only for what reads, such as a search: it is repeated as often as it fails.
        """
        return self._page(kind, Asked(self._full(url), msgspec.json.encode(json)), stats)

    def download(self, url: str, stats: RequestStats) -> tuple[bytes, str]:
        """Return the body of a GET and its content type."""
        asked = Asked(self._full(url))
        return self._retried(asked, stats, lambda: self._file(asked, stats))

    def save(self, url: str, stats: RequestStats, sink: Sink) -> str:
        """Have a sink take in the body of a GET, however large it is; its content type."""
        asked = Asked(self._full(url))
        _, content_type = self._retried(asked, stats, lambda: self._file(asked, stats, sink))
        return content_type

    def _full(self, url: str) -> str:
        return url if "://" in url else f"{self.base}/{url.lstrip('/')}"

    def _page(self, kind: type[T], asked: Asked, stats: RequestStats) -> T:
        def once() -> T:
            with self._memory.page() as grow:
                return self._decode(kind, asked, self._ask(asked, stats, grow))

        return self._retried(asked, stats, once)

    def _file(self, asked: Asked, stats: RequestStats, sink: Sink | None = None) -> tuple[bytes, str]:
        """Return a file and its content type: a page proves by itself that it is whole, a table does not."""
        came = self._ask(asked, stats, self._memory.grow_file, sink)
        if came.is_cut:
            raise RetryableError(f"{self._named(*asked)} answered with more than it announced")
        if not came.is_whole:
            stats.add(requests=1)
            if self._ask(asked, stats, self._memory.grow_file, sink).body != came.body:
                raise RetryableError(f"{self._named(*asked)} tells no length, and answered twice differently")
        return came.body, came.content_type

    def _decode(self, kind: type[T], asked: Asked, answer: Received) -> T:
        body, content_type = answer.body, answer.content_type
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            raise SourceError(
                f"{self._named(*asked)} answered JSON of another shape than documented: {error}"
            ) from error
        except UNREADABLE as error:
            mended = mended_record(body) if kind is msgspec.Raw else mended_page(body)
            if mended is not None:
                with suppress(*UNREADABLE):
                    return msgspec.json.decode(mended, type=kind)
            raise RetryableError(
                f"{self._named(*asked)} answered {content_type or 'something'} that is not JSON"
            ) from error

    def _retried(self, asked: Asked, stats: RequestStats, ask: Callable[[], T]) -> T:
        """Return what comes of asking, tried again as long as the budget lasts."""
        pauses = _Pauses()
        tries = stamina.retry_context(
            on=pauses.before_another, attempts=None if self.budget else 1, timeout=None
        )
        last: RetryableError | None = None
        with within(self.budget or ONE_TRY_SECONDS):
            for attempt in tries:
                with attempt:
                    try:
                        return self._once(asked, stats, ask, retries=int(attempt.num > 1))
                    except RetryableError as error:
                        if last and is_over():
                            # An attempt that was cut short says less than the one before it.
                            raise last from error
                        last = error
                        event("request.failed", logging.DEBUG, attempt=attempt.num, error=str(error))
                        raise
        raise AssertionError("a retry loop ended without a result")

    def _once(self, asked: Asked, stats: RequestStats, ask: Callable[[], T], *, retries: int) -> T:
        """Return what comes of one attempt, once the requests in flight and the host's rate let it pass."""
        try:
            # Before the limiter: those who wait there must not wait for the rate of one of them too.
            self._pace()
            with self._limiter.acquire() as since:
                stats.add(requests=1, retries=retries)
                try:
                    answer = ask()
                except RetryableError as error:
                    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                        self._limiter.decrease(since)
                    raise
                self._limiter.increase()
                return answer
        except TimeoutError as error:
            raise RetryableError(f"{self._named(*asked)} failed: {error}") from error

    def _ask(self, asked: Asked, stats: RequestStats, grow: Grow, sink: Sink | None = None) -> Received:
        exchange = Exchange(grow, sink)
        try:
            response = self._send(asked, exchange)
        except httpx.TransportError as error:
            reason = self._scrubbed(str(error), exchange.sent())
            raise RetryableError(f"{self._named(*asked)} failed: {reason}") from error
        except UNREADABLE as error:
            raise RetryableError(
                f"{self._named(*asked)} failed: the login answered something that is no token"
            ) from error
        except LoginFailedError as failed:
            raise self._complaint(failed.response, exchange, self._hint + failed.more) from failed
        except InvalidRequestError as error:
            raise ClientError(f"{self._named(*asked)} failed: {error}", 0) from error
        except TooLargeError as error:
            raise SourceError(f"{self._named(*asked)} {error}") from error
        finally:
            stats.add(requests=exchange.repeats, retries=exchange.repeats)
        stats.add(received=sink.size if sink else len(response.content))
        if response.status_code == HTTPStatus.OK:
            content_type = response.headers.get("content-type", "").split(";")[0].strip()
            ends = response.extensions
            return Received(response.content, content_type, ends["is_whole"], ends["is_cut"])
        hint = self._hint if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else ""
        raise self._complaint(response, exchange, hint)

    def _send(self, asked: Asked, exchange: Exchange) -> httpx.Response:
        """Return the answer; or raise what httpx, the login and `grow` raise."""
        # As it is written: what reads it next may take another part of it for the host.
        self._judge(asked.url)
        method, headers = ("GET", None) if asked.body is None else ("POST", JSON)
        try:
            request = self._client.build_request(
                method, asked.url, content=asked.body, headers=headers, extensions={"exchange": exchange}
            )
        except httpx.InvalidURL as error:
            raise InvalidRequestError("this is no address") from error
        try:
            return self._client.send(request)
        except httpx.TooManyRedirects as error:
            raise InvalidRequestError(f"more than {MOST_REDIRECTS} redirects") from error
        except (httpx.InvalidURL, httpx.RemoteProtocolError) as error:
            # The transport raises neither.
            raise InvalidRequestError("redirected to what is no address") from error

    def _judge(self, url: str) -> None:
        """Refuse to send credentials anywhere but to the configured host, and anything in the clear."""
        place = origin(url)
        if self.base is not None and place != origin(self.base):
            raise SourceError(f"{self._named(self.base)} names a page on another host, {place[1]}: refused")

    def _complaint(self, response: httpx.Response, exchange: Exchange, hint: str) -> SourceError:
        status = response.status_code
        said = self._scrubbed(vendor_message(response.content), exchange.sent())[:LONGEST_MESSAGE]
        named = self._named(str(response.url), response.request.content)
        message = f"{named} answered {status}{': ' if said else ''}{said}"
        if status in RETRYABLE:
            wait = retry_after(response.headers.get("retry-after", ""), response.headers.get("date", ""))
            return RetryableError(message, wait, status)
        return ClientError(message + (f"; {hint}" if hint else ""), status)

    def _named(self, url: str, body: bytes | None = None) -> str:
        """Return the request as it may be shown: no query, no body, no credentials."""
        parts, method = urlsplit(url), "POST" if body else "GET"
        return self._scrubbed(f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")

    def _scrubbed(self, text: str, sent: Sequence[str] = ()) -> str:
        """Return the text without secrets, without what was sent and may be one, and without queries."""
        parts = {part for value in sent for part in (value, *value.split()) if len(part) >= LONG}
        return QUERY.sub(r"\1", Redactor(parts)(self._redact(text)))


class _Pauses:
    """Decides whether to try again, and how long to wait before."""

    def __init__(self) -> None:
        self._next = 0.5

    def before_another(self, error: Exception) -> bool | timedelta:
        """Return the pause that the API asked for, else one longer than the last.

        False beyond the deadline.
        """
        if not isinstance(error, RetryableError):
            return False
        pause = timedelta(seconds=self._next + random.random())  # noqa: S311 -- no secret
        self._next = min(2 * self._next, LONGEST_PAUSE)
        if error.wait is not None and error.wait >= SHORTEST_WAIT:
            # Who says "at once" again and again would be asked thousands of times.
            pause = error.wait
        with suppress(TimeoutError):
            return pause if pause.total_seconds() < left() else False
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address; SourceError where credentials would travel in the clear."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceError("the API named an address that is none") from error
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise SourceError(f"the API named an address that is not https, on {host or 'no host'}: refused")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)
