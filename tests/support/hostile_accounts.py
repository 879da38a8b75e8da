"""What tests of several files share with `test_hostile_accounts`."""

from collections.abc import Mapping

from conftest import Row
from hostile import MEDIA, Answer, Request, Routes, Said, medium

KEYS = {"old": range(12), "new": range(12), "key-of-others": range(100, 124), "third": range(200, 203)}
"""By key, the media of its account: `new` is another key of the account of `old`."""


def accounts(hidden: Mapping[str, range] | None = None) -> Routes:
    """The media of each key; of some keys the list shows only these."""

    def media_of(asked: Request) -> list[Row]:
        return [medium(number) for number in KEYS[asked.headers["X-API-Key"]]]

    def listed(asked: Request) -> Said:
        key = asked.headers["X-API-Key"]
        if key not in KEYS:
            return Answer(b'{"detail": "no such key"}', 401)
        shown = [medium(number) for number in (hidden or {}).get(key, KEYS[key])]
        return {"media": shown[int(asked.query["offset"]) :], "pagination": {"total": len(shown)}}

    def one(asked: Request) -> Said:
        name = asked.path.rpartition("/")[2]
        missing = Answer(b'{"detail": "no such medium"}', 404)
        return next((each for each in media_of(asked) if each["media_id"] == name), missing)

    return {MEDIA: listed, f"{MEDIA}/.*": one}
