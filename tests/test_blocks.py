"""A block of records makes the same rows as its records one by one, and refuses the same of them."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.any_input import FIXED, NUMBERS, ODD, TEXTS

from etl import schema
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.extract.stream import Enrich, Page
from etl.sources import source_module
from etl.transform import transform
from etl.transform.batch import Transformer, TransformResult
from etl.transform.decode import Decoder
from etl.transform.pages import BLOCK
from etl.transform.records import HOPELESS, PAUSE, RecordTables

Row = dict[str, Any]
EXAMPLES = 1_000 if os.environ.get("TEST_LONG") else 150
COGNIAC = source_module("cogniac")
NOTHING = Enrich(lambda *_: None)

CORNERS = {"x0": 1, "y0": 2.5, "x1": 3, "y1": 4}
SAID: list[Row] = [
    {"detection_id": "D0", "subject_uid": "cat", "model_id": "net", "probability": 0.25, "created_at": 5},
    {
        "detection_id": "D1",
        "subject_uid": "dog",
        "user_id": "u",
        "app_id": None,
        "comment": "é",
        "app_data_type": "box_set",
        "app_data": [{"box": CORNERS, "probability": 1}, CORNERS],
    },
    {"detection_id": "D2", "subject_uid": "dog", "app_data_type": "ocr", "app_data": "[12]", "timestamp": 7},
    {
        "detection_id": "D3",
        "subject_uid": "",
        "app_data_type": "box",
        "app_data": json.dumps({"box": CORNERS}),
    },
]
MEDIUM: Row = {
    "media_id": "M",
    "created_at": 1,
    "image_width": 640,
    "media_timestamp": "240242525",
    "frame": 0,
    "custom_data": '{"b": 1}',
    "meta_tags": ["a"],
    "resize_urls": {"64": "https://example.com"},
}
RECORDS: list[Row] = [
    {"media": MEDIUM, "updated_at": 1497662139.841296, "detections": SAID, "focus": {"box": CORNERS}},
    {"media": MEDIUM, "timestamp": "2024-01-19T09:05:44Z", "detections": SAID[:1], "focus": '{"frame": 2.0}'},
    {
        "media": {"media_id": "N"},
        "updated_at": 2,
        "detections": [],
        "other_media": [MEDIUM, {"media_id": "O"}],
    },
    {"media_id": "P", "updated_at": 3, "detections": SAID[1:2], "media_list": {"media_id": "Q", "frame": 1}},
]
NAMES = ["new", "newer", "focus", "box", "app_data", "probability", "media", "detections", *ODD]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXTS,
    st.sampled_from(
        [[], {}, [1], {"box": None}, {"box": CORNERS}, {"media_id": "M"}, [CORNERS], SAID, SAID * 2]
    ),
)


def places(value: object, *way: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in a record."""
    yield way
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, *way, name)
    for index, inner in enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, *way, index)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A record with a few values changed, fields removed and fields that nobody declared."""
    record = json.loads(json.dumps(draw(st.sampled_from(RECORDS))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        *way, last = draw(st.sampled_from(list(places(record))[1:]))
        inner = record
        for step in way:
            inner = inner[step]
        kind = draw(st.sampled_from(["change", "remove", "add"]))
        if kind == "change":
            inner[last] = deepcopy(draw(VALUES))
        elif kind == "remove":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(st.sampled_from(NAMES))] = deepcopy(draw(VALUES))
    return json.dumps(record).encode()


PAGES = st.lists(
    st.tuples(st.lists(st.one_of(records(), st.sampled_from(FIXED)), max_size=6), st.sampled_from("AAB")),
    max_size=4,
)


def one_by_one(source: Any) -> Any:  # noqa: ANN401 -- a module
    """The source as one that knows nothing of blocks."""
    enrich = {name: replace(each, columns=None) for name, each in source.ENRICH.items()}
    return SimpleNamespace(ENRICH={"subjects": NOTHING, **enrich}, redact=source.redact)


def transformers(name: str = "cogniac") -> tuple[Transformer, Transformer]:
    """One that takes blocks, and one that does not."""
    declared, module = schema.source(name), source_module(name)
    return Transformer(module, declared), Transformer(one_by_one(module), declared)


def plain(cut: TransformResult, of: Transformer) -> tuple[Any, ...]:
    """All that is told of the records: rows with their types and order, refusals, numbers, names."""
    tables = {
        name: (made.schema, [list(map(str, row.items())) for row in made.to_pylist()])
        for name, made in cut.tables.items()
    }
    rejected = [
        (each.content, each.context, each.why.reason, each.why.path, each.whole) for each in cut.rejected
    ]
    return cut.fetched, cut.ordinals, tables, rejected, of.unknown()


@settings(max_examples=EXAMPLES)
@given(st.lists(PAGES, min_size=1, max_size=3))
def test_blocks_make_what_records_make(batches: list[list[tuple[list[bytes], str]]]) -> None:
    """Whatever comes, and whatever was learnt from what came before, rows and refusals are the same."""
    made, expected = transformers()
    for batch in batches:
        pages = [Page("detections", some, {"application_id": name}) for some, name in batch]
        if pages:
            found, wanted = made.transform(pages)["detections"], expected.transform(pages)["detections"]
            assert plain(wanted, expected) == plain(found, made)


@pytest.fixture(scope="module")
def simulated() -> Mapping[str, Sequence[bytes]]:
    """The records of a simulated plant, by application."""
    simulator = CogniacSimulator(3, CogniacSize(applications=3, records=900))
    return {
        each["application_id"]: [json.dumps(one).encode() for one in simulator.truth(each["application_id"])]
        for each in simulator.applications()
    }


def paged(simulated: Mapping[str, Sequence[bytes]], size: int, overlap: int) -> list[Page]:
    """Pages of this size; each begins with records of the one before."""
    return [
        Page("detections", some[max(first - overlap, 0) : first + size], {"application_id": name})
        for name, some in simulated.items()
        for first in range(0, len(some), size)
    ]


@pytest.mark.parametrize(("size", "overlap"), [(50, 0), (100, 3), (1_000, 0)])
@pytest.mark.parametrize("harm", [(), (7,), (0, 399, 400, 401, 650)], ids=len)
def test_simulated_pages_make_what_their_records_make(
    simulated: Mapping[str, Sequence[bytes]], size: int, overlap: int, harm: Sequence[int]
) -> None:
    """Pages of every size, with bad records here and there, make the same tables."""
    pages = paged(simulated, size, overlap)
    place = 0
    for number, page in enumerate(pages):
        some = list(page.records)
        for index, record in enumerate(some):
            if place in harm:
                some[index] = record.replace(b'"detections"', b'"detection"', place % 2 + 1)
            place += 1
        pages[number] = Page(page.stream, some, page.context)
    made, expected = transformers()

    found, wanted = made.transform(pages)["detections"], expected.transform(pages)["detections"]

    for name, table in wanted.tables.items():
        assert table.equals(found.tables[name]), name
        assert table.schema.equals(found.tables[name].schema)
    assert plain(wanted, expected)[3:] == plain(found, made)[3:]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records were decoded one by one, at each time that some were."""
    counts: list[int] = []
    decode_all = Decoder.decode_all

    def counted(self: Decoder, raws: Sequence[bytes], context: Mapping[str, str]) -> list[Any] | None:
        counts.append(len(raws))
        return decode_all(self, raws, context)

    monkeypatch.setattr(Decoder, "decode_all", counted)
    return counts


