"""What limits an archive, and by what a picture or film is known."""

from itertools import count

import pytest

from etl.archive.kinds import kind_of, sent_instead
from etl.archive.limits import ArchiveLimitError, Pace, Room, TimeLimit
from etl.extract.deadline import left, within


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


def test_bytes_come_as_fast_as_they_may() -> None:
    """Who is ahead of the rate waits for it; who was slow saves nothing up."""
    time = Time()
    pace = Pace(2, lambda: time.now, time.sleep)
    pace.spend(1_000_000)
    pace.spend(3_000_000)
    time.now += 60
    pace.spend(2_000_000)

    assert [0.5, 1.5, 1.0] == pytest.approx(time.slept)


def test_waiting_for_the_rate_is_no_fault_of_the_host() -> None:
    """The deadline of the request moves along."""
    time = Time()
    with within(10):
        Pace(1, lambda: time.now, time.sleep).spend(90_000_000)
        remaining = left()

    assert 95 < remaining <= 100


def test_without_a_rate_nobody_waits() -> None:
    """0 is none."""
    time = Time()
    Pace(0, lambda: time.now, time.sleep).spend(10**12)

    assert [] == time.slept


def test_room_that_is_given_back_can_be_taken_again() -> None:
    """What is there is counted once, when it matters."""
    counts = count()

    def used() -> int:
        next(counts)
        return 400_000

    room = Room(1, used)
    room.give_back(5)
    room.take(600_000)
    with pytest.raises(ArchiveLimitError, match="the archive is full: SIGHTGLASS_ARCHIVE_DISK allows 1 MB"):
        room.take(1)
    room.give_back(2)
    room.take(2)

    assert 1 == next(counts)


def test_time_is_over_when_it_is() -> None:
    """It begins with the first file."""
    time = Time()
    limit = TimeLimit(1, lambda: time.now)
    limit.check()
    time.now += 59
    limit.check()
    time.now += 1
    with pytest.raises(ArchiveLimitError, match="SIGHTGLASS_ARCHIVE_MINUTES allows a run 1 minutes"):
        limit.check()
    for _ in range(2):
        endless = TimeLimit(0, lambda: time.now)
        endless.check()
        time.now += 10**9


KINDS = {
    b"\xff\xd8\xff\xe0": ("jpg", "image/jpeg"),
    b"\x89PNG\r\n\x1a\n": ("png", "image/png"),
    b"GIF89a": ("gif", "image/gif"),
    b"RIFF\x00\x00\x00\x00WEBPVP8 ": ("webp", "image/webp"),
    b"RIFF\x00\x00\x00\x00AVI LIST": ("avi", "video/x-msvideo"),
    b"\x00\x00\x00\x14ftypqt  ": ("mov", "video/quicktime"),
    b"\x00\x00\x00\x14ftypmp42": ("mp4", "video/mp4"),
    b"\x1a\x45\xdf\xa3\x01\x00webm": ("webm", "video/webm"),
    b"\x1a\x45\xdf\xa3\x01\x00matroska": ("mkv", "video/x-matroska"),
    b"BM\x36\x00\x0c\x00\x00\x00\x00\x00": ("bmp", "image/bmp"),
    b"II*\x00": ("tiff", "image/tiff"),
}


@pytest.mark.parametrize(("head", "expected"), KINDS.items(), ids=[kind for kind, _ in KINDS.values()])
def test_a_picture_is_known_by_how_it_begins(head: bytes, expected: tuple[str, str]) -> None:
    """Whatever the server calls it."""
    assert {expected} == {kind_of(head, named) for named in ("", "binary/octet-stream", "text/html")}


@pytest.mark.parametrize(
    ("head", "named", "expected"),
    [
        (b"\x00\x01raw", "image/x-raw", ("bin", "image/x-raw")),
        (b"\x00\x01raw", "application/octet-stream", None),
        (b"<svg>", "image/svg+xml", None),
        (b"", "image/jpeg", None),
        (b"BM is how this text begins", "text/plain", None),
    ],
)
def test_what_has_no_signature_is_what_the_server_says(
    head: bytes, named: str, expected: tuple[str, str] | None
) -> None:
    """Unless it is text, or the server says something else."""
    assert expected == kind_of(head, named)


@pytest.mark.parametrize(
    ("head", "named", "expected"),
    [
        (b"\xef\xbb\xbf <html>", "", "an HTML or XML page"),
        (b"Log in", "text/html", "an HTML or XML page"),
        (b' {"detail": 1}', "", "JSON"),
        (b"", "image/png", "nothing"),
        (b"\x00", "", "something that is no picture or film"),
    ],
)
def test_what_came_instead_is_named(head: bytes, named: str, expected: str) -> None:
    """In words that hold nothing of it."""
    assert expected == sent_instead(head, named)
