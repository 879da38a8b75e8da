"""Sightglass from Python."""

from sightglass import _etl

__all__ = ["__version__"]

__version__ = _etl.VERSION
