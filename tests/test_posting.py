"""The simulated Cogniac posts as the vendor's page says: thresholds, thirty seconds, five minutes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from etl.demo.cogniac.posting import Poster, post_of
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.script import Clock
from etl.demo.server import serve
from etl.sources.cogniac.postbacks import mended_json


class Receiver:
    """Takes posts, as long as it is `up`."""

    def __init__(self) -> None:
        self.is_up = True
        self.bodies: list[bytes] = []
        self.refused = 0
        self.app = Starlette(routes=[Route("/{label}", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        if not self.is_up:
            self.refused += 1
            return Response(status_code=503)
        self.bodies.append(await request.body())
        return Response(status_code=204)


@contextmanager
def posting(**options: Any) -> Iterator[tuple[CogniacSimulator, Poster, Receiver, Clock]]:  # noqa: ANN401
    """A simulator whose first application posts to a receiver."""
    cogniac, receiver, clock = CogniacSimulator(1, CogniacSize(records=60)), Receiver(), Clock(0.0)
    with serve(receiver.app) as url:
        application = cogniac.applications()[0]
        cogniac.put_application({**application, "detection_post_urls": [f"{url}here"]})
        yield cogniac, Poster(cogniac, clock=clock, sleep=clock.advance, **options), receiver, clock


def records(cogniac: CogniacSimulator) -> list[dict[str, Any]]:
    """The records of the application that posts."""
    return list(cogniac.truth(cogniac.applications()[0]["application_id"]))


def test_what_is_new_and_over_its_threshold_is_posted() -> None:
    """Once, with all of its subjects; what was there before is not."""
    with posting() as (cogniac, poster, receiver, _clock):
        nothing, before = poster.post_new(), {record["updated_at"] for record in records(cogniac)}
        cogniac.advance(records=60)
        poster.post_new()
        again = poster.post_new()
        thresholds = cogniac.applications()[0]["detection_thresholds"]
        new = [record for record in records(cogniac) if record["updated_at"] not in before]

    over = [
        record
        for record in new
        if any(one["probability"] > thresholds[one["subject_uid"]] for one in record["detections"])
    ]
    assert ([], []) == (nothing, again)
    assert 0 < len(over) < len(new)
    assert [post_of(record) for record in over] == list(map(msgspec.json.decode, receiver.bodies))


def test_an_address_that_fails_is_tried_for_thirty_seconds_and_left_alone_for_five_minutes() -> None:
    """What is posted meanwhile is lost; after that it is posted to again."""
    with posting() as (cogniac, poster, receiver, clock):
        receiver.is_up = False
        cogniac.advance(records=60)
        first, *others = poster.post_new()
        tried, at = receiver.refused, clock()
        receiver.is_up = True
        clock.advance(299.0)
        cogniac.advance(records=60)
        early = poster.post_new()
        clock.advance(2.0)
        cogniac.advance(records=60)
        late = poster.post_new()

    assert (31, 31, 30.0) == (first.attempts, tried, at)
    assert {0} == {each.attempts for each in [*others, *early]}
    assert ({1}, True) == ({each.attempts for each in late}, all(each.is_answered for each in late))
    assert len(late) == len(receiver.bodies)


def test_it_can_send_what_the_page_prints() -> None:
    """No JSON, as the vendor's sample is none, and meaning the same."""
    with posting(as_printed=True) as (cogniac, poster, receiver, _clock):
        cogniac.advance(records=60)
        poster.post_new()

    assert [] != receiver.bodies
    for body in receiver.bodies:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(body)
        assert {"media", "focus", "subjects"} == msgspec.json.decode(mended_json(body.decode())).keys()
