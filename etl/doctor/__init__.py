"""Looks at all that a run needs, and says what to do; nothing is written, and no lock is touched."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from etl.config import DEFAULT, Settings
from etl.doctor import apis, machine, published
from etl.doctor.check import Check, failed, good
from etl.errors import SightglassError
from etl.publish.size import measured
from etl.setting import Setting, declared


def examined(settings: Settings, now: Callable[[], datetime]) -> Iterator[Check]:
    """Yield how each thing was found, as soon as it is known; SightglassError nowhere."""
    given = [each for each in in_force(settings) if each["origin"] != DEFAULT]
    yield good("settings", f"{len(given):,} given, all others by default")
    for each in given:
        yield good(each["name"], f"{each['value']}, from {each['origin']}")
    looks: list[Callable[[], Iterator[Check]]] = [
        lambda: machine.secret_files(settings),
        lambda: machine.folder(settings),
    ]
    if settings.home.is_dir() or not settings.home.exists():
        looks += [
            lambda: machine.room(settings, measured(settings.home)),
            lambda: machine.lock(settings, now()),
            lambda: machine.warehouse(settings),
            lambda: published.bi(settings),
            lambda: published.lake(settings),
            lambda: machine.inbox(settings, now()),
        ]
    looks += [machine.versions, machine.cron, lambda: apis.logins(settings, now)]
    for look in looks:
        try:
            yield from look()
        except (SightglassError, OSError) as error:
            yield failed("machine", str(error), "see to the file that it names")


def in_force(settings: Settings) -> list[dict[str, Any]]:
    """Return every setting with its value and its origin; of credentials, only that they are set."""
    return [
        {"name": setting.name, "value": _shown(setting, value), "origin": str(settings.origins[setting.name])}
        for area in (settings, *settings.own.values())
        for field, setting in declared(type(area)).items()
        for value in [getattr(area, field)]
    ]


def _shown(setting: Setting, value: object) -> str | None:
    if setting.is_credential:
        return "set" if value else None
    if isinstance(value, tuple):
        return ",".join(value)
    return "forever" if value is None else str(value)
