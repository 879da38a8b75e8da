"""The targets by name: the modules here are their register."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target, TargetModule


def target_modules() -> "list[TargetModule]":
    """Return the modules of all targets, in the order of their names."""
    names = sorted(each.name for each in pkgutil.iter_modules(__path__))
    return [cast("TargetModule", importlib.import_module(f"{__name__}.{name}")) for name in names]


def target_settings() -> list[type[Any]]:
    """Return the dataclasses that declare the settings of the targets."""
    return [module.OwnSettings for module in target_modules()]


def targets(settings: "Settings") -> "list[Target]":
    """Return the targets that the settings name; none of those whose settings were not read."""
    found = [module.target(settings) for module in target_modules() if module.OwnSettings in settings.own]
    return [each for each in found if each is not None]
