"""Neurons Predict: all media, and the JSON and CSV files that their results name."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from etl.config import Secret, Setting, Settings
from etl.errors import Refused, SourceError, Unfit
from etl.extract.http import Api
from etl.extract.stream import Bundle, Complete, File, Meter, Page, Position, Stream, World
from etl.sources.neurons import assets
from etl.sources.neurons.metrics import canonical_metric
from etl.values import micros, micros_of

SETTINGS = (
    Setting("NEURONS_API_KEY", "Neurons API key.", kind="secret"),
    Setting("NEURONS_URL", "Base address of the Neurons API.", "https://api.neuronsinc.com/", "url"),
    Setting(
        "SIGHTGLASS_NEURONS_SWEEP",
        "Hours between full listings of media, which alone find late changes; 0: every run.",
        "0",
        "number",
    ),
)

LOGIN = "NEURONS_API_KEY"
PAGE = 100
MOST_PAGES = 10_000_000
TAIL = "tail"
"""Partition under which runs that read only the end of the list keep their books."""

PICTURES = frozenset(["jpg", "jpeg", "png", "gif", "webp", "bmp", "svg", "mp4", "webm", "mov", "mkv", "avi"])
"""Endings of files that hold no rows."""


class Listed(msgspec.Struct):
    """What must be known of a medium to decide which of its files to fetch."""

    media_id: str
    status: str | None = None
    aoi_status: str | None = None
    updated_at: str | None = None
    created_at: str | None = None
    created: str | None = None
    results: dict[str, Any] | None = None
    metrics: dict[str, float | None] | None = None
    """Not looked at: a medium whose metrics are refused has no files to fetch."""


class Pagination(msgspec.Struct):
    """How long the list is, where the answer says so."""

    total: int | None = None


class Envelope(msgspec.Struct):
    """A page of the media list; version 1 wraps it like this, the shape of version 2 is not public."""

    media: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    pagination: Pagination | None = None


def connect(settings: Settings) -> "Neurons | None":
    """A session, without having asked anything yet; None where there is no key."""
    key = settings.secret("NEURONS_API_KEY")
    return Neurons(settings, key) if key else None


class KeyHeader(httpx.Auth):
    """Signs requests with the API key."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """The request with the key in its header."""
        request.headers["X-API-Key"] = self._key.reveal()
        yield request


class Neurons:
    """One account of the Neurons Predict API."""

    def __init__(self, settings: Settings, key: Secret) -> None:
        self._sweep = settings.number("SIGHTGLASS_NEURONS_SWEEP") * 3600 * 1_000_000
        self._at_once = settings.whole("SIGHTGLASS_CONCURRENCY")
        self._api = Api(
            settings.text("NEURONS_URL"),
            settings,
            auth=KeyHeader(key),
            secrets=[key],
            hint=f"check {LOGIN}",
        )
        # Links are for anybody who holds them: the key must not travel along.
        self._files = Api(None, settings)
        self._pool = ThreadPoolExecutor(self._at_once, "neurons")

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.shutdown(cancel_futures=True)
        self._api.close()
        self._files.close()

    def streams(self, world: World) -> Iterator[list[Stream]]:
        """The media with their files: all of the list when a sweep is due, else its end and what is open."""
        self._world = world
        swept = world.ask("neurons/last_sweep")[0][0]
        if swept is None or micros_of(world.now()) - swept >= self._sweep:
            yield [Stream("media", self._all)]
        else:
            yield [Stream("media", self._tail, TAIL)]

    def _all(self, _position: Position, meter: Meter) -> Iterator[Bundle]:
        for page in self._pages(0, meter):
            yield from self._with_files(page, meter)

    def _tail(self, _position: Position, meter: Meter) -> Iterator[Bundle]:
        """The end of the list from the last medium that is known, then every medium that is still open."""
        first = self._world.ask("neurons/count")[0][0]
        while first > 0:
            first = max(0, first - PAGE)
            page, _ = self._page(first, meter)
            if not page or any(each.media_id in self._known([each]) for each in _listed(page)):
                break
        seen = set()
        for page in self._pages(first, meter):
            seen |= {each.media_id for each in _listed(page)}
            yield from self._with_files(page, meter)
        still_open = [row[0] for row in self._world.ask("neurons/open") if row[0] not in seen]
        for some in _chunks(still_open, self._at_once):
            found = self._pool.map(lambda media_id: self._one(media_id, meter), some)
            yield from self._with_files([medium for medium in found if medium is not None], meter)

    def _one(self, media_id: str, meter: Meter) -> msgspec.Raw | None:
        """One medium as it is now; None where it is gone."""
        try:
            return self._api.get(msgspec.Raw, f"/predict/v2/media/{quote(media_id, safe='')}", meter)
        except Refused as refused:
            if refused.status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                return None
            raise

    def _pages(self, first: int, meter: Meter) -> Iterator[Sequence[bytes]]:
        """The pages of the list from an offset on."""
        before: Sequence[bytes] = ()
        for _ in range(MOST_PAGES):
            page, total = self._page(first, meter)
            ids = [each.media_id for each in _listed(page)]
            # A server that knows no offset sends the same page for ever.
            if not page or (ids and ids == [each.media_id for each in _listed(before)]):
                return
            yield page
            first += len(page)
            before = page
            if total is not None and first >= total:
                return

    def _page(self, offset: int, meter: Meter) -> tuple[Sequence[bytes], int | None]:
        """The media at this offset, and how many there are in all where the answer says so."""
        params = {"limit": str(PAGE), "offset": str(offset)}
        body = self._api.get(msgspec.Raw, "/predict/v2/media", meter, params)
        try:
            if bytes(body).lstrip()[:1] == b"[":
                return msgspec.json.decode(body, type=list[msgspec.Raw]), None
            envelope = msgspec.json.decode(body, type=Envelope)
        except msgspec.ValidationError as error:
            raise SourceError(f"the media list has another shape than known: {error}") from error
        media = envelope.media if envelope.media is not None else envelope.data
        if media is None:
            raise SourceError("the media list has another shape than known: neither `media` nor `data` in it")
        return media, envelope.pagination.total if envelope.pagination else None

    def _with_files(self, page: Sequence[bytes], meter: Meter) -> Iterator[Bundle]:
        """The media of a page a few at a time, each few with the files that must be fetched for them."""
        for some in _chunks(page, self._at_once):
            records = [self._whole(each, meter) for each in some]
            media = list(_listed(records))
            known = self._known(media)
            wanted = [
                (medium.media_id, name, link)
                for medium in media
                for name, link in self._wanted(medium, known.get(medium.media_id))
            ]
            files = self._pool.map(lambda each: self._file(*each, meter=meter), wanted)
            yield [Page("media", records), *files]

    def _whole(self, record: bytes, meter: Meter) -> bytes:
        """The medium with its results, which a list may leave out: no document shows one of version 2."""
        medium = _read(record)
        if medium is None or medium.results is not None:
            return record
        return self._one(medium.media_id, meter) or record

    def _known(self, media: Iterable[Listed]) -> dict[str, tuple[Any, ...]]:
        """What is stored of these media: state, state of areas, time of change, files that are settled."""
        rows = self._world.ask("neurons/known", ids=[medium.media_id for medium in media])
        return {row[0]: row[1:] for row in rows}

    def _wanted(self, medium: Listed, known: tuple[Any, ...] | None) -> Iterator[tuple[str, Any]]:
        """The files to look at: all of a medium that is new or changed, else those that are not settled."""
        settled: Sequence[str] = ()
        if known is not None and known[:3] == (medium.status, medium.aoi_status, _changed(medium)):
            settled = known[3]
        for name, link in (medium.results or {}).items():
            if name not in settled:
                yield name, link

    def _file(self, media_id: str, name: str, link: object, *, meter: Meter) -> File:
        """The file fetched, or skipped as a picture, or missing with the reason."""
        row: dict[str, Any] = {"media_id": media_id, "asset": name, "fetched_at": None}
        path = f"{quote(media_id, safe='')}/{quote(name, safe='')}"
        url = link if isinstance(link, str) else ""
        if _is_picture(name, url):
            return File("assets", path, {**row, "state": "skipped"})
        if not url:
            return File("assets", path, {**row, "state": "missing", "error": "the results name no link"})
        try:
            body, content_type = self._files.download(url, meter)
        except SourceError as error:
            return File("assets", path, {**row, "state": "missing", "error": str(error)})
        row |= {
            "state": "loaded" if name in assets.READERS else "archived",
            "content_type": content_type,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "fetched_at": self._world.now().timestamp(),
        }
        return File("assets", path, row, body)


def _read(record: bytes) -> Listed | None:
    """What must be known of a medium; None where that cannot be read: the decoder refuses it by name."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(record, type=Listed)
    return None


