"""Cogniac records: what the declarations mark with a plus sign, and several shapes brought to one."""

from collections.abc import Iterator, Mapping
from typing import Any

from etl.errors import Unfit
from etl.extract.stream import Complete
from etl.values import canonical, parsed

BOXED = frozenset({"box_set", "box"})
"""Kinds of application data whose boxes are rows of their own."""
CORNERS = ("x0", "y0", "x1", "y1")
NUMBERS = frozenset({int, float, type(None)})
"""Types a corner may have before it is looked at whether all are there; a bool is no number here."""


def complete_application(application: Any, context: Mapping[str, str]) -> None:  # noqa: ANN401
    """Say which tenant was asked, where the application itself does not."""
    application.added_tenant_id = context["tenant_id"]


def complete_result(result: Any, context: Mapping[str, str]) -> None:  # noqa: ANN401 -- a type made from the schema
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
            _complete_detection(detection)
        except Unfit as why:
            raise Unfit(why.reason, f"$.detections[{index}].app_data{why.path}") from why


def focus_key(focus: object) -> str:
    """The key of a region: canonical JSON of its value, so that each spelling of it makes the same key.

    Numbers count by value (`50.0` is `50`, `-0.0` is `0`), members that are null are left out, and a region
    that has no members then is the whole media item: the empty string.
    """
    text = canonical(focus).decode()
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
    """The related media of a result, as objects of their own."""
    for medium in listed if isinstance(listed, list) else [listed] if listed else []:
        if isinstance(medium, dict):
            yield {**medium, "custom_data": parsed(medium.get("custom_data"))}
        else:
            yield medium


def _complete_detection(detection: Any) -> None:  # noqa: ANN401 -- a type made from the schema
    """Say who asserted it (the vendor's media-detections page tells the three apart), and find its boxes."""
    if detection.user_id is not None:
        # A user's assertion outside any application is a capture of media to a subject.
        detection.added_asserted_by = "capture" if detection.app_id is None else "user"
    elif detection.model_id is not None:
        detection.added_asserted_by = "model"
    if detection.app_data is None:
        return
    if detection.app_data_type != "ocr":
        detection.app_data = parsed(detection.app_data)
    if detection.app_data_type in BOXED:
        detection.added_boxes = _boxes(detection.app_data)


def _boxes(app_data: object) -> list[dict[str, Any]]:
    """The boxes of a set, or the only one; the path of what is no box begins at the app_data."""
    if not isinstance(app_data, list):
        return [_box(0, app_data)]
    boxes = []
    for index, box in enumerate(app_data):
        try:
            boxes.append(_box(index, box))
        except Unfit as why:
            raise Unfit(why.reason, f"[{index}]{why.path}") from why
    return boxes


def _box(index: int, box: object) -> dict[str, Any]:
    """One box of a set as a row; the corners stand under `box`, or in the object itself."""
    if not isinstance(box, dict):
        raise Unfit("a box must be an object", "")
    corners = _corners(box["box"], ".box") if "box" in box else _corners(box, "")
    if corners is None or None in corners.values():
        raise Unfit("a box must have x0, y0, x1 and y1", "")
    return {**corners, "probability": box.get("probability"), "box_index": index}


def _corners(box: object, path: str) -> dict[str, Any] | None:
    if box is None:
        return None
    if not isinstance(box, dict):
        raise Unfit("a box must be an object", path)
    corners = {corner: box.get(corner) for corner in CORNERS}
    for corner, at in corners.items():
        if type(at) not in NUMBERS:
            raise Unfit(f"Expected `float`, got `{type(at).__name__}`", f"{path}.{corner}")
    return corners


COMPLETE: Mapping[str, Complete] = {"applications": complete_application, "detections": complete_result}


def storable(_stream: str, record: bytes) -> bytes:
    """The record as it is: its links are columns of its tables too."""
    return record
