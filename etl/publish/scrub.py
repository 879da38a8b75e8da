"""Damage to files of the lake: found by size, by checksum where a file was touched, and by and by in all.

DuckDB and Parquet check nothing of their own when they read: a flipped bit is a wrong value. So each publish
looks at every file's size, reads those that were touched, and of the others those that were not read for the
longest time, up to a number of bytes.
"""

import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from etl.load.warehouse import umask
from etl.publish.files import PART, take_write_bits
from etl.publish.limits import PUBLISH_LIMITS
from etl.publish.state import FileSeal, checksum


class Verified(msgspec.Struct, frozen=True, array_like=True):
    """How a file was found when it was read last, and when: microseconds and nanoseconds since 1970."""

    at: int
    modified: int
    inode: int


def damaged(
    files: Mapping[Path, FileSeal], record: Path, share: float = PUBLISH_LIMITS.reread_bytes
) -> set[Path]:
    """Those of these files that are not as they were written, or not there.

    `record` is the file that remembers which were read when; where it is lost, more are read again.
    """
    known, found = _remembered(record), set[Path]()
    due: list[tuple[int, str, Path, Verified]] = []
    for path, sealed in files.items():
        name, now = str(path.relative_to(record.parent)), _looked_at(path, sealed.size)
        if now is None:
            found.add(path)
            continue
        last = known.get(name) or Verified(0, sealed.modified, sealed.inode)
        touched = (last.modified, last.inode) != (now.modified, now.inode)
        due.append((-1 if touched else last.at, name, path, now))
    verified = {name: known[name] for at, name, _, _ in due if at > 0}
    read = 0
    for at, name, path, now in sorted(due):
        if at >= 0 and read >= share:
            break
        read += files[path].size
        if _holds(path, files[path]):
            verified[name] = now
        else:
            verified.pop(name, None)
            found.add(path)
    aside = record.with_suffix(PART)
    # It only saves time.
    with suppress(OSError):
        aside.write_bytes(msgspec.json.encode(verified))
        aside.chmod(0o666 & ~umask())
        aside.replace(record)
    return found


def _remembered(record: Path) -> dict[str, Verified]:
    try:
        return msgspec.json.decode(record.read_bytes(), type=dict[str, Verified])
    except (OSError, msgspec.DecodeError):
        return {}


def _looked_at(path: Path, size: int) -> Verified | None:
    """How a file is found now, and left for reading alone; None where it is no file of this size."""
    try:
        told = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(told.st_mode) or told.st_size != size:
        return None
    take_write_bits(path, told.st_mode)
    return Verified(time.time_ns() // 1_000, told.st_mtime_ns, told.st_ino)


def _holds(path: Path, sealed: FileSeal) -> bool:
    """Whether a file holds what was written."""
    try:
        return checksum(path) == sealed.checksum
    except OSError:
        return False
