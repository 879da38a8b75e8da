"""Frames and areas in Neurons' files one by one, whichever way round they are, and what is said of frames."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, TypeGuard

import msgspec

from etl.errors import RecordError
from etl.values import UNREADABLE

FRAME = ("frame", "frame_number")
TIME = ("time_s", "time", "timestamp")
ABOUT = frozenset({"media_id", "fps"})
"""What an object around the content of a file may say that has a place of its own."""
DIGITS = 15  # no video has a frame with a longer number
EXACT = 2**53
"""Whole numbers below it are the same as floats."""
LARGEST = sys.float_info.max
BOM = b"\xef\xbb\xbf"


def frame_keys(value: Mapping[str, Any]) -> bool:
    """Whether an object is keyed by frame number."""
    return bool(value) and all(map(str.isdecimal, value)) and max(map(len, value)) <= DIGITS


def parsed_json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON
    """Return the content of a file; RecordError where it is no JSON, or not all of it can be kept."""
    text = body.removeprefix(BOM)
    try:
        content = msgspec.json.decode(text)
    except UNREADABLE as error:
        raise RecordError(f"is not JSON: {error}") from error
    # Numbers are compared as they are written.
    json.loads(text, object_pairs_hook=_told_once, parse_int=str, parse_float=str)
    return content


def _told_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; RecordError where one name in it has two values, of which readers keep the last."""
    kept = dict(members)
    if len(kept) < len(members):
        for name, value in members:
            if kept[name] != value:
                raise RecordError(f"an object has two values called {name[:40]}")
    return kept


def unwrapped(value: Any) -> tuple[Any, Mapping[str, Any]]:  # noqa: ANN401 -- any JSON
    """Return the content of a file without the object that may wrap it, and what that object says."""
    if not isinstance(value, dict) or frame_keys(value):
        return value, {}
    inner = {name: item for name, item in value.items() if isinstance(item, list | dict)}
    if len(inner) != 1:
        return value, {}
    ((name, content),) = inner.items()
    about = {other: item for other, item in value.items() if other != name}
    if isinstance(content, dict):
        # An object keyed by area with one area in it is no wrapper: its fields are numbers and texts.
        holds = not content or any(isinstance(item, list | dict) for item in content.values())
    else:
        # A list of numbers is the only metric of an object of arrays.
        holds = bool(about) or not content or any(isinstance(item, list | dict) for item in content)
    return (content, about) if holds else (value, {})


def as_frames(value: Any) -> Iterator[tuple[int | None, dict[str, Any]]]:  # noqa: ANN401 -- any JSON
    """Each frame's number, where it stands outside, and its fields."""
    arrays = isinstance(value, dict) and value and all(isinstance(item, list) for item in value.values())
    if arrays and not frame_keys(value):
        lengths = {len(item) for item in value.values()}
        if len(lengths) > 1:
            raise RecordError(f"arrays of different lengths: {sorted(lengths)}")
        for row in zip(*value.values(), strict=True):
            yield None, dict(zip(value, row, strict=True))
        return
    for number, frame in numbered(value):
        if not isinstance(frame, dict):
            raise RecordError("a frame must be an object")
        yield number, frame


def numbered(value: Any) -> Iterator[tuple[int | None, Any]]:  # noqa: ANN401 -- any JSON
    """Yield the frames of a list, or of an object keyed by frame number."""
    if isinstance(value, list):
        yield from ((None, frame) for frame in value)
    elif isinstance(value, dict) and (not value or frame_keys(value)):
        yield from ((int(key), frame) for key, frame in value.items())
    else:
        raise RecordError(
            "neither a list of frames, nor arrays of one length, nor an object keyed by frame number"
        )


def keyed(value: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:  # noqa: ANN401 -- any JSON
    """Yield the areas of a list, or of an object keyed by area."""
    items: list[tuple[str | None, Any]] = []
    if isinstance(value, list):
        items = [(None, item) for item in value]
    elif isinstance(value, dict):
        items = list(value.items())
    if not isinstance(value, list | dict) or not all(isinstance(item, dict) for _, item in items):
        raise RecordError("neither a list of areas nor an object keyed by area")
    yield from items


def seen_in(frame: Any, number: int | None) -> tuple[int | None, dict[str, Any], list[Any]]:  # noqa: ANN401
    """Return a frame's number, its own fields, and the areas seen in it."""
    if isinstance(frame, list):
        return number, {}, frame
    if isinstance(frame, dict):
        lists = [name for name, item in frame.items() if isinstance(item, list)]
        if len(lists) == 1 or frame.keys() <= {*FRAME, *TIME}:
            fields = {name: item for name, item in frame.items() if name not in lists}
            return stated_number(frame, number), fields, frame[lists[0]] if lists else []
    raise RecordError("a frame must be a list of areas, or an object with one list of areas")


def stated_number(fields: Mapping[str, Any], outside: int | None) -> int | None:
    """Return the number of a frame as its fields state it, else the one that stands outside."""
    return next((fields[name] for name in FRAME if fields.get(name) is not None), outside)


def frame_numbers(stated: Sequence[Any]) -> list[int]:
    """Return the frame numbers as stated, or counted from 1 where none is; a mixture is no known shape."""
    if all(number is None for number in stated):
        return list(range(1, len(stated) + 1))
    for index, number in enumerate(stated):
        if not is_number(number) or number % 1 or abs(number) > EXACT:
            raise RecordError(
                f"a frame number must be a whole number, not {_shown(number)}", f"$[{index}].frame"
            )
    return [int(number) for number in stated]


def unused_labels(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what numbers or times a frame otherwise than the first label that does."""
    unused: dict[str, Any] = {}
    for names in (FRAME, TIME):
        first, *others = [name for name in names if fields.get(name) is not None] or [""]
        unused |= {name: fields[name] for name in others if fields[name] != fields[first]}
    return unused


def beside_rows(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object around the content of a file says and no row holds."""
    fps = about.get("fps")
    placed = ABOUT if fps is None or _is_rate(fps) else ABOUT - {"fps"}
    return {name: value for name, value in about.items() if name not in placed}


def frame_times(
    numbers: Sequence[int], fields: Sequence[Mapping[str, Any]], fps: object
) -> list[float | None]:
    """Seconds as stated, else from the frame rate where the file states one, else None."""
    stated = [next((each[name] for name in TIME if each.get(name) is not None), None) for each in fields]
    rate = fps if _is_rate(fps) else None
    first = min([1, *numbers])
    times = [
        number_or_none(time, f"$[{number}].time")
        if time is not None
        else (None if rate is None else (number - first) / rate)
        for number, time in zip(numbers, stated, strict=True)
    ]
    if inf in times:
        raise RecordError(f"{fps} is no number of frames per second")
    return times


def _is_rate(fps: object) -> TypeGuard[int | float]:
    return is_number(fps) and fps > 0


def number_or_none(value: object, path: str) -> float | None:
    """Return the number as a float, None for null; RecordError for anything else, with the path to it."""
    if value is None:
        return None
    if not is_number(value):
        raise RecordError(f"must be a number or null, not {type(value).__name__}", path)
    return float(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a number that a column of numbers can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float | None) else type(value).__name__
