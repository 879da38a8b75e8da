"""Cogniac tokens: minted when needed, shared by all threads, renewed once when they have expired."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlencode

import httpx
import msgspec

from etl.errors import SourceError
from etl.extract.deadline import left
from etl.extract.http import LoginFailedError


class Token(msgspec.Struct):
    """The answer of the token endpoint; everything but the token itself is optional (documents disagree)."""

    access_token: str


class Tenant(msgspec.Struct):
    """One tenant a user may work in."""

    tenant_id: str
    name: str | None = None


class Tenants(msgspec.Struct):
    """The tenants of a user."""

    tenants: list[Tenant]


Flow = Generator[httpx.Request, httpx.Response, str]
"""Asks what must be asked before there is an answer, and returns it."""


class Login(httpx.Auth):
    """Signs requests with a token of the tenant, minted when needed and once more when it has expired."""

    def __init__(self, base: str, credentials: str, tenant: str) -> None:
        self._base = base
        self._credentials = credentials
        self.tenant = tenant
        self._token = ""
        self._lock = threading.Lock()

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
                    self._token = yield from self._mint(request)
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

    def _mint(self, request: httpx.Request) -> Flow:
        if not self.tenant:
            self.tenant = yield from self._only_tenant(request)
        query = urlencode({"tenant_id": self.tenant})
        response = yield self._asking(request, f"/1/token?{query}")
        body = _content(response, f", and COG_TENANT ({self.tenant})")
        return msgspec.json.decode(body, type=Token).access_token

    def _only_tenant(self, request: httpx.Request) -> Flow:
        response = yield self._asking(request, "/1/users/current/tenants")
        tenants = msgspec.json.decode(_content(response), type=Tenants).tenants
        if len(tenants) == 1:
            return tenants[0].tenant_id
        listed = ", ".join(f"{tenant.tenant_id} ({tenant.name})" for tenant in tenants)
        message = f"set COG_TENANT to one of this user's tenants: {listed or 'there is none'}"
        raise SourceError(message)

    def _asking(self, request: httpx.Request, path: str) -> httpx.Request:
        """Return a question with the credentials, on behalf of a request."""
        headers = httpx.Headers(request.headers)
        headers.update({"Authorization": self._credentials, "Accept": "application/json"})
        return httpx.Request("GET", self._base + path, headers=headers, extensions=request.extensions)


def _content(response: httpx.Response, more: str = "") -> bytes:
    """Return the body of a login's answer; LoginFailedError where it gave none."""
    if response.status_code != HTTPStatus.OK:
        raise LoginFailedError(response, more)
    return response.content
