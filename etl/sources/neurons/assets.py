"""Neurons' five JSON and CSV files to columns, whichever way round they are.

No payload of these files is public. What is read here is every orientation that the vendor's prose allows;
anything else is refused by name, never guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from etl.errors import RecordError
from etl.extract.stream import DictionaryColumn, File, FileRows
from etl.sources.neurons.csv import csv_lines
from etl.sources.neurons.figures import naming_column, read_cells
from etl.sources.neurons.frames import (
    FRAME,
    TIME,
    as_frames,
    beside_rows,
    frame_numbers,
    frame_times,
    is_number,
    keyed,
    number_or_none,
    numbered,
    parsed_json,
    seen_in,
    stated_number,
    unused_labels,
    unwrapped,
)
from etl.sources.neurons.metrics import NEWER
from etl.sources.neurons.signed_links import unsigned
from etl.values import text_of

if TYPE_CHECKING:
    import polars as pl

    from etl.sources.neurons.columnar import Areas, Metrics

Columns = Mapping[str, Sequence[Any]]
Read = tuple[str, Columns, Mapping[str, Any]]
"""The name of a table, its columns, and what a file says beside its rows."""

AOI_ID = ("uuid", "id", "aoi_id")
AOI_NAME = ("name", "aoi_name", "label", "brand")
CORNERS = ("x0", "y0", "x1", "y1")


def frame_metrics(body: bytes) -> Read:
    """Rows of (frame, metric, time_s, value, metric_raw) from metrics per frame."""
    value, about = unwrapped(parsed_json(body))
    frames = list(as_frames(value))
    numbers = frame_numbers([stated_number(fields, number) for number, fields in frames])
    times = frame_times(numbers, [fields for _, fields in frames], about.get("fps"))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("frame", "metric", "time_s", "value", "metric_raw", "_extra")
    }
    for number, time, (_, fields) in zip(numbers, times, frames, strict=True):
        extra = unsigned(unused_labels(fields)) or None
        for raw, metric_value in fields.items():
            if raw in FRAME or raw in TIME:
                continue
            columns["frame"].append(number)
            columns["metric"].append(NEWER.get(raw, raw))
            columns["time_s"].append(time)
            columns["value"].append(number_or_none(metric_value, f"$[{number}].{raw}"))
            columns["metric_raw"].append(raw)
            columns["_extra"].append(extra)
    return "frame_metrics", columns, beside_rows(about)


def aoi_frames(body: bytes) -> Read:
    """Rows of (frame, aoi_id, instance, aoi_name, corners, points, time_s) from areas seen per frame."""
    value, about = unwrapped(parsed_json(body))
    frames = [seen_in(frame, number) for number, frame in numbered(value)]
    numbers = frame_numbers([number for number, _, _ in frames])
    times = frame_times(numbers, [fields for _, fields, _ in frames], about.get("fps"))
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("frame", "aoi_id", "instance", "aoi_name", *CORNERS, "points", "time_s", "_extra")
    }
    beside = beside_rows(about)
    for number, time, (_, fields, seen) in zip(numbers, times, frames, strict=True):
        met: dict[str, int] = {}
        of_frame = {name: item for name, item in fields.items() if name not in (*FRAME, *TIME)}
        of_frame |= unused_labels(fields)
        if of_frame and not seen:
            beside.setdefault("frames_without_areas", {})[str(number)] = of_frame
        for area in seen:
            row = _area(area, f"$[{number}]", of_frame)
            instance = met.get(row["aoi_id"], 0)
            met[row["aoi_id"]] = instance + 1
            for name, cell in {**row, "frame": number, "instance": instance, "time_s": time}.items():
                columns[name].append(cell)
    return "aoi_frames", columns, beside


def aoi_metrics(body: bytes) -> Read:
    """Rows of (aoi_id, metric, aoi_name, value) from metrics per area of interest."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("aoi_id", "metric", "aoi_name", "value", "metric_raw", "_extra")
    }
    content, about = unwrapped(parsed_json(body))
    beside = beside_rows(about)
    for key, area in keyed(content):
        aoi_id, aoi_name, rest = _identity(area, key)
        # A second id or name is no metric, although it may be a number.
        second = {name: rest.pop(name) for name in (*AOI_ID, *AOI_NAME) if name in rest}
        if key not in (None, aoi_id, aoi_name):
            second[_key_field(area)] = key
        extra = {name: value for name, value in rest.items() if isinstance(value, str | bool)}
        if extra and len(extra) == len(rest):
            raise RecordError(f"the area {aoi_id[:40]} has no metric that is a number")
        if not rest:
            beside.setdefault("areas_without_metrics", []).append(second | {"id": aoi_id, "name": aoi_name})
        for metric, value in rest.items():
            if metric in extra:
                continue
            columns["aoi_id"].append(aoi_id)
            columns["metric"].append(NEWER.get(metric, metric))
            columns["aoi_name"].append(aoi_name)
            columns["value"].append(number_or_none(value, f"$[{aoi_id}].{metric}"))
            columns["metric_raw"].append(metric)
            columns["_extra"].append(unsigned(extra | second) or None)
    return "aoi_metrics", columns, beside


