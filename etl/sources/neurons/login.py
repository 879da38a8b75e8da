"""The key of Neurons Predict, as each request carries it."""

from collections.abc import Generator

import httpx

from etl.setting import Secret


class KeyHeader(httpx.Auth):
    """Signs requests with the API key; there is no other to try."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the key."""
        request.headers["X-API-Key"] = self._key.reveal()
        yield request
