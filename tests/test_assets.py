"""Neurons' five files are read whichever way round they are; what is no known shape is set apart.

No real file is published: every file here is synthetic, made up in the shapes that the vendor's prose allows.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.assets import AREA, AT, BOX, BOXED, FLAT, POINTS, cut, rows

from etl.errors import RecordError
from etl.sources.neurons.assets import READERS


def wrapped(*contents: object) -> list[object]:
    """Each content bare and within one object, with and without others beside it."""
    around = ((each, {"metrics": each}, {"media_id": "M", "version": None, "x": each}) for each in contents)
    return [each for forms in around for each in forms]


def pairs(cases: Mapping[str, Any]) -> list[tuple[object, str]]:
    """Each content with what is expected of it."""
    return [(content, expected) for expected, contents in cases.items() for content in contents]


FRAMES = wrapped(
    [{"frame": 1, "focus": 71.2, "memory": 44}, {"frame": 2, "focus": 70.9, "memory": 44.1}],
    [{"focus": 71.2, "memory": 44}, {"focus": 70.9, "memory": 44.1}],
    {"focus": [71.2, 70.9], "memory": [44, 44.1]},
    {"1": {"focus": 71.2, "memory": 44}, "2": {"focus": 70.9, "memory": 44.1}},
)


@pytest.mark.parametrize("asset", ["metrics", "frt_frame_metrics"])
@pytest.mark.parametrize("content", FRAMES, ids=str)
def test_metrics_of_frames_are_the_same_whichever_way_round(asset: str, content: object) -> None:
    """A list of frames, an object of arrays and one keyed by frame are the same rows, wrapped or not."""
    values = ("1 focus - 71.2", "1 memory - 44.0", "2 focus - 70.9", "2 memory - 44.1")

    assert "\n".join(f"{value} {value.split()[1]}" for value in values) == rows(asset, content)


STATED = {
    "1 unheard_of - 1.0 unheard_of": [[{"unheard_of": 1}]],
    "1 a - - a\n2 b - 1.0 b": [[{"a": None}, {"b": 1}]],
    "1 a - - a\n2 a - 2.0 a": [{"a": [None, 2]}],
    "7 a - 1.0 a\n3 a - - a": [[{"frame": 7, "a": 1}, {"frame": 3.0, "a": None}]],
    "4 a - 1.0 a": [{"1": {"frame": 4, "a": 1}}, {"4": {"a": 1}}, {"frame": [4], "a": [1]}],
    "0 a - 1.0 a\n1 a - 2.0 a": [{"0": {"a": 1}, "1": {"a": 2}}],
    "0 a 0.0 1.0 a\n1 a 0.1 2.0 a": [{"fps": 10, "x": {"0": {"a": 1}, "1": {"a": 2}}}],
    "11 a 1.0 1.0 a": [{"fps": 10, "x": [{"frame": 11, "a": 1}]}],
    "1 a 0.0 1.0 a\n2 a 0.25 2.0 a": [{"fps": 4, "x": {"a": [1, 2]}}, {"time_s": [0, 0.25], "a": [1, 2]}],
    "1 a 0.5 1.0 a\n2 a 0.25 2.0 a": [{"fps": 4, "x": [{"time": 0.5, "a": 1}, {"a": 2}]}],
    "1 a 3.0 1.0 a": [[{"timestamp": 3, "a": 1}]],
    "1 intent - 1.0 buy\n1 trust - 2.0 trustworthy": [[{"buy": 1, "trustworthy": 2}]],
    "1 avoidance - 1.0 annoying\n1 intent - 2.0 intent": [[{"annoying": 1, "intent": 2}]],
    "1 a - 1.0 a": [{"fps": "24", "x": {"a": [1]}}, {"fps": 0, "x": {"a": [1]}}, b'\xef\xbb\xbf[{"a":1}]'],
    "2 a - 1.0 a": [[{"frame": 2, "a": 1}, {"frame": 2, "a": 1}]],
    "": [[], {}, {"frames": {}}, {"a": []}],
}


@pytest.mark.parametrize(("content", "expected"), pairs(STATED), ids=str)
def test_metrics_of_frames_are_read_as_stated(content: object, expected: str) -> None:
    """Numbers, times and names are the file's; frames count from 1 and times are NULL where it has none."""
    assert expected == rows("metrics", content)


