"""Records become rows: every value in its column, times exact, parts once, and nothing undeclared lost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import schema
from etl.extract.stream import Page
from etl.sources import source_module
from etl.transform.batch import Transformer, TransformResult
from etl.values import canonical, seconds

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = datetime(2017, 6, 17, 1, 15, 39, 841296, tzinfo=UTC)
ASSERTION = {"detection_id": "D:0", "subject_uid": "cat"}
RECORD = {"media": {"media_id": "M"}, "updated_at": 1497662139.841296, "detections": [ASSERTION]}
RESULT = {"application_id": "A", "media_id": "M", "focus_key": ""}
DETECTION = {**RESULT, **ASSERTION, "updated_at": MOMENT}
MARKS = {"_record", "_whole"}
UNSENT = {*MARKS, "_record_hash"}
CHANGED = datetime(2024, 1, 19, 9, 36, 49, tzinfo=UTC)


def cut(*records: object) -> TransformResult:
    """What records of the detections of one Cogniac application become, or bytes that are some."""
    sent = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    page = Page("detections", sent, {"application_id": "A"})
    return Transformer(source_module("cogniac"), schema.source("cogniac")).transform([page])["detections"]


def cut_medium(**fields: Any) -> TransformResult:  # noqa: ANN401 -- any JSON
    """What a medium of Neurons becomes."""
    page = Page("media", [json.dumps({"media_id": "N", **fields}).encode()])
    return Transformer(source_module("neurons"), schema.source("neurons")).transform([page])["media"]


def rows(found: TransformResult, table: str) -> list[Row]:
    """The rows of a table without what is NULL, and without what is no value of the record."""
    assert [] == refused(found)
    return [
        {name: value for name, value in row.items() if value is not None and name not in UNSENT}
        for row in found.tables[table].to_pylist()
    ]


def refused(found: TransformResult) -> list[tuple[str, str]]:
    """Reason and place of each refusal."""
    return [(each.why.reason, each.why.path) for each in found.rejected]


def moments(*sent: object) -> list[int]:
    """The times of records as microseconds since 1970."""
    results = cut(*({**RECORD, "updated_at": each} for each in sent)).tables["results"]
    return list(results["updated_at"].cast(pa.int64()).to_pylist())


def test_tables_have_the_declared_types_even_without_rows() -> None:
    """No records at all make tables without rows, of the types that records would have."""
    for name, made in cut().tables.items():
        table = schema.source("cogniac").tables[name]
        types = {field.name: field.type for field in made.schema if field.name not in MARKS}
        assert {each: table.columns[each].arrow for each in [*table.written, "_extra"]} == types


@pytest.mark.parametrize(
    ("sent", "micros"),
    [
        (1497662139.841296, 1497662139841296),
        (0, 0),
        (-1.5, -1500000),
        (253402300799, 253402300799000000),
        (-62_135_596_800, -62_135_596_800_000_000),
        ("2017-06-17T01:15:39.841296Z", 1497662139841296),
        ("2017-06-17T03:15:39.841296+02:00", 1497662139841296),
        ("2017-06-16 19:45:39.841296-05:30", 1497662139841296),
        ("2024-01-19T09:05:44Z", 1705655144000000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
def test_moment_is_read_in_each_of_its_forms(sent: object, micros: int) -> None:
    """Seconds since 1970 as a number, and ISO 8601 with an offset, are the same exact moment."""
    assert [micros] == moments(sent)
    assert [0, micros, 5_000_000] == moments("1970-01-01T00:00:00Z", sent, 5)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("2017-06-17T01:15:39", "'2017-06-17T01:15:39': has no offset from UTC"),
        (1497662139841, "'1497662139841.0': is no time in seconds since 1970"),
        (-62_135_596_801, "'-62135596801.0': is no time in seconds since 1970"),
        (253_402_300_800, "'253402300800.0': is no time in seconds since 1970"),
        ("1497662139.8", "'1497662139.8': is text where a number of seconds since 1970 must be"),
        ("20240119", "'20240119': has no offset from UTC"),
        ("2024", "'2024': Invalid isoformat string: '2024'"),
        ("0001-01-01T00:00:00+01:00", "'0001-01-01T00:00:00+01:00': is not within the years 1 to 9999"),
        ("9999-12-31T23:59:59-01:00", "'9999-12-31T23:59:59-01:00': is not within the years 1 to 9999"),
        ("nan", "'nan': Invalid isoformat string: 'nan'"),
        ("17.06.2017", "'17.06.2017': Invalid isoformat string: '17.06.2017'"),
        ("x" * 100, f"{'x' * 80!r}: Invalid isoformat string: {'x' * 100!r}"),
    ],
)
def test_moment_that_could_be_another_is_refused(sent: object, reason: str) -> None:
    """A time without an offset, in milliseconds or in no known form is never guessed."""
    found = cut({**RECORD, "updated_at": sent})

    assert [(reason, "$.updated_at")] == refused(found)


@given(st.lists(st.integers(0, 4_102_444_800_000_000), max_size=20))
def test_moments_keep_their_microseconds(micros: list[int]) -> None:
    """Every microsecond until 2100 survives as a number and as ISO 8601."""
    numbers = [float(seconds(each)) for each in micros]
    texts = [(EPOCH + timedelta(microseconds=each)).isoformat() for each in micros]

    assert micros == moments(*numbers)
    assert 2 * micros == moments(*numbers, *texts)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("240242525", 240_242_525_000_000),
        ("1497662139.841296", 1497662139841296),
        (1497662139.841296, 1497662139841296),
        ("2017-06-17T01:15:39.841296Z", 1497662139841296),
        ("20240119", "'20240119': has no offset from UTC"),
        ("24024252.5", "'24024252.5': Invalid isoformat string: '24024252.5'"),
        ("9" * 400, f"{'9' * 80!r}: is no time in seconds since 1970"),
    ],
)
def test_digits_are_a_time_where_they_are_declared(sent: object, expected: int | str) -> None:
    """Seconds since 1970 as text are taken for the time of a picture alone, from nine digits on."""
    found = cut({**RECORD, "media": {"media_id": "M", "media_timestamp": sent}})

    times = found.tables["media"]["media_timestamp"].cast(pa.int64()).to_pylist()
    assert [expected] == [*times, *(reason for reason, _ in refused(found))]


@pytest.mark.parametrize(
    ("times", "expected", "kept"),
    [
        ({"timestamp": 6}, 6, {}),
        ({"updated_at": 0, "timestamp": 6}, 0, {"_extra": '{"timestamp":6.0}'}),
        ({"updated_at": 6, "timestamp": 6}, 6, {}),
        ({"updated_at": None, "timestamp": 6}, 6, {}),
    ],
)
def test_time_of_a_result_stands_under_either_name(times: Row, expected: int, kept: Row) -> None:
    """`updated_at` counts where it is sent, and `timestamp` where it is not; so with `created_at`."""
    found = cut({"media": {"media_id": "M"}, "detections": [{**ASSERTION, "timestamp": 7}], **times})

    moment, created = (EPOCH + timedelta(seconds=each) for each in (expected, 7))
    assert [{**RESULT, "updated_at": moment, "detection_count": 1, **kept}] == rows(found, "results")
    assert [{**DETECTION, "updated_at": moment, "created_at": created}] == rows(found, "detections")


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ({"user_id": "u", "app_id": None}, {"asserted_by": "capture", "user_id": "u"}),
        ({"user_id": "u", "app_id": "A"}, {"asserted_by": "user", "user_id": "u", "app_id": "A"}),
        ({"model_id": "m", "app_id": "A"}, {"asserted_by": "model", "model_id": "m", "app_id": "A"}),
        ({}, {}),
    ],
)
def test_assertion_says_who_asserts(said: Row, who: Row) -> None:
    """Users and models are told apart, and a user's capture outside any application from feedback in one."""
    found = cut({**RECORD, "detections": [{**ASSERTION, **said}]})

    assert [{**DETECTION, **who}] == rows(found, "detections")