def many(count: int, **fields: object) -> list[Page]:
    """So many records of their own media on pages of a hundred."""
    raws = [
        json.dumps({**RECORDS[0], "media": {"media_id": f"M{number}"}, **fields}).encode()
        for number in range(count)
    ]
    return [
        Page("detections", raws[first : first + 100], {"application_id": "A"})
        for first in range(0, count, 100)
    ]


def test_what_fits_is_not_looked_at_one_by_one(alone: list[int]) -> None:
    """Records of the usual shapes are decoded once, in blocks."""
    made, _ = transformers()

    made.transform(
        [Page("detections", [json.dumps(each).encode() for each in RECORDS], {"application_id": "A"})]
    )
    made.transform(many(2 * BLOCK))

    assert [] == alone


def test_a_bad_record_costs_a_look_at_few(alone: list[int]) -> None:
    """Only those around a record that does not fit are decoded one by one."""
    made, _ = transformers()
    pages = many(2 * BLOCK)
    pages[5] = Page("detections", [*pages[5].records[:70], b"{}", *pages[5].records[70:]], pages[5].context)

    cut = made.transform(pages)["detections"]

    assert (1, 2 * BLOCK) == (len(cut.rejected), cut.ordinals)
    assert 50 >= sum(alone)


def test_an_undeclared_field_is_read_in_blocks_once_it_is_known(alone: list[int]) -> None:
    """A name that nobody declared makes nothing slow for longer than until it is learnt."""
    made, _ = transformers()

    cut = made.transform(many(2 * BLOCK, brand_new=1))["detections"]

    assert 50 >= sum(alone)
    assert {'{"brand_new":1}'} == set(cut.tables["results"]["_extra"].to_pylist())


def test_a_stream_of_odd_records_is_left_to_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where blocks keep complaining none is tried for a while, so that little is done in vain."""
    tried = []
    of_block = RecordTables.of_block

    def counted(self: RecordTables, raws: Sequence[bytes], *others: Any) -> Any:  # noqa: ANN401 -- as it is
        tried.append(len(raws))
        return of_block(self, raws, *others)

    monkeypatch.setattr(RecordTables, "of_block", counted)
    made, _ = transformers()

    cut = made.transform(many(PAUSE + BLOCK, **{'size 5"': 1}))["detections"]

    assert PAUSE + BLOCK == cut.ordinals
    assert HOPELESS + 1 >= len(tried)


@pytest.mark.parametrize(
    ("stream", "good", "bad"),
    [
        ("applications", {"application_id": "A", "created_at": 1}, {"application_id": 5}),
        ("subjects", {"subject_uid": "S", "expires_in": 1.5}, {"subject_uid": "S", "expires_in": -1}),
    ],
)
def test_other_streams_come_in_blocks_too(stream: str, good: Row, bad: Row, alone: list[int]) -> None:
    """Streams without anything to add, or with little, are no different."""
    made, expected = transformers()
    for batch in ([good, {**good, "x": 1}], [good, bad, {**good, "x": None}], [{**good, "x": 2}]):
        page = Page(stream, [json.dumps(each).encode() for each in batch], {"tenant_id": "T"})
        found, wanted = made.transform([page])[stream], expected.transform([page])[stream]
        assert plain(wanted, expected) == plain(found, made)
    alone.clear()

    made.transform([Page(stream, [json.dumps({**good, "x": 3}).encode()], {"tenant_id": "T"})])

    assert [] == alone


def test_the_way_in_remembers_nothing() -> None:
    """`transform` gives all tables of all streams by name, whatever it was given before."""
    pages = [
        Page(
            "detections",
            [json.dumps(each).encode() for each in [*RECORDS, {"new": 1}]],
            {"application_id": "A"},
        ),
        Page("subjects", [b'{"subject_uid": "S", "new": 2}'], {"tenant_id": "T"}),
    ]
    declared = schema.source("cogniac")
    made = Transformer(COGNIAC, declared)
    results = made.transform(pages)

    found = [transform(COGNIAC, declared, pages) for _ in range(2)]

    expected = {name: rows for each in results.values() for name, rows in each.tables.items()}
    assert [expected, expected] == found
    assert {"results", "media", "detections", "detection_boxes", "subjects"} == set(expected)


WRONG: Mapping[str, Sequence[Any]] = {
    "+detection_count": ["1"],
    "+application_id": [1],
    "+focus_box/x0": [True],
}


@pytest.mark.parametrize("path", WRONG)
def test_what_a_source_adds_is_held_to_its_type(path: str, alone: list[int]) -> None:
    """A column that is not of the declared type is a complaint: the record way decides."""

    def columns(block: Any) -> None:  # noqa: ANN401 -- as a source may see it
        cast("Any", COGNIAC).ENRICH["detections"].columns(block)
        block.put("", path, WRONG[path])

    enrich = {"detections": replace(COGNIAC.ENRICH["detections"], columns=columns)}
    source: Any = SimpleNamespace(ENRICH=enrich, redact=COGNIAC.redact)
    page = Page("detections", [json.dumps(RECORDS[0]).encode()], {"application_id": "A"})

    cut = Transformer(source, schema.source("cogniac")).transform([page])["detections"]

    assert ([1], [4]) == (alone, cut.tables["results"]["detection_count"].cast(pa.int64()).to_pylist())