AREAS = wrapped(
    [{"frame": 1, "seen": [AREA, AREA]}, {"frame": 2, "seen": []}, {"frame": 3, "seen": [AREA]}],
    [{"aois": [AREA, AREA]}, {"aois": []}, {"aois": [AREA]}],
    [[AREA, AREA], [], [AREA]],
    {"1": [AREA, AREA], "2": [], "3": [AREA]},
    {"1": {"seen": [AREA, AREA]}, "3": {"seen": [AREA]}},
)


@pytest.mark.parametrize("content", AREAS, ids=range(len(AREAS)))
def test_areas_of_frames_are_the_same_whichever_way_round(content: object) -> None:
    """Lists of areas in a list of frames or under frame numbers are the same rows, instances counted."""
    areas = ("1 a 0", "1 a 1", "3 a 0")

    assert "\n".join(f"{area} A {AT} - {FLAT} -" for area in areas) == rows("brand_detection", content)


AREAS_STATED = {
    f"1 7 0 - {AT} - - -": [[[{"id": 7, "box": BOX}]], [[{"uuid": 7, **BOX}]]],
    f"1 A 0 A {AT} - - -": [[[{"name": "A", "bbox": BOX}]], {"x": {"1": [{"label": "A", **BOX}]}}],
    f"1 a 0 - {AT} - {FLAT} -": [[[{"id": "a", "polygon": POINTS, "name": None}]]],
    "1 a 0 - -1.0 0.2 0.5 0.75 - - -": [[[{"id": "a", "box": {**BOX, "x0": -1}}]]],
    f'1 a 0 - {AT} - - {{"score":1,"z":{{"q":[1]}}}}': [[[{**BOXED, "z": {"q": [1]}, "score": 1}]]],
    f"2 a 0 A {AT} 0.25 {FLAT} -": [{"fps": 4, "x": [[], [AREA]]}, [[], {"time": 0.25, "seen": [AREA]}]],
    f"1 a 0 - {AT} - - -\n1 b 0 - {AT} - - -": [[[BOXED, {**BOXED, "id": "b"}]]],
}


@pytest.mark.parametrize(("content", "expected"), pairs(AREAS_STATED), ids=str)
def test_areas_of_frames_are_read_as_stated(content: object, expected: str) -> None:
    """An area has an id or its name, a polygon or a box, and its frame's time; what else it has is kept."""
    assert expected == rows("brand_detection", content)


def test_a_time_is_the_first_that_is_stated() -> None:
    """A time that is null does not hide the one that stands beside it."""
    assert "1 a 9.5 1.0 a" == rows("metrics", [{"time": None, "timestamp": 9.5, "a": 1}])


OF_AREAS = {
    "u A seen 0.5 seen -\nu A intent - buy -\nv - seen 1.0 seen -": wrapped(
        [{"uuid": "u", "name": "A", "seen": 0.5, "buy": None}, {"id": "v", "seen": 1}],
        {"u": {"name": "A", "seen": 0.5, "buy": None}, "v": {"seen": 1}},
    ),
    "u - seen 1.0 seen -": [[{"id": "u", "seen": 1}], {"u": {"seen": 1}}, {"x": {"u": {"seen": 1}}}],
    "u A seen 1.0 seen -": [{"A": {"uuid": "u", "seen": 1}}, 2 * [{"id": "u", "name": "A", "seen": 1}]],
    'a a seen 1.0 seen {"ok":true,"type":"logo"}': [[{"name": "a", "seen": 1, "type": "logo", "ok": True}]],
    "": [{}, [], {"aois": []}],
}


