"""The rows in many files whose frames all look alike, as columns for all of these files at once."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import msgspec
import polars as pl

from etl.sources.neurons.typed import (
    AreasFile,
    Box,
    Cell,
    Labels,
    MetricsFile,
    Point,
    areas_of,
    metrics_of,
    sure,
)
from etl.values import canonical_lines

FEW_AREAS = 8
"""Areas in a frame up to which each is compared with all before it."""


class Metrics(NamedTuple):
    """The rows in files of metrics, as columns of equal length."""

    files: pl.Series
    """The place of each row's file among those that were read."""
    frames: pl.Series
    times: pl.Series
    names: Sequence[str]
    named: pl.Series
    """The place of each row's metric among the names."""
    values: pl.Series


class Areas(NamedTuple):
    """The rows in files of areas, as columns of equal length."""

    about: Sequence[pl.Series]
    """The place of each row's file among those that were read, number and time of its frame, the id of the
    area, how many of the same id come before it in the frame, and its name."""
    corners: Sequence[pl.Series]
    """Left, upper, right and lower edge of each."""
    polygons: pl.Series
    """The corners of each as canonical JSON; NULL where it is a box."""


def read_metrics(bodies: Mapping[int, bytes]) -> tuple[set[int], list[Metrics]]:
    """Return the rows of metrics per frame, and the places of their files."""
    found = sure(bodies, metrics_of)
    return set(found), [_metric_rows(found)] if found else []


def read_areas(bodies: Mapping[int, bytes]) -> tuple[set[int], list[Areas]]:
    """Return the same of areas seen per frame."""
    found = sure(bodies, areas_of)
    of_polygons = {place: each for place, each in found.items() if each.areas and each.areas[0].points}
    of_boxes = {place: each for place, each in found.items() if each.areas and not each.areas[0].points}
    return set(found), [_area_rows(of_polygons | of_boxes)] if of_polygons or of_boxes else []


def _frame_rows(files: Mapping[int, Labels]) -> pl.DataFrame:
    """Place of the file, number and time of each frame of all files, in their order."""
    numbers: list[int] = []
    times: list[Cell] = []
    for each in files.values():
        numbers += each.numbers
        times += _times(each)
    sizes = [len(each.numbers) for each in files.values()]
    return pl.DataFrame(
        {
            "file": _repeated(files, sizes),
            "frame": pl.Series(numbers, dtype=pl.Int64),
            "time": pl.Series(times, dtype=pl.Float64),
        }
    )


def _times(labels: Labels) -> Sequence[Cell]:
    """Seconds as stated, else from the frame rate where the file states one, else None."""
    if labels.times is not None:
        return labels.times
    if labels.fps is None:
        return [None] * len(labels.numbers)
    first, fps = min([1, *labels.numbers]), labels.fps
    return [(number - first) / fps for number in labels.numbers]


def _repeated(values: Iterable[int], times: Iterable[int]) -> pl.Series:
    """Each of the values so many times, one after the other, as signed integers of four bytes."""
    each, count = pl.Series(list(values), dtype=pl.Int32), pl.Series(list(times), dtype=pl.UInt32)
    return pl.select(pl.lit(each).repeat_by(count).explode(empty_as_null=False)).to_series()


def _metric_rows(files: Mapping[int, MetricsFile]) -> Metrics:
    frames = _frame_rows({place: each.labels for place, each in files.items()})
    alike = list(dict.fromkeys(tuple(each.names) for each in files.values()))
    begins = dict(zip(alike, accumulate(map(len, alike), initial=0), strict=False))
    sizes = [len(each.labels.numbers) for each in files.values()]
    first = _repeated([begins[tuple(each.names)] for each in files.values()], sizes)
    width = _repeated([len(each.names) for each in files.values()], sizes)
    named = pl.int_ranges(first, first + width, dtype=pl.Int32, eager=True)
    rows = frames.with_columns(named=named).explode("named")
    values = pl.concat([pl.Series(each.cells, dtype=pl.Float64) for each in files.values()])
    places, numbers, times, named_rows = rows.get_columns()
    return Metrics(places, numbers, times, [*chain.from_iterable(alike)], named_rows, values)


def _area_rows(files: Mapping[int, AreasFile]) -> Areas:
    """Return the rows in files that have areas, those of polygons before those of boxes."""
    frames = _frame_rows({place: each.labels for place, each in files.items()})
    counts = list(chain.from_iterable(each.counts for each in files.values()))
    areas = list(chain.from_iterable(each.areas for each in files.values()))
    uuids, ids, names, polygons, boxes = zip(*map(msgspec.structs.astuple, areas), strict=True)
    places = _repeated(range(len(counts)), counts)
    rows = frames[places].with_columns(
        place=places,
        id=pl.coalesce(*(pl.Series(each, dtype=pl.String) for each in (uuids, ids, names))),
        name=pl.Series(names, dtype=pl.String),
    )
    rows = rows.with_columns(instance=_instance(max(counts)))
    about = rows.select("file", "frame", "time", "id", "instance", "name").get_columns()
    corners_of = [points for points in polygons if points is not None]
    edges_of = boxes[len(corners_of) :]
    as_json = pl.Series(canonical_lines(corners_of), dtype=pl.String).extend_constant(None, len(edges_of))
    if not edges_of:
        return Areas(about, _around(corners_of), as_json)
    corners = _edges(edges_of)
    if corners_of:
        corners = [first.append(more) for first, more in zip(_around(corners_of), corners, strict=True)]
    return Areas(about, corners, as_json)


def _instance(most: int) -> pl.Expr:
    """How many areas of the same id come before each in its frame, in which there are at most so many."""
    if most > FEW_AREAS:
        return pl.int_range(pl.len(), dtype=pl.Int64).over("place", "id")
    # For few this is ten times as fast.
    place, same = pl.col("place"), pl.col("id")
    before = [(place == place.shift(back)) & (same == same.shift(back)) for back in range(1, most)]
    return pl.sum_horizontal(pl.lit(0, dtype=pl.Int64), *(each.cast(pl.Int64) for each in before))


def _edges(boxes: Sequence[Box]) -> list[pl.Series]:
    columns = zip(*map(msgspec.structs.astuple, boxes), strict=True)
    return [pl.Series(column, dtype=pl.Float64) for column in columns]


def _around(polygons: Sequence[Sequence[Point]]) -> list[pl.Series]:
    """Return the box around each polygon: its left, upper, right and lower edge."""
    sizes = list(map(len, polygons))
    # Which of 0 and -0 is the least depends on who looks: there is no -0 among them.
    xs = pl.Series([point.x + 0.0 for polygon in polygons for point in polygon], dtype=pl.Float64)
    ys = pl.Series([point.y + 0.0 for polygon in polygons for point in polygon], dtype=pl.Float64)
    if len(set(sizes)) == 1:
        # Most often all have as many corners.
        xs, ys = (each.reshape((-1, sizes[0])) for each in (xs, ys))
        return [xs.arr.min(), ys.arr.min(), xs.arr.max(), ys.arr.max()]
    points = pl.DataFrame({"polygon": _repeated(range(len(sizes)), sizes), "x": xs, "y": ys})
    least, most = pl.col("x", "y").min().name.prefix("least_"), pl.col("x", "y").max().name.prefix("most_")
    return points.group_by("polygon", maintain_order=True).agg(least, most).get_columns()[1:]
