"""The application-specific part of an assertion: boxes, texts, counts, whatever a gate reports."""

import random
from dataclasses import dataclass
from typing import Any

import msgspec

from etl.demo.cogniac.catalog import FINDER, GATE, LOT_CODES, PALLETS
from etl.demo.cogniac.media import FPS, Lane, Look

AS_TEXT = 0.04  # the share of objects and lists that arrive as JSON text, as the vendor's changelog reports

JsonDict = dict[str, Any]
Payload = tuple[str | None, Any]
"""app_data_type and app_data."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What an application sees: its role, the medium, and where the labels are."""

    role: int
    look: Look
    boxes: list[JsonDict]


def payload(scene: Scene, subject: int, rng: random.Random) -> Payload:
    """Return what a model, or a gate, attaches to its assertion about the n-th subject of the application."""
    if scene.role == FINDER:
        kind, data = _segments(rng) if scene.look.lane is Lane.VIDEO else _box_set(scene, subject, rng)
    elif scene.role == LOT_CODES:
        return "ocr", _lot_code(rng)
    elif scene.role == PALLETS:
        kind, data = (
            _points(scene.look, rng) if subject else ("count", rng.randrange(20, 90) + rng.choice((0, 0.5)))
        )
    elif scene.role == GATE:
        kind, data = _passage(rng)
    else:
        return None, None
    if isinstance(data, dict | list) and rng.random() < AS_TEXT:
        data = msgspec.json.encode(data).decode()
    return kind, data


def corrected(said: Payload, rng: random.Random) -> Payload:
    """Return what a person makes of it."""
    kind, data = said
    if kind == "ocr" and data:
        place = rng.randrange(len(data))
        return kind, data[:place] + str(rng.randrange(10)) + data[place + 1 :]
    if kind == "count":
        return kind, float(round(data))
    if kind == "box_set" and isinstance(data, list):
        return kind, [{"box": _nudged(found["box"], rng)} for found in data]
    return said


def _box_set(scene: Scene, subject: int, rng: random.Random) -> Payload:
    """Return the labels, or the caps above them.

    One alone is at times a bare object, as in the documentation.
    """
    boxes = scene.boxes if subject == 0 else [_cap_above(box) for box in scene.boxes]
    found = [{"box": _nudged(box, rng), "probability": rng.random() ** 0.1} for box in boxes]
    return "box_set", found[0] if len(found) == 1 and rng.random() < 0.15 else found


def _cap_above(box: JsonDict) -> JsonDict:
    third = (box["x1"] - box["x0"]) // 3
    height = max(2, box["y0"] // 4)
    return {
        "x0": box["x0"] + third,
        "x1": box["x1"] - third,
        "y0": max(0, box["y0"] - height),
        "y1": box["y0"],
    }


def _nudged(box: JsonDict, rng: random.Random) -> JsonDict:
    """Return the box a little off, never outside and never empty."""
    return {side: max(0, at - rng.randrange(3)) if side in {"x0", "y0"} else at for side, at in box.items()}


def _segments(rng: random.Random) -> Payload:
    segments, frame = [], rng.randrange(FPS)
    for _ in range(rng.randrange(1, 4)):
        length = rng.randrange(2, 6)
        probabilities = [round(rng.random() ** 0.1, 6) for _ in range(length)]
        segments.append({"segment": {"f0": frame, "f1": frame + length - 1}, "probabilities": probabilities})
        frame += length + rng.randrange(4, 2 * FPS)
    return "segment_list", segments


def _lot_code(rng: random.Random) -> str:
    """Five digits, often with a leading zero; a space where one could not be read."""
    return "".join(" " if rng.random() < 0.02 else rng.choice("0001123456789") for _ in range(5))


def _points(look: Look, rng: random.Random) -> Payload:
    points = [
        {
            "x": rng.randrange(look.width),
            "y": rng.randrange(look.height),
            "probability": rng.random() ** 0.1,
        }
        for _ in range(rng.randrange(4))
    ]
    return "points", {"points": points}


def _passage(rng: random.Random) -> Payload:
    if rng.random() < 0.1:
        return "system-override", "opened by hand"
    passage = {
        "gate": rng.choice(["north", "south"]),
        "barcode": f"0{rng.randrange(10**11):011d}",
        "kg": 412.5,
    }
    trace = [{"sensor": sensor, "ms": rng.randrange(4000)} for sensor in ("in", "scale", "out")]
    return "raw", passage if rng.random() < 0.7 else trace
