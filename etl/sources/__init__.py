"""The sources by name: the schema files are their register."""

import importlib
from typing import TYPE_CHECKING, Any, cast

from etl import schema

if TYPE_CHECKING:
    from etl.extract.stream import Source


def source_module(name: str) -> "Source":
    """Return the module of a source, by the name of its schema file."""
    return cast("Source", importlib.import_module(f"etl.sources.{name}"))


def own_settings() -> list[type[Any]]:
    """Return the dataclasses that declare the settings of the sources."""
    return [source_module(name).OwnSettings for name in schema.names()]
