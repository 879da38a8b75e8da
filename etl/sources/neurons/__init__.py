"""Neurons Predict: all media, and the JSON and CSV files that their results name."""

import hashlib
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from etl.archive.archive import Archive, place_of
from etl.config import Settings
from etl.errors import ClientError, SourceError
from etl.event import hearing
from etl.extract.address import Reach
from etl.extract.stream import (
    Action,
    Bundle,
    Enrich,
    File,
    Page,
    Query,
    RequestStats,
    Reread,
    SourceContext,
    Stream,
    as_received,
)
from etl.extract.survey import Survey
from etl.sources.neurons import assets
from etl.sources.neurons.account import fingerprint, shares_media, surveyed
from etl.sources.neurons.archive import PictureArchive
from etl.sources.neurons.instead import sent_instead
from etl.sources.neurons.known import NEVER, Again, Known, fetched_again, wanted_files
from etl.sources.neurons.listing import PAGE, Listed, MediaList, may_have_changed, read_one, readable
from etl.sources.neurons.metrics import enrich_medium
from etl.sources.neurons.pictures import is_picture, wanted_names
from etl.sources.neurons.settings import OwnSettings as OwnSettings
from etl.sources.neurons.signed_links import SignedLinks
from etl.sources.neurons.signed_links import redact as redact
from etl.sources.neurons.signed_links import steady as steady
from etl.sources.neurons.unread import Unread
from etl.values import micros_of

LOGIN = "NEURONS_API_KEY"
RATE = (180, 10.0)
"""Requests in seconds; the vendor's page on rate limits allows 200 in 10 s, all programs taken together."""
TAIL = "tail"
BACKFILL = "backfill"
"""Partition under which runs that read only the end of the list are entered."""


MOST_GONE = 0.1
"""Part of the stored media that one listing may mark as gone without anybody's word."""
FEW_GONE = 1
"""So many it may mark in any case: of few media one is more than that part."""


def connect(settings: Settings) -> "Neurons | None":
    """Return a session, without having asked anything yet; None where there is no key."""
    return Neurons(settings) if settings.of(OwnSettings).api_key else None


