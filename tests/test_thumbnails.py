"""The pictures that the report embeds."""

from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from report_page import browser, empty, opened, written

from etl.archive.places import Folder
from etl.demo.picture import picture
from etl.publish.report import page
from etl.publish.thumbnails import LARGEST, MOST, thumbnails

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture

ROWS = """
    INSERT INTO neurons.media BY NAME
    SELECT unnest(['a', 'b']) AS media_id, unnest(['<b>first', 'second']) AS name, 'image' AS type;
    INSERT INTO neurons.media_metrics BY NAME
    SELECT unnest(['a', 'b']) AS media_id, 'focus' AS metric, 'total' AS time_window, 71.25 AS value;
    INSERT INTO neurons.assets BY NAME
    SELECT
        unnest(['a', 'b']) AS media_id, 'heat' AS asset, 'archived' AS state, 'image/jpeg' AS content_type,
        unnest(['a.jpg', 'gone.jpg']) AS archive_path
"""
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


def test_the_report_shows_a_medium_below_its_picture(browser: "Browser", tmp_path: Path) -> None:
    """One that is not to be had is left out; the page asks nobody for anything."""
    connection = empty()
    connection.execute(ROWS)
    (tmp_path / "a.jpg").write_bytes(picture("of a"))
    text = page(connection, datetime.now(UTC), Folder(tmp_path, tmp_path).read)

    with opened(browser, written(tmp_path, text)) as shown:
        widths = shown.page.evaluate("[...document.querySelectorAll('img')].map(each => each.naturalWidth)")
        cells = [line[0::3][:2] for line in shown.cells("#creatives .sheet")[1:]]
        said = shown.text("#creatives .answer")

    assert ([128], "2 images and videos, 1 with a picture.") == (widths, said)
    assert [["<b>first", "71.3"], ["second", "71.3"]] == cells
    assert ([], [shown.address]) == (shown.said, shown.asked)
