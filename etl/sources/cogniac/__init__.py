"""Cogniac: applications, subjects, and the detections of every application, oldest change first."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from etl.archive.archive import Archive, place_of
from etl.config import Settings
from etl.errors import ClientError, ConfigError, SourceError
from etl.extract.address import Reach
from etl.extract.paging import ListPage, by_next
from etl.extract.ranges import RangeReader, unread
from etl.extract.stream import (
    Bundle,
    Checkpoint,
    Page,
    Query,
    RequestStats,
    SourceContext,
    Stream,
    Watermark,
    in_parts,
)
from etl.extract.survey import Part, Survey
from etl.inbox.reader import Inbox
from etl.setting import Secret
from etl.sources.cogniac.applications import Application, application_of
from etl.sources.cogniac.archive import MediaArchive, wanted_sizes
from etl.sources.cogniac.given_back import give_back
from etl.sources.cogniac.pages import PAGE, Records, linked
from etl.sources.cogniac.pushed import Postbacks
from etl.sources.cogniac.records import ENRICH, redact
from etl.sources.cogniac.scan import Scan
from etl.sources.cogniac.settings import OwnSettings
from etl.sources.cogniac.subjects import Subjects

__all__ = ["ENRICH", "LOGIN", "OwnSettings", "connect", "give_back", "redact"]

LOGIN = "COG_API_KEY, or COG_USER and COG_PASS"
"""Which settings must be given to log in, as told to people."""
MOST_NAMED = 5
"""Applications that a notice names."""
MICROSECOND = timedelta(microseconds=1)

Windows = Sequence[tuple[int, int]]
"""From when to when, in microseconds since 1970."""


def connect(settings: Settings) -> "Cogniac | None":
    """Return a session, without having asked anything yet; None where no credentials are set."""
    own = settings.of(OwnSettings)
    key, user, password = own.api_key, own.user, own.password
    if key:
        if ":" not in key.reveal():
            message = "COG_API_KEY must be the key's id and its secret with a colon between them"
            raise ConfigError(message)
        return Cogniac(settings, f"Key {key.reveal()}", [])
    if bool(user) != bool(password):
        message = "COG_USER and COG_PASS go together: set both, or COG_API_KEY"
        raise ConfigError(message)
    if not user:
        return None
    basic = base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
    return Cogniac(settings, f"Basic {basic}", [Secret(basic)])


class Cogniac:
    """One tenant of the Cogniac API."""

    def __init__(self, settings: Settings, credentials: str, secrets: list[Secret]) -> None:
        # Not above: what is imported for httpx takes long, and most commands ask no API.
        from etl.extract.http import Api  # noqa: PLC0415
        from etl.sources.cogniac.login import Login  # noqa: PLC0415

        own = settings.of(OwnSettings)
        base = re.sub(r"/+(1/*)?$", "", own.url_prefix)
        self._login = Login(base, credentials, own.tenant)
        # A link to this machine, or into its network, is followed only where the API is there too.
        reach = Reach(base)
        self._api = Api(
            base,
            settings,
            auth=self._login,
            secrets=secrets,
            hint=f"check {LOGIN}",
            reach=reach,
        )
        sizes = wanted_sizes(own.archive)
        archive = Archive(place_of(settings), "cogniac", settings) if sizes else None
        # Links are for anybody who holds them: the token must not travel along.
        files = Api(None, settings, reach=reach)
        self._archive = MediaArchive(archive, sizes, self._medium, files, settings.concurrency)
        self._wanted = own.applications
        self._readers = RangeReader(settings.concurrency)
        self._found: dict[str, Application] = {}
        self._reached = False
        self._stored: Callable[[], Sequence[Sequence[Any]]] = tuple
        """Gives a row with the id of each application that was loaded before."""
        self._inbox = Inbox(settings.home)
        self._listen_secret = settings.listen_secret.reveal().encode()
        self._opening: tuple[Records, RequestStats] | None = None
        """The first page of the applications and what it cost, where it told the tenant."""

    def close(self) -> None:
        """Let go of all connections."""
        self._archive.close()
        self._api.close()

    def account(self) -> str:
        """Return the tenant: the one that is set, or else the one that the first answer was for."""
        if not self._login.tenant:
            stats = RequestStats()
            self._opening = (
                self._api.get(Records, "/1/tenants/current/applications", stats),
                stats,
            )
        return self._login.tenant

    def owns(self, ask: Query, bound: str | None) -> bool:
        """Whether what a version before the binding has loaded is of this tenant.

        Applications decide: subjects and media may be another tenant's who shares them.
        """
        if bound is not None:
            return False
        stored = [{row[0] for row in ask(f"cogniac/{name}")} for name in ("tenants", "tenants_of_parts")]
        owners: set[str] = next(filter(None, stored), set())
        return not owners or self.account() in owners

    def streams(self, source_context: SourceContext) -> Iterator[list[Stream]]:
        """Yield what was posted, then applications: they name the subjects and the detections to ask for."""
        posts, reread = None, source_context.reread
        if reread is not None and reread.windows is not None:
            yield from self._again(reread.windows)
            return
        if reread is None:
            posts = Postbacks(self._inbox, source_context)
            if first := posts.first():
                yield first
            posts.settle()
        self._stored = partial(source_context.ask, "cogniac/stored_applications")
        yield [Stream("applications", self._applications, is_list=True)]
        if not self._reached:
            # The login or the host failed: one complaint says so.
            return
        if posts is not None and self._wanted:
            posts.expect({*self._found, *self._wanted})
        ahead = self._api.clock.ahead(source_context.now()) // MICROSECOND
        yield [
            Stream("subjects", self._subjects, is_list=True),
            *(
                Stream("detections", partial(self._detections, each, posts), each, ahead=ahead)
                for each in self._to_read()
            ),
        ]
        if posts is not None and (last := posts.last()):
            yield last
        if reread is None:
            for stream in self._archive.streams(source_context):
                yield [stream]

    def survey(self, context: SourceContext, stats: RequestStats) -> Survey:
        """Return the tenant and the applications, of which alone it asks the list."""
        count = sum(
            self._find(record) for page in self._listed("applications", stats) for record in page.records
        )
        reading = list(dict.fromkeys([*self._to_read(), *self._wanted]))
        parts = [
            Part("applications", is_list=True, holds=count),
            Part("subjects", is_list=True),
            *(Part("detections", each, page=PAGE) for each in reading),
        ]
        sees = f"tenant {self._login.tenant}, applications: {count:,}, of which it reads {len(reading):,}"
        skew = self._api.clock.skew(context.now())
        return Survey(self._login.tenant, sees, parts, names_account=True, skew=skew)

    def _again(self, windows: Mapping[tuple[str, str], Windows]) -> Iterator[list[Stream]]:
        """Yield the lists where they are named, and the windows of applications.

        Those alone that are to be read by what the lists say, where these were read.
        """
        named = [partition for stream, partition in windows if stream == "detections"]
        if ("applications", "") in windows:
            yield [Stream("applications", self._applications, is_list=True)]
            if not self._reached:
                return
            yield [Stream("subjects", self._subjects, is_list=True)]
            named = [each for each in self._to_read() if each in named]
        if named:
            yield [
                Stream("detections", partial(self._within, each, windows["detections", each]), each)
                for each in named
            ]

    def _within(
        self, application_id: str, windows: Windows, checkpoint: Checkpoint, stats: RequestStats
    ) -> Iterator[Bundle]:
        """Yield the records changed within these times."""
        for start, end in windows:
            window = replace(checkpoint, start=start, end=end, done=(), settled=0)
            for bundle in self._scanned(application_id, stats, window):
                yield [each for each in bundle if not isinstance(each, Watermark)]

    def _to_read(self) -> list[str]:
        if self._wanted:
            return [each for each in self._found if each in self._wanted]
        return [each.application_id for each in self._found.values() if each.is_active]

    def _applications(self, _checkpoint: Checkpoint, stats: RequestStats) -> Iterator[Bundle]:
        """All applications the tenant lists, then those that are wanted by id and were not among them.

        One that does not fit its table is refused there, and its detections are read all the same.
        """
        nameless = 0
        for page in self._listed("applications", stats):
            self._reached = True
            nameless += sum(not self._find(record) for record in page.records)
            yield [self._without_secret(page)]
        refused = []
        for wanted in set(self._wanted) - self._found.keys():
            try:
                record = self._api.get(msgspec.Raw, f"/1/applications/{quote(wanted, safe='')}", stats)
            except ClientError as error:
                refused.append(f"{wanted} ({error})")
                continue
            found = application_of(record, wanted)
            if found is not None and found.application_id != wanted:
                # Of another one, under whose id its detections are: these are not what is wanted.
                refused.append(f"{wanted} (answered with {found.application_id[:40]})")
                continue
            self._find(record, wanted)
            yield [self._without_secret(Page("applications", [record], self._tenant()))]
        if refused:
            message = (
                f"SIGHTGLASS_COGNIAC_APPLICATIONS names what cannot be read: {', '.join(sorted(refused))}"
            )
            raise SourceError(message)
        if nameless and not self._wanted:
            raise SourceError(f"applications without a readable id: {nameless}; their detections are missing")
        yield from self._no_longer_listed()

    def _no_longer_listed(self) -> Iterator[Bundle]:
        """Yield a word on applications that were loaded and that no list has any more.

        They are gone, or the credentials have lost their right to them: no answer says which.
        """
        gone = sorted({str(row[0]) for row in self._stored()} - self._found.keys())
        if gone and not self._wanted:
            told = ", ".join(each[:40] for each in gone[:MOST_NAMED]) + ", ..." * (len(gone) > MOST_NAMED)
            notice = (
                f"not listed any more, so their detections are not read: {told}; where they are gone for "
                "good, `sightglass refresh cogniac applications` takes them out"
            )
            yield [Watermark(None, notice=notice)]

    def _without_secret(self, page: Page) -> Page:
        """Return applications without what only those may know who post: it stands in their addresses."""
        if not self._listen_secret:
            return page
        # It is made of letters, digits and signs that JSON does not escape.
        records = [bytes(record).replace(self._listen_secret, b"***") for record in page.records]
        return Page(page.stream, records, page.context)

    def _find(self, record: bytes, application_id: str = "") -> bool:
        """Take note of an application; False where nothing tells which it is."""
        found = application_of(record, application_id)
        if found is not None:
            before = self._found.get(found.application_id, found)
            self._found[found.application_id] = found._replace(
                is_active=found.is_active or before.is_active, subjects=found.subjects | before.subjects
            )
        return found is not None

    def _subjects(self, _checkpoint: Checkpoint, stats: RequestStats) -> Iterator[Bundle]:
        """All subjects the tenant lists, then those that applications name and that were not among them."""
        named = {uid for each in self._found.values() for uid in each.subjects}
        subjects = Subjects(self._api, self._tenant(), stats)
        yield from subjects.bundles(self._listed("subjects", stats), named)

    def _listed(self, what: str, stats: RequestStats) -> Iterator[Page]:
        """Pages of a list of the tenant, which goes on as long as answers hold a `last_key`, or a `next`."""

        def ask(params: dict[str, str]) -> ListPage:
            # "current" stands for the tenant of the token, which is not known before the first request.
            path = f"/1/tenants/{self._login.tenant or 'current'}/{what}"
            answer = self._opened(what, stats) or self._api.get(Records, path, stats, params)
            return ListPage(answer.data, next=linked(answer))

        for page in by_next(ask, what, {}):
            yield Page(what, page.records, self._tenant())

    def _opened(self, what: str, stats: RequestStats) -> Records | None:
        """Return the first page of a list, where it is here already."""
        if self._opening is None or what != "applications":
            return None
        (answer, spent), self._opening = self._opening, None
        stats.add(requests=spent.requests, retries=spent.retries, received=spent.bytes)
        return answer

    def _detections(
        self, application_id: str, posts: Postbacks | None, checkpoint: Checkpoint, stats: RequestStats
    ) -> Iterator[Bundle]:
        """Yield the records changed since the position, oldest first, and those that posts are about."""
        read = partial(self._scanned, application_id, stats)
        yield from posts.polled(application_id, checkpoint, read) if posts else read(checkpoint)

    def _scanned(self, application_id: str, stats: RequestStats, checkpoint: Checkpoint) -> Iterator[Bundle]:
        """Yield the records changed between two times, oldest first."""
        scan = Scan(self._api, application_id, checkpoint, stats)
        known = int(checkpoint.cursor or 0)
        for time_range in unread(checkpoint.start, checkpoint.end, checkpoint.done):
            for bundle in self._readers.read(time_range, scan.bundles, known):
                yield from in_parts(bundle)
        yield [scan.watermark()]

    def _medium(self, media_id: str, stats: RequestStats) -> bytes:
        """Return a medium as it is now."""
        return self._api.get(msgspec.Raw, f"/1/media/{quote(media_id, safe='')}", stats)

    def _tenant(self) -> dict[str, str]:
        return {"tenant_id": self._login.tenant}
