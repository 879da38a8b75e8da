"""What a PostgreSQL database holds of a warehouse: it says so itself, in `etl.published`."""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from etl.errors import TargetError
from etl.extract.forgotten import NAME as FORGOTTEN
from etl.files import reason
from etl.publish.postgres_session import Session
from etl.publish.target import Known, Release

PUBLISHER = "publisher.id"
"""A file in the folder of a warehouse by which it is told from others, whatever the folder is called."""
ID_BYTES = 16


class Part(msgspec.Struct, frozen=True):
    """A partition as it is here, in the order of its columns."""

    table_name: str
    partition_name: str
    shape: str
    since: str
    begins_at: int | None = None
    ends_at: int | None = None
    nul_characters: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What a database holds."""

    version: str = ""
    home: str = ""
    publisher: str = ""
    forgotten: str = ""
    """A digest of what was to be forgotten then."""
    is_vacuum_due: bool = False
    tables: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    """By qualified table and partition; marts have one partition."""

    def known(self, shapes: Mapping[str, str]) -> Known:
        """Return what is here as it is declared."""
        return {
            name: {part: each.since for part, each in parts.items()}
            for name, parts in self.tables.items()
            if name in shapes and {each.shape for each in parts.values()} == {shapes[name]}
        }


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes: a warehouse, by its folder and a name that no other has."""

    home: str
    id: str
    forgotten: str

    def refuse_other(self, held: Held) -> None:
        """TargetError where the database holds what another warehouse publishes."""
        if held.version and (held.home, held.publisher) != (self.home, self.id):
            home = self.home.replace("'", "''")
            raise TargetError(
                f"the database holds what the warehouse in {held.home} publishes: name another database, or "
                f"let this one take over: UPDATE etl.published SET home = '{home}', publisher = '{self.id}'"
            )


def publisher_of(home: Path) -> Publisher:
    """Return who publishes from this folder; its name is made when it is first asked for."""
    path, forgotten = home / PUBLISHER, home / FORGOTTEN
    try:
        known = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""
        if len(known) != 2 * ID_BYTES or not known.isalnum():
            known = secrets.token_hex(ID_BYTES)
            aside = path.with_suffix(".part")
            aside.write_text(f"{known}\n", encoding="ascii")
            aside.replace(path)
        told = hashlib.sha256(forgotten.read_bytes()).hexdigest() if forgotten.exists() else ""
    except OSError as error:
        raise TargetError(f"cannot use {error.filename}: {reason(error)}; see to the folder") from error
    return Publisher(str(home), known, told)


def read(session: Session) -> Held:
    """Return what the database says that it holds; nothing of tables that are gone."""
    own = json.dumps(["etl.published", "etl.published_partitions"])
    if len(session.run("are_there", own)) < len(json.loads(own)):
        return Held()
    tables: dict[str, dict[str, Part]] = {}
    for row in session.run("published_partitions"):
        part = Part(*row)
        tables.setdefault(part.table_name, {})[part.partition_name] = part
    for version, home, publisher, forgotten, is_due in session.run("published"):
        return Held(version, home, publisher, forgotten, is_due, tables)
    return Held(tables=tables)


def make_schemas(session: Session, docs: Mapping[str, str]) -> None:
    """Make the schemas that are not there, with what they mean, and the tables of this module.

    Who may make no schemas can be given these, if they are there before.
    """
    there = {name for (name,) in session.run("schemas", json.dumps(list(docs)))}
    for name, doc in docs.items():
        if name not in there:
            session.execute(f"CREATE SCHEMA {name}")
            text = doc.replace("'", "''")
            session.execute(f"COMMENT ON SCHEMA {name} IS '{text}'")
    session.do("make_published")
    session.do("make_published_partitions")


def refuse_strangers(session: Session, held: Held, wanted: Collection[str]) -> None:
    """TargetError where a table is in the way that nothing here tells of."""
    unknown = [name for name in wanted if name not in held.tables]
    for (name,) in session.run("are_there", json.dumps(unknown)):
        raise TargetError(f"{name} is there and is not Sightglass's: move it away, or name another database")


def write(
    session: Session,
    release: Release,
    publisher: Publisher,
    touched: Mapping[str, Sequence[Part]],
    *,
    due: bool,
) -> None:
    """Note the version, and what the tables hold that have changed; nothing of those that are gone."""
    session.do("forget_partitions", json.dumps(list(touched)))
    noted = [msgspec.to_builtins(part) for parts in touched.values() for part in parts]
    session.do("note_partitions", json.dumps(noted))
    session.do("forget_published")
    session.do(
        "note_published", release.version, publisher.home, publisher.id, publisher.forgotten, str(due).lower()
    )
