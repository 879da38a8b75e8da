"""What happens, told to the standard `logging`: one record per event, with its fields beside it."""

import logging

LOGGER = logging.getLogger("sightglass")
LOGGER.addHandler(logging.NullHandler())
# What is told to nobody must cost nothing, and reach no handler that a library has set up.
LOGGER.propagate = False


def event(name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Tell that something has happened; `fields` are what JSON can hold, without secrets if possible."""
    LOGGER.log(level, "%s", name, extra={"fields": fields})
