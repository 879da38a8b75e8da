"""What answers may take of memory, and what waits between the threads that read and the one that loads."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from conftest import DEFAULTS, Row, rows
from hostile import DETECTIONS, MEDIA, cogniac, medium, of_cogniac, record, serving

from etl import schema
from etl.config import load
from etl.extract.bounded_queue import MOST_BYTES, BoundedQueue
from etl.extract.deadline import within
from etl.extract.memory import BodyMemory, TooLargeError
from etl.extract.stream import (
    MANY_RECORDS,
    Action,
    Bundle,
    Checkpoint,
    File,
    Page,
    RequestStats,
    SourceContext,
    Stream,
    Watermark,
    in_parts,
    size_of,
)
from etl.sources import source_module
from etl.sources.neurons import OwnSettings, connect
from etl.transform.batch import Transformer
from etl.transform.decode import Decoder
from etl.transform.pages import BLOCK

MEGABYTE = 2**20
SHARE = 4 * MEGABYTE
"""Of 16 megabytes half, for two requests in flight."""
TIMEOUT_SECONDS = 30.0  # seconds after which a test fails that would wait for ever


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine is asked."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def memory() -> BodyMemory:
    """Sixteen megabytes for two requests in flight."""
    return BodyMemory(replace(DEFAULTS, body_memory=16, concurrency=2))


def test_pages_share_what_one_may_have(memory: BodyMemory) -> None:
    """Within their shares they do not wait for each other; one at a time may outgrow it, up to half."""
    with memory.page() as large, memory.page() as small:
        large(SHARE + 1)
        small(SHARE)
        large(2 * SHARE)
        with within(0.01), pytest.raises(TimeoutError, match="there was no room for this one in time"):
            small(SHARE + 1)
        with pytest.raises(TooLargeError):
            large(2 * SHARE + 1)
    with memory.page() as next_one, within(TIMEOUT_SECONDS):
        next_one(2 * SHARE)


def test_the_turn_is_one_for_all_sources(memory: BodyMemory) -> None:
    """Whoever comes next gets it once it is free, and not before."""
    other = BodyMemory(replace(DEFAULTS, body_memory=16, concurrency=2))
    with memory.page() as grow:
        grow(SHARE + 1)
        with within(0.01), other.page() as of_another, pytest.raises(TimeoutError):
            of_another(SHARE + 1)
    with within(TIMEOUT_SECONDS), other.page() as of_another:
        of_another(SHARE + 1)


def test_a_file_has_its_share_and_no_more(memory: BodyMemory) -> None:
    """It waits for those beside it, so that none of them may wait for it."""
    memory.grow_file(SHARE)
    with pytest.raises(TooLargeError):
        memory.grow_file(SHARE + 1)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([1, 1, 1, 1], 3), ([MOST_BYTES // 2, MOST_BYTES // 2, 1], 2), ([2 * MOST_BYTES, 1], 1)],
    ids=["many", "large", "too large alone"],
)
def test_what_waits_is_bounded_by_number_and_by_size(sizes: Sequence[int], expected: int) -> None:
    """Who brings more waits until something was taken, or nobody wants it any more."""
    queue: BoundedQueue[int] = BoundedQueue(3)
    rooms = []
    for place, size in enumerate(sizes):
        rooms.append(queue.has_room(size))
        if rooms[-1]:
            queue.put(place, size)

    assert [True] * expected + [False] == rooms
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.put, expected, sizes[expected])
        taken = [queue.get(TIMEOUT_SECONDS) for _ in range(expected + 1)]
        assert (list(range(expected + 1)), True) == (taken, waiting.result(TIMEOUT_SECONDS))
    with pytest.raises(Empty):
        queue.get(0)


def test_who_waits_for_room_goes_when_nothing_is_wanted_any_more() -> None:
    """And what was brought is not taken."""
    queue: BoundedQueue[int] = BoundedQueue(1)
    queue.put(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.put, 2)
        queue.close()

    assert waiting.result(TIMEOUT_SECONDS) is False


def test_a_long_page_is_handed_over_in_parts() -> None:
    """In its order, with what comes before it first; what is short stays together."""
    mark, effect = Watermark(1), Action("some", {})
    page = Page("s", [b"%d" % number for number in range(2 * MANY_RECORDS + 1)], {"a": "b"})
    short: Bundle = [mark, Page("s", []), Page("s", [b"1"]), effect]
    parts = list(in_parts([mark, page, effect]))

    assert [[mark, 1], [1], [1, effect]] == [
        [1 if isinstance(each, Page) else each for each in part] for part in parts
    ]
    found = [each for part in parts for each in part if isinstance(each, Page)]
    assert page.records == [record for each in found for record in each.records]
    assert [{"a": "b"}] * 3 == [each.context for each in found]
    assert [short] == list(in_parts(short))
    assert size_of([page]) == sum(map(size_of, parts))


def test_a_long_page_is_loaded_whole(tmp_path: Path) -> None:
    """Also where it is committed in parts: each record once, and the cursor after the last."""
    number = 2 * MANY_RECORDS + 7
    records = [record(each) for each in range(number)]
    body = json.dumps({"data": records, "paging": {}}).encode()
    last = json.dumps({"data": records[-2:], "paging": {}}).encode()
    with serving(
        cogniac({DETECTIONS: lambda request: body if request.query["start"] == "0.000000" else last})
    ) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run")

    (cursor,) = (
        row["cursor_at"] for row in rows(sightglass.home, "etl.cursors") if row["stream"] == "detections"
    )
    assert (0, number) == (ran.code, len(rows(sightglass.home, "cogniac.results")))
    assert records[-1]["updated_at"] * 1_000_000 == cursor


def test_few_files_are_held_until_those_beside_them_have_come() -> None:
    """Media are loaded with their files: a few at a time, with about as many files as may be in flight."""
    number, names = 7, ("metrics", "frt_frame_metrics", "brand_detection")
    media: list[Row] = []
    routes = {MEDIA: lambda _request: {"media": media, "pagination": {"total": number}}, "/film.*": b"[]"}
    with serving(routes) as server:
        links = dict.fromkeys(names, f"{server.url}film")
        media += [medium(each, results=links if each else {}) for each in range(number)]
        environ = {"NEURONS_API_KEY": "key-of-the-case", "NEURONS_URL": server.url}
        environ["SIGHTGLASS_CONCURRENCY"] = "4"
        session = connect(load([OwnSettings], environ, file=Path(os.devnull)))
        assert session is not None
        with closing(session):
            now = datetime(2026, 3, 5, tzinfo=UTC)
            ((stream,),) = session.streams(SourceContext(lambda: now, nothing_is_stored, now))
            bundles = bundles_of(stream)

    assert [(3, 6), (2, 6), (2, 6)] == bundles


A1 = {"application_id": "a1"}


@pytest.mark.parametrize("lengths", [[1], [2 * BLOCK + 1], [10, 3 * BLOCK], [3 * BLOCK, 10]])
def test_a_long_page_is_decoded_a_few_records_at_a_time(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded, records take many times what they take as received."""
    sizes = []
    typed = Decoder.typed

    def counted(self: Decoder, raws: Sequence[bytes]) -> list[Any]:
        sizes.append(len(raws))
        return typed(self, raws)

    monkeypatch.setattr(Decoder, "typed", counted)
    pages = [
        Page("detections", [json.dumps(record(each)).encode() for each in range(first, first + length)], A1)
        for first, length in enumerate(lengths, start=1)
    ]

    Transformer(source_module("cogniac"), schema.source("cogniac")).transform(pages)

    assert max(sizes) <= BLOCK