BOX = {"x0": 1, "y0": 2.5, "x1": 3, "y1": 4}
BOX_TEXT = '{"box":{"x0":1,"x1":3,"y0":2.5,"y1":4}}'
PROBABLE = '{"probability":1,"x0":1,"x1":3,"y0":2.5,"y1":4}'
CORNERS = {"x0": 1.0, "y0": 2.5, "x1": 3.0, "y1": 4.0}


@pytest.mark.parametrize(
    ("kind", "sent", "kept", "boxes"),
    [
        ("box_set", {"box": BOX}, BOX_TEXT, [CORNERS]),
        ("box_set", [{"box": BOX}], f"[{BOX_TEXT}]", [CORNERS]),
        ("box_set", json.dumps([{"box": BOX}]), f"[{BOX_TEXT}]", [CORNERS]),
        ("box_set", [BOX, {"box": BOX}], f"[{BOX_TEXT[7:-1]},{BOX_TEXT}]", [CORNERS, CORNERS]),
        ("box", {"probability": 1, **BOX}, PROBABLE, [{"probability": 1.0, **CORNERS}]),
        ("box_set", [], "[]", []),
        ("box_set", None, None, []),
        ("raw", {"box": BOX}, BOX_TEXT, []),
        ("raw", '{"b": 1, "a": [2.50]}', '{"a":[2.5],"b":1}', []),
        ("raw", "{broken", '"{broken"', []),
        ("ocr", "01234", '"01234"', []),
        ("ocr", "[12]", '"[12]"', []),
        ("count", "1234", '"1234"', []),
        (None, " [1]", "[1]", []),
    ],
)
def test_app_data_keeps_its_meaning(kind: str, sent: object, kept: str | None, boxes: list[Row]) -> None:
    """Objects and lists come through as such even when sent as text; digits that were read stay text."""
    found = cut({**RECORD, "detections": [{**ASSERTION, "app_data_type": kind, "app_data": sent}]})

    numbered = [{**DETECTION, "box_index": place, **box} for place, box in enumerate(boxes)]
    assert kept == rows(found, "detections")[0].get("app_data")
    assert numbered == rows(found, "detection_boxes")


