"""The sources by name: the schema files are their register, and what other packages bring."""

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from etl import plugins, schema
from etl.errors import ConfigError

if TYPE_CHECKING:
    from etl.extract.stream import Source

OFFERED = ("OwnSettings", "LOGIN", "ENRICH", "connect", "redact")
"""What the module of each source has."""


def source_module(name: str) -> "Source":
    """Return the module of a source, by the name of its schema file.

    Raises ConfigError where that of another package cannot be imported, or lacks what a source has.
    """
    plugin = plugins.installed().get(name)
    if plugin is None:
        return cast("Source", importlib.import_module(f"etl.sources.{name}"))
    return _module_of(plugin)


@cache
def _module_of(plugin: plugins.Plugin) -> "Source":
    try:
        module = importlib.import_module(plugin.module)
    except Exception as error:
        raise ConfigError(
            f"{plugin.package} brings the source {plugin.name}, and cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    for each in OFFERED:
        if not hasattr(module, each):
            raise ConfigError(
                f"{plugin.package} brings the source {plugin.name}; its module {plugin.module} has no {each}"
            )
    return cast("Source", module)


def broken() -> dict[str, str]:
    """Return the sources of other packages that cannot be used, and why."""
    found = {}
    for name in plugins.installed():
        try:
            source_module(name)
            schema.source(name)
        except ConfigError as error:
            found[name] = str(error)
    return found


def own_settings() -> list[type[Any]]:
    """Return the dataclasses that declare the settings of the sources, but those that cannot be used."""
    unusable = broken()
    return [source_module(name).OwnSettings for name in schema.names() if name not in unusable]
