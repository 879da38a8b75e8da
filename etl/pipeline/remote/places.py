"""Where logs are read and tables are put: a folder that all workers share, or an object store."""

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import unquote

from etl.errors import ConfigError, EnvironmentFaultError, TargetError
from etl.extract import forgotten, undone
from etl.extract.log import DAY, ENTRIES, LINES, RAW, Log, Part, part_of
from etl.extract.log_reader import HEAD
from etl.files import reason, remedy, sync
from etl.publish.store.objects import VARIABLES, Objects

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)", re.ASCII | re.IGNORECASE)
FILE = "file"
ENTRY = re.compile(rf"{DAY.pattern}/[^/]+{re.escape(LINES)}", re.ASCII)
"""The name of an entry, below the folder of all entries."""
ASIDE = ".part"
"""What the name of a file ends with that is being written."""
COMPRESSED = "zstd"

T = TypeVar("T")


class Place(Protocol):
    """What is under an address; names are relative to it, with slashes."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of all files below a prefix, which ends with a slash or is empty, by name."""

    def read(self, name: str) -> bytes | None:
        """Return what is in a file; None where there is none."""

    def put(self, name: str, content: bytes | Path) -> None:
        """Let a file be there, at once and whole."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; none need be there."""


def local_path(uri: str) -> Path | None:
    """Return the folder that an address names; None where it is one of an object store.

    Raises ConfigError where it is of neither kind.
    """
    found = SCHEME.match(uri)
    if found is None:
        return Path(uri).absolute()
    scheme, rest = found[1].lower(), uri[found.end() :]
    # Keys hold slashes too: what comes after the first may be the rest of one.
    if scheme != FILE and set("@:") & set(rest.partition("/")[0]):
        raise ConfigError(
            "an address with a login is seen by all, and not shown here: leave out what stands before the "
            "bucket, and give the login by the store's own variables"
        )
    if scheme in VARIABLES and found[2]:
        if set("?#") & set(rest):
            raise ConfigError(f"{uri} has a ? or #, of which a store's address is cut: name another prefix")
        return None
    if scheme == FILE and found[2] and rest.startswith("/") and "\0" not in unquote(rest):
        return Path(unquote(rest))
    raise ConfigError(
        f"{uri} is neither a folder, file:///folder, nor s3://, gs:// or az:// with a bucket and a prefix"
    )


def is_within(uri: str, other: str) -> bool:
    """Whether an address is below another one, or the same; ConfigError where one is none."""
    some = [local_path(each) for each in (uri, other)]
    inner, outer = (
        os.path.realpath(path) if path else _normal(each)
        for path, each in zip(some, (uri, other), strict=True)
    )
    return bool(some[0]) == bool(some[1]) and PurePosixPath(inner).is_relative_to(outer)


def _normal(uri: str) -> str:
    """Return the address of a store in the one way of many in which it can be written."""
    scheme, sign, rest = _lowered(uri).partition("://")
    return scheme + sign + posixpath.normpath(unquote(rest))


def place_of(uri: str) -> Place:
    """Return what is under an address; ConfigError where it is none, or the extra for it is missing."""
    folder = local_path(uri)
    return _Store(_lowered(uri)) if folder is None else _Folder(folder)


def _lowered(uri: str) -> str:
    """Return the address of a store with its scheme in small letters, as the store's library knows it."""
    scheme, sign, rest = uri.partition("://")
    return scheme.lower() + sign + rest


