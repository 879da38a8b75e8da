"""What is read of Neurons' files column by column is what is read of them one frame after the other.

Every file here is synthetic, made up in the shapes that the vendor's prose allows.
"""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from etl.sources.neurons.alike import areas_alike, metrics_alike
from etl.sources.neurons.assets import READERS, areas_one_by_one, metrics_one_by_one, unwrapped
from etl.sources.neurons.lines import lines, plain_lines
from etl.values import text_of

FRACTION = st.floats(0, 1)
NUMBER = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
LABELS: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
    {}, optional={"frame": st.integers(0, 9), "time": NUMBER}
)


@st.composite
def of_frames(draw: st.DrawFn, inside: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """A file with a few frames in any orientation, now and then with one that is unlike the others."""
    frames = [draw(LABELS) | draw(inside) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        frames = [{name: each.get(name) for name in frames[0]} for each in frames]
    shapes: list[Any] = [
        frames,
        {str(number): each for number, each in enumerate(frames, start=draw(st.integers(0, 2)))},
        {name: [each.get(name) for each in frames] for name in frames[0]},
        [next(reversed(each.values()), None) for each in frames],
    ]
    content = draw(st.sampled_from(shapes))
    about = draw(st.fixed_dictionaries({}, optional={"fps": NUMBER, "version": st.just("1")}))
    return json.dumps(draw(st.sampled_from([content, {**about, "x": content}]))).encode()


@given(body=of_frames(st.dictionaries(st.sampled_from(["a", "buy", "intent"]), NUMBER)))
def test_metrics_of_like_frames_are_those_of_each_frame(body: bytes) -> None:
    """What is read of frames that are alike is what is read of them one by one; else they are not taken."""
    value, about = unwrapped(json.loads(body))

    if metrics_alike(value, about.get("fps")) is not None:
        read = READERS["metrics"](body)[1]
        assert plain(metrics_one_by_one(value, about)) == plain(read)


@st.composite
def areas(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A few areas, named in one way and with polygons or boxes; now and then something is amiss."""
    named = draw(st.sampled_from([["id"], ["uuid", "name"], ["name"], ["id", "uuid"], ["label"]]))
    some = [dict.fromkeys(named, draw(st.sampled_from("ab"))) for _ in range(draw(st.integers(0, 3)))]
    corners = dict.fromkeys(("x0", "y0", "x1", "y1"), st.integers() | FRACTION)
    box = st.fixed_dictionaries({"box": st.fixed_dictionaries(corners)})
    point = st.fixed_dictionaries({"x": FRACTION | st.integers(0, 9), "y": FRACTION})
    polygon = st.fixed_dictionaries({"points": st.lists(point, min_size=1, max_size=3)})
    amiss: list[dict[str, Any]] = [{"id": 1}, {"id": ""}, {"name": None}, {"points": None}, {"box": None}]
    where: st.SearchStrategy[dict[str, Any]] = draw(st.sampled_from([box, polygon]))
    return [{**each, **draw(where), **draw(st.sampled_from([{}] * 9 + amiss))} for each in some]


@given(body=of_frames(st.fixed_dictionaries({"seen": areas()}, optional={"more": st.just([])})))
def test_areas_of_like_frames_are_those_of_each_frame(body: bytes) -> None:
    """What is read of areas that are alike is what is read of them one by one; else they are not taken."""
    if areas_alike(body, unwrapped) is not None:
        read = READERS["brand_detection"](body)[1]
        assert plain(areas_one_by_one(body)) == plain(read)


def plain(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The columns that hold something, as JSON holds it."""
    found = {name: [_plain(value) for value in column] for name, column in columns.items()}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _plain(value: object) -> object:
    return value if type(value) in (int, float) else text_of(value)


@given(text=st.text('ab,;\t\n\r"é1. ', max_size=30), separator=st.sampled_from(",;\t"))
def test_lines_of_plain_tables_are_those_of_any_table(text: str, separator: str) -> None:
    """A table without gaps or line feeds in quotes is the same lines whichever way it is read."""
    found = plain_lines(text, separator)

    assert found is None or lines(text, separator) == found
