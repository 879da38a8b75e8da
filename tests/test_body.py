"""Bodies that are written as they come: held to what was said of them, and to no deadline while they do."""

import http.client
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from etl.extract import body
from etl.extract.body import SLOWEST, read_body
from etl.extract.deadline import left, within


class Sent:
    """An answer whose pieces take some time each."""

    def __init__(self, pieces: Sequence[bytes], seconds: float, **said: Any) -> None:  # noqa: ANN401
        self.now = 0.0
        self.status, self.headers = 200, http.client.HTTPMessage()
        self.length: int | None = sum(map(len, pieces))
        self.chunked = False
        vars(self).update(said)
        self._pieces, self._seconds = list(pieces), seconds

    def read(self, _size: int) -> bytes:
        """The next piece."""
        self.now += self._seconds
        if not self._pieces:
            return b""
        if self.length is not None:
            self.length -= len(self._pieces[0])
        return self._pieces.pop(0)


class Taken:
    """A sink that keeps it all."""

    def __init__(self) -> None:
        self.size, self.pieces = 0, list[bytes]()

    def begin(self) -> None:
        """Forget what has come."""
        self.size, self.pieces = 0, []

    def write(self, piece: bytes) -> None:
        """Keep what comes."""
        self.size += len(piece)
        self.pieces.append(piece)


def taken(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> tuple[list[bytes], float]:
    """The pieces that a sink takes in, and the seconds that are left of a thousand."""
    monkeypatch.setattr(body, "time", SimpleNamespace(monotonic=lambda: sent.now))
    sink = Taken()
    with within(1000):
        assert b"" == read_body(cast("http.client.HTTPResponse", sent), lambda _: None, sink)
        return sink.pieces, round(left(), -1)


@pytest.mark.parametrize(
    ("rate", "remaining"), [(SLOWEST, 1300), (SLOWEST - 1, 1000)], ids=["as fast as it must be", "slower"]
)
def test_who_sends_on_is_given_more_time(
    rate: int, remaining: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large body may take longer than the deadline; one that drips may not."""
    pieces = [bytes(rate * 100)] * 3

    assert (pieces, remaining) == taken(Sent(pieces, 100), monkeypatch)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (Sent([b"abc"], 0, length=9), "IncompleteRead(3 bytes read, 6 more expected)"),
        (Sent([b"abc"], 0, length=None), "the answer does not tell how long it is"),
        (Sent([], 0, status=103), "answered 103, and what follows was not waited for"),
    ],
    ids=["torn", "of unknown length", "interim"],
)
def test_a_body_whose_end_is_not_proven_is_none(
    sent: Sent, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends where it was said to end, or there is none."""
    with pytest.raises(ValueError, match=re.escape(said)):
        taken(sent, monkeypatch)


def test_chunks_tell_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a length need not be told."""
    assert [b"abc"] == taken(Sent([b"abc"], 0, length=None, chunked=True), monkeypatch)[0]
