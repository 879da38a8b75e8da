"""Names of settings that somebody gave: known, and allowed where they stand."""

from collections.abc import Mapping

from etl.errors import ConfigError
from etl.setting import Secret, Setting


def is_setting(name: str, given: Mapping[str, Setting]) -> bool:
    """Whether it names a setting, or the file that holds a secret."""
    kept = given.get(name.removesuffix("_FILE"))
    return name in given or (kept is not None and kept.kind is Secret)


def must_be_known(name: str, given: Mapping[str, Setting], where: str) -> None:
    """Refuse a name that no setting has."""
    if not is_setting(name, given):
        known = ", ".join(sorted(given))
        raise ConfigError(f"{where}: {name} is no setting{nearest(name, given)} Known are {known}")


def must_be_allowed(name: str, given: Mapping[str, Setting], where: str) -> None:
    """Refuse a name that no setting has, and a secret in a place that others can read."""
    must_be_known(name, given, where)
    if name in given and given[name].kind is Secret:
        hint = f"give it in the environment, or name its file in {name}_FILE"
        raise ConfigError(f"{where}: {name} is a secret; {hint}")


def nearest(name: str, given: Mapping[str, Setting]) -> str:
    """Return the question whether a setting with a similar name was meant, or else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only a mistake needs it

    secrets = [f"{each.name}_FILE" for each in given.values() if each.kind is Secret]
    found = get_close_matches(name, [*given, *secrets], 1)
    return f": did you mean {found[0]}?" if found else "."
