"""What happens, told to the standard `logging`: one record per event, with its fields beside it.

Whoever runs something from Python can listen besides: to what happens within a block, in all of its threads.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

LOGGER = logging.getLogger("sightglass")
LOGGER.addHandler(logging.NullHandler())
# What is told to nobody must cost nothing, and reach no handler that a library has set up.
LOGGER.propagate = False

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened, as a line of the log tells it."""

    time: datetime
    level: str
    """debug, info, warning, error or critical."""
    name: str
    """Such as `stream.ended`."""
    fields: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the line of `--log-format json`, as JSON holds it."""
        at = self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": at, "level": self.level, "event": self.name, **self.fields}


Listener = Callable[[Event], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


def event(name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Tell that something has happened; `fields` are what JSON can hold, without secrets if possible."""
    if listener := _LISTENER.get():
        listener(Event(datetime.now(UTC), logging.getLevelName(level).lower(), name, fields))
    LOGGER.log(level, "%s", name, extra={"fields": fields})


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let a listener be told what happens inside, from whatever thread that is `heard` as well."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def heard(work: Callable[P, T]) -> Callable[P, T]:
    """Return the same work for another thread: what happens there is told to the listener of this one."""
    return partial(copy_context().run, work)


def hearing() -> Callable[[], object]:
    """Return what each thread of a pool is to do first, so that it is heard."""
    return partial(_LISTENER.set, _LISTENER.get())
