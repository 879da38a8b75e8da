"""Files of settings: `sightglass.toml`, and those that hold a secret."""

import codecs
import tomllib
from pathlib import Path

from etl.errors import ConfigError
from etl.setting import reason_of

FILE = "sightglass.toml"

LARGEST_FILE = 2**20
"""Bytes of a file of settings, or of a secret, beyond which it is none."""


def read_file(found: Path) -> dict[str, str]:
    """Return what the settings file says."""
    try:
        written = tomllib.loads(text_of(found))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the settings file {found}: {reason_of(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"cannot read the settings file {found}: it is nested too deeply") from error
    return {name: _joined(name, value, found) for name, value in written.items()}


def text_of(path: Path) -> str:
    """Return what a file says, without its byte order mark; ValueError where it is too large, or no UTF-8."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE:,} bytes")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("is UTF-16 text; save it as UTF-8")
    return content.decode("utf-8-sig")


def _joined(name: str, value: object, found: Path) -> str:
    """Return the value as the environment would give it; ConfigError where it could not."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in values):
        raise ConfigError(f"{found}: {name} must be a text, a number, or a list of these")
    try:
        return ",".join(map(str, values))
    except ValueError as error:
        raise ConfigError(f"{found}: {name} is a number of more digits than can be read") from error
