"""Neurons' five JSON and CSV files to columns, whichever way round they are.

No payload of these files is public. What is read here is every orientation that the vendor's prose allows;
anything else is refused by name, never guessed.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, TypeGuard

import msgspec

from etl.errors import Unfit
from etl.extract.stream import Picked
from etl.sources.neurons.alike import EXACT, FRAME, TIME, areas_alike, frame_keys, grid, metrics_alike
from etl.sources.neurons.figures import Cell, read_cells
from etl.sources.neurons.lines import csv_lines
from etl.sources.neurons.metrics import NEWER
from etl.values import UNREADABLE, text_of

Columns = Mapping[str, Sequence[Any]]

AOI_ID = ("uuid", "id", "aoi_id")
AOI_NAME = ("name", "aoi_name", "label", "brand")
CORNERS = ("x0", "y0", "x1", "y1")

BOM = b"\xef\xbb\xbf"
LARGEST = sys.float_info.max


def frame_metrics(body: bytes) -> tuple[str, Columns]:
    """Rows of (frame, metric, time_s, value, metric_raw) from metrics per frame."""
    value, about = unwrapped(_json(body))
    found = metrics_alike(value, about.get("fps"))
    if found is None:
        return "frame_metrics", metrics_one_by_one(value, about)
    frame, metric = grid(len(found.frames), len(found.names))
    return "frame_metrics", {
        "frame": Picked(found.frames, frame),
        "metric": Picked([NEWER.get(raw, raw) for raw in found.names], metric),
        "time_s": Picked(found.times, frame),
        "value": found.cells,
        "metric_raw": Picked(found.names, metric),
    }


def metrics_one_by_one(value: Any, about: Mapping[str, Any]) -> Columns:  # noqa: ANN401 -- any JSON
    """The same columns, whatever the frames are; `about` is what stands beside them in the file."""
    frames = list(_as_frames(value))
    numbers = _frame_numbers([_stated(fields, number) for number, fields in frames])
    times = _times(numbers, [fields for _, fields in frames], about.get("fps"))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("frame", "metric", "time_s", "value", "metric_raw")
    }
    for number, time, (_, fields) in zip(numbers, times, frames, strict=True):
        for raw, metric_value in fields.items():
            if raw in FRAME or raw in TIME:
                continue
            columns["frame"].append(number)
            columns["metric"].append(NEWER.get(raw, raw))
            columns["time_s"].append(time)
            columns["value"].append(_number(metric_value, f"$[{number}].{raw}"))
            columns["metric_raw"].append(raw)
    return columns


def aoi_frames(body: bytes) -> tuple[str, Columns]:
    """Rows of (frame, aoi_id, instance, aoi_name, corners, points, time_s) from areas seen per frame."""
    found = areas_alike(body.removeprefix(BOM), unwrapped)
    if found is None:
        return "aoi_frames", areas_one_by_one(body)
    return "aoi_frames", {
        "frame": Picked(found.frames, found.places),
        "aoi_id": found.ids,
        "instance": found.instances,
        "aoi_name": found.names,
        **dict(zip(CORNERS, found.corners, strict=True)),
        **({} if found.polygons is None else {"points": found.polygons}),
        "time_s": Picked(found.times, found.places),
    }


def areas_one_by_one(body: bytes) -> Columns:
    """The same columns, whatever frames and areas are."""
    value, about = unwrapped(_json(body))
    frames = [_seen(frame, number) for number, frame in _numbered(value)]
    numbers = _frame_numbers([number for number, _, _ in frames])
    times = _times(numbers, [fields for _, fields, _ in frames], about.get("fps"))
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("frame", "aoi_id", "instance", "aoi_name", *CORNERS, "points", "time_s", "_extra")
    }
    for number, time, (_, _, seen) in zip(numbers, times, frames, strict=True):
        met: dict[str, int] = {}
        for area in seen:
            row = _area(area, f"$[{number}]")
            instance = met.get(row["aoi_id"], 0)
            met[row["aoi_id"]] = instance + 1
            for name, cell in {**row, "frame": number, "instance": instance, "time_s": time}.items():
                columns[name].append(cell)
    return columns


def aoi_metrics(body: bytes) -> tuple[str, Columns]:
    """Rows of (aoi_id, metric, aoi_name, value) from metrics per area of interest."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("aoi_id", "metric", "aoi_name", "value", "metric_raw", "_extra")
    }
    for key, area in _keyed(unwrapped(_json(body))[0]):
        aoi_id, aoi_name = _identity(area, key)
        rest = {name: value for name, value in area.items() if name not in (*AOI_ID, *AOI_NAME)}
        extra = {name: value for name, value in rest.items() if isinstance(value, str | bool)}
        if extra and len(extra) == len(rest):
            raise Unfit(f"the area {aoi_id[:40]} has no metric that is a number")
        for metric, value in rest.items():
            if metric in extra:
                continue
            columns["aoi_id"].append(aoi_id)
            columns["metric"].append(NEWER.get(metric, metric))
            columns["aoi_name"].append(aoi_name)
            columns["value"].append(_number(value, f"$[{aoi_id}].{metric}"))
            columns["metric_raw"].append(metric)
            columns["_extra"].append(extra or None)
    return "aoi_metrics", columns