@pytest.mark.parametrize(
    ("sent", "reason", "path"),
    [
        ("oops", "a box must be an object", "$.detections[0].app_data"),
        ([{"box": BOX}, 7], "a box must be an object", "$.detections[0].app_data[1]"),
        ([{"box": [1, 2, 3, 4]}], "a box must be an object", "$.detections[0].app_data[0].box"),
        ({"box": {**BOX, "y1": None}}, "a box must have x0, y0, x1 and y1", "$.detections[0].app_data"),
        ({"box": BOX, "probability": 2}, "Expected `float` <= 1.0", "$.detections.+boxes[0].probability"),
    ],
)
def test_malformed_box_is_refused(sent: object, reason: str, path: str) -> None:
    """A box without its four corners is no box, and no row is made up for it."""
    found = cut({**RECORD, "detections": [{**ASSERTION, "app_data_type": "box_set", "app_data": sent}]})

    assert [(reason, path)] == refused(found)


def test_malformed_box_of_a_focus_is_refused() -> None:
    """A focus on a box that is none is refused like a box of an assertion."""
    assert [("a box must be an object", "$.focus.box")] == refused(cut({**RECORD, "focus": {"box": [1]}}))


@pytest.mark.parametrize(
    ("focus", "key", "corners"),
    [
        (None, "", {}),
        ({"box": BOX}, BOX_TEXT, {f"focus_{name}": value for name, value in CORNERS.items()}),
        ({"z": 1, "box": {"x0": 1}}, '{"box":{"x0":1},"z":1}', {"focus_x0": 1.0}),
        ({"frame": 3, "A": "ü\n"}, '{"A":"ü\\n","frame":3}', {}),
        ({"segment": {"f1": 2.0, "f0": 1e3}}, '{"segment":{"f0":1000,"f1":2}}', {}),
        ({"box": {"y": None, "x0": -0.0}, "z": None}, '{"box":{"x0":0}}', {"focus_x0": 0.0}),
        ({"list": [None, {"a": None}, 1e20, 2**53 + 1]}, f'{{"list":[null,{{}},{10**20},{2**53 + 1}]}}', {}),
        ({"a": [0.5, 1e-7, "5.0", True, False]}, '{"a":[0.5,1e-7,"5.0",true,false]}', {}),
        ('{"box": {"x0": 5.0}}', '{"box":{"x0":5}}', {"focus_x0": 5.0}),
        ({}, "", {}),
        ({"box": None}, "", {}),
        (5.0, "5", {}),
    ],
)
def test_focus_makes_one_key_however_it_is_written(focus: object, key: str, corners: Row) -> None:
    """The key of a focus is its value as JSON, empty for the whole media item; a box fills its columns."""
    record = {**RESULT, "focus_key": key, "updated_at": MOMENT, "detection_count": 1, **corners}
    sent = {} if focus is None else {"focus": canonical(focus).decode()}

    assert [record | sent] == rows(cut({**RECORD, "focus": focus}), "results")


def test_related_media_become_media_too() -> None:
    """Objects of other_media and media_list are rows of media, with their data parsed."""
    others = [{"media_id": "P", "custom_data": '{"a":1}', "odd": 2}]

    found = cut({**RECORD, "other_media": others, "media_list": [{"media_id": "M", "frame": 0}]})

    related = {"media_id": "P", "custom_data": '{"a":1}', "_extra": '{"odd":2}'}
    assert [{"media_id": "M"}, related, {"media_id": "M", "frame": 0}] == rows(found, "media")


@pytest.mark.parametrize(("sent", "kept"), [({"b": 1, "a": 2}, '{"a":2,"b":1}'), ("[1]", "[1]")])
def test_custom_data_is_parsed_where_it_is_text(sent: object, kept: str) -> None:
    """Data of the customer are the same whether they come as an object or as text that holds one."""
    found = cut({**RECORD, "media": {"media_id": "M", "custom_data": sent}})

    assert [{"media_id": "M", "custom_data": kept}] == rows(found, "media")


