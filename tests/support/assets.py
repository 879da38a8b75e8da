"""Files of Neurons as they are read, without a server: what becomes of one, and its rows as text."""

import json

from etl import schema
from etl.extract.stream import File
from etl.sources import source_module
from etl.transform.batch import Transformer, TransformResult

POINTS = [{"x": 0.1, "y": 0.2}, {"x": 0.5, "y": 0.2}, {"x": 0.5, "y": 0.75}]
BOX = {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.75}
AT = "0.1 0.2 0.5 0.75"
FLAT = json.dumps(POINTS, separators=(",", ":"))
AREA = {"id": "a", "name": "A", "points": POINTS}
BOXED = {"id": "a", "box": BOX}

ABOUT = {
    "media_id": "M",
    "state": "loaded",
    "content_type": "a/b",
    "bytes": 9,
    "sha256": "0",
    "fetched_at": 5.5,
}
SHOWN = {
    "metrics": ("frame_metrics", "frame metric time_s value metric_raw"),
    "frt_frame_metrics": ("frame_metrics", "frame metric time_s value metric_raw"),
    "brand_detection": ("aoi_frames", "frame aoi_id instance aoi_name x0 y0 x1 y1 time_s points _extra"),
    "brand_detection_metrics": ("aoi_metrics", "aoi_id aoi_name metric value metric_raw _extra"),
    "aoi_scores": ("aoi_scores", "row_number aoi_name metric value text_value metric_raw"),
}
"""The table of each file, and the columns of it in the order in which the tests show them."""


def cut(*files: tuple[str, object]) -> TransformResult:
    """What files of one video become, each given as its name and its content."""
    deliveries = []
    for asset, content in files:
        body = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        deliveries.append(File("assets", asset, {**ABOUT, "asset": asset}, body))
    return Transformer(source_module("neurons"), schema.source("neurons")).transform(deliveries)["assets"]


def rows(asset: str, content: object) -> str:
    """The rows in a file that is accepted, one a line, NULL as a hyphen; all of them are of this file."""
    found = cut((asset, content))
    assert [] == [each.why for each in found.rejected]
    name, columns = SHOWN[asset]
    table = found.tables[name].to_pylist()
    assert len(table) * [("M", asset)] == [(row["media_id"], row["asset"]) for row in table]
    shown = ([row[each] for each in columns.split()] for row in table)
    return "\n".join(" ".join("-" if value is None else str(value) for value in row) for row in shown)
