"""Records that are not planned but written down: late ones, and new versions of any."""

import random
from typing import Any

from etl.demo.cogniac.catalog import ALPHABET, MACHINE, MODELLESS, word

JsonDict = dict[str, Any]


def late_record(application: JsonDict, media_id: str, at: float) -> JsonDict:
    """Return a plain record with one assertion, by a model unless the application's type has none."""
    subjects = application.get("output_subjects") or ["late"]
    has_model = application.get("type") not in MODELLESS
    model = (application.get("model_id") or "late_mtsv0_0001.tgz") if has_model else None
    said = {
        "app_data": None,
        "app_data_type": None,
        "app_id": application["application_id"],
        "created_at": at,
        "detection_id": f"{media_id}:0",
        "focus": None,
        "media_id": media_id,
        "model_id": model,
        "prev_prob": None,
        "probability": 0.75,
        "subject_uid": subjects[0],
        "uncal_prob": 0.7,
        "user_id": None if model else MACHINE,
    }
    media = {
        "media_id": media_id,
        "created_at": at - 1,
        "filename": f"{media_id.lower()}.jpg",
        "image_height": 1200,
        "image_width": 1600,
        "media_format": "JPEG",
    }
    return {"detections": [said], "media": media, "focus": None, "updated_at": at}


def asserted_anew(record: JsonDict, at: float) -> JsonDict:
    """Return the record with its last assertion replaced by one made at `at`.

    Without any, only its time changes.
    """
    said = record.get("detections")
    if not isinstance(said, list) or not said:
        return {**record, "updated_at": at}
    rng = random.Random(f"{said[-1]}:{at}")
    new = {
        **said[-1],
        "detection_id": word(rng, 9, ALPHABET),
        "prev_prob": said[-1].get("probability"),
        "probability": rng.random(),
        "created_at": at,
    }
    return {**record, "detections": [*said[:-1], new], "updated_at": at}


def one_fewer(record: JsonDict, at: float) -> JsonDict:
    """Return the record without its first assertion, the last one being made anew; none may be left."""
    return asserted_anew({**record, "detections": record["detections"][1:]}, at)
