"""Sources of other packages that cannot be used: runs leave them out, and say so; their tables stay."""

from collections.abc import Collection
from pathlib import Path

from etl import plugins, schema
from etl.errors import ConfigError, EnvironmentFaultError
from etl.files import reason, remedy
from etl.sources import broken


def usable() -> list[str]:
    """Return the names of all sources whose modules can be used."""
    unusable = broken()
    return [name for name in schema.names() if name not in unusable]


def missing(home: Path, wanted: Collection[str] = ()) -> dict[str, str]:
    """Return the sources that cannot be used, of these or of all, and why.

    Those too that the warehouse in this folder was loaded from, and whose package is not installed any more.
    """
    gone = {
        name: f"{each.package} brought the source {name}, and is not installed: its tables stay as they are"
        for name, each in plugins.kept(home).items()
    }
    return {name: why for name, why in (broken() | gone).items() if not wanted or name in wanted}


def must_be_there(home: Path) -> None:
    """Raise ConfigError where a source is missing: what concerns all tables cannot be done without it."""
    for why in missing(home).values():
        raise ConfigError(f"{why}; install it, then do this again")


def remember_plugins(home: Path) -> None:
    """Note in the folder of a warehouse what tells of the sources of other packages."""
    try:
        plugins.remember(home)
    except OSError as error:
        raise EnvironmentFaultError(
            f"cannot write {home / plugins.HOME}: {reason(error)}; {remedy(error)}"
        ) from error