def _listed(page: Iterable[bytes]) -> Iterator[Listed]:
    """The readable media of a page."""
    return (medium for each in page if (medium := _read(each)) is not None)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _changed(medium: Listed) -> int | None:
    """When the medium changed, by the same choices as its declared column; None where that cannot be read."""
    said = medium.updated_at or medium.created_at or medium.created
    with suppress(ValueError):
        return None if said is None else micros(said)
    return None


def _is_picture(name: str, url: str) -> bool:
    """Whether the file is a picture or film, by its ending, or by its name where the link has none."""
    ending = PurePosixPath(urlsplit(url).path).suffix.lower().removeprefix(".")
    if name in assets.READERS or ending in ("json", "csv", "txt"):
        return False
    return ending in PICTURES or name in ("heat", "fog", "formatted") or name.endswith(("_heat", "_fog"))


def complete_medium(medium: Any, _context: Mapping[str, str]) -> None:  # noqa: ANN401 -- a type made from the schema
    """Make rows of the metrics, and keep the names of the results without their links."""
    medium.added_asset_names = sorted(_mapping(medium.results, "$.results"))
    metrics = []
    for raw, value in _mapping(medium.metrics, "$.metrics").items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise Unfit(f"Expected `float | null`, got `{type(value).__name__}`", f"$.metrics.{raw}")
        metric, window = canonical_metric(raw)
        metrics.append({"metric": metric, "time_window": window, "value": value, "metric_raw": raw})
    medium.added_metrics = metrics


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise Unfit("must be an object", path)


COMPLETE: Mapping[str, Complete] = {"media": complete_medium}


def read(file: File) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    """The rows in an asset: for each table its columns; none for a file that is only archived."""
    reader = assets.READERS.get(file.row["asset"])
    if reader is None or file.body is None:
        return {}
    table, columns = reader(file.body)
    size = len(next(iter(columns.values()), ()))
    about = {name: [file.row[name]] * size for name in ("media_id", "asset")}
    return {table: {**about, **columns}}


def refuse(file: File, reason: str) -> File:
    """The asset, marked as one whose shape is not known."""
    return File(file.stream, file.name, {**file.row, "state": "quarantined", "error": reason}, file.body)


def storable(_stream: str, record: bytes) -> bytes:
    """The record without the signatures of its links, which open the files to anybody who holds them."""
    return re.sub(rb'(https?://[^\s"?]+)\?[^\s"]*', rb"\1", record)
