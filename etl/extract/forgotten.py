"""Media and people that are to be forgotten: known by keyed hashes, and taken out of whatever names them.

`forgotten.json` in the folder of the warehouse holds the hashes (HMAC-SHA256), `forgotten.key` the key.
Without the key nobody can tell whom a hash stands for; with it, only who knows the id already.
"""

import hmac
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from etl.errors import EnvironmentFaultError
from etl.extract.mentions import LONGEST_ID, UNKNOWN, Kind, Shape, normal, replaced, shape_of
from etl.files import remedy, sync
from etl.values import UNREADABLE, canonical

NAME, KEY = "forgotten.json", "forgotten.key"
KEY_BYTES = 32
WORD = "[forgotten]"
"""What stands for a medium in a text that names it."""
REMEMBERED = 200_000
"""Texts of which it is remembered whether they name anybody."""
SEVERAL = frozenset(" \t\n<>,;")
"""What stands in no id of a person, but between several, and around one that a name goes with."""
GONE = object()
"""What is left of a value that is the id of a medium."""


@dataclass(frozen=True)
class Members:
    """The names of members, and of columns, that say who is meant."""

    about: frozenset[str] = frozenset()
    """Those by which an object says what medium it is about."""
    ids: frozenset[str] = frozenset()
    """Those that hold an id and nothing else, or a list of such: it is compared whole."""

    def identify(self, name: str) -> bool:
        """Whether a member of this name, or of its plural, holds ids and nothing else."""
        return name in self.ids or name.removesuffix("s") in self.ids


NO_MEMBERS = Members()


class Listed(msgspec.Struct, frozen=True):
    """What the file holds."""

    check: str
    """The hash of nothing, by which the key is known to be the right one."""
    hashes: list[str]
    pending: list[str] = []
    """Those of them that may not be out of everything yet."""
    shapes: tuple[Shape, ...] = UNKNOWN
    """Of how many parts the ids are, by which they are found in a text."""


