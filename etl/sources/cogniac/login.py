"""Cogniac tokens: minted when needed, shared by all threads, renewed once when they have expired."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec

from etl.errors import SourceError
from etl.extract.deadline import left
from etl.extract.http import Ask, LoginFailed

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


class Login:
    """Signs requests with a token of the tenant, minted when needed and once more when it has expired."""

    def __init__(self, base: str, credentials: str, tenant: str) -> None:
        self._base = base
        self._credentials = credentials
        self.tenant = tenant
        self._signature: Mapping[str, str] = {}
        self._lock = threading.Lock()

    def sign(self, ask: Ask, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The header with the token: another thread's, or a new one where this one was refused."""
        if not self._signature or self._signature == refused:
            with self._held():
                if not self._signature or self._signature == refused:
                    self._signature = {"Authorization": f"Bearer {self._mint(ask)}"}
        return self._signature

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the login; TimeoutError where another thread does so beyond the deadline of this one."""
        if not self._lock.acquire(timeout=left()):
            raise TimeoutError("the login took all the time that it had")
        try:
            yield
        finally:
            self._lock.release()

    def _mint(self, ask: Ask) -> str:
        if not self.tenant:
            self.tenant = self._only_tenant(ask)
        query = urlencode({"tenant_id": self.tenant})
        answer = self._answer(ask, f"/1/token?{query}", f", and COG_TENANT ({self.tenant})")
        return msgspec.json.decode(answer, type=Token).access_token

    def _only_tenant(self, ask: Ask) -> str:
        answer = self._answer(ask, "/1/users/current/tenants")
        tenants = msgspec.json.decode(answer, type=Tenants).tenants
        if len(tenants) == 1:
            return tenants[0].tenant_id
        listed = ", ".join(f"{tenant.tenant_id} ({tenant.name})" for tenant in tenants)
        message = f"set COG_TENANT to one of this user's tenants: {listed or 'there is none'}"
        raise SourceError(message)

    def _answer(self, ask: Ask, path: str, more: str = "") -> bytes:
        answer = ask(self._base + path, {"Authorization": self._credentials, "Accept": "application/json"})
        if answer.status != HTTPStatus.OK:
            raise LoginFailed(answer, f"check {LOGIN}{more}")
        return answer.body
