"""The application: takes a post in, has it stored, and answers; it never looks into a body."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePath
from traceback import extract_tb

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from etl.files import FULL
from etl.inbox.writer import Post
from etl.listen.access import Access, RateLimit

HEADER = "X-Sightglass-Secret"
LONGEST = 256
"""Characters of a label, and of the content type that is kept."""
MOST_HELD = 128 * 2**20
"""Bytes of bodies that are being received or wait for the disk."""
MOST_POSTS = 10_000
"""Posts of which the same is true."""
BODY_SECONDS = 20.0
"""How long a body may take to come."""
SOON = {"Retry-After": "1"}

Store = Callable[[Post], Awaitable[None]]
"""Bring a post to disk; OSError where it is not kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken in."""

    body_bytes: int
    """Of one post."""
    per_second: float
    """Posts."""
    held_bytes: int = MOST_HELD
    held_posts: int = MOST_POSTS
    body_seconds: float = BODY_SECONDS


class _RefusedError(Exception):
    """A post that is not taken in, and the answer that says so."""

    def __init__(self, status: int, text: str, *, later: bool = False) -> None:
        super().__init__(text)
        self.answer = PlainTextResponse(f"{text}\n", status, SOON if later else None)


class Receiver:
    """An ASGI application."""

    def __init__(self, access: Access, limits: Limits, store: Store, tell: Callable[[str], None]) -> None:
        self._access = access
        self._limits = limits
        self._store = store
        self._tell = tell
        self._rate = RateLimit(limits.per_second, time.monotonic)
        self._held_bytes = 0
        self._held_posts = 0
        self.is_ending = False
        """Whether each answer is the last one on its connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            return
        except _RefusedError as refused:
            answer = refused.answer
        except Exception as error:  # noqa: BLE001 -- a bug must show where it is, without what was posted
            place = extract_tb(error.__traceback__)[-1]
            name = PurePath(place.filename).name
            self._tell(f"a bug: {type(error).__name__} in {name}, line {place.lineno}; answered 500")
            answer = PlainTextResponse("a bug; it is told to the operator\n", 500)
        if self.is_ending:
            answer.headers["Connection"] = "close"
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        label = self._access.label(request.scope["path"], request.headers.get(HEADER, ""))
        if label is None:
            raise _RefusedError(404, "nothing is here")
        if request.method == "GET":
            return PlainTextResponse("post here what is to be stored\n")
        if request.method != "POST":
            return PlainTextResponse("only POST\n", 405, {"Allow": "GET, POST"})
        if len(label) > LONGEST:
            raise _RefusedError(414, f"an address may hold {LONGEST} characters behind the secret")
        if not self._rate.passes():
            raise _RefusedError(429, "too many posts", later=True)
        await self._take(request, label)
        return PlainTextResponse("stored\n")

    async def _take(self, request: Request, label: str) -> None:
        """Receive a body and have it stored."""
        if self._held_posts >= self._limits.held_posts:
            raise _RefusedError(503, "too many posts wait for the disk", later=True)
        self._held_posts += 1
        held = bytearray()
        try:
            await self._receive(request, held)
            content_type = request.headers.get("Content-Type", "")[:LONGEST]
            await self._store(Post(time.time_ns() // 1000, label, content_type, bytes(held)))
        except OSError as error:
            status, what = (507, "is full") if error.errno in FULL else (503, "cannot be written")
            raise _RefusedError(status, f"the disk {what}", later=True) from error
        finally:
            self._held_posts -= 1
            self._held_bytes -= len(held)

    async def _receive(self, request: Request, held: bytearray) -> None:
        """Add the body to what is held."""
        said = request.headers.get("Content-Length", "0")
        self._check(int(said) if said.isdecimal() else 0, 0)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.stream():
                    self._check(len(held) + len(chunk), len(chunk))
                    held += chunk
                    self._held_bytes += len(chunk)
        except TimeoutError as error:
            raise _RefusedError(408, "the body took too long") from error

    def _check(self, size: int, more: int) -> None:
        if size > self._limits.body_bytes:
            raise _RefusedError(413, f"a post may have {self._limits.body_bytes:,} bytes")
        if self._held_bytes + more > self._limits.held_bytes:
            raise _RefusedError(503, "too many bytes wait for the disk", later=True)