def aoi_scores(body: bytes) -> tuple[str, Columns]:
    """Rows of (row_number, metric, aoi_name, value, text_value) from a table of scores, CSV or JSON."""
    lines = _json_lines(body) if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else csv_lines(body)
    cells = read_cells(lines)
    namer = _naming_column(cells)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("row_number", "metric", "aoi_name", "value", "text_value", "metric_raw")
    }
    for row_number, (line, read) in enumerate(zip(lines, cells, strict=True), start=1):
        name = None if namer is None else line.get(namer)
        for metric, (value, text) in read.items():
            if metric == namer:
                continue
            columns["row_number"].append(row_number)
            columns["metric"].append(NEWER.get(metric, metric))
            columns["aoi_name"].append(name if isinstance(name, str) else text_of(name))
            columns["value"].append(value)
            columns["text_value"].append(text)
            columns["metric_raw"].append(metric)
    return "aoi_scores", columns


Reader = Callable[[bytes], tuple[str, Columns]]


def _of_any_depth(reader: Reader) -> Reader:
    """The reader, for which what is nested too deeply to be read is no known shape either."""

    def read(body: bytes) -> tuple[str, Columns]:
        try:
            return reader(body)
        except RecursionError as error:
            raise Unfit("nested too deeply") from error

    return read


READERS: Mapping[str, Reader] = {
    "metrics": _of_any_depth(frame_metrics),
    "frt_frame_metrics": _of_any_depth(frame_metrics),
    "brand_detection": _of_any_depth(aoi_frames),
    "brand_detection_metrics": _of_any_depth(aoi_metrics),
    "aoi_scores": _of_any_depth(aoi_scores),
}
"""By asset: its bytes to the name of a table and columns of equal length; Unfit for unknown shapes."""


def _json(body: bytes) -> Any:  # noqa: ANN401 -- any JSON
    try:
        return msgspec.json.decode(body.removeprefix(BOM))
    except UNREADABLE as error:
        raise Unfit(f"is not JSON: {error}") from error


def unwrapped(value: Any) -> tuple[Any, Mapping[str, Any]]:  # noqa: ANN401 -- any JSON
    """The content of a file without the object that may be wrapped around it, and what that object says."""
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


def _as_frames(value: Any) -> Iterator[tuple[int | None, dict[str, Any]]]:  # noqa: ANN401 -- any JSON
    """Each frame's number, where it stands outside, and its fields."""
    arrays = isinstance(value, dict) and value and all(isinstance(item, list) for item in value.values())
    if arrays and not frame_keys(value):
        lengths = {len(item) for item in value.values()}
        if len(lengths) > 1:
            raise Unfit(f"arrays of different lengths: {sorted(lengths)}")
        for row in zip(*value.values(), strict=True):
            yield None, dict(zip(value, row, strict=True))
        return
    for number, frame in _numbered(value):
        if not isinstance(frame, dict):
            raise Unfit("a frame must be an object")
        yield number, frame


def _numbered(value: Any) -> Iterator[tuple[int | None, Any]]:  # noqa: ANN401 -- any JSON
    """The frames of a list, or of an object keyed by frame number."""
    if isinstance(value, list):
        yield from ((None, frame) for frame in value)
    elif isinstance(value, dict) and (not value or frame_keys(value)):
        yield from ((int(key), frame) for key, frame in value.items())
    else:
        raise Unfit("neither a list of frames, nor arrays of one length, nor an object keyed by frame number")


def _seen(frame: Any, number: int | None) -> tuple[int | None, dict[str, Any], list[Any]]:  # noqa: ANN401
    """A frame's number, its own fields, and the areas seen in it."""
    if isinstance(frame, list):
        return number, {}, frame
    if isinstance(frame, dict):
        lists = [item for item in frame.values() if isinstance(item, list)]
        if len(lists) == 1 or frame.keys() <= {*FRAME, *TIME}:
            return _stated(frame, number), frame, lists[0] if lists else []
    raise Unfit("a frame must be a list of areas, or an object with one list of areas")


def _stated(fields: Mapping[str, Any], outside: int | None) -> int | None:
    return next((fields[name] for name in FRAME if fields.get(name) is not None), outside)


def _frame_numbers(stated: Sequence[Any]) -> list[int]:
    """The frame numbers as stated, or counted from 1 where none is; a mixture is no known shape."""
    if all(number is None for number in stated):
        return list(range(1, len(stated) + 1))
    for index, number in enumerate(stated):
        if not _is_number(number) or number % 1 or abs(number) > EXACT:
            raise Unfit(f"a frame number must be a whole number, not {_shown(number)}", f"$[{index}].frame")
    return [int(number) for number in stated]