def test_undeclared_fields_stay_with_their_rows() -> None:
    """What nobody declared is in `_extra` of the table it belongs to, also after records that lacked it."""
    found = cut(RECORD, {**RECORD, "new": None, "media": {"media_id": "M", "new": [1]}}, RECORD)

    assert [None, '{"new":null}', None] == found.tables["results"]["_extra"].to_pylist()
    assert [None, '{"new":[1]}', None] == found.tables["media"]["_extra"].to_pylist()


def test_part_sent_twice_is_one_row() -> None:
    """An assertion that a record repeats word for word is one row; the same one in two records is two."""
    tables = cut({**RECORD, "detections": [ASSERTION, ASSERTION]}, RECORD).tables

    assert [0, 1] == tables["detections"]["_record"].to_pylist()


@pytest.mark.parametrize("differing", [{"probability": 0.5}, {"unheard_of": 1}])
def test_parts_that_contradict_each_other_are_refused(differing: Row) -> None:
    """Two different assertions with one key cannot both be true: the record is set apart, not halved."""
    found = cut({**RECORD, "detections": [ASSERTION, {**ASSERTION, **differing}]})

    assert [("two different rows of detections with one key: A, M, , D:0, cat", "$")] == refused(found)


@pytest.mark.parametrize("field", ["app_data", "unheard_of"])
@pytest.mark.parametrize(("one", "other"), [(1, True), ([0], [False]), ({"a": 1}, {"a": True})])
def test_parts_that_differ_in_a_truth_value_are_refused(field: str, one: object, other: object) -> None:
    """`true` is no 1, wherever it stands in a value: neither of the two is lost as a repeat of the other."""
    found = cut({**RECORD, "detections": [{**ASSERTION, field: one}, {**ASSERTION, field: other}]})

    assert [("two different rows of detections with one key: A, M, , D:0, cat", "$")] == refused(found)


def test_parts_sent_twice_are_read_or_refused_however_deep() -> None:
    """A record that can be decoded is compared at any depth: none ends the run, and each run after it."""
    outcomes = []
    for depth in range(600, 1_010):
        assertion = f'{{"detection_id": "D", "subject_uid": "cat", "new": {"[" * depth}{"]" * depth}}}'
        record = {**RECORD, "detections": ["D", "D"]}
        found = cut(json.dumps(record).replace('"D"', assertion).encode())
        outcomes.append((found.tables["detections"].num_rows, [reason for reason, _ in refused(found)]))

    whole: tuple[int, list[str]] = (1, [])
    loaded = [whole] * outcomes.count(whole)
    assert outcomes == [*loaded, *[(0, ["nested too deeply"])] * (len(outcomes) - len(loaded))]
    assert 0 < len(loaded) < len(outcomes)


OLDER = {"media_type": "image", "created": "2024-01-19 09:36:49+00:00"}


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"updated_at": "2024-01-19T09:36:49Z", "type": "video"}, {"type": "video"}),
        (OLDER, {"type": "image", "created_at": CHANGED}),
        (
            {**OLDER, "created_at": 0},
            {
                "type": "image",
                "created_at": EPOCH,
                "updated_at": EPOCH,
                "_extra": '{"created":"2024-01-19 09:36:49+00:00"}',
            },
        ),
        ({**OLDER, "deleted": None}, {"type": "image", "created_at": CHANGED, "_extra": '{"deleted":null}'}),
    ],
)
def test_medium_is_read_in_either_version(fields: Row, row: Row) -> None:
    """Names of the first version of the API fill the same columns where the newer names are absent.

    Where both are there and say different things, nothing is lost.
    """
    medium = {"media_id": "N", "asset_names": "[]", "updated_at": CHANGED}

    assert [{**medium, **row}] == rows(cut_medium(**fields), "media")


def test_links_are_not_kept_and_metrics_become_rows() -> None:
    """Of the results only the names stay; each metric is a row under its newer name and its time window."""
    values = {"buy": 73, "trustworthy_start": None, "focus_last_two": 0.5, "_end": 2}

    found = cut_medium(results={"heat": "https://x.example/?sig=word", "fog": ""}, metrics=values)

    names = [("intent", "total"), ("trust", "start"), ("focus", "end"), ("_end", "total")]
    expected = [(*name, *value) for name, value in zip(names, values.items(), strict=True)]
    columns = ("metric", "time_window", "metric_raw", "value")
    assert [{"media_id": "N", "asset_names": '["fog","heat"]'}] == rows(found, "media")
    assert expected == [tuple(map(row.get, columns)) for row in rows(found, "media_metrics")]


def test_metric_in_both_spellings_is_refused() -> None:
    """One metric under its old and its new name, with two values, is no known shape."""
    assert [("two different rows of media_metrics with one key: N, intent, total", "$")] == refused(
        cut_medium(metrics={"buy": 1, "intent": 2})
    )
