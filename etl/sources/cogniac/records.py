"""Cogniac records: what the declarations mark with a plus sign, and several shapes brought to one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl.errors import RecordError
from etl.extract.stream import Block, Enrich
from etl.values import canonical, canonical_lines, parsed, text_of

BOXED = frozenset({"box_set", "box"})
"""Kinds of application data whose boxes are rows of their own."""
READ = frozenset({"ocr", "count"})
"""Kinds of application data that are a reading as a whole: a text, or a number."""
CORNERS = ("x0", "y0", "x1", "y1")
NUMBERS = frozenset({int, float, type(None)})
"""Types a corner may have before it is looked at whether all are there; a bool is no number here."""


def enrich_application(application: Any, context: Mapping[str, str]) -> None:  # noqa: ANN401
    """Say which tenant was asked, where the application itself does not, and list its thresholds."""
    application.added_tenant_id = context["tenant_id"]
    application.added_thresholds = _thresholds(application.detection_thresholds)


def _thresholds(configured: object) -> list[dict[str, Any]]:
    """Return a row for each subject of the map from subject to threshold, which comes as number or text."""
    subjects = configured.items() if isinstance(configured, dict) else ()
    return [{"subject_uid": uid, "threshold": _number(value)} for uid, value in subjects]


def _number(value: object) -> float | None:
    """Return a number, or the one that a text holds, if it is finite; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        # Python alone takes the digits of other scripts, and the database must read the same.
        number = float(value) if not isinstance(value, str) or value.isascii() else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def enrich_result(result: Any, context: Mapping[str, str]) -> None:  # noqa: ANN401 -- a type made from the schema
    """Identify the result, and bring what comes in several shapes to one."""
    focus = parsed(result.focus)
    result.added_application_id = context["application_id"]
    result.added_focus_key = "" if focus is None else focus_key(focus)
    if isinstance(focus, dict):
        result.added_focus_box = _corners(focus.get("box"), "$.focus.box")
    result.added_detection_count = len(result.detections)
    if result.media is not None:
        result.media.custom_data = parsed(result.media.custom_data)
    if result.other_media or result.media_list:
        result.added_other_media = [*_media(result.other_media), *_media(result.media_list)]
    for index, detection in enumerate(result.detections):
        try:
            _enrich_detection(detection)
        except RecordError as why:
            raise RecordError(why.reason, f"$.detections[{index}].app_data{why.path}") from why


def focus_key(focus: object) -> str:
    """Return the key of a region: canonical JSON of its value, the same for each spelling.

    Numbers count by value (`50.0` is `50`, `-0.0` is `0`), members that are null are left out, and a region
    that has no members then is the whole media item: the empty string.
    """
    return _key(focus, canonical(focus).decode())


def _key(focus: object, text: str) -> str:
    """Return the key of a region that has this text as canonical JSON."""
    # What another spelling of the same value could have; most often a box of whole numbers has nothing of it.
    if "." in text or "e" in text or "null" in text or "-0" in text:
        text = canonical(_by_value(focus)).decode()
    return "" if text == "{}" else text