class _Folder:
    """A folder of a file system that all workers see under the same name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self, prefix: str) -> dict[str, int]:
        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        def find() -> dict[str, int]:
            return {
                (Path(folder) / name).relative_to(self._path).as_posix(): (Path(folder) / name).stat().st_size
                for folder, _, names in os.walk(self._path / prefix, onerror=fail)
                for name in names
            }

        return _done(self._path, find)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self._path, error) from error

    def put(self, name: str, content: bytes | Path) -> None:
        path = self._path / name
        # Two attempts at one task do not write into one another's file.
        aside = path.with_name(f"{path.name}.{os.getpid()}.{id(content)}{ASIDE}")

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, aside)
            else:
                aside.write_bytes(content)
            sync(aside)
            aside.replace(path)
            sync(path.parent)

        _done(self._path, write)

    def delete(self, names: Iterable[str]) -> None:
        def remove() -> None:
            folders = set[Path]()
            for name in names:
                (self._path / name).unlink(missing_ok=True)
                folders.update((self._path / name).parents)
            for folder in sorted(folders, key=lambda each: -len(each.parts)):
                if folder != self._path and self._path in folder.parents and not any(folder.iterdir()):
                    folder.rmdir()

        _done(self._path, remove)


class _Store:
    """A prefix of an object store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._objects = Objects(uri, uri)

    def sizes(self, prefix: str) -> dict[str, int]:
        return self._told(lambda: self._objects.sizes(prefix))

    def read(self, name: str) -> bytes | None:
        found = self._told(lambda: self._objects.read(name))
        return found and found[0]

    def put(self, name: str, content: bytes | Path) -> None:
        self._told(lambda: self._objects.put(name, content))

    def delete(self, names: Iterable[str]) -> None:
        self._told(lambda: self._objects.delete(names))

    def _told(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except TargetError as error:
            raise EnvironmentFaultError(f"{self._uri}: {error}") from error


def _done(path: Path, work: Callable[[], T]) -> T:
    try:
        return work()
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> EnvironmentFaultError:
    return EnvironmentFaultError(f"cannot use {path}: {reason(error)}; {remedy(error)}")


class Logs:
    """The logs of all sources under an address, which is that of `raw/`; a context manager.

    Of an object store, what is looked at comes into a folder of its own for as long as it is.
    """

    def __init__(self, uri: str) -> None:
        """ConfigError where the address is none, or the extra for it is missing."""
        self._uri = uri.rstrip("/")
        self._folder = local_path(uri)
        self._place = place_of(uri)
        self._above = place_of(self._uri.rpartition("/")[0]) if self._folder is None else None
        self._copies: TemporaryDirectory[str] | None = None
        self._logs: dict[str, Log] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._copies:
            self._copies.cleanup()

    def knows_forgotten(self) -> bool:
        """Whether beside the logs stands who is to be forgotten."""
        home = self._folder.parent if self._folder else self._copied().parent
        return (home / forgotten.NAME).exists()

    def log(self, source: str) -> Log:
        """Return the log of a source, as far as it is on this machine."""
        if source not in self._logs:
            self._logs[source] = Log((self._folder or self._copied()) / source)
            if self._folder is None:
                self._copy(self._place, f"{source}/{undone.NAME}", self._copied())
        return self._logs[source]

    def parts(self, source: str) -> list[Part]:
        """Return the parts of the log of a source, in order."""
        log = self.log(source)
        if self._folder is not None:
            return log.parts()
        gone = undone.undone_runs(log.folder)
        names = self._place.sizes(f"{source}/{ENTRIES}/")
        # A part stands in the folder of a day, and nowhere below: as on a disk.
        entries = (name for name in names if ENTRY.fullmatch(name.removeprefix(f"{source}/{ENTRIES}/")))
        found = (part_of(self._copied() / name) for name in entries)
        return sorted(part._replace(is_undone=part.run_id in gone) for part in found if part)

    def size(self, source: str) -> int:
        """Return the bytes of all that is in the log of a source."""
        return sum(self._place.sizes(f"{source}/").values())

    def name_of(self, part: Part) -> str:
        """Return the name of the entry of a part, relative to the address."""
        return part.entry.relative_to(self._folder or self._copied()).as_posix()

    def fetched(self, part: Part, name: str) -> Part:
        """Return a part whose files are on this machine, where they are anywhere; `name` is its entry's."""
        if self._folder is not None:
            return part._replace(entry=self._folder / name)
        source, copied = name.partition("/")[0], self._copied()
        entry = self._copy(self._place, name, copied)
        for path in _files(entry):
            self._copy(self._place, f"{source}/{path}", copied)
        return part._replace(entry=copied / name)

    def named(self, text: str) -> str:
        """Return what is said of files that were fetched, by the names that they have at the address."""
        copies = self._copies and str(Path(self._copies.name) / RAW)
        return text.replace(copies, self._uri) if copies else text

    def let_go(self, part: Part) -> None:
        """Remove what was fetched of a part."""
        if self._folder is None:
            for path in self._copied().glob(f"*/*/*/{part.entry.name.partition('-')[0]}-*"):
                path.unlink()

    def _copied(self) -> Path:
        """Return the folder that stands for `raw/`; beside it is known who is to be forgotten."""
        if self._copies is None:
            # Held, for its folder goes with it.
            self._copies = TemporaryDirectory(prefix="sightglass-")
            assert self._above is not None  # noqa: S101 -- else nothing is copied
            for name in (forgotten.NAME, forgotten.KEY):
                self._copy(self._above, name, Path(self._copies.name))
        return Path(self._copies.name) / RAW

    @staticmethod
    def _copy(place: Place, name: str, into: Path) -> bytes:
        """Bring a file here, where there is such; what is in it."""
        content = place.read(name)
        if content is not None:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(content)
        return content or b""


def _files(entry: bytes) -> list[str]:
    """Return the names of the files that an entry lists; none where it is damaged."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        with pa.input_stream(pa.py_buffer(entry), compression=COMPRESSED) as stream:
            head: Any = HEAD.decode(bytes(stream.read()).partition(b"\n")[0])
    except (OSError, ValueError):
        return []
    return [each.path for each in head.files]
