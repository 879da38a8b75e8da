"""Settings: flag beats environment beats `sightglass.toml`; the only place that reads secrets."""

import codecs
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from etl.errors import ConfigError

FILE = "sightglass.toml"
PREFIX = "SIGHTGLASS_"
"""What the names of all settings begin with that are no API's own: there, an unknown name is a mistake."""


DAY = 86_400
YEAR = 365 * DAY
CENTURY = 100 * YEAR
"""Seconds."""
FOREVER = "forever"
"""The value of a setting of days that never end."""
LARGE = 10**9
"""Megabytes: more than any machine has."""

LARGEST_FILE = 2**20
"""Bytes of a file of settings, or of a secret, beyond which it is none."""
SHOWN = 60
"""Characters of a value that a message repeats."""


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
    """One setting that may be given: its name as an environment variable, what it means, its default."""

    name: str
    doc: str
    default: str = ""
    kind: Literal["text", "number", "whole", "days", "url", "secret", "folder"] = "text"
    least: int = 0
    most: int | None = None
    """Beyond which a number means nothing more."""
    is_password: bool = False
    """A secret that is packed before it is sent: it may hold any characters in one line."""
    filled: bool = False
    """Refused where it is given and empty, as secrets and folders always are."""

    @property
    def must_hold_text(self) -> bool:
        """Whether an empty value is a mistake, not a way to leave it out."""
        return self.filled or self.kind in ("secret", "folder")

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be given as: a secret also as the name of a file that holds it."""
        return (self.name, f"{self.name}_FILE") if self.kind == "secret" else (self.name,)

    @property
    def is_credential(self) -> bool:
        """Whether it is a secret, or goes with one."""
        return self.filled or self.kind == "secret"


CORE = (
    Setting("SIGHTGLASS_HOME", "Folder of the warehouse.", "./warehouse", "folder"),
    Setting("SIGHTGLASS_SOURCES", "Comma-separated sources to load; by default those with credentials."),
    Setting("SIGHTGLASS_OVERLAP", "Seconds before the cursor to read again.", "3600", "number", most=CENTURY),
    Setting("SIGHTGLASS_LAG", "Newest seconds left for the next run.", "5", "number", most=YEAR),
    Setting("SIGHTGLASS_CONCURRENCY", "Requests in flight per source.", "8", "whole", least=1, most=100),
    Setting("SIGHTGLASS_RETRY_BUDGET", "Seconds of a request with retries.", "120", "number", most=DAY),
    Setting(
        "SIGHTGLASS_BODY_MEMORY", "Megabytes of answers in flight.", "768", "whole", least=16, most=LARGE
    ),
    Setting("SIGHTGLASS_LAKE_URI", "Prefix under which readers see the folder lake, where it is another."),
    Setting("SIGHTGLASS_LAKE_GRACE", "Seconds that replaced files stay.", "600", "number", most=CENTURY),
    Setting("SIGHTGLASS_RAW_DAYS", "Days the log is kept in raw/, or forever; 0 keeps none.", "30", "days"),
    Setting("SIGHTGLASS_SQL_MEMORY", "Megabytes of a reader's query.", "1024", "whole", least=64, most=LARGE),
)
"""The settings that do not belong to one source."""


class Settings:
    """All settings of a run, checked; values by name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def text(self, name: str) -> str:
        """Return the value of a text or url setting; empty where it was not given."""
        return str(self._values[name])

    def number(self, name: str) -> float:
        """Return the value of a number setting."""
        return float(self._values[name])

    def whole(self, name: str) -> int:
        """Return the value of a whole-number setting."""
        return int(self._values[name])

    def days(self, name: str) -> int | None:
        """Return the value of a setting of days; None for ever."""
        value: int | None = self._values[name]
        return value

    def secret(self, name: str) -> Secret:
        """Return the value of a secret, still wrapped; false where it was not given."""
        value: Secret = self._values[name]
        return value

    @property
    def secrets(self) -> list[Secret]:
        """All secrets that were given, and what stands behind the name in a pair of a name and a secret."""
        given = [each for each in self._values.values() if isinstance(each, Secret) and each]
        return [*given, *(Secret(each.reveal().partition(":")[2]) for each in given)]

    def listed(self, name: str) -> list[str]:
        """Return the parts of a comma-separated setting."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def at(self, home: Path) -> "Settings":
        """Return the same settings for another folder of a warehouse."""
        return Settings({**self._values, "SIGHTGLASS_HOME": str(home.absolute())})

    @property
    def home(self) -> Path:
        """Folder of the warehouse, absolute."""
        return Path(self.text("SIGHTGLASS_HOME"))


def load(
    declared: Iterable[Setting],
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Return the settings in force; ConfigError names the one that is wrong and where it was given."""
    given = {setting.name: setting for setting in [*CORE, *declared]}
    found = file or Path(FILE)
    places: list[tuple[str, Mapping[str, str]]] = [
        ("the command line", flags or {}),
        ("the environment", environ),
        (found.name, _file(found) if file or found.exists() else {}),
    ]
    for name in flags or {}:
        _allow(name, given, "the command line")
    for name in environ:
        if name.startswith(PREFIX) and not _is_setting(name, given):
            raise ConfigError(f"the environment: {name} is no setting{_nearest(name, given)}")
    for name in places[-1][1]:
        _allow(name, given, str(found))
    return Settings({name: _checked(setting, *_given(setting, places)) for name, setting in given.items()})