def _by_value(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(value, dict):
        return {name: _by_value(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_by_value(inner) for inner in value]
    # As an int, a float beyond 2**53 is written with all of its digits, like the int that equals it.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _media(listed: object) -> Iterator[object]:
    """Yield the related media of a result, as objects of their own."""
    for medium in listed if isinstance(listed, list) else [listed] if listed else []:
        if isinstance(medium, dict):
            yield {**medium, "custom_data": parsed(medium.get("custom_data"))}
        else:
            yield medium


def _enrich_detection(detection: Any) -> None:  # noqa: ANN401 -- a type made from the schema
    """Say who asserted it, and find its boxes."""
    detection.added_asserted_by = _asserted_by(detection.user_id, detection.model_id, detection.app_id)
    if detection.app_data is None:
        return
    if detection.app_data_type != "ocr":
        detection.app_data = parsed(detection.app_data)
    if detection.app_data_type in BOXED:
        detection.added_boxes = _boxes(detection.app_data)
    if detection.app_data_type in READ:
        detection.added_reading = _reading(detection.app_data_type, detection.app_data)


def _reading(kind: str, app_data: object) -> str | None:
    """Return what was read, as text: a count as a number, so that 12 and 12.0 are the same."""
    if kind == "count":
        number = _number(app_data)
        return None if number is None else repr(number)
    return app_data if isinstance(app_data, str) else text_of(app_data)


def _asserted_by(user_id: str | None, model_id: str | None, app_id: str | None) -> str | None:
    """Who asserts; the vendor's media-detections page tells the three apart."""
    if user_id is not None:
        # A user's assertion outside any application is a capture of media to a subject.
        return "capture" if app_id is None else "user"
    return None if model_id is None else "model"


def _boxes(app_data: object) -> list[dict[str, Any]]:
    """Return the boxes of a set, or the only one; the path of what is no box begins at the app_data."""
    if not isinstance(app_data, list):
        return [_box(0, app_data)]
    boxes = []
    for index, box in enumerate(app_data):
        try:
            boxes.append(_box(index, box))
        except RecordError as why:
            raise RecordError(why.reason, f"[{index}]{why.path}") from why
    return boxes


def _box(index: int, box: object) -> dict[str, Any]:
    """One box of a set as a row; the corners stand under `box`, or in the object itself."""
    if not isinstance(box, dict):
        raise RecordError("a box must be an object", "")
    corners = _corners(box["box"], ".box") if "box" in box else _corners(box, "")
    if corners is None or None in corners.values():
        raise RecordError("a box must have x0, y0, x1 and y1", "")
    return {**corners, "probability": box.get("probability"), "box_index": index}


def _corners(box: object, path: str) -> dict[str, Any] | None:
    if box is None:
        return None
    if not isinstance(box, dict):
        raise RecordError("a box must be an object", path)
    corners = {corner: box.get(corner) for corner in CORNERS}
    for corner, at in corners.items():
        if type(at) not in NUMBERS:
            raise RecordError(f"Expected `float`, got `{type(at).__name__}`", f"{path}.{corner}")
    return corners


def enrich_applications(block: Block) -> None:
    """Do to whole columns what `enrich_application` does to a record."""
    configured = block.values("", "detection_thresholds")
    block.put("", "+tenant_id", [block.context["tenant_id"]] * len(configured))
    rows = [(parent, row) for parent, each in enumerate(configured) for row in _thresholds(each)]
    columns = {name: [row[name] for _, row in rows] for name in ("subject_uid", "threshold")}
    block.add_rows("+thresholds[]", [parent for parent, _ in rows], columns)


def enrich_results(block: Block) -> None:
    """Do to whole columns what `enrich_result` does to a record."""
    focus = _parsed(block.values("", "focus"))
    block.put("", "+application_id", [block.context["application_id"]] * len(focus))
    block.put("", "+focus_key", _keys(focus))
    boxes = [each.get("box") if isinstance(each, dict) else None for each in focus]
    for corner, at in _corner_columns(boxes).items():
        block.put("", f"+focus_box/{corner}", at)
    block.put("", "+detection_count", block.sizes("detections[]"))
    block.put("media", "custom_data", _parsed(block.values("media", "custom_data")))
    related = list(zip(block.values("", "other_media"), block.values("", "media_list"), strict=True))
    if any(other or listed for other, listed in related):
        lists = [[*_media(other), *_media(listed)] if other or listed else None for other, listed in related]
        block.add_objects("+other_media[]", lists)
    _enrich_detections(block)


def _parsed(values: Sequence[Any]) -> Sequence[Any]:
    """Return the objects and lists in texts that hold one; most often there is no text among the values."""
    return list(map(parsed, values)) if str in set(map(type, values)) else values


def _keys(focus: Sequence[Any]) -> Sequence[str]:
    """Return the key of each region; the empty string where there is none."""
    texts = iter(canonical_lines([each for each in focus if each is not None]))
    return ["" if each is None else _key(each, next(texts)) for each in focus]


def _enrich_detections(block: Block) -> None:
    """Do to whole columns what `_enrich_detection` does to an assertion."""
    who = [block.values("detections[]", name) for name in ("user_id", "model_id", "app_id")]
    block.put("detections[]", "+asserted_by", list(map(_asserted_by, *who)))
    kinds, data = (block.values("detections[]", name) for name in ("app_data_type", "app_data"))
    if str in set(map(type, data)):
        data = [
            parsed(each) if type(each) is str and kind != "ocr" else each
            for each, kind in zip(data, kinds, strict=True)
        ]
        block.put("detections[]", "app_data", data)
    if not READ.isdisjoint(kinds):
        block.put(
            "detections[]",
            "+reading",
            [
                _reading(kind, each) if each is not None and kind in READ else None
                for each, kind in zip(data, kinds, strict=True)
            ],
        )
    boxed = [
        (row, each if isinstance(each, list) else [each])
        for row, (each, kind) in enumerate(zip(data, kinds, strict=True))
        if each is not None and kind in BOXED
    ]
    _add_boxes(block, boxed)


def _add_boxes(block: Block, boxed: Sequence[tuple[int, Sequence[Any]]]) -> None:
    """Add a row for each box; `boxed` are assertions with their boxes."""
    boxes = [box for _, some in boxed for box in some]
    if not set(map(type, boxes)) <= {dict}:
        raise RecordError("a box must be an object", "")
    corners = _corner_columns([box.get("box", box) for box in boxes])
    if any(None in at for at in corners.values()):
        raise RecordError("a box must have x0, y0, x1 and y1", "")
    columns = {
        **corners,
        "probability": [box.get("probability") for box in boxes],
        "box_index": [index for _, some in boxed for index in range(len(some))],
    }
    block.add_rows("detections[]/+boxes[]", [row for row, some in boxed for _ in some], columns)


def _corner_columns(boxes: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
    """Return the corners of the boxes, each a column; None where there is no box."""
    if not set(map(type, boxes)) <= {dict, type(None)}:
        raise RecordError("a box must be an object", "")
    columns = {corner: [None if box is None else box.get(corner) for box in boxes] for corner in CORNERS}
    if any(not set(map(type, at)) <= NUMBERS for at in columns.values()):
        raise RecordError("a corner must be a number", "")
    return columns


def enrich_postback(record: Any, _context: Mapping[str, str]) -> None:  # noqa: ANN401 -- a type made from the schema
    """Say which application posted, and name the region as polling does."""
    if record.post is None or not record.post.subjects:
        raise RecordError("names no subject: nothing is said", "$.post.subjects")
    focus = parsed(record.post.focus)
    record.added_focus_key = "" if focus is None else focus_key(focus)
    record.added_application_id = record.address or None
    record.added_is_mended = record.as_received is not None
    for index, subject in enumerate(record.post.subjects):
        subject.added_subject_index = index


ENRICH: Mapping[str, Enrich] = {
    "applications": Enrich(enrich_application, enrich_applications),
    "detections": Enrich(enrich_result, enrich_results),
    "postbacks": Enrich(enrich_postback),
}


def redact(_stream: str, record: bytes) -> bytes:
    """Return the record as it is: its links are columns of its tables too."""
    return record
