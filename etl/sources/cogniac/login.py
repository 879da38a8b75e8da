"""Cogniac tokens: minted when needed, shared by all threads, renewed once when they have expired."""

import threading
from collections.abc import Generator

import httpx
import msgspec

from etl.errors import SourceError
from etl.extract.http import LoginFailed

LOGIN = "COG_API_KEY, or COG_USER and COG_PASS"
"""Which settings must be given to log in, as told to people."""


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


class Login(httpx.Auth):
    """Signs requests with a token of the tenant, minted when needed and once more when it has expired."""

    def __init__(self, base: str, credentials: str, tenant: str) -> None:
        self._base = base
        self._credentials = credentials
        self.tenant = tenant
        self._token = ""
        self._lock = threading.Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with a token; where the token has expired, once again with a new one."""
        used = self._token
        if not used:
            used = yield from self._mint(used)
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {(yield from self._mint(used))}"
            yield request

    def _mint(self, stale: str) -> Generator[httpx.Request, httpx.Response, str]:
        """A token that is not the stale one: another thread's, or a new one."""
        with self._lock:
            if self._token != stale:
                return self._token
            if not self.tenant:
                self.tenant = yield from self._only_tenant()
            answer = yield self._request("/1/token", {"tenant_id": self.tenant})
            answer.read()
            if answer.status_code != httpx.codes.OK:
                raise LoginFailed(answer, f"check {LOGIN}, and COG_TENANT ({self.tenant})")
            self._token = msgspec.json.decode(answer.content, type=Token).access_token
            return self._token

    def _only_tenant(self) -> Generator[httpx.Request, httpx.Response, str]:
        answer = yield self._request("/1/users/current/tenants", {})
        answer.read()
        if answer.status_code != httpx.codes.OK:
            raise LoginFailed(answer, f"check {LOGIN}")
        tenants = msgspec.json.decode(answer.content, type=Tenants).tenants
        if len(tenants) == 1:
            return tenants[0].tenant_id
        listed = ", ".join(f"{tenant.tenant_id} ({tenant.name})" for tenant in tenants)
        message = f"set COG_TENANT to one of this user's tenants: {listed or 'there is none'}"
        raise SourceError(message)

    def _request(self, path: str, params: dict[str, str]) -> httpx.Request:
        headers = {"Authorization": self._credentials, "Accept": "application/json"}
        return httpx.Request("GET", self._base + path, params=params or None, headers=headers)