def _given(setting: Setting, places: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[str, str]:
    """Return the value of the first place that gives one, and what that place is called."""
    for where, values in places:
        value, path = values.get(setting.name), values.get(f"{setting.name}_FILE")
        if setting.kind == "secret" and path is not None and not value:
            return _kept(setting, path, where), where
        if value is None or (not value and where == "the environment" and not setting.must_hold_text):
            continue  # an empty variable is a usual way to leave one out
        if setting.must_hold_text and not value.strip():
            raise ConfigError(f"{setting.name} from {where} is empty: give it a value, or leave it out")
        # What a service or a shell took from a file often ends in a line feed.
        return value if setting.kind == "folder" else value.strip(), where
    return setting.default, "the default"


def _kept(setting: Setting, path: str, where: str) -> str:
    """Return the secret in a file; ConfigError where there is none."""
    name = f"{setting.name}_FILE"
    if not path.strip():
        raise ConfigError(f"{name} from {where} is empty: name a file, or leave it out")
    try:
        secret = _text(Path(path).expanduser()).strip()
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a home folder that nobody has; ValueError: bytes that are no text, or no path.
        raise ConfigError(f"{name}: cannot read {path}: {_reason(error)}") from error
    if not secret:
        raise ConfigError(f"{name}: {path} holds nothing")
    _check_secret(setting, secret, f"{name}: {path}")
    return secret


def _check_secret(setting: Setting, secret: str, what: str) -> None:
    """Refuse a secret that no request can carry as it is; nothing of it is shown."""
    for place, sign in enumerate(secret, start=1):
        if not sign.isprintable() or (not setting.is_password and (sign.isspace() or not sign.isascii())):
            kind = "white space" if sign.isspace() else "what no key holds"
            raise ConfigError(
                f"{what} holds {kind} at character {place}: copy it again, without anything else"
            )


def _text(path: Path) -> str:
    """Return what a file says, without its byte order mark; ValueError where it is too large, or no UTF-8."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE:,} bytes")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("is UTF-16 text; save it as UTF-8")
    return content.decode("utf-8-sig")


def _reason(error: Exception) -> str:
    """Why a file could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    return getattr(error, "strerror", None) or str(error)


def _file(found: Path) -> dict[str, str]:
    """Return what the settings file says."""
    try:
        written = tomllib.loads(_text(found))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the settings file {found}: {_reason(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"cannot read the settings file {found}: it is nested too deeply") from error
    return {name: _joined(name, value, found) for name, value in written.items()}


def _is_setting(name: str, given: Mapping[str, Setting]) -> bool:
    """Whether it names a setting, or the file that holds a secret."""
    kept = given.get(name.removesuffix("_FILE"))
    return name in given or (kept is not None and kept.kind == "secret")


def _allow(name: str, given: Mapping[str, Setting], where: str) -> None:
    """Refuse a name that no setting has, and a secret in a place that others can read."""
    if not _is_setting(name, given):
        known = ", ".join(sorted(given))
        raise ConfigError(f"{where}: {name} is no setting{_nearest(name, given)} Known are {known}")
    if name in given and given[name].kind == "secret":
        hint = f"give it in the environment, or name its file in {name}_FILE"
        raise ConfigError(f"{where}: {name} is a secret; {hint}")


def _nearest(name: str, given: Mapping[str, Setting]) -> str:
    """Return the question whether a setting with a similar name was meant, or else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only a mistake needs it

    secrets = [f"{each.name}_FILE" for each in given.values() if each.kind == "secret"]
    found = get_close_matches(name, [*given, *secrets], 1)
    return f": did you mean {found[0]}?" if found else "."


def _joined(name: str, value: object, found: Path) -> str:
    """Return the value as the environment would give it; ConfigError where it could not."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in values):
        raise ConfigError(f"{found}: {name} must be a text, a number, or a list of these")
    try:
        return ",".join(map(str, values))
    except ValueError as error:
        raise ConfigError(f"{found}: {name} is a number of more digits than can be read") from error


def _checked(setting: Setting, value: str, where: str) -> Any:  # noqa: ANN401 -- the kind decides
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting.name} from {where} is no text in this machine's encoding") from error
    if "\0" in value:
        raise ConfigError(f"{setting.name} from {where} holds a NUL, which no machine can pass on")
    if setting.kind == "folder":
        return _folder(setting, value, where)
    if setting.kind == "secret":
        _check_secret(setting, value, f"{setting.name} from {where}")
        return Secret(value)
    if setting.kind == "url":
        _check_url(setting, value)
    if setting.kind == "days" and value == FOREVER:
        return None
    if setting.kind in ("number", "whole", "days"):
        return _number(setting, value, where)
    return value


def _folder(setting: Setting, value: str, where: str) -> str:
    """Return the path, absolute; ConfigError where this machine can have no folder of this name."""
    try:
        os.fsencode(value)  # a locale without UTF-8 can name no folder beyond ASCII
        path = Path(value).expanduser().absolute()
        path.exists()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting.name} from {where} is no text in this machine's encoding") from error
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a home folder that nobody has; FileNotFoundError: the current folder was removed.
        reason = _reason(error)
        raise ConfigError(f"{setting.name} from {where} names no folder: {reason}") from error
    return str(path)


def _number(setting: Setting, value: str, where: str) -> float:
    try:
        number = float(value) if setting.kind == "number" else int(value)
    except ValueError:
        number = float("nan")
    is_too_large = setting.most is not None and setting.most < number < float("inf")
    if is_too_large or not setting.least <= number < float("inf"):
        kind = "a number" if setting.kind == "number" else "a whole number"
        limit = f"at most {setting.most}" if is_too_large else f"at least {setting.least}"
        limit += f", or {FOREVER}" * (setting.kind == "days")
        given = repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
        raise ConfigError(f"{setting.name} from {where} must be {kind} of {limit}, not {given}")
    return number


def _check_url(setting: Setting, value: str) -> None:
    """Refuse an address that would send credentials in the clear, or none at all."""
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


def is_loopback(host: str) -> bool:
    """Whether the host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
