"""Which kind of picture or film a file is, by its first bytes: names and headers promise anything."""

from typing import NamedTuple

HEAD = 512
"""First bytes of a file that are looked at."""


class Kind(NamedTuple):
    """A kind of picture or film."""

    ending: str
    """What the names of such files end with."""
    content_type: str


JPEG = Kind("jpg", "image/jpeg")
BY_SIGNATURE = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", Kind("png", "image/png")),
    (0, b"GIF87a", Kind("gif", "image/gif")),
    (0, b"GIF89a", Kind("gif", "image/gif")),
    (0, b"II*\x00", Kind("tiff", "image/tiff")),
    (0, b"MM\x00*", Kind("tiff", "image/tiff")),
    (0, b"\x00\x00\x00\x0cjP  ", Kind("jp2", "image/jp2")),
    (8, b"WEBPVP8", Kind("webp", "image/webp")),
    (8, b"AVI LIST", Kind("avi", "video/x-msvideo")),
    (4, b"ftypqt  ", Kind("mov", "video/quicktime")),
    (4, b"ftypheic", Kind("heic", "image/heic")),
    (4, b"ftypheix", Kind("heic", "image/heic")),
    (4, b"ftypmif1", Kind("heic", "image/heic")),
    (4, b"ftypavif", Kind("avif", "image/avif")),
    (4, b"ftyp", Kind("mp4", "video/mp4")),
    (0, b"\x00\x00\x01\xba", Kind("mpg", "video/mpeg")),
    (0, b"FLV\x01", Kind("flv", "video/x-flv")),
)
MATROSKA = b"\x1a\x45\xdf\xa3"


def kind_of(head: bytes, content_type: str) -> Kind | None:
    """Return what a file that begins so is; None where it is neither a picture nor a film.

    What has no signature that is known is believed to be what the server says, if it is no text.
    """
    for place, signature, kind in BY_SIGNATURE:
        if head[place:].startswith(signature):
            return kind
    if head.startswith(MATROSKA):
        return Kind("webm", "video/webm") if b"webm" in head else Kind("mkv", "video/x-matroska")
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return Kind("bmp", "image/bmp")
    named = content_type.lower()
    if named.startswith(("image/", "video/")) and b"\0" in head:
        return Kind("bin", named)
    return None


def sent_instead(head: bytes, content_type: str) -> str:
    """Return in some words what came in place of a picture or film."""
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begins:
        return "nothing"
    if begins[:1] == b"<" or content_type.lower() == "text/html":
        return "an HTML or XML page"
    return "JSON" if begins[:1] in (b"{", b"[") else "something that is no picture or film"
