"""What tests of the archive share."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
from conftest import Row, table

PICTURE = b"\xff\xd8\xff\xfe\x00\x0ba picture\xff\xd9"
"""What begins and ends as a JPEG does."""
HEAT = {"SIGHTGLASS_NEURONS_ARCHIVE": "heat"}
ASSETS = """
    SELECT media_id, asset, state, archive_path, bytes, sha256, content_type, error
    FROM neurons.assets WHERE asset IN ({}) ORDER BY ALL
"""
GAPS = """
    SELECT source, stream, key, what, error
    FROM etl.gaps WHERE key = 'archive' OR what LIKE '%archive' ORDER BY ALL
"""


def archived(home: Path) -> dict[str, bytes]:
    """The complete files of an archive, and whatever else is in its folder."""
    root = home / "archive"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def path_of(content: bytes, source: str = "neurons", ending: str = "jpg") -> str:
    """Where content is archived."""
    digest = sha256(content).hexdigest()
    return f"{source}/{digest[:2]}/{digest}.{ending}"


def row_of(
    media_id: str, asset: str, content: bytes, ending: str = "jpg", kind: str = "image/jpeg"
) -> tuple[Any, ...]:
    """The row of an archived file, as `assets` shows it."""
    path, digest = path_of(content, ending=ending), sha256(content).hexdigest()
    return media_id, asset, "archived", path, len(content), digest, kind, None


def assets(home: Path, *names: str) -> list[tuple[Any, ...]]:
    """The rows of these assets."""
    return table(home, ASSETS.format(", ".join(f"'{name}'" for name in names)))


def as_published(home: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of what readers see to a query."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        return reader.execute(query).fetchall()


def gaps(home: Path) -> list[tuple[Any, ...]]:
    """What is named as missing in the archive."""
    return table(home, GAPS)


def medium(media_id: str, **about: str) -> Row:
    """An image that is finished."""
    times = {"created_at": "2026-03-02T10:00:00Z", "updated_at": "2026-03-02T10:05:00Z"}
    return {
        "media_id": media_id,
        "name": media_id,
        "type": "image",
        "status": "done",
        "metrics": {},
        **times,
        **about,
    }
