"""What both simulators share: a log of the requests they got, and one place for faults."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG_LENGTH = 20_000

Fault = Callable[[Request], ASGIApp | None]
"""Asked before every request: a response, or all else that may happen to a connection, comes instead of the
real answer; None lets it pass."""

QuarantineEntry = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived, and the status it was answered with."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    status: int
    """0 where the connection was cut before any answer."""

    @property
    def has_credentials(self) -> bool:
        """Whether the request carried a key, a password or a token."""
        return "authorization" in self.headers or "x-api-key" in self.headers


class Watch:
    """One watched ASGI application: its requests so far, and a fault to answer in its place."""

    def __init__(self, routes: Sequence[BaseRoute], refuse: QuarantineEntry) -> None:
        self.requests: deque[Seen] = deque(maxlen=LOG_LENGTH)
        self.fault: Fault | None = None
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(_Front, watch=self)],
            exception_handlers={HTTPException: refuse},
        )
        self.app.router.redirect_slashes = False  # a redirected token request breaks the vendor's SDK


class _Front:
    """ASGI middleware that lets a fault answer first and logs what was answered."""

    def __init__(self, app: ASGIApp, watch: Watch) -> None:
        self._app = app
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        status = 0

        async def logged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._log(request, status)  # before sending: whoever has the answer finds it in the log
            await send(message)

        try:
            fault = self._watch.fault(request) if self._watch.fault else None
            await (fault or self._app)(scope, receive, logged)
        finally:
            if not status:
                self._log(request, status)

    def _log(self, request: Request, status: int) -> None:
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
        self._watch.requests.append(Seen(request.method, path, query, dict(request.headers), status))


def json_response(body: object, status: int = 200) -> Response:
    """`body` as the answer of an API."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")
