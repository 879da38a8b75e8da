"""A server that gives the answers it was told to, and an API that is asked through all of our own code."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from conftest import DEFAULTS
from starlette.types import Receive, Scope, Send

from etl.errors import SourceError
from etl.extract.address import Reach
from etl.extract.http import Api
from etl.extract.stream import RequestStats
from etl.setting import Secret
from etl.sources.neurons.login import KeyHeader

KEY = "open-sesame"
ATTEMPTS = 3
SHARE = 4 * 2**20
"""Bytes that a file may have: of 16 megabytes half, for two requests in flight."""


@dataclass(frozen=True)
class Answer:
    """What the server sends, once."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    unsent: int = 0
    """Bytes that are announced, but never come."""


OK = Answer(body=b'{"a": 1}')


class Server:
    """Gives these answers one after the other, and then the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the next answer."""
        self.bodies.append((await receive()).get("body", b""))
        self.asked.append(f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?"))
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"content-length": str(len(answer.body) + answer.unsent), **answer.headers}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": answer.body})


@contextmanager
def asking(
    base: str | None, budget: float = 120, key: str = KEY, rate: tuple[int, float] | None = None
) -> Iterator[tuple[Api, RequestStats]]:
    """An API that is asked with a key, or files without one where there is no base; with its stats."""
    settings = replace(DEFAULTS, concurrency=2, retry_budget=budget, body_memory=16)
    auth = KeyHeader(Secret(key)) if base else None
    reach = Reach("http://127.0.0.1")
    with closing(
        Api(base, settings, auth=auth, secrets=[Secret(key)], hint="check KEY", rate=rate, reach=reach)
    ) as api:
        yield api, RequestStats()


def complaint(base: str | None, path: str, budget: float = 120, key: str = KEY) -> tuple[type, str, int]:
    """How a GET that fails does so: the error, its text, and the requests that were made."""
    with asking(base, budget, key) as (api, request_stats):
        ask = partial(api.get, dict) if base else api.download
        with pytest.raises(SourceError) as caught:
            ask(path, request_stats)
    return caught.type, str(caught.value), request_stats.requests
