"""A file whose frames all look alike, decoded into a type that is made for its frames.

What is read here is what `assets.py` makes of the same file, and nothing but that. A file of which this is
not certain is left to it; there it is read frame by frame, which also says what is wrong with it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from etl.sources.neurons.frames import ABOUT, BOM, EXACT, FRAME, TIME, frame_keys

SLOWEST = 1e-9
"""Frames per second below which the time of a frame may be no number."""
WIDEST = 200
"""Names in a frame beyond which no type is made of them."""
PEEKED = 16_384
"""Bytes in which the first frame of a file must end."""

Number = Annotated[int, msgspec.Meta(gt=-EXACT, lt=EXACT)]
Cell = float | None
T = TypeVar("T")


class Point(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A corner of an area."""

    x: Number | float
    y: Number | float


class Box(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The edges of an area."""

    x0: float
    y0: float
    x1: float
    y1: float


class Area(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An area with the usual names of its fields and no others."""

    uuid: str | None = None
    id: str | None = None
    name: str | None = None
    points: list[Point] | None = None
    box: Box | None = None


class Labels(NamedTuple):
    """How the frames of one file are numbered and timed."""

    numbers: Sequence[int]
    times: Sequence[float] | None
    """In seconds; None where the file states none."""
    fps: float | None
    """Frames per second, where they are stated."""
    members: int = 0
    """How many members the objects have in which the frames stand, and which they are."""


class MetricsFile(NamedTuple):
    """One file in which each frame has the same metrics."""

    labels: Labels
    names: Sequence[str]
    cells: Sequence[Cell]
    """Frame after frame, in each the metrics as they are named."""


class AreasFile(NamedTuple):
    """One file of areas that are all polygons, or all boxes."""

    labels: Labels
    counts: Sequence[int]
    """How many areas are seen in each frame."""
    areas: Sequence[Area]


class UnsureError(Exception):
    """The frames of a file differ in a way that must be looked at one by one."""


def sure(bodies: Mapping[int, bytes], read: Callable[[bytes], T]) -> dict[int, T]:
    """Return what is certainly read of the bodies of files, by the place of the file."""
    found = {}
    for place, body in bodies.items():
        with suppress(
            UnsureError, msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError
        ):
            found[place] = read(body.removeprefix(BOM))
    return found


def _hold(sure: object) -> None:
    if not sure:
        raise UnsureError


MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ARRAYS = msgspec.json.Decoder(dict[str, list[Cell]])
KEYED = re.compile(rb'\s*\{\s*"\d+"\s*:\s*')
"""How an object keyed by frame number begins, up to its first frame."""
LISTED = re.compile(rb"\s*\[\s*(?=[\[{])")
"""How a list of frames begins, up to its first frame."""
NESTED = re.compile(rb'\{\s*"[^"\\]*"\s*:\s*[\[{]')
"""How an object begins whose first member is a list or an object."""


def _hold_colons(content: bytes | msgspec.Raw, members: int) -> None:
    """Hold that there are no more members than were decoded: of two with one name, the last alone would be.

    A colon in a text is taken for one, which costs time and no row.
    """
    _hold(bytes(memoryview(content)).count(b":") == members)


def _unwrapped(body: bytes) -> tuple[bytes | msgspec.Raw, float | None]:
    """Return the frames of a file without the object that may wrap them, and their rate, if stated."""
    if LISTED.match(body) or KEYED.match(body):
        return body, None
    members = MEMBERS.decode(body)
    _hold(not frame_keys(members))
    inner = [name for name, raw in members.items() if bytes(memoryview(raw)[:1]) in (b"[", b"{")]
    about = {name: msgspec.json.decode(raw) for name, raw in members.items() if name not in inner}
    if len(inner) != 1:
        return body, None
    _hold(about.keys() <= ABOUT)
    content = members[inner[0]]
    _hold_colons(body, len(members) + bytes(memoryview(content)).count(b":"))
    _hold(LISTED.match(content) or NESTED.match(content))
    fps = about.get("fps")
    if fps is None:
        return content, None
    _hold(isinstance(fps, float | int) and not isinstance(fps, bool) and SLOWEST < fps < EXACT)
    return content, fps


def _first(content: bytes | msgspec.Raw, begin: int) -> Any:  # noqa: ANN401 -- any JSON
    """Return the value that begins at this place; ValueError where it is too long to be a frame."""
    return json.JSONDecoder().raw_decode(
        bytes(memoryview(content)[begin : begin + PEEKED]).decode(errors="replace")
    )[0]


@lru_cache(maxsize=64)
def _frames_decoder(names: tuple[str, ...], of: Any, *, keyed: bool) -> msgspec.json.Decoder[Any]:  # noqa: ANN401
    """Return a decoder of frames with just these fields: their labels, and others of this type."""
    _hold(0 < len(names) <= WIDEST)
    kinds = {**dict.fromkeys(FRAME, Number), **dict.fromkeys(TIME, float)}
    fields = [(f"field_{place}", kinds.get(name, of)) for place, name in enumerate(names)]
    encoded = {attribute: name for (attribute, _), name in zip(fields, names, strict=True)}
    frame = msgspec.defstruct("Frame", fields, rename=encoded, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(dict[str, frame] if keyed else list[frame])  # type: ignore[valid-type]


def _labels_first(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the fields that number or time a frame, at most one of each, and the others."""
    labels: list[str] = []
    others: list[str] = []
    for name in names:
        (labels if name in FRAME or name in TIME else others).append(name)
    _hold(sum(name in FRAME for name in labels) <= 1 and sum(name in TIME for name in labels) <= 1)
    return labels, others


def _frames(
    content: bytes | msgspec.Raw,
    begin: re.Match[bytes],
    of: Any,  # noqa: ANN401 -- a type
    fps: float | None,
) -> tuple[Labels, Sequence[str], list[Any]]:
    """Return the labels of the frames, the names of their other fields, and their values frame by frame."""
    first = _first(content, begin.end())
    _hold(isinstance(first, dict))
    labels, others = _labels_first(first)
    _hold(others)
    keyed = begin.re is KEYED
    decoded = _frames_decoder((*labels, *others), of, keyed=keyed).decode(content)
    members = len(decoded) * (len(labels) + len(others) + keyed)
    flat = list(chain.from_iterable(map(msgspec.structs.astuple, decoded.values() if keyed else decoded)))
    stated = {}
    for left, name in enumerate(labels):
        width = len(labels) - left + len(others)
        stated[name in FRAME] = flat[::width]
        del flat[::width]
    counted = _keys(decoded) if keyed else range(1, len(decoded) + 1)
    return Labels(stated.get(True, counted), stated.get(False), fps, members), others, flat


def _keys(frames: Mapping[str, object]) -> list[int]:
    _hold(frame_keys(frames))
    return list(map(int, frames))


def metrics_of(body: bytes) -> MetricsFile:
    """Return the metrics in a file; UnsureError where its frames are not plainly alike."""
    content, fps = _unwrapped(body)
    begin = LISTED.match(content) or KEYED.match(content)
    if begin:
        found = MetricsFile(*_frames(content, begin, Cell, fps))
        _hold_colons(content, found.labels.members)
        return found
    arrays = ARRAYS.decode(content)
    _hold_colons(content, len(arrays))
    sizes = set(map(len, arrays.values()))
    _hold(len(sizes) == 1 and sizes != {0} and not frame_keys(arrays))
    labels, names = _labels_first(arrays)
    _hold(names)
    numbers: Sequence[int] = range(1, sizes.pop() + 1)
    times = None
    for name in labels:
        stated = [value for value in arrays[name] if value is not None]
        _hold(len(stated) == len(numbers))
        if name in TIME:
            times = stated
        else:
            _hold(all(number.is_integer() and abs(number) < EXACT for number in stated))
            numbers = list(map(int, stated))
    cells = list(chain.from_iterable(zip(*(arrays[name] for name in names), strict=True)))
    return MetricsFile(Labels(numbers, times, fps), names, cells)


def _members(areas: Sequence[Area]) -> int:
    """How many members these areas have that say something, with those of their corners."""
    said = [part for area in areas for part in msgspec.structs.astuple(area) if part is not None]
    corners = sum(4 if type(part) is Box else 2 * len(part) for part in said if type(part) in (Box, list))
    return len(said) + corners


LISTS = msgspec.json.Decoder(list[list[Area]])
LISTS_BY_FRAME = msgspec.json.Decoder(dict[str, list[Area]])


def areas_of(body: bytes) -> AreasFile:
    """Return the areas in a file; UnsureError where they are not plainly alike."""
    content, fps = _unwrapped(body)
    begin = LISTED.match(content) or KEYED.match(content)
    if begin is None:
        raise UnsureError
    if bytes(memoryview(content)[begin.end() : begin.end() + 1]) == b"{":
        labels, others, seen = _frames(content, begin, list[Area], fps)
        _hold(len(others) == 1)
    elif begin.re is KEYED:
        by_frame = LISTS_BY_FRAME.decode(content)
        labels, seen = Labels(_keys(by_frame), None, fps, len(by_frame)), list(by_frame.values())
    else:
        seen = LISTS.decode(content)
        labels = Labels(range(1, len(seen) + 1), None, fps)
    areas = list(chain.from_iterable(seen))
    # What an area says twice is kept apart, where it is looked at alone.
    _hold(not any(area.uuid is not None and area.id is not None for area in areas))
    polygons = [area.points for area in areas]
    _hold_colons(content, labels.members + _members(areas))
    if all(polygons):
        _hold(not any(area.box is not None for area in areas))
    else:
        _hold(not any(polygons) and [] not in polygons and None not in [area.box for area in areas])
    return AreasFile(labels, list(map(len, seen)), areas)