def _times(numbers: Sequence[int], fields: Sequence[Mapping[str, Any]], fps: object) -> list[float | None]:
    """Seconds as stated, else from the frame rate where the file states one, else None."""
    stated = [next((each[name] for name in TIME if name in each), None) for each in fields]
    rate = fps if _is_number(fps) and fps > 0 else None
    first = min([1, *numbers])
    times = [
        _number(time, f"$[{number}].time")
        if time is not None
        else (None if rate is None else (number - first) / rate)
        for number, time in zip(numbers, stated, strict=True)
    ]
    if inf in times:
        raise Unfit(f"{fps} is no number of frames per second")
    return times


def _number(value: object, path: str) -> float | None:
    if value is None:
        return None
    if not _is_number(value):
        raise Unfit(f"must be a number or null, not {type(value).__name__}", path)
    return float(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a number that a column of numbers can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float | None) else type(value).__name__


def _area(area: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 -- any JSON
    """One area of a frame as a row, without its frame."""
    if not isinstance(area, dict):
        raise Unfit("an area must be an object", path)
    aoi_id, aoi_name = _identity(area, None)
    points = next((area[name] for name in ("points", "polygon") if area.get(name) is not None), None)
    box = next((area[name] for name in ("box", "bounding_box", "bbox") if area.get(name) is not None), None)
    used = (*AOI_ID, *AOI_NAME, *CORNERS, "points", "polygon", "box", "bounding_box", "bbox")
    extra = {name: item for name, item in area.items() if name not in used}
    corners = _corners_of_points(points, path) if points is not None else _corners(box or area, path)
    row = dict(zip(CORNERS, corners, strict=True))
    return {**row, "aoi_id": aoi_id, "aoi_name": aoi_name, "points": points, "_extra": extra or None}


def _identity(area: Mapping[str, Any], key: str | None) -> tuple[str, str | None]:
    """Id and name of an area: the id is the key it stands under, or the name, where it has none."""
    aoi_id = next((area[name] for name in AOI_ID if isinstance(area.get(name), str | int)), None)
    aoi_name = next((area[name] for name in AOI_NAME if isinstance(area.get(name), str | int)), None)
    chosen = next((each for each in (aoi_id, key, aoi_name) if each is not None), None)
    if chosen is None:
        raise Unfit("an area has neither an id nor a name")
    name = key if aoi_name is None and aoi_id is not None else aoi_name
    return str(chosen), None if name is None else str(name)


def _corners(box: Any, path: str) -> list[float | None]:  # noqa: ANN401 -- any JSON
    if not isinstance(box, dict) or any(corner not in box for corner in CORNERS):
        raise Unfit("an area must have a polygon, or a box with x0, y0, x1 and y1", path)
    return [_number(box[corner], f"{path}.{corner}") for corner in CORNERS]


def _corners_of_points(points: Any, path: str) -> list[float]:  # noqa: ANN401 -- any JSON
    """The box around a polygon."""
    try:
        xs, ys = ([_coordinate(point[axis]) for point in points] for axis in ("x", "y"))
        return [min(xs), min(ys), max(xs), max(ys)]
    except (TypeError, KeyError, ValueError) as error:
        raise Unfit("a polygon must be a list of points with x and y", path) from error


def _coordinate(value: object) -> float:
    if not _is_number(value):
        raise TypeError(value)
    return float(value)


def _keyed(value: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:  # noqa: ANN401 -- any JSON
    """The areas of a list, or of an object keyed by area."""
    items: list[tuple[str | None, Any]] = []
    if isinstance(value, list):
        items = [(None, item) for item in value]
    elif isinstance(value, dict):
        items = list(value.items())
    if not isinstance(value, list | dict) or not all(isinstance(item, dict) for _, item in items):
        raise Unfit("neither a list of areas nor an object keyed by area")
    yield from items


def _json_lines(body: bytes) -> list[dict[str, Any]]:
    """The lines of a table that is JSON, although one sentence of the documents calls it CSV."""
    return [
        ({"aoi": key} if key is not None else {}) | area for key, area in _keyed(unwrapped(_json(body))[0])
    ]


def _naming_column(lines: Sequence[Mapping[str, Cell]]) -> str | None:
    """The first column of texts whose header speaks of a name or an id, else the first column of texts."""
    texts = dict.fromkeys(name for line in lines for name, (_, text) in line.items() if text is not None)
    first = [name for name in (lines[0] if lines else ()) if name in texts]
    naming = [
        name for name in first if re.search(r"name|label|brand|aoi|\bid\b|uuid|_id$", name, re.IGNORECASE)
    ]
    return next(iter([*naming, *first]), None)
