"""Which files in the folder of a warehouse still hold somebody who was forgotten, however large they are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from etl.extract.log import RAW
from etl.extract.mentions import Kind, is_named, may_name
from etl.load.forgetting import needles
from etl.load.warehouse import NAME
from etl.publish.lake_format import FORMATS
from etl.publish.layout import BI, VERSIONS

DATABASES = (".duckdb", ".former")
OWN_FOLDERS = (RAW, *FORMATS)
MORE_JOINTS = ":/+@."
"""What joins parts of an id besides, in files that hold ids as values of their own."""
CERTAIN = 8
"""Characters from which on an id is looked for in files of others that are no text."""
BLOCK_BYTES = 2**22
"""Of a file that are in memory at a time."""


class Needle(NamedTuple):
    """One way in which an id may be written, by what finds it in bytes."""

    anchor: bytes
    """The longest part of it that is ASCII, in small letters: others are not the same in capitals."""
    reach: int
    """Bytes before and after the anchor that tell whether the id is meant."""


def still_holding(home: Path, kind: Kind, text: str) -> list[str]:
    """Return the files that still hold it, and those that nobody can look into."""
    found = []
    for path in sorted(home.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.is_relative_to(home / VERSIONS):
            continue
        is_ours = path in (home / NAME, home / BI) or path.relative_to(home).parts[0] in OWN_FOLDERS
        if _holds(path, kind, text, is_ours=is_ours) or (path.suffix in DATABASES and not is_ours):
            found.append(str(path))
    return found


def _holds(path: Path, kind: Kind, text: str, *, is_ours: bool) -> bool:
    """Whether a file may hold it.

    Ours went through the rule, which compares ids whole: there, what has more to it is another id. In a file
    of others that is no text, anything may stand beside an id.
    """
    is_exact = is_ours or not any(b"\0" in block for block in _blocks(path))
    if not is_exact and len(text) < CERTAIN:
        return False
    return any(
        is_named(kind, text, near, MORE_JOINTS if is_ours else "") if is_exact else may_name(text, near)
        for near in _near(path, text)
    )


def _near(path: Path, text: str) -> Iterator[str]:
    """Yield what stands around the places in a file where an id may be."""
    wanted = [_needle(spelled) for spelled in needles(text)]
    widest = max(reach + len(anchor) for anchor, reach in wanted)
    content, looked, blocks = b"", 0, _blocks(path)
    block = next(blocks, b"")
    while block:
        following = next(blocks, b"")
        content += block
        # What stands behind a place near the end is in the next block: with that, it is looked at.
        end = max(looked, len(content) - widest) if following else len(content)
        lowered = content.lower()
        for anchor, reach in wanted:
            at = lowered.find(anchor, looked)
            while 0 <= at < end:
                yield content[max(0, at - reach) : at + reach].decode(errors="surrogateescape")
                at = lowered.find(anchor, at + len(anchor))
        gone = max(0, end - widest)
        content, looked, block = content[gone:], end - gone, following


def _needle(spelled: str) -> Needle:
    # Bytes are the same in small letters only as far as they are ASCII.
    ascii_parts = re.findall(rb"[\x00-\x7f]+", spelled.lower().encode())
    return Needle(max(ascii_parts, key=len, default=spelled.encode()), 4 * len(spelled.encode()) + 64)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield what a file holds; of one that is compressed and cannot be read as such, its bytes."""
    if path.suffix == ".zst":
        try:
            with pa.input_stream(str(path), compression="zstd") as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
        except OSError:
            pass
        else:
            return
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