def aoi_scores(body: bytes) -> Read:
    """Rows of (row_number, metric, aoi_name, value, text_value) from a table of scores, CSV or JSON."""
    is_json = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    lines, about = _json_lines(body) if is_json else (csv_lines(body), {})
    cells = read_cells(lines)
    namer = naming_column(cells)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("row_number", "metric", "aoi_name", "value", "text_value", "metric_raw")
    }
    beside = beside_rows(about)
    for row_number, (line, read) in enumerate(zip(lines, cells, strict=True), start=1):
        name = None if namer is None else line.get(namer)
        if read.keys() <= {namer}:
            beside.setdefault("lines_of_a_name_alone", {})[str(row_number)] = name
        for raw, (value, text) in read.items():
            if raw == namer:
                continue
            # Spaces around separators belong to nobody's name.
            metric = raw.strip()
            columns["row_number"].append(row_number)
            columns["metric"].append(NEWER.get(metric, metric))
            columns["aoi_name"].append((name.strip() or None) if isinstance(name, str) else text_of(name))
            columns["value"].append(value)
            columns["text_value"].append(text)
            columns["metric_raw"].append(raw)
    return "aoi_scores", columns, beside


Reader = Callable[[bytes], Read]


def _of_any_depth(reader: Reader) -> Reader:
    """Return the reader, for which what is nested too deeply to be read is no known shape either."""

    def read(body: bytes) -> Read:
        try:
            return reader(body)
        except RecursionError as error:
            raise RecordError("nested too deeply") from error

    return read


READERS: Mapping[str, Reader] = {
    "metrics": _of_any_depth(frame_metrics),
    "frt_frame_metrics": _of_any_depth(frame_metrics),
    "brand_detection": _of_any_depth(aoi_frames),
    "brand_detection_metrics": _of_any_depth(aoi_metrics),
    "aoi_scores": _of_any_depth(aoi_scores),
}
"""By asset: its bytes to what is read in them, all columns as long; RecordError for unknown shapes."""

PER_FRAME = {"frame_metrics": ("metrics", "frt_frame_metrics"), "aoi_frames": ("brand_detection",)}
"""By table the assets that hold something for every frame of a video."""


def read_alike(files: Sequence[File]) -> tuple[set[int], list[FileRows]]:
    """Return the rows in files whose frames all look alike, and the places of these files."""
    bodies = {
        table: {place: file.body for place, file in enumerate(files) if file.row["asset"] in of and file.body}
        for table, of in PER_FRAME.items()
    }
    if not any(bodies.values()):
        return set(), []
    from etl.sources.neurons.columnar import read_areas, read_metrics  # noqa: PLC0415 -- slow to import

    with_metrics, metrics = read_metrics(bodies["frame_metrics"])
    with_areas, areas = read_areas(bodies["aoi_frames"])
    rows = [
        *(FileRows("frame_metrics", each.files, _of_metrics(each)) for each in metrics),
        *(FileRows("aoi_frames", each.about[0], _of_areas(each)) for each in areas),
    ]
    about = {name: [file.row[name] for file in files] for name in ("media_id", "asset")}
    for each in rows:
        each.columns.update({name: DictionaryColumn(of, each.files) for name, of in about.items()})
    return with_metrics | with_areas, rows


def _of_metrics(found: "Metrics") -> dict[str, "DictionaryColumn | pl.Series"]:
    return {
        "frame": found.frames,
        "metric": DictionaryColumn([NEWER.get(raw, raw) for raw in found.names], found.named),
        "time_s": found.times,
        "value": found.values,
        "metric_raw": DictionaryColumn(found.names, found.named),
    }


def _of_areas(found: "Areas") -> dict[str, "DictionaryColumn | pl.Series"]:
    _, frames, times, ids, instances, names = found.about
    return {
        "frame": frames,
        "aoi_id": ids,
        "instance": instances,
        "aoi_name": names,
        **dict(zip(CORNERS, found.corners, strict=True)),
        "points": found.polygons,
        "time_s": times,
    }


POLYGON = ("points", "polygon")
BOX = ("box", "bounding_box", "bbox")