@pytest.mark.parametrize(("content", "expected"), pairs(OF_AREAS), ids=str)
def test_metrics_of_areas_are_the_same_whichever_way_round(content: object, expected: str) -> None:
    """A list of areas and an object keyed by area are the same rows; texts beside the numbers are kept."""
    assert expected == rows("brand_detection_metrics", content)


SCORES = {
    "1 A a 1.5 - a\n2 B a -2000.0 - a": [b"name,a\nA,1.5\nB,-2e3\n", b"name\ta\nA\t1,5\nB\t-2000"],
    "1 A a 0.5 - a\n1 A intent 2.0 - buy": [b"aoi;a;buy\r\nA;,5;2\r\n", b'name,a,buy\nA,"0,5",2\n'],
    "1 Äcme a 1.0 - a": ["\ufeffname,a\nÄcme,1".encode(), "brand\ta\nÄcme\t1".encode()],
    '1 A "x", y a;b;c 1.5 - a;b;c': [b'"name","a;b;c"\n"A ""x"", y","1,5"\n'],
    "1 A a - - a\n1 A b - - b\n1 A c - n/a c": [b'name,a,b,c\nA,,"",n/a\n'],
    "1 A rank - 1st rank\n1 A a 1.0 - a": [b"rank,brand,a\n1st,A,1\n"],
    "1 A a 1.0 - a": [b"place,a\nA,1\n", [{"name": "A", "a": 1}], {"A": {"a": "1.0"}}, b"name,a\rA,1\r"],
    "1 - a 1.0 - a\n1 - b 2.0 - b": [b"a,b\n1,2\n"],
    "1 A a 1234.0 - a\n2 B a 0.5 - a": [b'name,a\nA,"1,234"\nB,0.5\n', b"name;a\nA;1.234\nB;0,5\n"],
    "1 A a 1234.0 - a\n2 B a 1234567.0 - a": [
        b'name,a\nA,"1,234"\nB,"1,234,567"\n',
        b"name;a\nA;1.234\nB;1.234.567,0\n",
    ],
    "1 A a 1.234 - a\n2 B a 2.0 - a": [b"name,a\nA,1.234\nB,2\n", b"name;a\nA;1,2340\nB;2\n"],
    "1 A a - 1,234 a\n2 B a 2.0 - a": [b"name;a\nA;1,234\nB;2\n"],
    "1 A a - 1,234 a\n2 B a - 1.234 a": [b"name;a\nA;1,234\nB;1.234\n"],
    "1 A a - 12,5 a\n2 B a - 0.5 a": [b"name;a\nA;12,5\nB;0.5\n"],
    "1 A a - 1,23,456 a\n2 B a - 1_000 a": [b'name,a\nA,"1,23,456"\nB,1_000\n'],
    "1 007 a 1.0 - a\n2 07 a 2.0 - a": [b"id,a\n007,1\n07,2\n"],
    "1 A a - 9007199254740993 a\n2 B a - 5 a": [
        b"name,a\nA,9007199254740993\nB,5\n",
        [{"name": "A", "a": 2**53 + 1}, {"name": "B", "a": 5}],
    ],
    "1 A a - 1e400 a\n2 B a - 1e-400 a\n3 C a 0.0 - a": [b"name,a\nA,1e400\nB,1e-400\nC,0.0\n"],
    "1 5 a 1.0 - a\n2 B a 2.0 - a": [[{"name": 5, "a": 1}, {"name": "B", "a": 2}]],
    "1 A a,b 1.0 - a,b": [b"sep=;\nname;a,b\nA;1\n", b'\xef\xbb\xbf"sep=;"\r\nname;a,b\r\nA;1\r\n'],
    "1 A a 1.0 -  a \n1 A intent 2.0 -  buy": [b"name , a , buy\n A , 1 , 2 \n"],
    "1 A 0 1.0 - 0\n1 A 1 2.0 - 1": [b"name,0,1\nA,1,2\n"],
    "1 A a 1.0 - a\n1 A b - - b": [b"name,a,b\nA,1\n", {"aois": [{"name": "A", "a": 1, "b": None}]}],
    '1 A a - true a\n1 A b - {"c":1} b': [[{"name": "A", "a": True, "b": {"c": 1}}]],
    "": [b"name,a\n", b"name,a", [], {}],
}


