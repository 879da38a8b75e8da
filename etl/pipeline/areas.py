"""Which dataclasses declare settings: those of all sources and targets."""

from typing import Any

from etl.publish.targets import target_settings
from etl.sources import own_settings


def own_areas() -> list[type[Any]]:
    """Return the dataclasses that declare settings, but for those that belong to none."""
    return [*own_settings(), *target_settings()]
