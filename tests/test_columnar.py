"""Files whose frames look alike are read together, and come to the same as each read by itself.

Every file here is synthetic, made up in the shapes that the vendor's prose allows.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl import schema
from etl.demo.neurons.assets import brand_detection, frame_metrics
from etl.demo.neurons.film import FELT, SEEN, Brand, Film
from etl.extract.stream import File
from etl.sources import source_module
from etl.sources.neurons.csv import lines, plain_lines
from etl.transform.batch import Transformer

ROOT = Path(__file__).parent.parent
ABOUT = {"state": "loaded", "content_type": "a/b", "bytes": 9, "sha256": "0", "fetched_at": 5.5}
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


def come_to(bodies: Sequence[bytes], asset: str, *, together: bool) -> tuple[Any, ...]:
    """The rows of one asset of several videos, what was refused, and which files were read together."""
    source: Any = source_module("neurons")
    taken: list[set[int]] = []

    def read_alike(files: Sequence[File]) -> Any:  # noqa: ANN401 -- as a source has it
        found = source.read_alike(files) if together else (set(), [])
        taken.append(set(found[0]))
        return found

    rows_of = [{**ABOUT, "asset": asset, "media_id": str(number)} for number in range(len(bodies))]
    files = [File("assets", asset, row, body) for row, body in zip(rows_of, bodies, strict=True)]
    seen: Any = SimpleNamespace(**{**vars(source), "read_alike": read_alike})
    cut = Transformer(seen, schema.source("neurons")).transform(files)["assets"]
    rows = {name: sorted(map(repr, table.to_pylist())) for name, table in cut.tables.items()}
    forms = {name: table.schema for name, table in cut.tables.items()}
    return rows, forms, [(each.context, each.why.path, each.why.reason) for each in cut.rejected], taken


def hold_same(bodies: Sequence[bytes], asset: str) -> None:
    """Hold files that are read together to what each by itself comes to."""
    assert come_to(bodies, asset, together=False)[:3] == come_to(bodies, asset, together=True)[:3]


METRICS = of_frames(st.dictionaries(st.sampled_from(["a", "buy", "intent"]), NUMBER))


@given(bodies=st.lists(METRICS, min_size=1, max_size=4))
@example(bodies=[b'[{"frame":-1,"a":1}]', b'[{"a":1},{"a":null}]'])
@example(bodies=[b'[{"frame":1,"a":1},{"frame":1,"a":2}]', b'[{"frame":1,"a":1},{"frame":1,"a":1}]'])
@example(bodies=[b'[{"buy":1,"intent":1}]', b'[{"intent":1,"buy":2}]', b'[{"buy":2,"intent":2}]'])
@example(bodies=[b'{"fps":24,"x":[{"a":1},{"a":2}]}', b'[{"time":0.5,"a":9007199254740993}]'])
@example(bodies=[b'{"m":"\xff","x":[{"a":1}]}', b'{"fps":2,"1":{"a":1}}', b'{"fps":true,"x":[{"a":1}]}'])
@example(bodies=[b'{"frame":[1,2.5],"a":[1,2]}', b'{"frame":[3.0,4],"time":[0,1],"a":[1,2]}'])
@example(bodies=[b'[{"a":1,"b":2},{"b":3,"a":4}]', b'[{"a":1,"a":2}]', b'[{"a":1},{"a":true}]'])
def test_metrics_read_together_are_those_of_each_file(bodies: list[bytes]) -> None:
    """Whatever the frames are: the same rows, the same files refused for the same reasons."""
    hold_same(bodies, "metrics")


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


AREAS = of_frames(st.fixed_dictionaries({"seen": areas()}, optional={"more": st.just([])}))
CROWD = json.dumps([[{"id": name, "box": {"x0": 0, "y0": 0, "x1": 1, "y1": 1}} for name in "ab" * 9]])


@given(bodies=st.lists(AREAS, min_size=1, max_size=4))
@example(bodies=[CROWD.encode()])
@example(bodies=[b'[[{"id":"a","points":[{"x":1,"y":9007199254740993}]}]]', b'[[{"id":"a","points":[]}]]'])
@example(bodies=[b'[[{"uuid":"u","id":"a","points":[{"x":1,"y":2}]}]]'])
@example(bodies=[b'[[{"id":"a","points":[{"x":0,"y":-0.0},{"x":-0.0,"y":0.0}]}]]'])
@example(
    bodies=[
        b'[[{"id":"a","points":[{"x":0,"y":-0.0},{"x":-0.0,"y":0}]},{"id":"a","points":[{"x":-0.0,"y":0}]}]]'
    ]
)
@example(bodies=[b'[[{"id":"a","points":[{"x":1,"y":2}],"box":{"x0":0,"y0":0,"x1":1,"y1":1}}]]'])
@example(bodies=[b'{"version":"2","x":[[]]}', b'{"version":"2","x":[{"scene":1,"seen":[]}]}'])
@example(bodies=[b"[[],[]]", b'{"7":[]}', b'[{"frame":-1,"seen":[]}]', b'[{"seen":[],"frame":2}]'])
def test_areas_read_together_are_those_of_each_file(bodies: list[bytes]) -> None:
    """Whatever frames and areas are: the same rows, the same files refused for the same reasons."""
    hold_same(bodies, "brand_detection")


BRANDS = tuple(
    Brand(name, name.upper(), 1, 3, (0.5, 0.5), (0.001, 0.002), (0.1, 0.2), twice=name == "a")
    for name in "ab"
)
CURVES = {name: [None, 1.5, 2.25, float(place)] for place, name in enumerate((*SEEN, *FELT))}
FILM = Film(4, CURVES, BRANDS)


@pytest.mark.parametrize("asset", ["metrics", "brand_detection"])
def test_files_of_all_usual_shapes_are_read_together(asset: str) -> None:
    """No orientation, wrapping or labelling that the simulator knows needs to be read frame by frame."""
    of_metrics = [frame_metrics(FILM, FELT, style, media_id="M", old=style % 2 == 0) for style in range(45)]
    of_areas = [brand_detection(FILM, style, media_id="M") for style in range(48)]
    bodies = of_metrics if asset == "metrics" else of_areas

    rows, _, refused, taken = come_to(bodies, asset, together=True)

    assert ([set(range(len(bodies)))], []) == (taken, refused)
    assert rows == come_to(bodies, asset, together=False)[0]


def test_polars_is_imported_only_for_files() -> None:
    """A run without files of frames does not wait for what reads them."""
    told = """if True:
        import sys
        from etl import schema
        from etl.extract.stream import File, Page
        from etl.sources import source_module
        from etl.transform.batch import Transformer
        row = {"media_id": "M", "asset": "heat", "state": "skipped"}
        transformer = Transformer(source_module("neurons"), schema.source("neurons"))
        transformer.transform([Page("media", [b'{"media_id":"M"}']), File("assets", "heat", row)])
        print("polars" in sys.modules)
    """

    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "False" == ran.stdout.strip()


def test_only_the_file_that_does_not_fit_is_read_by_itself() -> None:
    """Of many files one whose rows do not fit is refused; the others stay read together."""
    good, bad = b'[{"frame":1,"a":1},{"frame":2,"a":1}]', b'[{"frame":1,"a":1},{"frame":1,"a":2}]'

    rows, _, refused, taken = come_to([good] * 5 + [bad] + [good] * 5, "metrics", together=True)

    assert (20, ["5"]) == (len(rows["frame_metrics"]), [context["media_id"] for context, _, _ in refused])
    assert {0, 1, 2, 3, 4} in taken


@given(text=st.text('ab,;\t\n\r"é1. ', max_size=30), separator=st.sampled_from(",;\t"))
def test_lines_of_plain_tables_are_those_of_any_table(text: str, separator: str) -> None:
    """A table without gaps or line feeds in quotes is the same lines whichever way it is read."""
    found = plain_lines(text, separator)

    assert found is None or lines(text, separator) == found
