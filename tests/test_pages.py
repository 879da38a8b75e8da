"""Many pages at once: nothing is lost between them, and only what is the same as just before is left out."""

import json
from typing import Any

import pytest

from etl import schema
from etl.extract.stream import Page
from etl.sources import source_module
from etl.transform.batch import Transformer, TransformResult
from etl.transform.pages import BLOCK

BAD = 2 * BLOCK + 7
"""The place of a record that comes late in a batch, and does not fit."""


def record(number: int, **fields: Any) -> bytes:  # noqa: ANN401 -- any JSON
    """A record of its own medium, with an assertion."""
    said = [{"detection_id": f"D{number}", "subject_uid": "cat"}]
    return json.dumps(
        {"media": {"media_id": f"M{number}"}, "updated_at": number, "detections": said, **fields}
    ).encode()


def cut(*pages: list[bytes], applications: str = "") -> TransformResult:
    """What pages of the detections of an application become; each of its own where so many are named."""
    named = zip(pages, applications or "A" * len(pages), strict=True)
    made = [Page("detections", records, {"application_id": name}) for records, name in named]
    return Transformer(source_module("cogniac"), schema.source("cogniac")).transform(made)["detections"]


def media_ids(found: TransformResult) -> list[str]:
    """The media items of the records that were accepted."""
    return list(found.tables["results"]["media_id"].to_pylist())


def test_rows_know_their_record_however_many_there_are() -> None:
    """The rows of a long batch are in the order of their records, and numbered through."""
    records = [record(number) for number in range(3 * BLOCK)]

    found = cut(*(records[first : first + 100] for first in range(0, len(records), 100)))

    assert [f"M{number}" for number in range(3 * BLOCK)] == media_ids(found)
    for name in ("results", "media", "detections"):
        assert list(range(3 * BLOCK)) == found.tables[name]["_record"].to_pylist()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"detections": None}, "Expected `array`, got `null`"),
        ({"updated_at": "soon"}, "'soon': Invalid isoformat string: 'soon'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_alone_late_in_a_batch(fields: Any, reason: str) -> None:  # noqa: ANN401 -- any JSON
    """The one record is refused as received, and the rows of the others are numbered without it."""
    records = [record(number) for number in range(3 * BLOCK)]
    records[BAD] = record(BAD, **fields)

    found = cut(*(records[first : first + 100] for first in range(0, len(records), 100)))

    assert [(records[BAD], reason)] == [(each.content, each.why.reason) for each in found.rejected]
    assert [f"M{number}" for number in range(3 * BLOCK) if number != BAD] == media_ids(found)
    assert list(range(3 * BLOCK - 1)) == found.tables["detections"]["_record"].to_pylist()


def test_what_a_page_repeats_of_the_one_before_is_taken_once() -> None:
    """A record that comes again on the very next page, byte for byte, makes no second row."""
    first, second, third = map(record, (11, 22, 33))

    found = cut([first, second], [second, third], [first], [first, record(11, focus={})])

    assert (7, ["M11", "M22", "M33", "M11", "M11"]) == (found.fetched, media_ids(found))


def test_what_another_application_says_in_the_same_words_is_no_repeat() -> None:
    """The request is part of what a record says."""
    assert ["M1", "M1"] == media_ids(cut([record(1)], [record(1)], applications="AB"))


def test_a_refused_record_is_refused_each_time_it_comes() -> None:
    """What was not taken is no repeat: it is counted as often as it was sent."""
    bad = record(1, detections=5)

    assert 2 * [bad] == [each.content for each in cut([bad, record(2)], [bad]).rejected]
