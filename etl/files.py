"""What is written so that it outlives a power failure, and what to do where nothing can be written."""

import errno
import os
import pwd
from contextlib import suppress
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
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def remedy(error: OSError) -> str:
    """Return what the operator can do where a file or folder cannot be used."""
    if error.errno in FULL:
        return "make room"
    if error.errno in FORBIDDEN:
        owner = _other_owner(error)
        return (
            f"it belongs to {owner}: run as that user, or give it to this one"
            if owner
            else "make it writable"
        )
    if error.errno == errno.ENOENT and _lacks_folder(error):
        return "make its folder first"
    if error.errno in IN_THE_WAY:
        return "move away what stands in its place"
    return "see to the disk"


def _lacks_folder(error: OSError) -> bool:
    """Whether the folder is not there, and no link to nowhere stands in its place."""
    folder = Path(os.fsdecode(error.filename2 or error.filename or "")).parent
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    return bool(missing) and not any(each.is_symlink() for each in missing)


def _other_owner(error: OSError) -> str:
    """Return who owns what could not be used, or the nearest folder above it; empty where that is us."""
    named = Path(os.fsdecode(error.filename2 or error.filename or ""))
    for path in (named, *named.parents):
        with suppress(OSError):
            owner = path.lstat().st_uid
            return "" if owner == os.geteuid() else _name(owner)
    return ""


def _name(number: int) -> str:
    """Return the name of a user, where it has one."""
    with suppress(KeyError):
        return f"the user {pwd.getpwuid(number).pw_name}"
    return f"the user with number {number}"


def reason(error: OSError) -> str:
    """Return what is wrong, and with which file where that is known."""
    place = error.filename2 or error.filename
    named = f": {place}" if place else ""
    return f"{error.strerror or error}{named}"
