"""Cogniac's subjects: those that are listed, and those that applications name besides."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from etl.errors import ClientError
from etl.extract.stream import Bundle, Page, RequestStats, Watermark
from etl.sources.cogniac.pages import Records, readable

if TYPE_CHECKING:
    from etl.extract.http import Api

AT_ONCE = 100
"""Subjects that are asked for together."""


class Subject(msgspec.Struct):
    """What must be known of a subject to see that it is there."""

    subject_uid: str


class Subjects:
    """The subjects of a tenant, as a run reads them."""

    def __init__(self, api: "Api", tenant: Mapping[str, str], stats: RequestStats) -> None:
        """`tenant` is what the request says of each record: whose it is."""
        self._api = api
        self._tenant = tenant
        self._stats = stats

    def bundles(self, listed: Iterable[Page], named: Collection[str]) -> Iterator[Bundle]:
        """Yield the pages of the list, then what it lacks of those that are named.

        No document says that the list is whole without search arguments, so it is not relied on.
        """
        known = set()
        for page in listed:
            known |= {each.subject_uid for each in readable(page.records, Subject)}
            yield [page]
        missing, unlisted = sorted(set(named) - known), list[str]()
        while missing:
            some = missing[:AT_ONCE]
            answer = self._api.get(
                Records,
                f"/1/tenants/{self._tenant['tenant_id']}/subjects",
                self._stats,
                {"ids": ",".join(some)},
            )
            yield [Page("subjects", answer.data, self._tenant)]
            known = {each.subject_uid for each in readable(answer.data, Subject)}
            # An answer may hold fewer than were asked for: the others are asked for as long as some come.
            left = [uid for uid in some if uid not in known]
            came, missing = len(left) < len(some), missing[AT_ONCE:]
            missing, unlisted = ([*left, *missing], unlisted) if came else (missing, [*unlisted, *left])
        yield from self._one_by_one(unlisted)

    def _one_by_one(self, uids: Sequence[str]) -> Iterator[Bundle]:
        """Yield those of the subjects that are there, and a word on those that cannot be read."""
        refused = []
        for uid in uids:
            try:
                record = self._api.get(msgspec.Raw, f"/1/subjects/{quote(uid, safe='')}", self._stats)
            except ClientError as error:
                if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                    refused.append(f"{uid[:40]} ({error})")
                continue
            if [each.subject_uid for each in readable([record], Subject)] == [uid]:
                yield [Page("subjects", [record], self._tenant)]
            else:
                refused.append(f"{uid[:40]} (answered with another, or with none)")
        if refused:
            yield [Watermark(None, notice=f"subjects cannot be read: {', '.join(refused)}")]