class Neurons:
    """One account of the Neurons Predict API."""

    def __init__(self, settings: Settings) -> None:
        # Not above: what is imported for httpx takes long, and most commands ask no API.
        from etl.extract.http import Api  # noqa: PLC0415
        from etl.sources.neurons.login import KeyHeader  # noqa: PLC0415

        own = settings.of(OwnSettings)
        self._sweep = own.sweep * 3600 * 1_000_000
        self._at_once = settings.concurrency
        # A link to this machine, or into its network, is followed only where the API is there too.
        reach = Reach(own.url)
        self._api = Api(
            own.url, settings, auth=KeyHeader(own.api_key), hint=f"check {LOGIN}", rate=RATE, reach=reach
        )
        self._list = MediaList(self._api)
        self._unread = Unread()
        self._is_same = True
        """Whether, as far as is known, all media that are stored are of this account."""
        self._account = fingerprint(own.api_key)
        # Links are for anybody who holds them: the key must not travel along.
        self._files = Api(None, settings, reach=reach)
        self._pool = ThreadPoolExecutor(self._at_once, "neurons", hearing())
        wanted = wanted_names(own.archive)
        archive = Archive(place_of(settings), "neurons", settings) if wanted else None
        self._pictures = PictureArchive(archive, wanted, self._files, self._links)

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._api.close()
        self._files.close()

    def account(self) -> str:
        """Return a name of the account made of its key, from which the key cannot be found.

        The API tells none.
        """
        return self._account

    def owns(self, ask: Query, _bound: str | None) -> bool:
        """Whether the key leads to media that are stored, as a new key of the same account does."""
        stats = RequestStats()
        self._is_same = shares_media(
            ask, lambda: self._list.page(0, stats).keys, lambda one: self._one(one, stats)
        )
        return self._is_same

    def streams(self, source_context: SourceContext) -> Iterator[list[Stream]]:
        """Yield the media with their files.

        All of the list when a sweep is due, else its end and what is open.
        """
        self._source_context = source_context
        if source_context.reread:
            again = self._unread.named(partial(self._again, source_context.reread))
            yield [Stream("media", again, BACKFILL, is_list=True)]
            return
        if self._is_sweep_due(source_context):
            yield [Stream("media", self._unread.named(self._all), is_list=True)]
        else:
            yield [Stream("media", self._unread.named(self._tail), TAIL, is_list=True)]
        for stream in self._pictures.streams(source_context, self._pool):
            yield [stream]

    def _is_sweep_due(self, context: SourceContext) -> bool:
        now = micros_of(context.now())
        # A listing that is yet to come was done under another clock: how long ago, nobody knows.
        return not any(0 <= now - swept < self._sweep for (swept,) in context.ask("neurons/last_sweep"))

    def survey(self, context: SourceContext, stats: RequestStats) -> Survey:
        """Return how many media the first page of the list tells of; that page alone is asked for."""
        page, partition = self._list.page(0, stats), "" if self._is_sweep_due(context) else TAIL
        return surveyed(page, self._account, partition, self._api.clock.skew(context.now()))

    def _all(self, stats: RequestStats) -> Iterator[Bundle]:
        """All media the list names, then those it does not any more: gone, or left out by mistake."""
        stored = [row[0] for row in self._source_context.ask("neurons/stored")]
        seen: set[Hashable] = set()
        # Where its end is not proven this raises, and nothing is held to be gone.
        for page in self._list.pages(0, seen, stats):
            yield from self._with_files(page, stats)
        gone: list[str] = []
        yield from self._asked_for([media_id for media_id in stored if media_id not in seen], stats, gone)
        # Of another account's media nothing says whether they are deleted.
        mixed = [is_mixed for _, is_mixed in self._source_context.ask("etl/account", source="neurons")]
        if self._is_same and not any(mixed):
            yield from self._deletions(gone, len(stored))

    def _again(self, reread: Reread, stats: RequestStats) -> Iterator[Bundle]:
        """Yield the media that changed between two times, with all of their files, or those that are named.

        Only the whole list has those that changed.
        """
        if reread.records is not None:
            yield from self._asked_for(list(reread.records), stats, [], reread.records)
            return
        for page in self._list.pages(0, set(), stats):
            if not reread.with_files:
                yield [Page("media", [whole for each in page for whole in self._whole(each, stats)])]
                continue
            changed = [each for each in page if may_have_changed(each, reread.start, reread.end)]
            yield from self._with_files(changed, stats, {})

    def _tail(self, stats: RequestStats) -> Iterator[Bundle]:
        """Yield the end of the list from the last medium that is known, then every open medium."""
        first = self._source_context.ask("neurons/count")[0][0]
        while first > 0:
            first = max(0, first - PAGE)
            page = self._list.page(first, stats).records
            if any(each.media_id in self._known([each]) for each in readable(page)):
                break
        seen: set[Hashable] = set()
        for some in self._list.pages(first, seen, stats):
            yield from self._with_files(some, stats)
        still_open = (row[0] for row in self._source_context.ask("neurons/open"))
        # Who is gone is for a full listing to say.
        yield from self._asked_for([media_id for media_id in still_open if media_id not in seen], stats, [])

    def _asked_for(
        self, media_ids: Sequence[str], stats: RequestStats, gone: list[str], again: Again = None
    ) -> Iterator[Bundle]:
        """Yield these media, each asked for by its id; `gone` gathers those that are not there any more."""
        for some in _chunks(media_ids, self._at_once):
            found = list(self._pool.map(lambda media_id: self._shown(media_id, stats), some))
            missing = [media_id for media_id, medium in zip(some, found, strict=True) if medium is None]
            gone += [media_id for media_id in missing if media_id not in self._unread]
            yield from self._with_files([medium for medium in found if medium is not None], stats, again)

    def _deletions(self, gone: Sequence[str], stored: int) -> Iterator[Bundle]:
        """Yield a mark on the media that are gone.

        None where they are so many that somebody must confirm it.
        """
        about = {"source": "neurons", "what": "deletions"}
        held = self._source_context.ask("etl/confirmation", **about)
        is_confirmed = any(confirmed and len(gone) <= (most or 0) for most, confirmed in held)
        if len(gone) > max(FEW_GONE, MOST_GONE * stored) and not is_confirmed:
            yield [Action("hold_back", {**about, "held": len(gone), "of": stored})]
            return
        actions = [Action("mark_deleted", {"ids": gone})] if gone else []
        actions += [Action("forget_confirmation", about)] if held else []
        if actions:
            yield actions

    def _one(self, media_id: str, stats: RequestStats) -> msgspec.Raw | None:
        """One medium as it is now; None where it is gone."""
        try:
            found = self._api.get(msgspec.Raw, f"/predict/v2/media/{quote(media_id, safe='')}", stats)
        except ClientError as refused:
            if refused.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return None
            raise
        medium = read_one(found)
        if as_received(bytes(found)) == bytes(found) and (medium is None or medium.media_id != media_id):
            raise SourceError(f"who asks for the medium {media_id} is answered with another, or with none")
        return found

    def _shown(self, media_id: str, stats: RequestStats) -> msgspec.Raw | None:
        """One medium as it is now; None where it is gone, or cannot be read."""
        return self._unread.read(media_id, lambda one: self._one(one, stats))

    def _with_files(
        self, page: Sequence[bytes], stats: RequestStats, again: Again = None
    ) -> Iterator[Bundle]:
        """Yield the media of a page a few at a time, each few with the files that must be fetched for them.

        With `again` these are the named files that are not archived, whatever is known of them.
        """
        known = self._known(readable(page))
        asked: deque[tuple[Page, Iterator[File], list[Action]]] = deque()
        if again is not None:
            # What is archived of a medium that is the same is archived still.
            known = {key: each._replace(settled=each.archived) for key, each in known.items()}
        for records, wanted in self._few(page, known, stats, again):
            files = self._pool.map(lambda each: self._file(*each, stats=stats), wanted)
            ids = [medium.media_id for medium in readable(records)]
            back = [media_id for media_id in ids if known.get(media_id, NEVER).deleted]
            listed = [Action("mark_listed", {"ids": back})] if back else []
            if again is None:
                listed += fetched_again(wanted, known, micros_of(self._source_context.now()))
            asked.append((Page("media", records), files, listed))
            # The files of the next few are asked for before the last of these has come.
            if len(asked) > 1:
                yield _bundle(*asked.popleft())
        while asked:
            yield _bundle(*asked.popleft())

    def _few(
        self, page: Sequence[bytes], known: Mapping[str, Known], stats: RequestStats, again: Again
    ) -> Iterator[tuple[list[bytes], list[tuple[str, str, SignedLinks]]]]:
        """Yield a few media at a time, with files to fetch: each is held until those beside it have come."""
        minted, records, wanted = (
            self._source_context.now(),
            list[bytes](),
            list[tuple[str, str, SignedLinks]](),
        )
        for each in page:
            whole = self._whole(each, stats)
            records += whole
            for medium in readable(whole):
                if self._source_context.is_forgotten(medium.media_id):
                    continue
                signed_links = SignedLinks(
                    medium.results or {}, minted, partial(self._links, medium.media_id, stats)
                )
                names = wanted_files(medium, known.get(medium.media_id), again)
                wanted += [(medium.media_id, name, signed_links) for name in names]
            if max(len(records), len(wanted)) >= self._at_once:
                yield records, wanted
                records, wanted = [], []
        if records:
            yield records, wanted

    def _links(self, media_id: str, stats: RequestStats) -> Mapping[str, Any]:
        """Return the links of a medium, minted anew; none where it is gone."""
        record = self._one(media_id, stats)
        medium = read_one(record) if record else None
        return (medium and medium.results) or {}

    def _whole(self, record: bytes, stats: RequestStats) -> list[bytes]:
        """Return the medium with its results and metrics, which a list may leave out; none if unreadable.

        No document shows one of version 2.
        """
        medium = read_one(record)
        if medium is None or None not in (medium.results, medium.metrics):
            return [record]
        whole = self._shown(medium.media_id, stats) or record
        return [] if medium.media_id in self._unread else [whole]

    def _known(self, media: Iterable[Listed]) -> dict[str, Known]:
        """Return what is stored of these media, by id."""
        rows = self._source_context.ask(
            "neurons/known",
            ids=[medium.media_id for medium in media],
            now_us=micros_of(self._source_context.started),
        )
        return {row[0]: Known(row[1:4], *row[4:]) for row in rows}

    def _file(self, media_id: str, name: str, signed_links: SignedLinks, *, stats: RequestStats) -> File:
        """Return the file fetched, or skipped as a picture, or missing with the reason."""
        row: dict[str, Any] = {"media_id": media_id, "asset": name, "fetched_at": None}
        path = f"{quote(media_id, safe='')}/{quote(name, safe='')}"
        link = signed_links.links.get(name)
        if is_picture(name, link if isinstance(link, str) else ""):
            return File("assets", path, {**row, "state": "skipped"})
        try:
            body, content_type = signed_links.fetched(
                name, self._source_context.now, lambda each: self._believed(each, stats)
            )
        except SourceError as error:
            return File("assets", path, {**row, "state": "missing", "error": str(error)})
        row |= {
            "state": "loaded" if name in assets.READERS else "archived",
            "content_type": content_type,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "fetched_at": self._source_context.now().timestamp(),
        }
        return File("assets", path, row, body)

    def _believed(self, link: str, stats: RequestStats) -> tuple[bytes, str]:
        """Return the file; ClientError where something else came, such as a login page."""
        body, content_type = self._files.download(link, stats)
        instead = sent_instead(body, content_type)
        if instead is not None:
            raise ClientError(f"the server sent {instead} in place of the file", HTTPStatus.GONE)
        return body, content_type


def _bundle(page: Page, files: Iterator[File], actions: Sequence[Action]) -> Bundle:
    """Return what belongs together, once all files have come."""
    return [page, *files, *actions]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))


ENRICH: Mapping[str, Enrich] = {"media": Enrich(enrich_medium)}

read_alike, read, refuse = assets.read_alike, assets.read, assets.refuse
