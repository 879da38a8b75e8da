"""A medium that the API lists and cannot show: named, and in the way of no other."""

from pathlib import Path

import pytest
from conftest import rows
from hostile import MEDIA, Answer, Request, Said, medium, of_neurons, serving

BROKEN = Answer(b'{"detail": "broken"}', 500)
DENIED = Answer(b'{"detail": "denied"}', 403)
MANY = 12


def loaded(home: Path) -> set[str]:
    """The media that are stored."""
    return {row["media_id"] for row in rows(home, "neurons.media")}


def shown(broken: set[str], said: Said, many: int = MANY) -> dict[str, Said]:
    """A list without results, which each medium has by its id, except for those that are broken."""
    media = {f"n{number}": medium(number) for number in range(many)}

    def one(asked: Request) -> Said:
        media_id = asked.path.rpartition("/")[2]
        return said if media_id in broken else media[media_id]

    listed = [{name: value for name, value in one.items() if name != "results"} for one in media.values()]
    return {MEDIA: {"media": listed, "pagination": {"total": many}}, f"{MEDIA}/.*": one}


@pytest.mark.parametrize("said", [BROKEN, DENIED], ids=["broken", "denied"])
def test_a_medium_that_cannot_be_shown_takes_no_other_with_it(tmp_path: Path, said: Answer) -> None:
    """All others are loaded, and the stream fails by its name; it is not held to be gone."""
    with serving(shown({"n2"}, said)) as server:
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0")
        server.instead |= shown(set(), said)
        again = sightglass("run")

    every = {f"n{number}" for number in range(MANY)}
    answered = f"GET {server.url}predict/v2/media/n2 answered {said.status}"
    assert (3, True) == (ran.code, f"media that cannot be read: n2 ({answered}" in ran.err)
    assert (0, every) == (again.code, loaded(sightglass.home))


def test_many_that_cannot_be_shown_are_counted(tmp_path: Path) -> None:
    """Every other one, as long as those between are shown."""
    broken = {f"n{number}" for number in range(0, 22, 2)}
    with serving(shown(broken, BROKEN, 22)) as server:
        ran = of_neurons(tmp_path, server)("run", SIGHTGLASS_RETRY_BUDGET="0")

    assert (3, True) == (ran.code, "answered 500: broken) and 1 more" in ran.err)
    assert {f"n{number}" for number in range(1, 22, 2)} == loaded(tmp_path / "home")


def test_what_was_stored_of_it_stays(tmp_path: Path) -> None:
    """Where the list leaves it out, nothing says that it is gone."""
    with serving(shown(set(), BROKEN)) as server:
        sightglass = of_neurons(tmp_path, server)
        first = sightglass("run")
        left = [medium(number) for number in range(MANY) if number != 2]
        server.instead |= {**shown({"n2"}, BROKEN), MEDIA: {"media": left, "pagination": {"total": MANY - 1}}}
        ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0")

    marked = [row["media_id"] for row in rows(sightglass.home, "neurons.media") if "deleted_at" in row]
    assert (0, 3, []) == (first.code, ran.code, marked)


def test_where_no_medium_can_be_shown_few_are_asked_for(tmp_path: Path) -> None:
    """A host that fails is given up, and not asked for all of a list."""
    with serving(shown({f"n{number}" for number in range(MANY)}, BROKEN)) as server:
        ran = of_neurons(tmp_path, server)("run", SIGHTGLASS_RETRY_BUDGET="0")

    assert (3, 4) == (ran.code, sum(f"{MEDIA}/" in each.path for each in server.asked))
