"""Small pictures of the archive, as the report embeds them."""

from base64 import b64encode
from collections.abc import Callable, Iterable

from etl.archive.kinds import HEAD, kind_of

LARGEST = 400_000
"""Bytes of a picture beyond which it is left out."""
MOST = 8_000_000
"""Bytes of all pictures of a page."""
SHOWN = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/avif"})
"""What browsers show."""

Read = Callable[[str, int], bytes | None]
"""Returns a file of the archive by its path; None where there is none, or one of more bytes than this."""


def thumbnails(paths: Iterable[str | None], read: Read) -> dict[str, str]:
    """Return the pictures that there are and that have room, as data URIs, by their paths."""
    found: dict[str, str] = {}
    room = MOST
    for path in dict.fromkeys(paths):
        picture = read(path, min(LARGEST, room)) if path else None
        kind = kind_of(picture[:HEAD], "") if picture else None
        if path and picture and kind and kind.content_type in SHOWN:
            room -= len(picture)
            found[path] = f"data:{kind.content_type};base64,{b64encode(picture).decode()}"
    return found
