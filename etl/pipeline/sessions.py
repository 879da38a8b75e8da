"""Sessions with the sources that a command asks."""

from collections.abc import Iterable, Sequence

from etl import schema
from etl.config import Settings
from etl.errors import ConfigError
from etl.extract.stream import Session
from etl.pipeline.missing import usable
from etl.sources import source_module


def connect(settings: Settings, wanted: Sequence[str]) -> tuple[dict[str, Session], list[str]]:
    """Return a session with each wanted source, and the sources that are skipped.

    Those without credentials are, unless asked for by name.
    """
    named = settings.sources
    for name in [*wanted, *named]:
        known_source(name, "" if name in wanted else "SIGHTGLASS_SOURCES: ")
    chosen = list(dict.fromkeys(wanted or named or usable()))
    sessions = {name: source_module(name).connect(settings) for name in chosen}
    without = [name for name, session in sessions.items() if session is None]
    if wanted or named:
        for name in without:
            raise ConfigError(f"{name} has no credentials: set {source_module(name).LOGIN}")
    if len(without) == len(sessions):
        each = "; for ".join(f"{name} set {source_module(name).LOGIN}" for name in usable())
        raise ConfigError(f"no source has credentials: for {each}; or try `sightglass demo`")
    return {name: session for name, session in sessions.items() if session is not None}, without


def known_source(name: str, where: str = "") -> None:
    """ConfigError where there is no source of this name."""
    if name not in schema.names():
        raise ConfigError(f"{where}{name} is no source; known are {', '.join(schema.names())}")


def refuse_timeless(names: Iterable[str]) -> None:
    """ConfigError where one of these sources cannot be read by a range of time."""
    for name in names:
        for stream in schema.source(name).timeless():
            raise ConfigError(
                f"{name} cannot be read by a range of time: the cursor of its stream {stream} is declared as "
                f"{schema.source(name).cursor_of(stream)}"
            )