@pytest.mark.parametrize(("content", "expected"), pairs(SCORES), ids=str)
def test_scores_are_read_cell_by_cell(content: object, expected: str) -> None:
    """A table is read by its own header and separators, as CSV or as JSON; what is no number stays text."""
    assert expected == rows("aoi_scores", content)


NO_FRAMES = "$: neither a list of frames, nor arrays of one length, nor an object keyed by frame number"
TRUNCATED = "$: is not JSON: Input data was truncated"
MALFORMED = "$: is not JSON: JSON is malformed: invalid character (byte 0)"
NO_TEXT = "$: is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
FRAME = "$[0].frame: a frame number must be a whole number, not"
TWICE = "$: two different rows of frame_metrics with one key: M, metrics, 1, a"
NAMED_TWICE = "$: an object has two values called"
NO_SEEN = "$: a frame must be a list of areas, or an object with one list of areas"
NO_AREAS = "$: neither a list of areas nor an object keyed by area"
NO_ID = "$: an area has neither an id nor a name"
NO_CORNERS = "$[1]: an area must have a polygon, or a box with x0, y0, x1 and y1"
BROKEN = "new-line character seen in unquoted field - do you need to open the file in universal-newline mode?"
REFUSED: dict[str, dict[str, list[object]]] = {
    "metrics": {
        "$: arrays of different lengths: [1, 2]": [{"a": [1, 2], "b": [1]}],
        "$[1].a: must be a number or null, not str": [[{"a": "71.2"}]],
        "$[2].a: must be a number or null, not bool": [[{"a": 1}, {"a": True}]],
        "$[1].time: must be a number or null, not str": [[{"time": "0:01", "a": 1}]],
        f"{FRAME} None": [[{"a": 1}, {"frame": 2, "a": 1}]],
        f"{FRAME} '1'": [[{"frame": "1", "a": 1}]],
        f"{FRAME} 1.5": [[{"frame": 1.5, "a": 1}]],
        f"{FRAME} 1e+300": [[{"frame": 1e300, "a": 1}]],
        "$: 5e-324 is no number of frames per second": [{"fps": 5e-324, "x": {"7": {"a": 1}}}],
        "$.frame: -1 is not within 0 to inf": [[{"frame": -1, "a": 1}]],
        TWICE: [[{"frame": 1, "a": 1}, {"frame": 1, "a": 2}]],
        "$: a frame must be an object": [[1, 2], {"1": [71.2, 44], "2": [70.9, 44.1]}],
        NO_FRAMES: [{"1": {"a": 1}, "x": {"a": 2}}, {"a": 1}, "text", b"null"],
        TRUNCATED: [b"", b'[{"a": 1}, {"a"'],
        MALFORMED: [b"\xff", b"<html>Denied</html>"],
        NO_TEXT: [b'[{"\xff": 1}]'],
        f"{NAMED_TWICE} 1": [b'{"1":{"a":1},"1":{"a":2}}', b'{"fps":5,"x":{"1":{"a":1}, "1":{"a":2}}}'],
        f"{NAMED_TWICE} a": [
            *(b'[{"a":1,"a":2}]', b'{"a":[1,2],"b":[1,2],"a":[3,4]}', b'[{"a":1.5},{"a":1,"a" :2.5}]'),
            b'{"1":{"a":1,"a":2},"2":{"a":3}}',
        ],
        f"{NAMED_TWICE} x": [b'{"fps":5,"x":[{"a":1}],"x":[{"a":2}]}'],
        f"{NAMED_TWICE} fps": [b'{"fps":5,"x":[{"a":1}],"fps":25}'],
    },
    "brand_detection": {
        NO_ID: [[[{"box": BOX}]], [AREA], [[{"id": ["a"], "box": BOX}]]],
        NO_CORNERS: [[[{"id": "a"}]], [[{"id": "a", "box": [0, 0, 1, 1]}]]],
        "$[1]: a polygon must be a list of points with x and y": [
            [[{"id": "a", "points": points}]] for points in ([], [[0, 0], [1, 1]], "x", [{"x": "0", "y": 0}])
        ],
        "$[1].x0: must be a number or null, not str": [[[{"id": "a", "box": {**BOX, "x0": "0"}}]]],
        "$[1]: an area must be an object": [[["a"]]],
        f"{NAMED_TWICE} id": [b'[[{"id":"a","id":"b","box":{"x0":0,"y0":0,"x1":1,"y1":1}}]]'],
        f"{NAMED_TWICE} x0": [b'[{"seen":[{"id":"a","box":{"x0":0,"x0":1,"y0":0,"x1":1,"y1":1}}]}]'],
        f"{NAMED_TWICE} x": [b'[[{"id":"a","points":[{"x":1,"y":2,"x":3}]}]]'],
        f"{NAMED_TWICE} 1": [b'{"1":[],"1":[{"id":"a","box":{"x0":0,"y0":0,"x1":1,"y1":1}}]}'],
        f"{NAMED_TWICE} seen": [b'[{"seen":[{"id":"a","points":[{"x":1,"y":2}]}],"seen":[]}]'],
        NO_SEEN: [
            [{"a": [BOXED], "b": []}],
            5 * [5],
            {"1": {"a": BOXED}},
            [{"frame": 1, **BOXED}],
            {"A": [{"frame": 1, **BOXED}]},
        ],
    },
    "brand_detection_metrics": {
        NO_ID: [[{"seen": 1}]],
        "$[u].seen: must be a number or null, not dict": [[{"id": "u", "seen": {"a": 1}}]],
        NO_AREAS: [{"u": 5}, [5]],
        f"{NAMED_TWICE} logo": [b'{"logo":{"seen":1},"logo":{"seen":2}}'],
    },
    "aoi_scores": {
        "$: has no header line": [b"", b"\n\n"],
        "$: is not a CSV table: found more fields than defined in 'Schema'": [b"name,a\nA,1,2\n"],
        "$: is not UTF-8 text: invalid start byte": [b"name,a\n\xff,1\n"],
        f"$: is not a CSV table: {BROKEN}": [b"name,a\rb,c\nA,1,2\n"],
        "$: is not a CSV table: has one column only": [b"<html>Denied</html>", b"\x01"],
        "$: is not a CSV table: holds NUL characters, as UTF-16 text does": [b"\x00\x01"],
        "$: is not a CSV table: says that '|' is its separator": [b"sep=|\nname|a\nA|1\n"],
        "$: is not a CSV table: two columns are called a": [b"name,a,a\nA,1,2\n"],
        "$: is not a CSV table: begins with numbers, not with names of columns": [
            *(b"A,12.5,3\nB,4.5,5\n", b'"A","0.5"\n"B","4"\n', b"A;12,5;3,5\nB;4,5;5,5\n"),
            *(b"A,-1,1e-5\nB,2,3\n", b"12.5,A,B\n"),
            *(b"A,12,5\nB,4,5\n", b"A,12\nB,4\n", b"A,1\xc2\xb2,12\nB,4,5\n"),
        ],
        "$: is not a CSV table: breaks off in its last line": [
            b"name,a,b\nA,1,2\nB,3",
            b'name,a,b\nA,"x\ny"',
        ],
        TRUNCATED: [b'[{"name": "A"'],
        f"{NAMED_TWICE} a": [b'[{"name":"A","a":1,"a":2}]'],
    },
}
"""By file and by what is said of it: what is no such file."""
EACH = [(asset, *pair) for asset, cases in REFUSED.items() for pair in pairs(cases)]


