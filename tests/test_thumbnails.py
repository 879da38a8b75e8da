"""The pictures that the report embeds."""

from base64 import b64encode
from pathlib import Path

from etl.archive.places import Folder
from etl.publish.thumbnails import LARGEST, MOST, thumbnails

PICTURE = b"\x89PNG\r\n\x1a\n."


def uri(content: bytes) -> str:
    """The address that holds a picture."""
    return f"data:image/png;base64,{b64encode(content).decode()}"


def test_pictures_that_browsers_show_are_embedded(tmp_path: Path) -> None:
    """Each once, by its path; what is missing, large, a film or no picture is left out."""
    for name, content in {
        "small.png": PICTURE,
        "large.png": PICTURE.ljust(LARGEST + 1),
        "film.mp4": b"\x00\x00\x00\x10ftypisom",
        "page.png": b"<html><script>",
    }.items():
        (tmp_path / name).write_bytes(content)
    read = Folder(tmp_path, tmp_path).read

    found = thumbnails(
        ["small.png", "small.png", None, "gone.png", "large.png", "film.mp4", "page.png"], read
    )

    assert {"small.png": uri(PICTURE)} == found


def test_a_path_leads_into_the_archive_alone(tmp_path: Path) -> None:
    """Whatever a table says: nothing else of this machine gets into a page."""
    inside = tmp_path / "archive"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(PICTURE)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    read = Folder(inside, tmp_path).read

    assert {} == thumbnails(["../secret.png", str(tmp_path / "secret.png"), "link.png", "/dev/zero"], read)


def test_a_page_takes_so_many_bytes_and_no_more() -> None:
    """Pictures that have no room any more are left out, smaller ones after them are not."""
    sizes = {f"{number}.png": LARGEST for number in range(MOST // LARGEST - 1)}
    sizes |= {"almost.png": LARGEST - 100, "no-room.png": 200, "fits.png": 50}

    def read(path: str, most: int) -> bytes | None:
        return PICTURE.ljust(sizes[path]) if sizes[path] <= most else None

    assert sizes.keys() - {"no-room.png"} == thumbnails(sizes, read).keys()