def _area(area: Any, path: str, of_frame: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 -- any JSON
    """One area of a frame as a row, without its frame but for what no column holds of it."""
    if not isinstance(area, dict):
        raise RecordError("an area must be an object", path)
    aoi_id, aoi_name, extra = _identity(area, None)
    shape = next((name for name in (*POLYGON, *BOX) if area.get(name) is not None), "")
    stated = extra.pop(shape, None)
    corners: Sequence[float | None]
    if shape in POLYGON:
        corners = _corners_of_points(stated, path)
    else:
        corners = _corners(stated or area, path)
        within = {name: item for name, item in (stated or {}).items() if name not in CORNERS}
        extra = {**extra, shape: within} if within else extra
    # What is not taken for the shape, such as a box beside a polygon, is kept.
    taken = {*POLYGON, *BOX} if shape else {*POLYGON, *BOX, *CORNERS}
    extra = {name: item for name, item in extra.items() if name not in taken or (shape and item is not None)}
    return {
        **dict(zip(CORNERS, corners, strict=True)),
        "aoi_id": aoi_id,
        "aoi_name": aoi_name,
        "points": stated if shape in POLYGON else None,
        "_extra": unsigned({**_beside(of_frame, extra), **extra}) or None,
    }


def _beside(of_frame: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a frame says, under names that its area does not have."""
    return {f"frame.{name}" if name in extra else name: item for name, item in of_frame.items()}


def _identity(area: Mapping[str, Any], key: str | None) -> tuple[str, str | None, dict[str, Any]]:
    """Id and name of an area, and its fields that are neither.

    The id is the key it stands under, or the name, where it has none.
    """
    id_field = next((name for name in AOI_ID if isinstance(area.get(name), str | int)), "")
    name_field = next((name for name in AOI_NAME if isinstance(area.get(name), str | int)), "")
    aoi_id, aoi_name = area.get(id_field), area.get(name_field)
    chosen = next((each for each in (aoi_id, key, aoi_name) if each is not None), None)
    if chosen is None:
        raise RecordError("an area has neither an id nor a name")
    name = key if aoi_name is None and aoi_id is not None else aoi_name
    said = {id_field, name_field, *(each for each in (*AOI_ID, *AOI_NAME) if area.get(each) is None)}
    rest = {field: value for field, value in area.items() if field not in said}
    return str(chosen), None if name is None else str(name), rest


def _corners(box: Any, path: str) -> list[float | None]:  # noqa: ANN401 -- any JSON
    if not isinstance(box, dict) or any(corner not in box for corner in CORNERS):
        raise RecordError("an area must have a polygon, or a box with x0, y0, x1 and y1", path)
    return [number_or_none(box[corner], f"{path}.{corner}") for corner in CORNERS]


def _corners_of_points(points: Any, path: str) -> list[float]:  # noqa: ANN401 -- any JSON
    """Return the box around a polygon."""
    try:
        xs, ys = ([_coordinate(point[axis]) for point in points] for axis in ("x", "y"))
        return [min(xs), min(ys), max(xs), max(ys)]
    except (TypeError, KeyError, ValueError) as error:
        raise RecordError("a polygon must be a list of points with x and y", path) from error


def _coordinate(value: object) -> float:
    if not is_number(value):
        raise TypeError(value)
    # Without the sign of -0, as `columnar` has it.
    return value + 0.0


def _json_lines(body: bytes) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """Return the lines of a table that is JSON, although one sentence of the documents calls it CSV.

    With them comes what is said beside them.
    """
    content, about = unwrapped(parsed_json(body))
    return [area if key is None else _named(key, area) for key, area in keyed(content)], about


def _named(key: str, area: Mapping[str, Any]) -> dict[str, Any]:
    """Return an area as a line, which begins with what it stands under."""
    if area.get("aoi") in (None, key):
        return {"aoi": key} | {name: value for name, value in area.items() if name != "aoi"}
    return {_key_field(area): key, **area}


def _key_field(area: Mapping[str, Any]) -> str:
    """Return the name of the field that keeps what an area stands under, which none of its own has."""
    name = "key"
    while name in area:
        name += "_"
    return name


def read(file: File) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    """Return the rows in an asset: for each table its columns; none for a file that is only archived.

    In the table of the files, that is what the file says beside its rows.
    """
    reader = READERS.get(file.row["asset"])
    if reader is None or file.body is None:
        return {}
    table, columns, beside = reader(file.body)
    size = len(next(iter(columns.values()), ()))
    about = {name: [file.row[name]] * size for name in ("media_id", "asset")}
    return {table: {**about, **columns}, file.stream: {"_extra": [unsigned(dict(beside)) or None]}}


def refuse(file: File, reason: str) -> File:
    """Return the asset, marked as one whose shape is not known."""
    return File(file.stream, file.name, {**file.row, "state": "quarantined", "error": reason}, file.body)
