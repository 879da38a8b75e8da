"""Posts as a listener leaves them, and what runs make of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conftest import Plant, Row, Sightglass, rows, table

from etl.inbox.writer import InboxWriter, Post
from etl.values import micros_of

AT = 1_772_600_000.25
"""A time of the simulated data."""


def posted(home: Path, *bodies: str | Row, label: str = "", ago: timedelta = timedelta(hours=1)) -> list[int]:
    """Leave posts in the inbox as a listener does; when they were received, in microseconds since 1970."""
    at = micros_of(datetime.now(UTC) - ago)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in bodies]
    writer = InboxWriter(home)
    writer.append(
        [Post(at + place, label, "application/json", text.encode()) for place, text in enumerate(texts)]
    )
    writer.finish()
    return list(range(at, at + len(bodies)))


def post(media_id: str, *subjects: tuple[str, float, float], focus: Row | None = None) -> Row:
    """What Cogniac posts; of each subject its id, probability and time."""
    said = [
        {"subject_uid": uid, "probability": probability, "updated_at": at}
        for uid, probability, at in subjects
    ]
    return {"media": {"media_id": media_id}, "focus": focus, "subjects": said}


def postbacks(home: Path, *without: str) -> list[Row]:
    """The rows of posts in their order, without what each run and each fingerprint writes anew."""
    names = {"_run_id", "_loaded_at", "post_id", *without}
    found = sorted(
        rows(home, "cogniac.postbacks"), key=lambda row: (row["received_at"], row["subject_index"])
    )
    return [{name: value for name, value in row.items() if name not in names} for row in found]


def gaps(home: Path) -> list[tuple[str, ...]]:
    """What is named as missing of posts."""
    return table(home, "SELECT what, error FROM etl.gaps WHERE stream = 'postbacks' ORDER BY ALL")


def states(sightglass: Sightglass) -> list[tuple[str, ...]]:
    """What is published of each post: its subject, and whether polling has seen it."""
    ran = sightglass(
        *("sql", "--json", "SELECT subject_uid, state FROM mart.postback_reconciliation ORDER BY ALL")
    )
    return [tuple(row.values()) for row in ran.report["rows"]]


def active(plant: Plant) -> str:
    """An application that is polled and has records."""
    found = (str(one["application_id"]) for one in plant.cogniac.applications() if one["active"])
    return next(each for each in found if next(plant.cogniac.truth(each), None))