class Forgotten:
    """Knows a medium or a person that is to be forgotten when it sees one, and takes them out of values."""

    def __init__(
        self,
        key: bytes = b"",
        hashes: Collection[str] = (),
        pending: Collection[str] = (),
        shapes: Collection[Shape] = (),
        plain: tuple[Kind, str] | None = None,
    ) -> None:
        """Know them by hashes, in a text at places of these shapes, and one of them by its `plain` id."""
        self._key = key
        self.hashes = frozenset(hashes)
        self.pending = frozenset(pending)
        self.shapes = frozenset(shapes)
        self._plain = plain
        self._seen: dict[str, tuple[Any, bool]] = {}
        self.media_met = 0
        """How many texts named a medium so far."""

    def __bool__(self) -> bool:
        """Whether there is anybody to forget."""
        return bool(self.hashes)

    def hash_of(self, kind: Kind, text: str) -> str:
        """Return the keyed hash of an id; people's ids are the same in capitals."""
        return hmac.digest(
            self._key, f"{kind}\0{normal(kind, text)}".encode(errors="surrogatepass"), "sha256"
        ).hex()

    def pseudonym(self, text: str) -> str:
        """Return what stands for a person from now on: the same wherever the person is named."""
        return f"forgotten-{self.hash_of('person', 'pseudonym of ' + text)[:16]}"

    def with_one(self, kind: Kind, text: str) -> "Forgotten":
        """Return what knows one more, by its id too, which is not out of everything yet."""
        own = self.hash_of(kind, text)
        shape = shape_of(kind, text)
        shapes = self.shapes | {shape} if shape else self.shapes
        return Forgotten(self._key, self.hashes | {own}, self.pending | {own}, shapes, (kind, text))

    def finished(self, kind: Kind, text: str) -> "Forgotten":
        """Return what knows that this one is out of everything."""
        return Forgotten(self._key, self.hashes, self.pending - {self.hash_of(kind, text)}, self.shapes)

    def knows(self, kind: Kind, text: str) -> bool:
        """Whether this one is to be forgotten already."""
        return self.hash_of(kind, text) in self.hashes

    def content(self, content: bytes) -> bytes:
        """Return the bytes of a file without them; what is no text is looked at for the plain id alone."""
        text = content.decode(errors="surrogateescape")
        if b"\0" in content and (self._plain is None or self._plain[1].casefold() not in text.casefold()):
            return content
        new = self._named(text)
        return content if new == text else new.encode(errors="surrogateescape")

    def is_medium(self, text: object) -> bool:
        """Whether this is the id of a medium that is to be forgotten."""
        return isinstance(text, str) and self._instead(text) is GONE

    def text(self, text: str) -> Any:  # noqa: ANN401 -- a text, or what is left of it
        """Return a text without those who are named in it; GONE for the id of a medium."""
        found = self._seen.get(text)
        if found is None:
            before = self.media_met
            made = self._without(text)
            found = made, made is GONE or self.media_met > before
            self.media_met = before
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[text] = found
        self.media_met += found[1]
        # The very text that was given, where it is as it was: by that it is known to be.
        return text if found[0] == text else found[0]

    def whole(self, text: str) -> Any:  # noqa: ANN401 -- a text, or GONE
        """Return what is left of a text that is an id and nothing else.

        Where there is more, as in `Ann <ann@acme.com>`, a mail address in it still counts.
        """
        instead = self._instead(text)
        self.media_met += instead is GONE
        if instead is not None:
            return instead
        if "@" in text and not SEVERAL.isdisjoint(text):
            return replaced(self.shapes, text, self._address)
        return text

    def value(
        self,
        value: Any,  # noqa: ANN401 -- any JSON
        own: Members,
        kept: Collection[str] = (),
        at: str = "",
        *,
        is_id: bool = False,
    ) -> Any:  # noqa: ANN401 -- any JSON
        """Return a JSON value without them, itself where it names none.

        An object is about the medium that one of its `own` members names: it goes from the list that it is
        in, but for those lists, by their places, that are `kept`. A text `is_id` by the member that holds it.
        """
        if isinstance(value, str):
            return self.whole(value) if is_id else self.text(value)
        if isinstance(value, list):
            elements = list(self._elements(value, own, kept, at, is_id=is_id))
            same = len(elements) == len(value) and all(map(_is_same, elements, value))
            return value if same else elements
        if isinstance(value, dict):
            members = dict(self._members(value, own, kept, at))
            same = len(members) == len(value) and all(
                name in members and members[name] is each for name, each in value.items()
            )
            return value if same else members
        return value

    def _elements(
        self, value: list[Any], own: Members, kept: Collection[str], at: str, *, is_id: bool
    ) -> Iterator[Any]:
        for each in value:
            if at in kept or not self.is_about(each, own):
                new = self.value(each, own, kept, at, is_id=is_id)
                if new is not GONE:
                    yield new

    def _members(
        self, value: dict[str, Any], own: Members, kept: Collection[str], at: str
    ) -> Iterator[tuple[str, Any]]:
        for name, each in value.items():
            new_name = self.text(name)
            if new_name is GONE:
                continue
            below = f"{at}/{name}" if at else name
            is_id = own.identify(name)
            new = None if self.is_about(each, own) else self.value(each, own, kept, below, is_id=is_id)
            yield new_name, None if new is GONE else new

    def is_about(self, value: object, own: Members) -> bool:
        """Whether this is an object that says by one of these members which medium it is about."""
        if isinstance(value, dict) and any(self.is_medium(value.get(name)) for name in own.about):
            self.media_met += 1
            return True
        return False

    def _without(self, text: str) -> Any:  # noqa: ANN401 -- a text, or GONE
        instead = self._instead(text)
        if instead is not None:
            return instead
        if text[:1] in ("{", "["):
            with suppress(*UNREADABLE):
                value = msgspec.json.decode(text)
                new = self.value(value, NO_MEMBERS)
                return text if new is value else canonical(new).decode()
        return self._named(text)

    def _named(self, text: str) -> str:
        """Return a text with what stands for media and people where it names them."""
        return replaced(self.shapes, text, self._in_text)

    def _address(self, kind: Kind, token: str) -> str | None:
        return self._in_text(kind, token) if kind == "person" and "@" in token else None

    def _in_text(self, kind: Kind, token: str) -> str | None:
        if self.hash_of(kind, token) not in self.hashes:
            return None
        if kind == "person":
            return self.pseudonym(token)
        self.media_met += 1
        return WORD

    def _instead(self, text: str) -> Any:  # noqa: ANN401 -- a text, GONE, or None
        """Return what stands in place of an id; None where it is nobody's who is to be forgotten."""
        if not 0 < len(text) <= LONGEST_ID:
            return None
        if self.hash_of("medium", text) in self.hashes:
            return GONE
        return self.pseudonym(text) if self.hash_of("person", text) in self.hashes else None


