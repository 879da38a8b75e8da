"""What one setting is: how it is declared, and which values it may have."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NewType, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

from etl.errors import ConfigError

FOREVER = "forever"
"""The value of a setting of days that never end."""
LONG_WORD = 8
"""Characters from which on a part of an address may be a secret by itself."""
QUOTES = "\"'"
UTC = "UTC"
SHOWN = 60
"""Characters of a value that a message repeats."""

Url = NewType("Url", str)
"""An address that may be asked with credentials."""
TimeZone = NewType("TimeZone", str)
"""The IANA name of a time zone."""
DAYS = int | None
"""The type of a setting of days; None for ever."""


class Secret:
    """A value that must not be seen: it shows itself as stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value in the clear."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that may be given; it annotates the field that holds its value.

    `retry_budget: Annotated[float, Setting("SIGHTGLASS_RETRY_BUDGET", ...)]` in a dataclass.
    """

    name: str
    """As an environment variable, and in the settings file."""
    doc: str
    default: str = ""
    least: int = 0
    most: int | None = None
    """Beyond which a number means nothing more."""
    is_password: bool = False
    """A secret that is packed before it is sent: it may hold any characters in one line."""
    is_address: bool = False
    """A secret that is the address of a web service."""
    is_database: bool = False
    """A secret that is the address of a database: of it the password alone must not be seen."""
    filled: bool = False
    """Refused where it is given and empty, as secrets and folders always are."""
    kind: Any = str
    """The type of the field that it annotates, one of those in KINDS; `declared` says it."""

    @property
    def must_hold_text(self) -> bool:
        """Whether an empty value is a mistake, not a way to leave it out."""
        return self.filled or self.kind in (Secret, Path)

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be given as: a secret also as the name of a file that holds it."""
        return (self.name, f"{self.name}_FILE") if self.kind is Secret else (self.name,)

    @property
    def is_credential(self) -> bool:
        """Whether it is a secret, or goes with one."""
        return self.filled or self.kind is Secret


def declared(area: Callable[..., object]) -> dict[str, Setting]:
    """Return the settings that the fields of a dataclass declare, by field."""
    hints = get_type_hints(area, include_extras=True).items()
    return {
        field: replace(hint.__metadata__[0], kind=hint.__origin__)
        for field, hint in hints
        if get_origin(hint) is Annotated
    }


def checked(setting: Setting, value: str, where: str) -> Any:  # noqa: ANN401 -- the kind decides
    """Return what a setting is worth; ConfigError names it and where it was given."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting.name} from {where} is no text in this machine's encoding") from error
    if "\0" in value:
        raise ConfigError(f"{setting.name} from {where} holds a NUL, which no machine can pass on")
    return KINDS[setting.kind](setting, value, where)


def _secret(setting: Setting, value: str, where: str) -> Secret:
    check_secret(setting, value, f"{setting.name} from {where}")
    if setting.is_address and value and not _is_safe(value):
        raise ConfigError(
            f"{setting.name} from {where} must be an address that begins with https:// ; "
            "plain http is accepted for this machine alone"
        )
    return Secret(value)


def _is_safe(address: str) -> bool:
    """Whether nobody on the way to an address sees what is in it."""
    try:
        parts = urlsplit(address)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_address and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )


def secrets_of_address(address: Secret) -> list[Secret]:
    """Return what in an address must not be seen: its path, its query, and each long part of them.

    What precedes them begins many an address that is no secret.
    """
    parts = urlsplit(address.reveal())
    path = parts.path.strip("/")
    words = [*path.split("/"), *(pair.partition("=")[2] for pair in parts.query.split("&"))]
    long = [word for word in words if len(word) >= LONG_WORD]
    return [Secret(text) for text in (*(long or [path]), parts.query, parts.password or "") if text]


def passwords_of(address: Secret) -> list[Secret]:
    """Return the passwords in the address of a database, as they are written there and as they are meant."""
    whole = address.reveal()
    found = re.findall(r"://[^/?@]*?:([^/?]*)@", whole)
    found += re.findall(r"[?&](?:ssl)?password=([^&]*)", whole)
    return [Secret(text) for each in found for text in dict.fromkeys((each, unquote(each))) if text]


def _days(setting: Setting, value: str, where: str) -> float | None:
    return None if value == FOREVER else _number(setting, value, where)


def check_secret(setting: Setting, secret: str, what: str) -> None:
    """Refuse a secret that no request can carry as it is, or that no key is; nothing of it is shown."""
    if not setting.is_password and len(secret) > 1 and secret[0] in QUOTES and secret[-1] == secret[0]:
        raise ConfigError(f"{what} stands in quotation marks, which no shell took away: leave them out")
    for place, sign in enumerate(secret, start=1):
        if not sign.isprintable() or (not setting.is_password and (sign.isspace() or not sign.isascii())):
            kind = "white space" if sign.isspace() else "what no key holds"
            raise ConfigError(
                f"{what} holds {kind} at character {place}: copy it again, without anything else"
            )


def reason_of(error: Exception) -> str:
    """Why a file could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    return getattr(error, "strerror", None) or str(error)