def test_a_long_page_of_detections_comes_in_parts() -> None:
    """No more of it is held at a time than is committed at once."""
    body = json.dumps({"data": [record(each) for each in range(2 * MANY_RECORDS + 7)], "paging": {}}).encode()
    empty = b'{"data": []}'
    routes = {DETECTIONS: lambda request: body if request.query["start"] == "0.000000" else empty}
    with serving(cogniac(routes)) as server:
        environ = {"COG_API_KEY": "id:secret-of-the-case", "COG_URL_PREFIX": server.url}
        settings = load([source_module("cogniac").OwnSettings], environ, file=Path(os.devnull))
        session = source_module("cogniac").connect(settings)
        assert session is not None
        with closing(session):
            now = datetime(2026, 5, 5, tzinfo=UTC)
            groups = session.streams(SourceContext(lambda: now, nothing_is_stored, now))
            for stream in next(groups):
                bundles_of(stream)
            detections = next(each for each in next(groups) if each.name == "detections")
            bundles = bundles_of(detections, end=10**16)

    assert [MANY_RECORDS, MANY_RECORDS, 7] == [records for records, _ in bundles if records][:3]


def nothing_is_stored(_query: str, **_: object) -> list[tuple[Any, ...]]:
    """What a warehouse without rows answers."""
    return []


def bundles_of(stream: Stream, end: int = 0) -> list[tuple[int, int]]:
    """Of each bundle, how many records and how many files it has."""
    found = []
    for bundle in stream.deliver(Checkpoint(None, 0, end), RequestStats()):
        records = sum(len(each.records) for each in bundle if isinstance(each, Page))
        found.append((records, sum(isinstance(each, File) for each in bundle)))
    return found
