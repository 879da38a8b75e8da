"""A record that fits is decoded; one that does not is refused alone, with the reason and the place."""

import base64
import json
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from etl import schema
from etl.declaration import Declaration
from etl.errors import RecordError
from etl.extract.stream import Page
from etl.sources import source_module
from etl.transform.batch import Transformer, TransformResult
from etl.transform.decode import Decoder

ABSENT = object()
ASSERTION = {"detection_id": "D:0", "subject_uid": "cat", "model_id": "net", "probability": 0.25}
RECORD = {"media": {"media_id": "M"}, "updated_at": 1497662139.841296, "detections": [ASSERTION]}
MEDIUM = {"media_id": "N", "status": "done", "results": {}, "metrics": {"focus": 71.2}}

DECLARED = """
[things]
doc = "Things."
key = ["id"]
[things.columns]
id     = {type = "text", doc = "-"}
count  = {type = "integer", doc = "-", min = 0, max = 10}
share  = {type = "number", doc = "-", path = ["inner/share", "share"], min = 0, max = 1}
is_on  = {type = "boolean", doc = "-"}
at     = {type = "timestamp", doc = "-"}
any    = {type = "json", doc = "-"}
[parts]
doc = "Parts."
at = ["inner/parts[]"]
key = ["id", "name"]
part_of = "things"
[parts.columns]
id   = {type = "text", doc = "-", path = "/id"}
name = {type = "text", doc = "-"}
"""


def made_up() -> Decoder:
    """A decoder for a small record with every kind of place in it."""
    declared = msgspec.convert(tomllib.loads(DECLARED), dict[str, Declaration])
    return Decoder([schema.Table("acme", name, each, each.columns) for name, each in declared.items()], None)


def changed(path: str, value: object, record: Mapping[str, Any] = RECORD) -> bytes:
    """The record with another value at a place, or without the field there."""
    copy = json.loads(json.dumps(record))
    inner, *way = copy, *path.split("/")
    for step in way[:-1]:
        inner = inner[int(step) if step.isdecimal() else step]
    if value is ABSENT:
        del inner[way[-1]]
    else:
        inner[way[-1]] = value
    return json.dumps(copy).encode()


def transformer(source: str = "cogniac") -> Transformer:
    """What turns the records of a source into tables."""
    return Transformer(source_module(source), schema.source(source))


def cut(*records: bytes, by: Transformer | None = None) -> TransformResult:
    """What records of the detections of one application become."""
    page = Page("detections", records, {"application_id": "A"})
    return (by or transformer()).transform([page])["detections"]


def refused(found: TransformResult) -> list[tuple[str, str]]:
    """Reason and place of each refusal."""
    return [(each.why.reason, each.why.path) for each in found.rejected]


def media_ids(found: TransformResult) -> list[str]:
    """The media items of the records that were accepted."""
    return list(found.tables["results"]["media_id"].to_pylist())


def test_record_is_decoded_to_its_declared_types() -> None:
    """Each value is found at its place, numbers of number columns are floats, and what is absent is None."""
    raw = (
        b'{"id":"a","count":3,"inner":{"share":1,"parts":[{"name":"n"}]},"at":5,"any":{"x":[1]},"is_on":null}'
    )

    found = msgspec.to_builtins(made_up().decode(raw, {}))

    outer = {"id": "a", "count": 3, "share": None, "is_on": None, "at": 5.0, "any": {"x": [1]}}
    assert {**outer, "inner": {"share": 1.0, "parts": [{"name": "n"}]}} == found


