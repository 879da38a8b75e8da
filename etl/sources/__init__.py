"""The sources by name: the schema files are their register."""

import importlib
from typing import TYPE_CHECKING, cast

from etl import schema

if TYPE_CHECKING:
    from etl.config import Setting
    from etl.extract.stream import Source


def source_module(name: str) -> "Source":
    """Return the module of a source, by the name of its schema file."""
    return cast("Source", importlib.import_module(f"etl.sources.{name}"))


def declared_settings() -> "list[Setting]":
    """Return the settings of all sources."""
    return [setting for name in schema.names() for setting in source_module(name).SETTINGS]
