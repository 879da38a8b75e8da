"""Sightglass: what vision AI says about your media, in a DuckDB warehouse."""

__version__ = "0.1.0"
