"""A third API, as `docs/adding-a-source.md` has it, served; and the files that this page shows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from etl.demo.server import serve

CHECKOUT = Path(__file__).parents[2]
GUIDE = (CHECKOUT / "docs" / "adding-a-source.md").read_text(encoding="utf-8")
KEY = "key-of-acme"
USES = 5
"""Requests that a token is good for."""
SIGHTINGS = 450
NOTES = [f"01J{number:023}" for number in range(1, 8)]
PAGE_LENGTH = 3
"""Notes on a page."""


def blocks(path: str) -> str:
    """What the guide shows as this file, all of its blocks one after the other."""
    found = re.findall(rf"^```\w+ {re.escape(path)}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return "\n\n".join(found)


def sighting(number: int, change: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any field
    """A sighting as Acme has it."""
    tags = [{"tag": "cat", "weight": 0.5}, {"tag": f"change {change}", "weight": 1}]
    about = {"sighting_id": f"s{number}", "change": change, "seen_at": number + 0.5}
    return {**about, "camera": "NL-7", "tags": tags, **more}


@dataclass
class Acme:
    """The API: all that was seen and written, tokens that expire, and what was asked of it."""

    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=NOTES.copy)
    tokens: dict[str, int] = field(default_factory=dict)
    """How many requests each has been used for."""
    after: list[Any] = field(default_factory=list)
    """From where on sightings and notes were asked for, page by page."""

    def change(self, *numbers: int, **more: Any) -> None:  # noqa: ANN401 -- any field
        """Change these sightings one after the other, each under the next number."""
        for number in numbers:
            change = max((each["change"] for each in self.seen.values()), default=0) + 1
            self.seen[f"s{number}"] = sighting(number, change, **more)

    async def login(self, request: Request) -> JSONResponse:
        """Exchange the key for a token."""
        if await request.json() != {"key": KEY}:
            return JSONResponse({"message": "who are you?"}, 403)
        token = f"token-{len(self.tokens)}-of-acme"
        self.tokens[token] = 0
        return JSONResponse({"token": token})

    def admits(self, request: Request) -> bool:
        """Whether the request has a token that has not expired."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        is_good = self.tokens.get(token, USES) < USES
        if is_good:
            self.tokens[token] += 1
        return is_good

    async def sightings(self, request: Request) -> JSONResponse:
        """Sightings after a change, in the order of their changes."""
        if not self.admits(request):
            return JSONResponse({"message": "token expired"}, 401)
        asked = await request.json()
        self.after.append(asked["after"])
        found = [each for each in self.seen.values() if each["change"] > (asked["after"] or 0)]
        found.sort(key=lambda each: each["change"])
        page = found[asked["offset"] :][: asked["limit"]]
        return JSONResponse({"items": page, "total": len(found)})

    async def written(self, request: Request) -> JSONResponse:
        """Notes after a ULID, newest first, by cursors."""
        if not self.admits(request):
            return JSONResponse({"message": "token expired"}, 401)
        asked = await request.json()
        self.after.append(asked["after"])
        found = sorted((each for each in self.notes if each > (asked["after"] or "")), reverse=True)
        place = int(asked["page"] or 0)
        page = [{"note_id": each, "text": f"of {each}"} for each in found[place : place + PAGE_LENGTH]]
        more = str(place + PAGE_LENGTH) if place + PAGE_LENGTH < len(found) else None
        return JSONResponse({"items": page, "next": more})

    def asked_after(self) -> set[Any]:
        """From where on it was asked since this was looked at last."""
        found, self.after = set(self.after), []
        return found

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the tables must hold."""
        seen = [
            (each["sighting_id"], each["change"], round(each["seen_at"] * 1e6), each["camera"], "NL", None)
            for each in self.seen.values()
        ]
        tags = [(key, one["tag"], one["weight"]) for key, each in self.seen.items() for one in each["tags"]]
        notes = [(each, f"of {each}") for each in self.notes]
        return {"sightings": sorted(seen), "tags": sorted(tags), "notes": sorted(notes)}


@contextmanager
def serving(acme: Acme) -> Iterator[str]:
    """The address of the API."""
    routes = [("/login", acme.login), ("/sightings/search", acme.sightings), ("/notes/search", acme.written)]
    with serve(Starlette(routes=[Route(path, ask, methods=["POST"]) for path, ask in routes])) as url:
        yield url
