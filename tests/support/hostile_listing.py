"""What tests of several files share with `test_hostile_listing`."""

from collections.abc import Callable, Sequence
from typing import Any

from conftest import Row
from hostile import MEDIA, Answer, Request, Said, medium

Answering = Callable[[Request], Said]
N = 250
"""Media of an account, unless a case has fewer."""


def media(count: int = N) -> list[Row]:
    """So many media, oldest first."""
    return [medium(number) for number in range(count)]


def window(listed: Sequence[Row], request: Request, most: int = 100) -> Sequence[Row]:
    """The part of a list that a request asks for, of which at most so many come."""
    offset, limit = int(request.query["offset"]), int(request.query["limit"])
    return listed[offset : offset + min(limit, most)]


def paged(listed: Sequence[Row], total: Any = None, most: int = 100) -> Answering:  # noqa: ANN401 -- any JSON
    """The list as version 1 pages it; without a total where there is none."""

    def answer(request: Request) -> Said:
        about = {} if total is None else {"pagination": {"total": total}}
        return {"media": window(listed, request, most), **about}

    return answer


def routes(answer: Answering, there: Sequence[Row] = ()) -> dict[str, Answering]:
    """The list, and each of these media by its id."""
    by_id = {one["media_id"]: one for one in there}
    missing = Answer(b'{"detail": "no such medium"}', 404)
    return {MEDIA: answer, f"{MEDIA}/.*": lambda asked: by_id.get(asked.path.rpartition("/")[2], missing)}
