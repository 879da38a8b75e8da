"""Whether Iceberg tables were made here, for who has no Iceberg."""

from pathlib import Path

MADE_HERE = "sightglass.table"
"""The property by which a table says that it was made here, and as what."""


def are_here(folder: Path) -> bool:
    """Whether tables in a folder were made here."""
    return any(map(is_ours, folder.glob("*/*/metadata")))


def is_ours(folder: Path) -> bool:
    """Whether the metadata in a folder are of a table that was made here."""
    return any(MADE_HERE.encode() in path.read_bytes() for path in folder.glob("*.metadata.json"))