@pytest.mark.parametrize(("asset", "content", "expected"), EACH, ids=str)
def test_file_in_no_known_shape_is_refused(asset: str, content: object, expected: str) -> None:
    """A file that could be read only by guessing, or in part, is refused with what is amiss and where."""
    assert [expected] == [f"{each.why.path}: {each.why.reason}" for each in cut((asset, content)).rejected]


def test_a_value_that_stands_twice_under_one_name_is_one() -> None:
    """Nothing is lost then, whichever of the two is read."""
    assert "1 a - 1.5 a" == rows("metrics", b'[{"a":1.5,"a":1.5}]')
    assert "u - seen 1.0 seen -" == rows("brand_detection_metrics", b'{"u":{"seen":1},"u":{"seen":1}}')


def test_refused_file_keeps_its_row() -> None:
    """A file that is refused is known as such and marked as not whole; files beside it are loaded."""
    bad, good = [{"frame": -1, "a": 1}], [{"a": 1}]

    found = cut(("metrics", bad), ("frt_frame_metrics", good), ("new", b"?"), ("heat", None))

    marks = found.tables["assets"].select(["asset", "state", "error", "_whole"]).to_pylist()
    assert [
        ("metrics", "quarantined", "-1 is not within 0 to inf", False),
        ("frt_frame_metrics", "loaded", None, True),
        ("new", "loaded", None, True),
        ("heat", "loaded", None, False),
    ] == [tuple(row.values()) for row in marks]
    assert ({"media_id": "M", "asset": "metrics"}, 3) == (found.rejected[0].context, found.fetched)
    assert [1] == found.tables["frame_metrics"]["_record"].to_pylist()


