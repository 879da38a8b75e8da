"""Bodies of answers: whole in memory, or written where they are kept as they come."""

import http.client
import io
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Protocol

from etl.extract.connection import StrictResponse
from etl.extract.deadline import postpone
from etl.extract.encoding import CHUNK, Decoder, decoder_of
from etl.extract.memory import Grow

PIECE = 2**16
"""Bytes that are read at once of a body that is written as it comes."""
SLOWEST = 2**14
"""Bytes a second from which on a body that is written may take longer than the deadline: it is no fault of a
host that a film is large, and one that drips is held to the deadline."""


class Sink(Protocol):
    """Takes in a body as it comes; raises no OSError, which would be taken for one of the connection."""

    size: int
    """Bytes taken in since the beginning."""

    def begin(self) -> None:
        """Forget what has come: a body follows from its beginning."""

    def write(self, piece: bytes) -> None:
        """Take in what comes next."""


def read_body(response: http.client.HTTPResponse, grow: Grow, sink: Sink | None) -> bytes:
    """Return the body, whole and unpacked; nothing of it where the sink takes it in.

    Raises ValueError where it is not whole, and what `grow` and the sink raise.
    """
    if response.status < HTTPStatus.OK:
        # Of these http.client knows one only, and takes what follows for the answer to the next request.
        raise ValueError(f"answered {response.status}, and what follows was not waited for")
    decoder = _decoder(response)
    if sink is not None and response.status == HTTPStatus.OK:
        _write(response, decoder, sink)
        return b""
    return _read(response, decoder, grow)


def is_whole(response: StrictResponse) -> bool:
    """Whether a body that was read tells itself where it ends; a text is a text wherever it breaks off."""
    return response.is_framed or _decoder(response) is not None


def is_cut(response: StrictResponse) -> bool:
    """Whether a body goes on behind its announced end, as one does that was counted in characters.

    Empty lines do not, and neither does an answer that nobody asked for.
    """
    return bool(response.surplus.strip()) and not response.surplus.startswith(b"HTTP/")


def _decoder(response: http.client.HTTPResponse) -> Decoder | None:
    return decoder_of(", ".join(response.headers.get_all("content-encoding", [])))


def _read(response: http.client.HTTPResponse, decoder: Decoder | None, grow: Grow) -> bytes:
    received, chunk = 0, response.read(CHUNK)
    if decoder is None and response.isclosed() and not response.length:
        # Nearly all pages: nothing is to be joined.
        grow(len(chunk))
        return chunk
    # Parts that are joined at the end would be there twice.
    body = io.BytesIO()
    while chunk:
        received += len(chunk)
        for piece in _pieces(chunk, decoder):
            grow(body.tell() + len(piece))
            body.write(piece)
        chunk = response.read(CHUNK)
    _be_whole(response, received)
    if decoder is not None and not decoder.is_whole and (body.tell() or response.status == HTTPStatus.OK):
        raise ValueError("the compressed body breaks off")
    return body.getvalue()


def _write(response: http.client.HTTPResponse, decoder: Decoder | None, sink: Sink) -> None:
    """Write the body as it comes; ValueError too where nothing proves that it has come to its end."""
    if response.length is None and not response.chunked and decoder is None:
        raise ValueError("the answer does not tell how long it is")
    sink.begin()
    received, since = 0, time.monotonic()
    while chunk := response.read(PIECE):
        took = time.monotonic() - since
        if len(chunk) >= took * SLOWEST:
            postpone(took)
        received += len(chunk)
        for piece in _pieces(chunk, decoder):
            sink.write(piece)
        since = time.monotonic()
    _be_whole(response, received)
    if decoder is not None and not decoder.is_whole:
        raise ValueError("the compressed body breaks off")


def _pieces(chunk: bytes, decoder: Decoder | None) -> Iterator[bytes]:
    return iter((chunk,)) if decoder is None else decoder.decoded(chunk)


def _be_whole(response: http.client.HTTPResponse, received: int) -> None:
    if response.length:
        raise ValueError(f"IncompleteRead({received} bytes read, {response.length} more expected)")
