"""What is written so that it outlives a power failure."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, outlive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
