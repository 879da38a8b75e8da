"""Small pictures that browsers show: grey JPEG, a block for each number."""

import random
import struct
from collections.abc import Iterator

SIDE = 8
"""Pixels of a block."""
BLOCKS = (16, 10)
"""Blocks beside each other, and above each other."""
LENGTHS = (0, 1, 5, 1, 1, 1, 1, 1, 1, *7 * (0,))
"""How many codes have each length: of the differences between blocks, by their number of bits."""
CODES = {0: "00", 1: "010", 2: "011", 3: "100", 4: "101", 5: "110", 6: "1110", 7: "11110", 8: "111110"}
END_OF_BLOCK = "0"


def picture(note: str) -> bytes:
    """Return the picture of a note, which it holds as a comment; no two notes have the same one."""
    rng = random.Random(note)
    columns, rows = BLOCKS
    x, y = rng.uniform(0.2, 0.8) * columns, rng.uniform(0.2, 0.8) * rows
    heat = [
        max(-120, round(110 - 28 * ((at % columns - x) ** 2 + (at // columns - y) ** 2) ** 0.5))
        for at in range(columns * rows)
    ]
    size = struct.pack(">BHHB3B", 8, rows * SIDE, columns * SIDE, 1, 1, 0x11, 0)
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xFE, note.encode()),
            _segment(0xDB, b"\0" + bytes(64 * (8,))),
            _segment(0xC0, size),
            _segment(0xC4, b"\0" + bytes(LENGTHS) + bytes(range(12))),
            _segment(0xC4, b"\x10" + bytes((1, *15 * (0,))) + b"\0"),
            _segment(0xDA, b"\x01\x01\0\0\x3f\0"),
            _bits("".join(_coded(heat))),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _coded(levels: list[int]) -> Iterator[str]:
    """Yield each level as its difference to the one before it: how many bits that has, and these."""
    before = 0
    for level in levels:
        step, before = level - before, level
        length = abs(step).bit_length()
        value = step if step > 0 else step + (1 << length) - 1
        yield CODES[length] + (f"{value:0{length}b}" if length else "") + END_OF_BLOCK


def _bits(text: str) -> bytes:
    padded = text + "1" * (-len(text) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8).replace(b"\xff", b"\xff\0")
