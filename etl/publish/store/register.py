"""What an object store says of the lake in it: whose it is, what counts, and who is at work.

It is one object, which is only ever replaced on the condition that it is as it was read: so it is the lock
between writers on several hosts too.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

import msgspec

from etl.errors import TargetError
from etl.publish.files import PART, finish, writable

REGISTER = "writer.json"
"""The object, beside the folder that the views look at."""
IDENTITY = "warehouse.id"
"""The file in the folder of a warehouse that tells it from all others, and moves along with it."""


class Kept(msgspec.Struct, frozen=True):
    """A partition as the store holds it."""

    since: str
    """The version of the lake in which its rows came to be as they are; empty for one that is no more."""
    at: str
    """The time in the name of its object."""


class Held(msgspec.Struct, frozen=True):
    """A version in the store."""

    version: str = ""
    """That of the lake."""
    at: str = ""
    """Since when readers of the store see it."""
    tables: dict[str, dict[str, Kept]] = {}
    """By qualified table and partition."""
    shapes: dict[str, str] = {}
    """Of each table what tells one declaration of it from another."""


class Register(msgspec.Struct, frozen=True):
    """What stands in the object."""

    warehouse: str
    """The identity of the warehouse that alone writes here."""
    writer: str
    """The folder and host that wrote last, for people, and to tell a copy at work elsewhere."""
    held: Held = Held()
    planned: Held | None = None
    """The version that is being brought in: it counts once its commit is there."""
    busy: int = 0
    """When the writer that is at work last said so, in microseconds since 1970; 0 where none is."""
    at_once: bool = False
    """Whether nothing of what was replaced may remain: somebody was forgotten."""
    clean_at: int = 0
    """When something is to be deleted, in microseconds since 1970; 0 where nothing was replaced."""
    definitions: str = ""
    """By which definitions the `bi.duckdb` beside it was made."""


def read_register(content: bytes) -> Register:
    """Return what the object says; TargetError where that is nothing known."""
    try:
        return msgspec.json.decode(content, type=Register)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TargetError(
            f"its {REGISTER} is damaged, or of a later version: delete that object if no other writes there"
        ) from error


def writer_of(home: Path) -> str:
    """Return what people are told of who writes: this folder on this host."""
    return f"{home} on {socket.gethostname()}"


def identity(home: Path) -> str:
    """Return what tells this warehouse from all others, made the first time."""
    path = home / IDENTITY
    with writable(home):
        found = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if found:
            return found
        made, aside = token_hex(16), path.with_name(IDENTITY + PART)
        aside.unlink(missing_ok=True)  # one that was finished can only be read
        aside.write_text(made, encoding="utf-8")
        finish(aside)
        aside.rename(path)
        return made


def known_in(held: Held, shapes: Mapping[str, str]) -> dict[str, dict[str, Kept]]:
    """Return the partitions of the tables that are still declared as they were when they were put."""
    return {name: parts for name, parts in held.tables.items() if shapes.get(name) == held.shapes.get(name)}