def _is_same(left: object, right: object) -> bool:
    return left is right


def load(home: Path) -> Forgotten:
    """Return who is to be forgotten.

    Raises EnvironmentFaultError where that cannot be told: they would come back.
    """
    try:
        listed = msgspec.json.decode((home / NAME).read_bytes(), type=Listed)
        if not listed.hashes:
            # Of a forget that was killed as it began: its key may be another, or none.
            return Forgotten()
        key = bytes.fromhex((home / KEY).read_text())
        found = Forgotten(key, listed.hashes, listed.pending, listed.shapes)
    except FileNotFoundError as error:
        if Path(error.filename).name == NAME:
            if not (home / KEY).exists():
                return Forgotten()
            raise EnvironmentFaultError(
                f"{home / NAME} is gone, and {KEY} is there: bring it back, else whoever was forgotten comes "
                f"back; remove {KEY} where nobody was"
            ) from error
        raise EnvironmentFaultError(
            f"{home / KEY} is gone: without it nobody can tell who is to be forgotten; bring it back"
        ) from error
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot read {home / NAME}: {error.strerror}; {remedy(error)}"
        ) from error
    except (*UNREADABLE, ValueError) as error:
        raise EnvironmentFaultError(f"{home / NAME} or {KEY} is damaged: bring it back") from error
    if found.hash_of("medium", "") != listed.check:
        raise EnvironmentFaultError(f"{home / KEY} is not the key that {NAME} was made with: bring that back")
    return found


def begun(home: Path) -> Forgotten:
    """Return who is to be forgotten, with a key that is made where there is none."""
    found = load(home)
    if found:
        return found
    key = secrets.token_bytes(KEY_BYTES)
    made = Forgotten(key)
    # The list first, of nobody: a key without a list is what is left where that was lost.
    remember(home, made)
    _write(home / KEY, key.hex().encode())
    return made


def remember(home: Path, forgotten: Forgotten) -> None:
    """Keep the hashes."""
    check = forgotten.hash_of("medium", "")
    listed = Listed(
        check, sorted(forgotten.hashes), sorted(forgotten.pending), tuple(sorted(forgotten.shapes))
    )
    _write(home / NAME, msgspec.json.encode(listed))


def pass_on(home: Path, other: Path) -> None:
    """Let another folder know whom this one has forgotten, before anything is loaded there.

    Raises EnvironmentFaultError where it knows of others: they would come back.
    """
    if not load(home):
        return
    if load(other) and (other / KEY).read_bytes() != (home / KEY).read_bytes():
        raise EnvironmentFaultError(f"{other / NAME} is of another warehouse: name an empty folder")
    for name in (KEY, NAME):
        _write(other / name, (home / name).read_bytes())


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        aside.write_bytes(content)
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise EnvironmentFaultError(f"cannot write {path}: {error.strerror}; {remedy(error)}") from error
