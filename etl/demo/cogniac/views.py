"""What a query lets the API show of a record."""

from typing import Any

from etl.demo.cogniac.query import Query

JsonDict = dict[str, Any]


def filtered(record: JsonDict, query: Query, *, has_model: bool) -> JsonDict | None:
    """Return the record with the assertions that a query asks for, None when none is left of them.

    Who asserted is no question where no model does: there both flags are ignored.
    """
    said = record.get("detections")
    if not isinstance(said, list) or not said:
        return record
    people = [one for one in said if one.get("user_id") is not None]
    if query.consensus_none and people:
        return None
    kept = said
    if has_model and query.only_user:
        kept = people
    elif has_model and query.only_model:
        kept = [one for one in said if one.get("model_id") is not None]
    if (query.lower, query.upper) != (0.0, 1.0):
        kept = [one for one in kept if query.lower <= one["probability"] <= query.upper]
    if not kept:
        return None
    return record if len(kept) == len(said) else {**record, "detections": kept}


def association(record: JsonDict, subject_uid: str, query: Query) -> JsonDict | None:
    """Return the latest word of a record on one subject as a subject-media association, or None."""
    said = [one for one in record["detections"] if one["subject_uid"] == subject_uid]
    if not said:
        return None
    latest = max(said, key=lambda one: float(one["created_at"]))
    if not query.lower <= latest["probability"] <= query.upper:
        return None
    consensus = None if latest["user_id"] is None else str(latest["probability"] >= 0.5)
    shown = {
        "media": record["media"],
        "subject": {
            "subject_uid": subject_uid,
            "media_id": record["media"]["media_id"],
            "probability": latest["probability"],
            "updated_at": latest["created_at"],
            "consensus": consensus,
            "app_data_type": latest["app_data_type"],
            "app_data": latest["app_data"],
            "focus": record["focus"],
        },
        "focus": record["focus"],
    }
    return shown | ({"other_media": record["other_media"]} if "other_media" in record else {})
