"""What is written so that it outlives a power failure, and what to do where nothing can be written."""

import errno
import os
from pathlib import Path

IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY, errno.ENOENT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, outlive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private(folder: Path) -> None:
    """Make the folder and those above it that are missing, for the owner alone."""
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def remedy(error: OSError) -> str:
    """Return what the operator can do where a file or folder cannot be used."""
    if error.errno in FULL:
        return "make room"
    if error.errno in FORBIDDEN:
        return "make it writable"
    if error.errno in IN_THE_WAY:
        return "move away what stands in its place"
    return "see to the disk"


def reason(error: OSError) -> str:
    """Return what is wrong, and with which file where that is known."""
    place = error.filename2 or error.filename
    named = f": {place}" if place else ""
    return f"{error.strerror or error}{named}"
