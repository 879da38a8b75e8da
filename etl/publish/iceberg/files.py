"""Files of Iceberg tables on this disk: durable before a catalog names them, open to whom the umask lets.

`pyiceberg` itself would write them for the owner alone, and leave it to the machine when they reach the disk.
"""

import io
import os
from pathlib import Path
from typing import cast

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from etl.files import sync
from etl.load.warehouse import umask

SCHEME = "file://"
UNNAMEABLE = "#%?\n\r\t"
"""Characters that an address of a file cannot hold as they are: readers take them for something else."""
SHOWN = "# % ?, tabs and ends of lines"


def location_of(path: Path) -> str:
    """Return the address of a file or folder, as Iceberg's metadata name it."""
    return f"{SCHEME}{path}"


def path_of(location: str) -> Path:
    """Return the file or folder at an address; OSError where it is not one of this machine."""
    # A server may say `file:/srv` for `file:///srv`.
    path = location.removeprefix(SCHEME).removeprefix("file:")
    if not path.startswith("/"):
        raise OSError(f"no file of this machine: {location}")
    return Path(path)


def is_at(location: str, path: Path) -> bool:
    """Whether an address is that of a file or folder of this machine."""
    return location.startswith(("file:", "/")) and path_of(location) == path


class LocalFiles(FileIO):
    """The files of this machine, as `pyiceberg` asks for them."""

    def new_input(self, location: str) -> InputFile:
        """Return a file to read."""
        return LocalFile(location)

    def new_output(self, location: str) -> OutputFile:
        """Return a file to write."""
        return LocalFile(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file."""
        path_of(location if isinstance(location, str) else location.location).unlink()


class LocalFile(InputFile, OutputFile):
    """A file of this machine."""

    def __len__(self) -> int:
        return path_of(self.location).stat().st_size

    def exists(self) -> bool:
        """Whether there is such a file."""
        return path_of(self.location).exists()

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002, FBT001, FBT002 -- pyiceberg's own
        """Return what it holds."""
        return path_of(self.location).open("rb")

    def to_input_file(self) -> InputFile:
        """Return the same, to read."""
        return self

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002 -- pyiceberg's own
        """Return a stream to write it by; it is durable once that is closed."""
        durable = _Durable(path_of(self.location), "wb" if overwrite else "xb")
        return cast("OutputStream", io.BufferedWriter(durable))


class _Durable(io.FileIO):
    """A file that outlives a power failure once it is closed, and that those may read whom the umask lets."""

    def close(self) -> None:
        if not self.closed:
            os.fchmod(self.fileno(), 0o666 & ~umask())
            os.fsync(self.fileno())
            sync(Path(os.fsdecode(self.name)).parent)
        super().close()
