"""Files of results that are pictures or films, in which there are no rows."""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from etl.sources.neurons.assets import READERS

PICTURES = frozenset(["jpg", "jpeg", "png", "gif", "webp", "bmp", "svg", "mp4", "webm", "mov", "mkv", "avi"])
"""Endings of files that hold no rows."""


def is_picture(name: str, url: str) -> bool:
    """Whether the file is a picture or film, by its ending, or by its name where the link has none."""
    if name in READERS:
        return False
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    ending = PurePosixPath(path).suffix.lower().removeprefix(".")
    if ending in ("json", "csv", "txt"):
        return False
    return ending in PICTURES or name in ("heat", "fog", "formatted") or name.endswith(("_heat", "_fog"))
