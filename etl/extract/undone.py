"""Which runs of a log were undone: their parts stay in it, and nothing is made of them any more.

`raw/<source>/undone.jsonl` has two lines: the runs, and a checksum of the line before. Where it is lost, the
next run writes it again from `etl.runs`.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec
import xxhash

from etl.errors import EnvironmentFaultError
from etl.files import remedy, sync

NAME = "undone.jsonl"


class Undone(msgspec.Struct, frozen=True):
    """The first line."""

    runs: list[str]


class Seal(msgspec.Struct, frozen=True):
    """The second line."""

    checksum: str
    """XXH3 of 64 bits of the first line, hexadecimal."""


def undone_runs(folder: Path) -> set[str]:
    """Return the runs of a log that were undone.

    Raises EnvironmentFaultError where that cannot be read: what was undone would come back.
    """
    path = folder / NAME
    try:
        line, seal, *rest = path.read_bytes().split(b"\n")
        is_whole = msgspec.json.decode(seal, type=Seal).checksum == xxhash.xxh3_64_hexdigest(line)
        if is_whole and rest == [b""]:
            return {*msgspec.json.decode(line, type=Undone).runs}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise EnvironmentFaultError(f"cannot read {path}: {error.strerror}; {remedy(error)}") from error
    except (msgspec.MsgspecError, ValueError):
        pass
    raise EnvironmentFaultError(
        f"{path} is damaged: it says which runs were undone; remove it, and the next run makes it anew from "
        "the warehouse"
    )


def write_undone(folder: Path, runs: Collection[str]) -> None:
    """Say which runs of a log were undone; EnvironmentFaultError where that cannot be written."""
    path = folder / NAME
    aside = path.with_name(f"{NAME}.part")
    line = msgspec.json.encode(Undone(sorted(runs)))
    seal = msgspec.json.encode(Seal(xxhash.xxh3_64_hexdigest(line)))
    try:
        aside.touch(mode=0o600)
        aside.write_bytes(line + b"\n" + seal + b"\n")
        sync(aside)
        aside.replace(path)
        sync(folder)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot write {path}: {error.strerror}; {remedy(error)}") from error
