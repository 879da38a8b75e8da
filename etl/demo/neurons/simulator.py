"""A simulator of the Neurons Predict API and of its file proxy, two hosts as in real life.

The asset files have synthetic shapes: no real one is published.
"""

import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from etl.demo.neurons.data import NeuronsData, NeuronsSize
from etl.demo.watch import Watch, json_response

LINK_LIFETIME_S = 300
USUAL_LIMIT, MOST = 50, 100

JsonDict = dict[str, Any]
__all__ = ["NeuronsSimulator", "NeuronsSize", "NeuronsVariant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronsVariant:
    """What the documents leave open; the default is the shape that version 1 is documented with."""

    envelope: Literal["pagination", "bare", "data"] = "pagination"
    """The list comes as {"pagination": {...}, "media": [...]}, as a bare list, or as {"data": [...]}."""
    pagination_total: bool = True
    """`pagination` says how many media there are."""
    list_results: Literal["full", "absent"] = "full"
    """Elements of the list have `results`, or only the answer about one medium has."""
    ignores_offset: bool = False
    """Every answer is the whole list, whatever part of it was asked for."""
    repeats_every: int = 0
    """In the list, every so many elements one comes twice in a row; 0: none."""
    omits_every: int = 0
    """In the list, every so many elements one is left out, another in each listing; 0: none."""
    expired_status: Literal[403, 404, 410] = 403
    """How a link that has expired is answered."""

    def __post_init__(self) -> None:
        """Refuse what would leave out everything for ever."""
        if self.omits_every == 1:
            raise ValueError("a list that omits every element says nothing")


class NeuronsSimulator(Watch, NeuronsData):
    """The API with its data: serve `app` and `files`, set `files_url`, compare with `truth`."""

    def __init__(
        self,
        seed: int = 1,
        size: NeuronsSize | None = None,
        *,
        variant: NeuronsVariant | None = None,
        clock: Callable[[], float] = time.time,
        link_lifetime: float = LINK_LIFETIME_S,
    ) -> None:
        Watch.__init__(
            self,
            [
                Route("/predict/v2/media", self._list),
                Route("/predict/v2/media/{media_id}", self._one),
            ],
            _refuse,
        )
        NeuronsData.__init__(self, seed, size or NeuronsSize())
        self.variant = variant or NeuronsVariant()
        """May be replaced at any time."""
        self.api_key = "demo-neurons-key"
        self.files_url = "http://files.invalid/"
        """Where `files` is served; part of every link."""
        self.file_watch = Watch([Route("/{media_id}/{filename}", self._file)], _refuse)
        self.files = self.file_watch.app
        self.file_requests = self.file_watch.requests
        self._clock = clock
        self._lifetime = link_lifetime
        self._listings = 0
        self._last_offset = 0

    async def _list(self, request: Request) -> Response:
        self._check_key(request)
        offset = _natural(request, "offset", 0)
        limit = min(_natural(request, "limit", USUAL_LIMIT), MOST)
        with self.lock:
            chosen = self._chosen(request)
            if self.variant.ignores_offset:
                offset, limit = 0, len(chosen)
            media = [self._element(media_id) for media_id in self._sent(chosen, offset, limit)]
        if self.variant.envelope == "bare":
            return json_response(media)
        if self.variant.envelope == "data":
            return json_response({"data": media})
        pagination = {"total": len(chosen)} if self.variant.pagination_total else {}
        pagination |= {"offset": offset, "limit": limit}
        return json_response({"pagination": pagination, "media": media})

    async def _one(self, request: Request) -> Response:
        self._check_key(request)
        media_id = request.path_params["media_id"]
        with self.lock:
            if not self.holds(media_id):
                raise HTTPException(404, "Media not found")
            return json_response(self._linked(media_id))

    async def _file(self, request: Request) -> Response:
        expires = request.query_params.get("expires", "")
        signature = request.query_params.get("signature", "")
        media_id, filename = request.path_params["media_id"], request.path_params["filename"]
        if not hmac.compare_digest(signature, self._signature(f"{media_id}/{filename}", expires)):
            raise HTTPException(403, "The link's signature is wrong")
        if self._clock() > int(expires):
            raise HTTPException(self.variant.expired_status, "The link has expired")
        with self.lock:
            names = self.shown(media_id)["results"] if self.holds(media_id) else []
            asset = next((name for name in names if self.filename(media_id, name) == filename), None)
            if asset is None:
                raise HTTPException(404, "There is no such file")
            content, kind = self.asset(media_id, asset)
        return Response(content, media_type=kind)

    def _chosen(self, request: Request) -> list[str]:
        """Return the ids that pass the filters of a request: by status and by type."""
        media_ids = self.media_ids()
        for name in ("status", "type"):
            wanted = request.query_params.get(name)
            if wanted:
                media_ids = [media_id for media_id in media_ids if self.shown(media_id).get(name) == wanted]
        return media_ids

    def _sent(self, media_ids: list[str], offset: int, limit: int) -> Iterator[str]:
        """Yield a part of the list with the repetitions and gaps of the readings."""
        if offset <= self._last_offset:
            self._listings += 1
        self._last_offset = offset
        omits, repeats = self.variant.omits_every, self.variant.repeats_every
        part = enumerate(media_ids[offset : offset + limit], start=self._listings)
        kept = [media_id for place, media_id in part if not omits or place % omits]
        for count, media_id in enumerate(kept, start=1):
            yield media_id
            if repeats and count % repeats == 0:
                yield media_id

    def _element(self, media_id: str) -> JsonDict:
        """Return a medium as the list shows it."""
        shown = self._linked(media_id)
        if self.variant.list_results == "absent":
            del shown["results"]
        return shown

    def _linked(self, media_id: str) -> JsonDict:
        """Return a medium with links minted for this answer."""
        shown = self.shown(media_id)
        own = self.own_results(media_id)
        links = {asset: self._link(media_id, asset) for asset in shown["results"]}
        return {**shown, "results": links | own if isinstance(own, dict) else own}

    def _link(self, media_id: str, asset: str) -> str:
        path = f"{media_id}/{self.filename(media_id, asset)}"
        expires = str(int(self._clock() + self._lifetime))
        return f"{self.files_url}{quote(path)}?signature={self._signature(path, expires)}&expires={expires}"

    def _signature(self, path: str, expires: str) -> str:
        return hmac.digest(self.api_key.encode(), f"{path}:{expires}".encode(), "sha256").hex()

    def _check_key(self, request: Request) -> None:
        if request.headers.get("x-api-key") != self.api_key:
            raise HTTPException(401, "Invalid or missing API key")


def _natural(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not text.isdigit():
        raise HTTPException(422, f"{name} must be a natural number")
    return int(text)


async def _refuse(request: Request, refused: Exception) -> Response:
    """Errors as Neurons words them."""
    del request
    status = refused.status_code if isinstance(refused, HTTPException) else 500
    detail = refused.detail if isinstance(refused, HTTPException) else "Internal Error"
    return json_response({"detail": detail}, status)
