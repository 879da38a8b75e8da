"""Content encodings: what of a compressed body has come, and whether its end has."""

import sys
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

CHUNK = 2**20
"""Bytes that are read, and unpacked, at once: nearly all pages and files are smaller."""
ACCEPTED = "zstd, gzip"
"""Only what can be told to be whole is asked for: both of these say where they end."""
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""By content encoding, what tells zlib which it is; some servers send `deflate` although nobody asks."""
ZSTD_WINDOW_BITS = 23
"""8 MB: a body that needs more memory to unpack is against RFC 9659."""


class Decoder(Protocol):
    """Unpacks one body as it comes."""

    @property
    def is_whole(self) -> bool:
        """Whether what has come ends where a compressed body may end."""

    def decoded(self, packed: bytes) -> Iterator[bytes]:
        """Unpack the next part of the body, in pieces of bounded size; ValueError where it is damaged."""


def decoder_of(encoding: str) -> Decoder | None:
    """Return what unpacks a body of this content encoding; None where it is not packed.

    Raises ValueError for an encoding that cannot be read.
    """
    named = encoding.strip().lower()
    if named in ("", "identity"):
        return None
    if named == "zstd":
        return _Zstd()
    if named not in WINDOW_BITS:
        raise ValueError(f"answered in the encoding {named[:20]}, which was not asked for")
    return _Zlib(WINDOW_BITS[named])


class _Zlib:
    """Unpacks gzip and deflate."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._member = zlib.decompressobj(bits)
        self._begun = False

    @property
    def is_whole(self) -> bool:
        return self._begun and self._member.eof

    def decoded(self, packed: bytes) -> Iterator[bytes]:
        if not self._begun and not _has_header(packed, self._bits):
            # Some servers send `deflate` without the header that it is defined with.
            self._bits = -15
            self._member = zlib.decompressobj(self._bits)
        while packed:
            if self._member.eof:
                # Files that were compressed one by one may stand one after the other, padded with zeros.
                packed = packed.lstrip(b"\0")
                if not packed:
                    return
                self._member = zlib.decompressobj(self._bits)
            self._begun = True
            try:
                piece = self._member.decompress(packed, CHUNK)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            yield piece
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


def _has_header(packed: bytes, bits: int) -> bool:
    return bits != WINDOW_BITS["deflate"] or packed[:1] in (b"\x78", b"")


class _Zstd:
    """Unpacks zstd, frame by frame."""

    def __init__(self) -> None:
        self._library = _zstd()
        self._frame = self._begin()

    @property
    def is_whole(self) -> bool:
        return bool(self._frame.eof)

    def _begin(self) -> Any:  # noqa: ANN401 -- of whichever module this Python has
        limit = {self._library.DecompressionParameter.window_log_max: ZSTD_WINDOW_BITS}
        return self._library.ZstdDecompressor(options=limit)

    def decoded(self, packed: bytes) -> Iterator[bytes]:
        while packed or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._frame = self._begin()
            try:
                piece = self._frame.decompress(packed, CHUNK)
            except self._library.ZstdError as error:
                raise ValueError(str(error)) from error
            yield piece
            packed = self._frame.unused_data if self._frame.eof else b""


def _zstd() -> Any:  # noqa: ANN401
    """Return the module of the standard library, or its backport; loaded where it is needed."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd
