"""Who may ask the simulated Cogniac API: one user, that user's key, password and tokens."""

import base64
import binascii
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The one user of the simulated service."""

    api_key: str = "demo-key:demo-secret"
    user: str = "ada@example.com"
    password: str = "correct horse battery staple"  # noqa: S105 - opens nothing but this simulator


@dataclass(slots=True)
class Login:
    """Trades credentials for tokens, and tells which tenant a token is for."""

    account: Account
    tenants: tuple[str, ...]
    _live: dict[str, str] = field(default_factory=dict)
    """The tenant of each token that still is good; '' where it was minted without one."""
    _minted: int = 0

    def mint(self, request: Request) -> JsonDict:
        """Return a new token for the tenant asked for, as the token endpoint answers."""
        self.identify(request)
        tenant = request.query_params.get("tenant_id", "")
        if tenant and tenant not in self.tenants:
            raise entry(400, "Invalid Input: Tenant not found.", "0100011")
        self._minted += 1
        signature = blake2b(f"{self.account.api_key}:{self._minted}".encode(), digest_size=16).hexdigest()
        token = f"simulated.{self._minted}.{signature}"
        self._live[token] = tenant
        return {"access_token": token, "token_type": "Bearer"}

    def expire(self) -> None:
        """Let every token minted so far be refused."""
        self._live.clear()

    def identify(self, request: Request) -> None:
        """Accept a key, a password or a live token, or refuse."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme == "Key" and secret == self.account.api_key:
            return
        if scheme == "Basic" and _basic(secret) == f"{self.account.user}:{self.account.password}":
            return
        if scheme == "Bearer" and secret in self._live:
            return
        raise entry(401, "Unauthorized: Invalid credentials.", "0100006")

    def tenant(self, request: Request) -> str:
        """Return the tenant of the request's token; keys and passwords open only the token endpoint."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._live:
            raise entry(401, "Unauthorized: Invalid or expired token.", "0100006")
        if not self._live[token]:
            raise entry(403, "Forbidden: The token is for no tenant.", "0100011")
        return self._live[token]

    def tenants_json(self) -> JsonDict:
        """Return the tenants of the user as the API lists them; the key is `tenants`, not `data`."""
        return {
            "tenants": [
                {"tenant_id": tenant, "name": tenant_name(tenant), "roles": ["tenant_viewer"]}
                for tenant in self.tenants
            ]
        }

    def user_json(self) -> JsonDict:
        """Return the user as the API shows it."""
        return {
            "user_id": "u7Kq2mAd",
            "email": self.account.user,
            "given_name": "Ada",
            "surname": "Example",
            "machine_user": False,
            "status": "ENABLED",
            "mfa_active": False,
            "created_at": 1_750_000_000.5,
        }


def entry(status: int, text: str, code: str) -> HTTPException:
    """Return an error with Cogniac's kind of message, whose number stands between hash signs."""
    return HTTPException(status, f"{text} ## {code} ##")


def tenant_name(tenant_id: str) -> str:
    """Return what a tenant is called."""
    return f"Plant {tenant_id}"


def tenant_json(tenant_id: str) -> JsonDict:
    """Return a tenant as the API shows it.

    The vendor's SDK needs a `region`, and null to stay on this host.
    """
    return {
        "tenant_id": tenant_id,
        "name": tenant_name(tenant_id),
        "description": "A plant that does not exist",
        "type": "orgtenant",
        "region": None,
        "created_by": "ada@example.com",
        "created_at": 1_740_000_000.25,
        "modified_at": 1_745_000_000.5,
        "custom_data": None,
    }


def _basic(secret: str) -> str:
    try:
        return base64.b64decode(secret, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
