"""The lines of a segment: each an object of JSON behind its checksum, so that every loss is seen."""

import msgspec
import xxhash

FOLDER = "inbox"
FORMAT = 1
"""Of the lines; a reader refuses what a newer version wrote."""
OPEN, CLOSED, LEFT, DAMAGED = ".open", ".closed", ".left", ".damaged"
ASIDE = ".part"
"""What is written beside the name that it is to have: where nobody is at it, a kill has left it."""

DIGITS = 16
"""Of a checksum: XXH3 of 64 bits, hexadecimal."""


class Head(msgspec.Struct, frozen=True, tag="head", tag_field="kind"):
    """The first line of a segment."""

    format: int
    version: str


class Entry(msgspec.Struct, frozen=True, tag="entry", tag_field="kind"):
    """A post, as received."""

    id: str
    """What its segment was called when it was written, and its place there; no other entry has it."""
    received_at: int
    """Microseconds since 1970, by the clock of the listener."""
    label: str
    """What the address holds behind the secret, an application's id for one; may be empty."""
    content_type: str
    """As sent; empty where none was."""
    body: bytes


class Seal(msgspec.Struct, frozen=True, tag="seal", tag_field="kind"):
    """The last line of a segment that was finished."""

    entries: int


Line = Head | Entry | Seal

ENCODER = msgspec.json.Encoder()
DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return the line as it is written; a body is Base64 there."""
    text = ENCODER.encode(line)
    return xxhash.xxh3_64_hexdigest(text).encode() + b" " + text + b"\n"


def decode(line: bytes) -> Line | None:
    """Return what a line without its end says; None where it is not as it was written."""
    text = line[DIGITS + 1 :]
    if line[: DIGITS + 1] != xxhash.xxh3_64_hexdigest(text).encode() + b" ":
        return None
    try:
        return DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