@pytest.mark.parametrize(
    ("raw", "reason", "path"),
    [
        ('"inner":{"parts":[]}', "Object missing required field `id`", "$"),
        ('"id":null,"inner":{"parts":[]}', "Expected `str`, got `null`", "$.id"),
        ('"id":"a"', "Object missing required field `inner`", "$"),
        ('"id":"a","inner":null', "Expected `object`, got `null`", "$.inner"),
        ('"id":"a","inner":{}', "Object missing required field `parts`", "$.inner"),
        ('"id":"a","inner":{"parts":{}}', "Expected `array`, got `object`", "$.inner.parts"),
        ('"id":"a","inner":{"parts":[{"name":"n"},7]}', "Expected `object`, got `int`", "$.inner.parts[1]"),
        ('"id":"a","inner":{"parts":[{}]}', "Object missing required field `name`", "$.inner.parts[0]"),
        ('"id":"a","inner":{"parts":[],"share":2}', "Expected `float` <= 1.0", "$.inner.share"),
        ('"count":-1', "Expected `int` >= 0", "$.count"),
        ('"count":11', "Expected `int` <= 10", "$.count"),
        ('"count":1.0', "Expected `int | null`, got `float`", "$.count"),
        ('"count":true', "Expected `int | null`, got `bool`", "$.count"),
        ('"is_on":1', "Expected `bool | null`, got `int`", "$.is_on"),
        ('"at":true', "Expected `float | str | null`, got `bool`", "$.at"),
    ],
)
def test_value_of_another_type_is_refused(raw: str, reason: str, path: str) -> None:
    """A value that is absent, out of bounds or of another type is named; nothing is converted or guessed."""
    with pytest.raises(RecordError) as caught:
        made_up().decode(f"{{{raw}}}".encode(), {})

    assert (reason, path) == (caught.value.reason, caught.value.path)


@pytest.mark.parametrize(
    ("path", "value", "reason", "where"),
    [
        ("detections", ABSENT, "Object missing required field `detections`", "$"),
        ("detections", None, "Expected `array`, got `null`", "$.detections"),
        ("media/media_id", ABSENT, "Object missing required field `media_id`", "$.media"),
        ("updated_at", ABSENT, "required, but absent or null", "$.updated_at"),
        ("detections/0/subject_uid", None, "Expected `str`, got `null`", "$.detections[0].subject_uid"),
        ("detections/0/detection_id", 7, "Expected `str`, got `int`", "$.detections[0].detection_id"),
        ("detections/0/probability", 1.0000001, "Expected `float` <= 1.0", "$.detections[0].probability"),
        ("detections/0/prev_prob", -1e-9, "Expected `float` >= 0.0", "$.detections[0].prev_prob"),
        ("media/frame", -1, "Expected `int` >= 0", "$.media.frame"),
        ("media/image_width", 2**63, f"Expected `int` <= {2**63 - 1}", "$.media.image_width"),
        ("media/image_width", -(2**63) - 1, f"Expected `int` >= {-(2**63)}", "$.media.image_width"),
        ("media/size", 10**400, "Number out of range", "$.media.size"),
        ("other_media", ["M2"], "Expected `object`, got `str`", "$.+other_media[0]"),
        ("other_media", [{"media_id": 5}], "Expected `str`, got `int`", "$.+other_media[0].media_id"),
    ],
)
def test_record_outside_the_declaration_is_refused(path: str, value: object, reason: str, where: str) -> None:
    """A Cogniac record with something amiss is refused whole, with what is amiss and where."""
    found = cut(changed(path, value))

    assert ([(reason, where)], []) == (refused(found), media_ids(found))


@pytest.mark.parametrize(
    ("path", "value", "reason", "where"),
    [
        ("media_id", None, "Expected `str`, got `null`", "$.media_id"),
        ("results", ["heat"], "must be an object", "$.results"),
        ("metrics", "none", "must be an object", "$.metrics"),
        ("metrics/focus", "71.2", "Expected `float | null`, got `str`", "$.metrics.focus"),
        ("created_at", "2024-01-19", "'2024-01-19': has no offset from UTC", "$.created_at"),
    ],
)
def test_medium_outside_the_declaration_is_refused(path: str, value: object, reason: str, where: str) -> None:
    """A Neurons medium with something amiss is refused whole, with what is amiss and where."""
    page = Page("media", [changed(path, value, MEDIUM)])

    found = transformer("neurons").transform([page])["media"]

    assert ([(reason, where)], 0) == (refused(found), found.tables["media"].num_rows)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("detections", []),
        ("detections/0/probability", 0),
        ("detections/0/probability", 1),
        ("detections/0/probability", None),
        ("media/image_width", 2**63 - 1),
    ],
)
def test_value_at_the_edge_is_accepted(path: str, value: object) -> None:
    """Limits belong to what is allowed, and an empty list is no absent one."""
    found = cut(changed(path, value))

    assert ([], ["M"]) == (refused(found), media_ids(found))


@pytest.mark.parametrize("media", [ABSENT, None], ids=["absent", "null"])
def test_record_may_name_its_media_item_without_describing_it(media: object) -> None:
    """The reference tells of records with a `media_id` of their own in place of the media object."""
    record = json.loads(changed("media_id", "M"))

    found = cut(changed("media", media, record))

    assert ([], ["M"], 0) == (refused(found), media_ids(found), found.tables["media"].num_rows)


HALF = b'{"media":{"media_id":"\\ud800, and more"}}'
GARBAGE = {
    b"": "Input data was truncated",
    b'{"media":': "Input data was truncated",
    b"null": "Expected `object`, got `null`",
    b"[]": "Expected `object`, got `array`",
    b"\xff": "JSON is malformed: invalid character (byte 0)",
    b'{"updated_at": NaN}': "JSON is malformed: invalid character (byte 15)",
    HALF: "JSON is malformed: unexpected end of escaped utf-16 surrogate pair (byte 28)",
    b"[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize(("raw", "reason"), GARBAGE.items(), ids=[str(raw[:20]) for raw in GARBAGE])
def test_what_is_no_record_is_refused(raw: bytes, reason: str) -> None:
    """What is no JSON object is set apart like any record that does not fit."""
    assert [(reason, "$")] == refused(cut(raw))


@pytest.mark.parametrize("place", ["media_id", "title", "unheard_of"])
def test_invalid_utf8_is_refused(place: str) -> None:
    """A text that is not UTF-8 sends its record to quarantine, byte for byte, wherever it stands."""
    raw = changed(f"media/{place}", "?").replace(b'"?"', b'"\xff"')

    found = cut(raw, changed("media/media_id", "M2"))

    assert (["M2"], 1) == (media_ids(found), len(found.rejected))
    assert (base64.b64encode(raw).decode(), "base64") == found.rejected[0].text()


def test_nesting_of_any_depth_is_loaded_or_refused() -> None:
    """However deep a value is nested, its record is accepted or refused: no limit ends a run."""
    depths = [*range(800, 1000), 100_000]
    head = changed("deep", "?").removesuffix(b'"?"}')

    found = {len(cut(head + b"[" * depth + b"]" * depth + b"}").rejected) for depth in depths}

    assert {0, 1} == found


def test_records_are_refused_alone() -> None:
    """The good records of a page are accepted whatever stands between them, and the bad ones kept."""
    by_type, by_value = changed("detections", 5), changed("updated_at", "soon")
    good = [changed("media/media_id", f"M{number}") for number in range(5)]

    found = cut(by_value, good[0], by_type, good[1], good[2], by_value, good[3], good[4])

    late = (by_value, "'soon': Invalid isoformat string: 'soon'", "$.updated_at")
    assert ["M0", "M1", "M2", "M3", "M4"] == media_ids(found)
    assert [(by_type, "Expected `array`, got `int`", "$.detections"), late, late] == [
        (each.content, each.why.reason, each.why.path) for each in found.rejected
    ]
    assert 3 * [{"application_id": "A"}] == [each.context for each in found.rejected]


def test_refused_record_is_kept_without_signatures() -> None:
    """Links of a refused record lose what opens the files, so the same content has the same fingerprint."""
    record = {"media_id": 5, "results": {"heat": "https://files.example/heat.jpeg?sig=word&x=1", "q": "a?b"}}
    raw = json.dumps(record).encode()
    page = Page("media", [raw, raw.replace(b"word", b"other")])

    found = transformer("neurons").transform([page])["media"].rejected

    assert 2 * [(raw.replace(b"?sig=word&x=1", b"").decode(), "utf-8")] == [each.text() for each in found]
    assert 1 == len({each.fingerprint("neurons", "media") for each in found})


def test_a_refused_record_is_the_same_where_only_what_moves_by_itself_differs() -> None:
    """What is kept is what came; another name of the application makes another fingerprint."""
    records = [{"application_id": 5, "name": "a", "input_queue_count": length} for length in (1, 2)]
    raw = [json.dumps(each).encode() for each in (*records, {**records[0], "name": "b"})]

    page = Page("applications", raw, {"tenant_id": "T"})
    found = transformer().transform([page])["applications"].rejected

    assert raw == [each.content for each in found]
    one, again, other = (each.fingerprint("cogniac", "applications") for each in found)
    assert (True, False) == (one == again, one == other)


def test_undeclared_field_is_named_once_with_its_place() -> None:
    """Names nobody declared are remembered by the object they stand in, however often they come."""
    by = transformer()
    record = json.loads(changed("media/new", 1))
    record["other_media"] = [{"media_id": "M2", "newer": None}]
    record["detections"].append({**ASSERTION, "detection_id": "D:1", "new": [1], "focus": {"free": 1}})

    cut(changed("top-level", 0, record), changed("media/new", "other"), by=by)

    places = ["+other_media/newer", "detections/new", "media/new", "top-level"]
    assert [f"detections:{place}" for place in places] == by.unknown()


ODD = {
    'size 5"': 1,
    "a\\b": [2],
    "t\tb": None,
    "": {"": 3},
    "+focus_key": "x",
    "+boxes": [1],
    "+undeclared_0": 5,
}


@pytest.mark.parametrize("place", ["", "media/", "detections/0/", "other_media/0/"])
def test_undeclared_field_of_any_name_is_kept(place: str) -> None:
    """Names that no type can have, and those that mark what a source adds, are kept like any other."""
    record = json.loads(changed("other_media", [{"media_id": "M2"}]))
    for name, value in {**ODD, "plain": 1}.items():
        *way, _ = f"{place}x".split("/")
        inner = record
        for step in way:
            inner = inner[int(step) if step.isdecimal() else step]
        inner[name] = value
    by = transformer()

    found = cut(
        changed("media/media_id", "M0"), json.dumps(record).encode(), changed("media/media_id", "M3"), by=by
    )

    extras = [
        json.loads(each)
        for name in ("results", "media", "detections")
        for each in found.tables[name]["_extra"].to_pylist()
        if each
    ]
    assert ([], ["M0", "M", "M3"], [{**ODD, "plain": 1}]) == (
        refused(found),
        media_ids(found),
        extras,
    )
    assert len({**ODD, "plain": 1}) == len(by.unknown())


def test_undeclared_field_of_several_objects_is_learnt_once() -> None:
    """One name in two objects of a list, and another beside it, do not get in each other's way."""
    said = [{**ASSERTION, "detection_id": f"D:{number}", "a": number, "b": None} for number in range(3)]

    found = cut(changed("detections", said))

    extras = found.tables["detections"]["_extra"].to_pylist()
    assert ([], ['{"a":0,"b":null}', '{"a":1,"b":null}', '{"a":2,"b":null}']) == (
        refused(found),
        extras,
    )


def test_odd_name_does_not_hide_what_is_amiss() -> None:
    """A record with a field of an odd name is held to its declared types all the same."""
    record = json.loads(changed("detections/0/probability", 2))

    found = cut(
        json.dumps({**record, 'size 5"': 1}).encode(), changed("other_media", [{"media_id": 5, "": 1}])
    )

    assert [
        ("Expected `float` <= 1.0", "$.detections[0].probability"),
        ("Expected `str`, got `int`", "$.+other_media[0].media_id"),
    ] == refused(found)


NAMES = {f"name_{number}": number for number in range(201)}
TOO_MANY = "more than 200 undeclared fields, this one: name_200"


@pytest.mark.parametrize(
    ("place", "at"), [("", ""), ("media/", ".media"), ("detections/0/", ".detections[0]")]
)
def test_too_many_undeclared_fields_are_refused(place: str, at: str) -> None:
    """Beyond 200 names in one kind of object the names are data: such a record alone is set apart."""
    record = json.loads(changed("media/media_id", "M2"))
    for name, value in NAMES.items():
        record = json.loads(changed(place + name, value, record))

    found = cut(json.dumps(record).encode(), changed(f"{place}name_5", 1), changed("media/title", "T"))

    assert ([(TOO_MANY, f"${at}")], ["M", "M"]) == (refused(found), media_ids(found))


def test_too_many_undeclared_fields_in_what_the_source_adds_are_refused() -> None:
    """The same holds for objects that the source itself makes rows of."""
    found = cut(changed("other_media", [{"media_id": "M2", **NAMES}]), changed("media/media_id", "M3"))

    assert (["M3"], [TOO_MANY]) == (media_ids(found), [reason for reason, _ in refused(found)])
