"""Folders and files as readers may find them: whole, durable, and to be read by those whom the umask lets.

What is finished never changes under its name, so nobody is left the right to write it: a client that opens
`bi.duckdb` for writing would lock all others out, and one that writes into a file of the lake would change
what others read, under all names that the file has. Who replaces or removes a file needs its folder only.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from etl.errors import EnvironmentFaultError
from etl.files import FORBIDDEN, reason, remedy, sync
from etl.load.warehouse import umask
from etl.process import scratch

PART = ".part"
"""How the name of a file ends that is not finished."""
READERS = 0o444
WRITERS = 0o222


def made(folder: Path) -> Path:
    """Return the folder, made if need be; the umask says who may read it."""
    for path in reversed([folder, *folder.parents]):
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(0o777 & ~umask())
    return folder


def link(version: Path, path: Path) -> None:
    """Let a path be another name of a file, in one step for whoever looks."""
    if path.exists() and path.samefile(version):
        return
    aside = path.with_suffix(PART)
    remove(aside)
    os.link(version, aside)
    aside.rename(path)


def remove(path: Path) -> None:
    """Remove what stands under a name, a folder with all that is in it too; nothing may be there."""
    if path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except OSError as error:
            # It names what is in the folder by its last name alone.
            named = _others_in(path) if error.errno in FORBIDDEN else path
            raise OSError(error.errno, error.strerror, str(named)) from error
    else:
        path.unlink(missing_ok=True)


def _others_in(folder: Path) -> Path:
    """Return what in a folder belongs to another user, which the remedy is to name; else the folder."""
    with suppress(OSError):
        for path in folder.rglob("*"):
            if path.lstat().st_uid != os.geteuid():
                return path
    return folder


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path aside, which takes the place of a file once all is written; removed where it is not.

    The path is of this writer alone: two that write one file at once do not disturb each other. Raises
    OSError where there is no folder for it.
    """
    # Here, for what writes would tell of the path aside.
    os.stat(f"{path.parent}/")  # noqa: PTH116 -- a Path has no slash at its end, which asks for a folder
    _remove_left(path)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{token_hex(4)}{PART}")
    with scratch(aside):
        yield aside
        aside.chmod(0o666 & ~umask())
        aside.replace(path)


def _remove_left(path: Path) -> None:
    """Remove what writers of a file have left that were killed, DuckDB's log and spilled rows too."""
    left = re.compile(rf"{re.escape(path.name)}\.(\d+)\.[0-9a-f]{{8}}{re.escape(PART)}(\.[\w.]+)?", re.ASCII)
    with suppress(OSError):
        for each in path.parent.iterdir():
            found = left.fullmatch(each.name)
            if found and not _works(int(found[1])):
                remove(each)


def _works(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is of somebody else
    return True


def finish(path: Path) -> None:
    """See to it that the file outlives a power failure, and that it is for reading, as the umask lets."""
    protect(path)
    sync(path)


def protect(path: Path) -> None:
    """Let those read a file whom the umask lets, and nobody write it."""
    path.chmod(READERS & ~umask())


def take_write_bits(path: Path, mode: int) -> None:
    """Let nobody write a file of this mode, as an earlier version has left it; who may read it still may."""
    if mode & WRITERS:
        # It may be of somebody else, and does no harm as it is.
        with suppress(OSError):
            path.chmod(stat.S_IMODE(mode) & ~WRITERS)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with files inside into a EnvironmentFaultError that names the folder."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write in {folder}: {reason(error)}; {remedy(error)}, then run `sightglass publish`"
        ) from error


@contextmanager
def readable(home: Path) -> Iterator[None]:
    """Raise EnvironmentFaultError, which names the folder, where files inside cannot be read."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot read in {home}: {error.strerror or error}; make it readable, or name another --home"
        ) from error