@pytest.mark.parametrize(
    ("last", "count"),
    [({"frame": 5000, "a": 1}, 4001), ({"frame": 7, "a": 1}, 4000), ({"frame": 7, "a": 2}, 0)],
)
def test_repeats_are_found_among_many_rows(last: object, count: int) -> None:
    """Of thousands of rows too, one that is sent twice is one row, and two of one key are refused."""
    frames = [{"frame": number, "a": 1} for number in range(4000, 0, -1)]

    found = cut(("metrics", [*frames, last]), ("frt_frame_metrics", frames))

    of_file = found.tables["frame_metrics"]["asset"].to_pylist()
    assert (count, 4000) == (of_file.count("metrics"), of_file.count("frt_frame_metrics"))
    assert [TWICE.replace("1, a", "7, a")] * (count == 0) == [
        f"{each.why.path}: {each.why.reason}" for each in found.rejected
    ]


FIELDS = ["frame", "time", "fps", "frames", "id", "name", "points", "box", "x", "y", *BOX, "0", "1", "a"]
VALUES = st.sampled_from([None, True, 10**400, "", "a"]) | st.integers() | st.floats(allow_nan=False)
JSON = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner))
TABLE = st.text(' ,;\t\n\r"\x00aé1.').map(str.encode)


@pytest.mark.parametrize("asset", READERS)
@given(content=JSON.map(json.dumps).map(str.encode) | st.binary() | TABLE)
@example(content=b'{"fps":1,"frames":{"%s":{"a":1}}}' % (b"9" * 400))
@example(content=b'{"%s":{"a":1}}' % (b"9" * 5000))
@example(content=b'[[{"id":"a","points":[{"x":%s,"y":0}]}]]' % (b"9" * 400))
def test_anything_is_read_or_refused(asset: str, content: bytes) -> None:
    """Whatever a file holds, it becomes columns of one length or is refused: it never ends a run."""
    columns: Mapping[str, Sequence[Any]] = {}
    with suppress(RecordError):
        columns = READERS[asset](content)[1]

    assert len({len(column) for column in columns.values()}) <= 1
    assert 1 == cut((asset, content)).fetched


@pytest.mark.parametrize("place", ["id", "points", "other"])
def test_file_nested_to_any_depth_is_read_or_refused(place: str) -> None:
    """However deep a value is nested, its file is accepted or refused: no limit ends a run."""
    head = json.dumps([[{"name": "a", **BOX, place: 0}]]).removesuffix("0}]]")
    depths = [*range(880, 1000), 100_000]

    found = [cut(("brand_detection", f"{head}{'[' * each}{']' * each}}}]]".encode())) for each in depths]

    assert len(depths) * [1] == [each.fetched for each in found]