def _folder(setting: Setting, value: str, where: str) -> Path:
    """Return the path, absolute; ConfigError where this machine can have no folder of this name."""
    try:
        os.fsencode(value)  # a locale without UTF-8 can name no folder beyond ASCII
        path = Path(value).expanduser().absolute()
        path.exists()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting.name} from {where} is no text in this machine's encoding") from error
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a home folder that nobody has; FileNotFoundError: the current folder was removed.
        raise ConfigError(f"{setting.name} from {where} names no folder: {reason_of(error)}") from error
    check_folder(path, f"{setting.name} from {where}")
    return path


def check_folder(path: Path, what: str) -> None:
    """Refuse a folder in which DuckDB cannot keep its log: it looks for what follows `?` elsewhere."""
    if "?" in os.path.realpath(path):
        raise ConfigError(f"{what}: DuckDB can keep no warehouse in a folder with a question mark: {path}")


def _number(setting: Setting, value: str, where: str) -> float:
    """Return the number; ConfigError where it is none, or out of bounds."""
    try:
        number = float(value) if setting.kind is float else int(value)
    except ValueError:
        number = float("nan")
    is_too_large = setting.most is not None and setting.most < number < float("inf")
    if is_too_large or not setting.least <= number < float("inf"):
        kind = "a number" if setting.kind is float else "a whole number"
        limit = f"at most {setting.most}" if is_too_large else f"at least {setting.least}"
        limit += f", or {FOREVER}" * (setting.kind == DAYS)
        given = repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
        raise ConfigError(f"{setting.name} from {where} must be {kind} of {limit}, not {given}")
    return number


def is_time_zone(name: str) -> bool:
    """Whether DuckDB, which works out days by it, knows a time zone of this name."""
    if name == UTC:
        return True
    import duckdb  # noqa: PLC0415 -- what takes long to import is left alone where nobody needs it

    with duckdb.connect() as connection:
        known = connection.execute("SELECT 1 FROM pg_timezone_names() WHERE name = ?", [name]).fetchall()
    return bool(known)


def _time_zone(setting: Setting, value: str, where: str) -> str:
    """Return the name; ConfigError where no time zone has it."""
    if not is_time_zone(value):
        given = repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
        raise ConfigError(
            f"{setting.name} from {where} must be the name of a time zone such as Europe/Berlin, not {given}"
        )
    return value


def _url(setting: Setting, value: str, where: str) -> str:
    """Return the address; ConfigError where it would send credentials in the clear, or is none."""
    del where  # the name alone says which one is meant
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = None
    if not sound:
        raise ConfigError(f"{setting.name} must be an address such as {setting.default}")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"{setting.name} must hold no credentials and no query: they would be seen in messages"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{setting.name} must begin with https:// ; plain http is accepted for this machine alone"
        )
    return value


KINDS: Mapping[Any, Callable[[Setting, str, str], Any]] = {
    str: lambda _setting, value, _where: value,
    tuple[str, ...]: lambda _setting, value, _where: tuple(filter(None, map(str.strip, value.split(",")))),
    Url: _url,
    TimeZone: _time_zone,
    float: _number,
    int: _number,
    DAYS: _days,
    Secret: _secret,
    Path: _folder,
}
"""What a setting may be, and how a value is read as that."""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
