"""Files of which nothing proves that they have come to their end: no row is made of a part of one."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import rows
from hostile import MEDIA, Answer, Bytes, Said, medium, of_neurons, serving

WHOLE = "name,score\nA,1.5\nÄ,2.25\n".encode()
BOTH = [("A", 1.5), ("Ä", 2.25)]
NO_LENGTH = {"Content-Length": None}
SHORT = {"Content-Length": str(len(WHOLE) - 3)}
WITH_MORE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s"

FIRST: dict[str, tuple[Said, int]] = {
    "cut between two lines": (Answer(WHOLE[:-8], headers=NO_LENGTH), 4),
    "cut within a number": (Answer(WHOLE[:-3], headers=NO_LENGTH), 4),
    "counted in characters": (Answer(WHOLE, headers=SHORT), 2),
}
"""What comes first in place of the file, and how often it is asked for in the end."""


def scores(folder: Path, *said: Said) -> tuple[int, list[tuple[str, float]], list[str], int]:
    """How a run ends to which a file is sent so: its code, rows, what is missing, and how often it asked."""
    film: dict[str, Any] = {}
    number = count()
    routes = {
        MEDIA: lambda _request: {"media": [film], "pagination": {"total": 1}},
        "/film.csv": lambda _request: said[min(next(number), len(said) - 1)],
    }
    with serving(routes) as server:
        film |= medium(1, type="video", results={"aoi_scores": f"{server.url}film.csv"})
        ran = of_neurons(folder, server)("run", "--json")
        asked = server.count("film.csv")
    home = folder / "home"
    found = sorted((row["aoi_name"], row["value"]) for row in rows(home, "neurons.aoi_scores"))
    gaps = [row["error"].rpartition("film.csv")[2] for row in rows(home, "etl.gaps")]
    return ran.code, found, gaps, asked


@pytest.mark.parametrize(("first", "requests"), FIRST.values(), ids=FIRST)
def test_a_file_that_may_be_a_part_is_asked_for_until_it_is_whole(
    tmp_path: Path, first: Said, requests: int
) -> None:
    """One whose end only the closed connection tells must come twice; one that goes on is no whole one."""
    then = Answer(WHOLE, headers=NO_LENGTH) if requests > 2 else WHOLE

    assert (0, BOTH, [], requests) == scores(tmp_path, first, then)


def test_a_file_of_unknown_length_that_comes_twice_the_same_is_read(tmp_path: Path) -> None:
    """Two answers that break off at the same place are not to be expected."""
    same = Answer(WHOLE, headers=NO_LENGTH)

    assert (0, BOTH, [], 2) == scores(tmp_path, same)


@pytest.mark.parametrize(
    ("more", "found", "error"),
    [
        (b"\r\n", BOTH, []),
        (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", BOTH, []),
        (b"C,3\n", [], [" answered with more than it announced"]),
    ],
    ids=["an empty line", "another answer", "a line of the file"],
)
def test_what_follows_a_file_is_no_part_of_it_only_where_it_cannot_be(
    tmp_path: Path, more: bytes, found: list[tuple[str, float]], error: list[str]
) -> None:
    """An announced length that is too short makes the file a gap, which the next run asks for again."""
    ran = scores(tmp_path, Bytes(WITH_MORE % (len(WHOLE), WHOLE, more)))

    assert (0, found, error) == ran[:3]
