"""Folders and files as readers may find them: whole, durable, and open to those whom the umask lets."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.errors import EnvironmentFaultError
from etl.files import reason, remedy, sync
from etl.load.warehouse import umask

PART = ".part"
"""How the name of a file ends that is not finished."""


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
            raise OSError(error.errno, error.strerror, str(path)) from error
    else:
        path.unlink(missing_ok=True)


def finish(path: Path) -> None:
    """See to it that the file outlives a power failure, and that those may read it whom the umask lets."""
    path.chmod(0o666 & ~umask())
    sync(path)


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
