"""Cogniac tokens: each is minted for one tenant, with the credentials of a user."""

from urllib.parse import urlencode

import httpx
import msgspec

from etl.errors import ConfigError, SourceError
from etl.extract.token_login import Flow, TokenLogin, content, question


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


class Login(TokenLogin):
    """Signs requests with a token of the tenant."""

    def __init__(self, base: str, credentials: str, tenant: str) -> None:
        super().__init__()
        self._base = base
        self._credentials = credentials
        self.tenant = tenant

    def mint(self, request: httpx.Request) -> Flow:
        """Yield the questions that lead to a token of the tenant, or of the only one there is."""
        if not self.tenant:
            self.tenant = yield from self._only_tenant(request)
        query = urlencode({"tenant_id": self.tenant})
        response = yield self._asking(request, f"/1/token?{query}")
        body = content(response, f", and COG_TENANT ({self.tenant})")
        return msgspec.json.decode(body, type=Token).access_token

    def _only_tenant(self, request: httpx.Request) -> Flow:
        response = yield self._asking(request, "/1/users/current/tenants")
        tenants = msgspec.json.decode(content(response), type=Tenants).tenants
        if len(tenants) == 1:
            return tenants[0].tenant_id
        if not tenants:
            raise SourceError("the user of these credentials has no tenant at Cogniac")
        listed = ", ".join(f"{tenant.tenant_id} ({tenant.name})" for tenant in tenants)
        raise ConfigError(f"set COG_TENANT to one of this user's tenants: {listed}")

    def _asking(self, request: httpx.Request, path: str) -> httpx.Request:
        """Return a question with the credentials, on behalf of a request."""
        return question(request, "GET", self._base + path, headers={"authorization": self._credentials})
