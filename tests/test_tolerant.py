"""Pages that are not JSON as a whole: what is JSON in them comes through as it is, the rest as received."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.extract.stream import as_received
from etl.extract.tolerant import mended_page, mended_record

GOOD = b'{"media":{"media_id":"a"},"detections":[{"d":1},{"e":[2,3]}]}'
BAD = [
    b'{"x":NaN}',
    b'{"x":-Infinity,"l":[1,2]}',
    b'{"x":"a\nb\tc"}',
    b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"x":"\xff\xfe"}',
    b'{"x":"\\ud800"}',
    b'{"x":"size 5" tall","l":[{"q":1},{"z":2}]}',
    b'{"x":[1,2}',
    b'{"x":1,}',
    b'{"x":"abc}',
    b"{x:1}",
    b"NaN",
    b"{" + b'"a":1,' * 5000 + b"}",
    b'{"x":' + b"1" * 5000 + b"}",
]
AROUND = [
    (b'{"data":[', b'],"paging":{"next":"u"}}'),
    (b"[", b"]"),
    (b' { "total" : 3 , "media" :\n[ ', b" ] } \n"),
    (b'{"a":[],"data":[', b'],"b":[1]}'),
]
MIXES = st.lists(st.sampled_from([GOOD, *BAD]), min_size=1, max_size=4)


def records(body: bytes | None) -> list[bytes]:
    """The records of a page as they were received."""
    found: Any = msgspec.json.decode(body or b"[]")
    listed = found if isinstance(found, list) else found.get("data", found.get("media"))
    return [as_received(msgspec.json.encode(each)) for each in listed]


@pytest.mark.parametrize("around", AROUND, ids=str)
@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_record_stands_alone(bad: bytes, around: tuple[bytes, bytes]) -> None:
    """Wherever it stands, those before and after it are as they were sent."""
    for mix in ([GOOD, bad, GOOD], [bad], [GOOD, bad], [bad, GOOD]):
        assert mix == records(mended_page(around[0] + b",".join(mix) + around[1]))


@given(MIXES, st.sampled_from(AROUND))
def test_good_records_come_through_any_mixture(mix: list[bytes], around: tuple[bytes, bytes]) -> None:
    """However many are bad, no good one is lost, and none comes from nowhere."""
    found = records(mended_page(around[0] + b" ,\n".join(mix) + around[1]))

    assert mix.count(GOOD) == found.count(GOOD)


@pytest.mark.parametrize(
    "body", [b'{"data":[%s,]}', b"[%s,,]", b"[,%s]", b'{"data" : [ , %s , , ] , "paging":{}}'], ids=str
)
def test_commas_too_many_hide_no_record(body: bytes) -> None:
    """Nothing stands between them."""
    assert [GOOD, GOOD] == records(mended_page(body % (GOOD + b" , , " + GOOD)))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html></html>", b'"text"', b"1", b'{"data":[', b'{"data":[{"a":1}', b'{"data":[1]', b"[1]]"),
        *(b'{"data":[1]} x', b'{"data":[1],"paging":{"next":NaN}}', b"{data:[1]}", b"\xff", GOOD[:-5]),
    ],
)
def test_what_is_no_list_of_records_is_left_alone(body: bytes) -> None:
    """It is for whoever asked to ask again."""
    assert mended_page(body) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_mended_to_json_or_left_alone(body: bytes) -> None:
    """Never an error; and what one record's stand-in holds is what was received."""
    mended, record = mended_page(b'{"data":[' + body + b"]}"), mended_record(body)

    assert mended is None or msgspec.json.decode(mended)
    assert record is None or as_received(record) == body


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_json_is_mended_to_itself(value: object) -> None:
    """Where nothing is bad, nothing is changed."""
    body = json.dumps({"data": [value]}).encode()

    assert msgspec.json.decode(body) == msgspec.json.decode(mended_page(body) or b"")
