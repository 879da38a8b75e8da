"""Settings: flag beats environment beats `sightglass.toml`; the only place that reads secrets."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from etl.errors import SettingsError

FILE = "sightglass.toml"
PREFIX = "SIGHTGLASS_"
"""What the names of all settings begin with that are no API's own: there, an unknown name is a mistake."""


class Secret:
    """A value that must not be seen: it shows itself as stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value in the clear."""
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
    kind: Literal["text", "number", "whole", "url", "secret", "folder"] = "text"
    least: int = 0
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
    Setting("SIGHTGLASS_OVERLAP", "Seconds before the cursor that are read again.", "3600", "number"),
    Setting("SIGHTGLASS_LAG", "Newest seconds left for the next run.", "5", "number"),
    Setting("SIGHTGLASS_CONCURRENCY", "Requests in flight per source.", "8", "whole", least=1),
    Setting("SIGHTGLASS_RETRY_BUDGET", "Seconds one request may take, with its retries.", "120", "number"),
    Setting("SIGHTGLASS_BODY_MEMORY", "Megabytes that answers in flight may take.", "768", "whole", least=16),
    Setting("SIGHTGLASS_LAKE_URI", "Prefix under which readers see the folder lake, where it is another."),
    Setting("SIGHTGLASS_LAKE_GRACE", "Seconds that replaced files of the lake stay.", "600", "number"),
    Setting("SIGHTGLASS_RAW_DAYS", "Days the raw archive is kept; 0 keeps none.", "30", "whole"),
)
"""The settings that do not belong to one source."""


class Settings:
    """All settings of a run, checked; values by name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def text(self, name: str) -> str:
        """The value of a text or url setting; empty where it was not given."""
        return str(self._values[name])

    def number(self, name: str) -> float:
        """The value of a number setting."""
        return float(self._values[name])

    def whole(self, name: str) -> int:
        """The value of a whole-number setting."""
        return int(self._values[name])

    def secret(self, name: str) -> Secret:
        """The value of a secret, still wrapped; false where it was not given."""
        value: Secret = self._values[name]
        return value

    @property
    def secrets(self) -> list[Secret]:
        """All secrets that were given, and what stands behind the name in a pair of a name and a secret."""
        given = [each for each in self._values.values() if isinstance(each, Secret) and each]
        return [*given, *(Secret(each.reveal().partition(":")[2]) for each in given)]

    def listed(self, name: str) -> list[str]:
        """The parts of a comma-separated setting."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    @property
    def home(self) -> Path:
        """Folder of the warehouse, absolute."""
        return Path(self.text("SIGHTGLASS_HOME")).expanduser().absolute()


def load(
    declared: Iterable[Setting],
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """The settings in force; SettingsError names the one that is wrong and where it was given."""
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
            raise SettingsError(f"the environment: {name} is no setting{_nearest(name, given)}")
    for name in places[-1][1]:
        _allow(name, given, str(found))
    return Settings({name: _checked(setting, *_given(setting, places)) for name, setting in given.items()})


def _given(setting: Setting, places: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[str, str]:
    """The value of the first place that gives one, and what that place is called."""
    for where, values in places:
        value, path = values.get(setting.name), values.get(f"{setting.name}_FILE")
        if setting.kind == "secret" and path is not None and not value:
            return _kept(setting, path, where), where
        if value is None or (not value and where == "the environment" and not setting.must_hold_text):
            continue  # an empty variable is a usual way to leave one out
        if setting.must_hold_text and not value.strip():
            raise SettingsError(f"{setting.name} from {where} is empty: give it a value, or leave it out")
        return value, where
    return setting.default, "the default"


def _kept(setting: Setting, path: str, where: str) -> str:
    """The secret in a file; SettingsError where there is none."""
    name = f"{setting.name}_FILE"
    if not path.strip():
        raise SettingsError(f"{name} from {where} is empty: name a file, or leave it out")
    try:
        secret = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a home folder that nobody has; ValueError: bytes that are no text, or no path.
        is_bytes = isinstance(error, UnicodeDecodeError)
        reason = "is not UTF-8 text" if is_bytes else getattr(error, "strerror", None) or error
        raise SettingsError(f"{name}: cannot read {path}: {reason}") from error
    if not secret:
        raise SettingsError(f"{name}: {path} holds nothing")
    return secret


def _file(found: Path) -> dict[str, str]:
    """What the settings file says."""
    try:
        written = tomllib.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the settings file {found}: {error}") from error
    return {name: _joined(value) for name, value in written.items()}


def _is_setting(name: str, given: Mapping[str, Setting]) -> bool:
    """Whether it names a setting, or the file that holds a secret."""
    kept = given.get(name.removesuffix("_FILE"))
    return name in given or (kept is not None and kept.kind == "secret")


def _allow(name: str, given: Mapping[str, Setting], where: str) -> None:
    """Refuse a name that no setting has, and a secret in a place that others can read."""
    if not _is_setting(name, given):
        known = ", ".join(sorted(given))
        raise SettingsError(f"{where}: {name} is no setting{_nearest(name, given)} Known are {known}")
    if name in given and given[name].kind == "secret":
        hint = f"give it in the environment, or name its file in {name}_FILE"
        raise SettingsError(f"{where}: {name} is a secret; {hint}")


def _nearest(name: str, given: Mapping[str, Setting]) -> str:
    """The question whether the setting with the most similar name was meant; empty where none is similar."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only a mistake needs it

    secrets = [f"{each.name}_FILE" for each in given.values() if each.kind == "secret"]
    found = get_close_matches(name, [*given, *secrets], 1)
    return f": did you mean {found[0]}?" if found else "."


def _joined(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _checked(setting: Setting, value: str, where: str) -> Any:  # noqa: ANN401 -- the kind decides
    try:
        value.encode()
        if setting.kind == "folder":
            os.fsencode(value)  # a locale without UTF-8 can name no folder beyond ASCII
    except UnicodeEncodeError as error:
        raise SettingsError(f"{setting.name} from {where} is no text in this machine's encoding") from error
    if setting.kind == "secret":
        return Secret(value)
    if setting.kind == "url":
        _check_url(setting, value)
    if setting.kind in ("number", "whole"):
        return _number(setting, value, where)
    return value


def _number(setting: Setting, value: str, where: str) -> float:
    try:
        number = int(value) if setting.kind == "whole" else float(value)
    except ValueError:
        number = float("nan")
    if not setting.least <= number < float("inf"):
        kind = "a whole number" if setting.kind == "whole" else "a number"
        raise SettingsError(
            f"{setting.name} from {where} must be {kind} of at least {setting.least}, not {value!r}"
        )
    return number


def _check_url(setting: Setting, value: str) -> None:
    """Refuse an address that would send credentials in the clear, or none at all."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = None
    if not sound:
        raise SettingsError(f"{setting.name} must be an address such as {setting.default}")
    if parts.username or parts.password or parts.query:
        raise SettingsError(
            f"{setting.name} must hold no credentials and no query: they would be seen in messages"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            f"{setting.name} must begin with https:// ; plain http is accepted for this machine alone"
        )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
