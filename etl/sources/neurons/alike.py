"""Files whose frames all look alike, read field by field instead of frame by frame.

What is read here is what `assets.py` makes of the same file, and nothing but that: wherever this is not sure,
the answer is None, and the file is read there frame by frame, which also says what is wrong with it.
"""

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, pairwise, repeat
from typing import Any, NamedTuple, TypeVar

import msgspec

FRAME = ("frame", "frame_number")
TIME = ("time_s", "time", "timestamp")
DIGITS = 15  # no video has a frame with a longer number

NUMBERS = frozenset([int, float, type(None)])
EXACT = 2**53
"""Whole numbers below it are the same as floats."""
SLOWEST = 1e-9
"""Frames per second below which the time of a frame may be no number."""

T = TypeVar("T")


class Metrics(NamedTuple):
    """The same metrics of each frame."""

    frames: Sequence[int]
    times: Sequence[float | None]
    names: Sequence[str]
    cells: Sequence[float | None]
    """Frame after frame, in each the metrics as they are named."""


class Point(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A corner of an area."""

    x: int | float
    y: int | float


class Box(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The edges of an area."""

    x0: int | float
    y0: int | float
    x1: int | float
    y1: int | float


class Area(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An area with the usual names of its fields and no others."""

    uuid: str | None = None
    id: str | None = None
    name: str | None = None
    points: list[Point] | None = None
    box: Box | None = None


class Areas(NamedTuple):
    """Areas seen in frames, one after the other."""

    frames: Sequence[int]
    times: Sequence[float | None]
    places: "array[int]"
    """Of each area, the place of its frame."""
    ids: Sequence[str | None]
    instances: Sequence[int]
    """How many areas of the same id come before each in its frame."""
    names: Sequence[str | None]
    polygons: Sequence[Sequence[Point]] | None
    corners: Sequence[Sequence[float]]
    """Left, upper, right and lower edge of each."""


class _Unsure(Exception):
    """The frames differ in a way that must be looked at one by one."""


def metrics_alike(value: Any, fps: object) -> Metrics | None:  # noqa: ANN401 -- any JSON
    """The metrics per frame; None where the frames are not plainly alike."""
    return _sure(lambda: _metrics(value, fps))


Unwrap = Callable[[Any], tuple[Any, Mapping[str, Any]]]


def areas_alike(body: bytes, unwrap: Unwrap) -> Areas | None:
    """The areas seen per frame; None where frames and areas are not plainly alike."""
    return _sure(lambda: _areas(body, unwrap))


def grid(rows: int, columns: int) -> tuple["array[int]", "array[int]"]:
    """The places of each cell of a table, row after row: that of its row, and that of its column."""
    of_row, each = array("i", bytes(4 * rows * columns)), array("i", range(rows))
    for column in range(columns):
        of_row[column::columns] = each
    return of_row, array("i", range(columns)) * rows


def frame_keys(value: Mapping[str, Any]) -> bool:
    """Whether an object is keyed by frame number."""
    return bool(value) and all(map(str.isdecimal, value)) and max(map(len, value)) <= DIGITS


def _sure(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (_Unsure, msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        return None


def _hold(sure: object) -> None:
    if not sure:
        raise _Unsure


def _metrics(value: Any, fps: object) -> Metrics:  # noqa: ANN401 -- any JSON
    outside, fields = _fields(value)
    names = [name for name in fields if name not in FRAME and name not in TIME]
    _hold(names)
    size = len(fields[names[0]])
    cells = [None] * (size * len(names))
    for place, name in enumerate(names):
        cells[place :: len(names)] = fields[name]
    _hold(_are_numbers(cells))
    return Metrics(*_labels(outside, fields, size, fps), names, cells)


def _fields(value: Any) -> tuple[Sequence[int] | None, Mapping[str, Sequence[Any]]]:  # noqa: ANN401 -- any JSON
    """The frames' numbers where they stand outside, and the values of each field, frame after frame."""
    if isinstance(value, dict) and not frame_keys(value):
        _hold({list} == set(map(type, value.values())) and len(set(map(len, value.values()))) == 1)
        return None, value
    outside, frames = _numbered(value)
    _hold({dict} == set(map(type, frames)))
    names = tuple(frames[0])
    _hold(names and {names} == set(map(tuple, frames)))
    cells = list(chain.from_iterable(map(dict.values, frames)))
    return outside, {name: cells[place :: len(names)] for place, name in enumerate(names)}


def _numbered(value: Any) -> tuple[Sequence[int] | None, Sequence[Any]]:  # noqa: ANN401 -- any JSON
    """The frames of a list, or of an object keyed by frame number with these numbers."""
    if isinstance(value, list):
        return None, value
    _hold(isinstance(value, dict) and frame_keys(value))
    return list(map(int, value)), list(value.values())


def _labels(
    outside: Sequence[int] | None, fields: Mapping[str, Sequence[Any]], size: int, fps: object
) -> tuple[Sequence[int], Sequence[float | None]]:
    """Number and time of each frame, no number twice."""
    stated = [fields[name] for name in FRAME if name in fields]
    timed = [fields[name] for name in TIME if name in fields]
    _hold(size and len(stated) <= 1 and len(timed) <= 1)
    numbers = range(1, size + 1) if outside is None else outside
    if stated:
        numbers = stated[0]
        _hold({int} == set(map(type, numbers)))
    _hold(len(set(numbers)) == size and -EXACT < min(numbers) <= max(numbers) < EXACT)
    if timed:
        _hold(None not in timed[0] and _are_numbers(timed[0]))
        return numbers, timed[0]
    if fps is None:
        return numbers, [None] * size
    if not isinstance(fps, float | int) or isinstance(fps, bool) or not SLOWEST < fps < EXACT:
        raise _Unsure
    first = min([1, *numbers])
    return numbers, [(number - first) / fps for number in numbers]


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether all are numbers or None, and whole ones the same as floats; True is no 1."""
    kinds = set(map(type, values))
    if int not in kinds:
        return kinds <= NUMBERS
    return kinds <= NUMBERS and all(value is None or -EXACT < value < EXACT for value in values)


Seen = list[Area]
Frame = Seen | dict[str, int | float | str | Seen | None]
Wrapped = dict[str, int | float | str | list[Frame] | dict[str, Frame] | None]

KEYED = re.compile(rb'\s*\{\s*"\d')
"""How an object keyed by frame number begins."""
OF_LIST, OF_KEYED, OF_WRAPPED = map(msgspec.json.Decoder, (list[Frame], dict[str, Frame], Wrapped))


def _areas(body: bytes, unwrap: Unwrap) -> Areas:
    keyed = KEYED.match(body) is not None
    wrapped = not keyed and body.lstrip()[:1] == b"{"
    decoded = (OF_KEYED if keyed else OF_WRAPPED if wrapped else OF_LIST).decode(body)
    value, about = unwrap(decoded)
    # Else it was read as what it is not.
    _hold((value is decoded) != wrapped)
    outside, frames = _numbered(value)
    fields: Mapping[str, Sequence[Any]] = {}
    if frames and isinstance(frames[0], dict):
        outside, fields = _fields(value)
        held = [name for name in fields if name not in FRAME and name not in TIME]
        _hold(len(held) == 1)
        frames = fields[held[0]]
    _hold({list} == set(map(type, frames)))
    numbers, times = _labels(outside, fields, len(frames), about.get("fps"))
    areas: Sequence[Area] = list(chain.from_iterable(frames))
    _hold(areas)
    names = [area.name for area in areas]
    stated = [area.id if area.uuid is None else area.uuid for area in areas]
    ids = (
        stated
        if None not in stated
        else [name if each is None else each for each, name in zip(stated, names, strict=True)]
    )
    _hold(None not in ids)
    places = array("i", chain.from_iterable(map(repeat, range(len(frames)), map(len, frames))))
    instances = _instances(list(zip(places, ids, strict=True)))
    return Areas(numbers, times, places, ids, instances, names, *_corners(areas))


def _instances(areas: Sequence[tuple[int, str | None]]) -> list[int]:
    if len(set(areas)) == len(areas):
        return [0] * len(areas)
    met: dict[tuple[int, str | None], int] = {}
    counted = []
    for each in areas:
        met[each] = before = met.get(each, -1) + 1
        counted.append(before)
    return counted


def _corners(areas: Sequence[Area]) -> tuple[Sequence[Sequence[Point]] | None, Sequence[Sequence[float]]]:
    """The polygons, where all areas have one and not a box; and the box around each area."""
    polygons = [area.points for area in areas if area.points]
    if not polygons:
        boxes = [area.box for area in areas if area.box is not None and area.points is None]
        _hold(len(boxes) == len(areas))
        edges = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
        _hold(_are_numbers(list(chain.from_iterable(edges))))
        return None, list(zip(*edges, strict=True))
    _hold(len(polygons) == len(areas))
    points = list(chain.from_iterable(polygons))
    spans = [slice(*each) for each in pairwise(accumulate(map(len, polygons), initial=0))]
    xs = list(map([point.x for point in points].__getitem__, spans))
    ys = list(map([point.y for point in points].__getitem__, spans))
    corners = [list(map(min, xs)), list(map(min, ys)), list(map(max, xs)), list(map(max, ys))]
    _hold(all(map(_are_numbers, corners)))
    return polygons, corners
