"""A login by a token that expires: minted when needed, shared by all threads, renewed once when refused."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import httpx

from etl.extract.deadline import left
from etl.extract.http import LoginFailedError

Flow = Generator[httpx.Request, httpx.Response, str]
"""Asks what must be asked before there is an answer, and returns it."""
OF_ITS_OWN = frozenset({"authorization", "host", "content-type", "content-length"})
"""Headers that a question has for itself."""


class TokenLogin(httpx.Auth, ABC):
    """Signs requests with a token, minted when needed and once more when it has expired."""

    def __init__(self) -> None:
        self._token = ""
        self._lock = threading.Lock()

    @abstractmethod
    def mint(self, request: httpx.Request) -> Flow:
        """Yield the questions that lead to a new token, on behalf of a request, and return it.

        Raises what `content` raises, and what msgspec does of an answer that holds no token.
        """

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token; a second time where that had expired.

        Raises LoginFailedError with the answer of a login that gave none.
        """
        token = yield from self._current(request, refused="")
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            renewed = yield from self._current(request, refused=token)
            if renewed != token:
                request.headers["Authorization"] = f"Bearer {renewed}"
                yield request

    def _current(self, request: httpx.Request, refused: str) -> Flow:
        """Return the token: another thread's, or a new one where this one was refused."""
        if self._token == refused:
            with self._held():
                if self._token == refused:
                    self._token = yield from self.mint(request)
        return self._token

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the login; TimeoutError where another thread does so beyond the deadline of this one."""
        if not self._lock.acquire(timeout=left()):
            raise TimeoutError("the login took all the time that it had")
        try:
            yield
        finally:
            self._lock.release()


def question(
    request: httpx.Request,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    json: object = None,
) -> httpx.Request:
    """Return a question of the login that is asked on behalf of a request, within its deadline."""
    kept = {name: value for name, value in request.headers.items() if name not in OF_ITS_OWN}
    told = {**kept, "accept": "application/json", **(headers or {})}
    return httpx.Request(method, url, headers=told, json=json, extensions=request.extensions)


def content(response: httpx.Response, more: str = "") -> bytes:
    """Return the body of a login's answer; LoginFailedError where it gave none.

    `more` is what to check besides what the hint of the API names.
    """
    if response.status_code != HTTPStatus.OK:
        raise LoginFailedError(response, more)
    return response.content
