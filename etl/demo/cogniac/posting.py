"""Posts of new detections to the addresses of an application, as the vendor's page says.

"Posts are retried for thirty seconds, but URL's that fail retried posts after thirty seconds are blacklisted
for five minutes." A post is sent where the probability of a subject is over its threshold, 0.5 by default.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from etl.demo.cogniac.data import CogniacData

RETRIED_S = 30.0
BLACKLISTED_S = 300.0
PAUSE_S = 1.0
"""Between two attempts; no document says how long it is."""
TIMEOUT_S = 10.0
"""For one attempt, likewise."""
THRESHOLD = 0.5

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one post."""

    url: str
    body: bytes
    attempts: int
    """0 where the address was blacklisted."""
    is_answered: bool


class Poster:
    """Posts what is newer in the data than what was posted before; to begin with, nothing of it is."""

    def __init__(
        self,
        data: CogniacData,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        as_printed: bool = False,
    ) -> None:
        """`as_printed` sends what is no JSON in the way in which the vendor's sample is none."""
        self._data = data
        self._clock = clock
        self._sleep = sleep
        self._as_printed = as_printed
        self._blacklisted_until: dict[str, float] = {}
        self._newest = {each: data.ledger(each).newest for each, _ in self._posting()}

    def post_new(self) -> list[Posted]:
        """Post each record that has changed since, and tell what became of it."""
        posted = []
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            for application_id, application in self._posting():
                ledger = self._data.ledger(application_id)
                since, self._newest[application_id] = self._newest.get(application_id, 0), ledger.newest
                for record in self._data.truth(application_id):
                    if record["updated_at"] * 1_000_000 > since and is_posted(record, application):
                        body = self._body(record)
                        posted += [
                            self._send(client, url, body) for url in application["detection_post_urls"]
                        ]
        return posted

    def _posting(self) -> Iterator[tuple[str, JsonDict]]:
        for application in self._data.applications():
            if application.get("active", True):
                yield application["application_id"], application

    def _body(self, record: JsonDict) -> bytes:
        post = post_of(record)
        return as_printed(post) if self._as_printed else msgspec.json.encode(post)

    def _send(self, client: httpx.Client, url: str, body: bytes) -> Posted:
        """Post until it is answered with 2xx, for thirty seconds; an address that fails is left alone."""
        begun, attempts = self._clock(), 0
        if begun < self._blacklisted_until.get(url, 0.0):
            return Posted(url, body, 0, is_answered=False)
        while True:
            attempts += 1
            if _is_answered(client, url, body):
                return Posted(url, body, attempts, is_answered=True)
            if self._clock() - begun >= RETRIED_S:
                self._blacklisted_until[url] = self._clock() + BLACKLISTED_S
                return Posted(url, body, attempts, is_answered=False)
            self._sleep(PAUSE_S)


def enter_address(data: CogniacData, address: str) -> None:
    """Let each application post to this address, with its own id behind it."""
    for each in data.applications():
        own = f"{address.rstrip('/')}/{each['application_id']}"
        data.put_application({**each, "detection_post_urls": [own]})


def is_posted(record: JsonDict, application: JsonDict) -> bool:
    """Whether any subject of a record is over its threshold."""
    thresholds = application.get("detection_thresholds") or {}
    return any(
        (one.get("probability") or 0) > float(thresholds.get(one["subject_uid"], THRESHOLD))
        for one in record.get("detections") or ()
    )


def post_of(record: JsonDict) -> JsonDict:
    """Return what is posted of a record: all of its subjects, those below the threshold too."""
    parents = record["media"].get("parent_media_ids")
    media = {"media_id": record["media"]["media_id"]} | ({"parent_media_ids": parents} if parents else {})
    subjects = [
        {
            "subject_uid": one["subject_uid"],
            "probability": one["probability"],
            "updated_at": float(one["created_at"]),
        }
        for one in record["detections"]
    ]
    return {"media": media, "focus": record["focus"], "subjects": subjects}


def as_printed(post: JsonDict) -> bytes:
    """Return a post with the slips of the vendor's sample: a comma missing, one too many, single quotes."""
    media_id, focus, subjects = (
        msgspec.json.encode(each).decode()
        for each in (post["media"]["media_id"], post["focus"], post["subjects"])
    )
    parents = ", ".join(f"'{each}'" for each in post["media"].get("parent_media_ids", ()))
    media = f'{{"media_id": {media_id}\n  "parent_media_ids": [{parents}],\n  }}'
    return f'{{\n "media": {media},\n "focus": {focus},\n "subjects": {subjects}\n}}'.encode()


def _is_answered(client: httpx.Client, url: str, body: bytes) -> bool:
    try:
        return client.post(url, content=body, headers={"content-type": "application/json"}).is_success
    except httpx.HTTPError:
        return False
