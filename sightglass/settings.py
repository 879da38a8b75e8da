"""The settings in force for a call from Python, and what keeps their secrets out of its errors."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from etl.config import Settings, load
from etl.errors import ConfigError
from etl.pipeline.areas import own_areas
from etl.redact import Redactor

Given = Mapping[str, object] | str | os.PathLike[str] | None
"""Settings by name, or the path of a file of them."""


def settings_of(given: Given, home: str | os.PathLike[str] | None = None) -> Settings:
    """Return the settings in force; ConfigError names one that is wrong and where it was given.

    Those by name beat the environment, which beats the file: the one that is named, or ./sightglass.toml.
    """
    call: dict[str, str] = {}
    file: Path | None = None
    if isinstance(given, Mapping):
        call = {_name(name): _text(str(name), value) for name, value in given.items()}
    elif isinstance(given, str | os.PathLike):
        file = Path(given)
    elif given is not None:
        raise ConfigError(
            f"settings are a mapping of names to values, or the path of a file, not {type(given).__name__}"
        )
    if home is not None:
        call["SIGHTGLASS_HOME"] = os.fspath(home)
    return load(own_areas(), os.environ, file=file, call=call)


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    raise ConfigError(f"the call: {name!r} is no name of a setting")


def _text(name: str, value: object) -> str:
    """Return a value as the environment would give it; ConfigError where it could not."""
    if isinstance(value, list | tuple):
        return ",".join(_text(name, each) for each in value)
    if isinstance(value, os.PathLike):
        return str(Path(value))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"the call: {name} must be a text, a number, a path, or a list of these")


@contextmanager
def hiding_secrets(redact: Redactor) -> Iterator[None]:
    """Take the secrets out of the texts of an exception that ends what is done inside."""
    try:
        yield
    except Exception as error:
        _hide(error, redact)
        raise


def _hide(error: BaseException, redact: Redactor) -> None:
    """Take the secrets out of an exception, and of those that led to it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.args = tuple(redact(part) if isinstance(part, str) else part for part in each.args)
        notes = getattr(each, "__notes__", None)
        if notes:
            each.__notes__ = [redact(note) for note in notes]
        left += [each.__cause__, each.__context__]
