"""The APIs: whether a login works, whose account it is, what it sees, and what time it is there."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from etl import schema
from etl.config import Settings
from etl.doctor.check import Check, failed, good, refused, warned
from etl.errors import ConfigError, SightglassError, SourceError
from etl.extract.clock import CLOCKS_DIFFER
from etl.extract.stream import Query, RequestStats, SourceContext
from etl.extract.survey import Survey, SurveyedSession
from etl.pipeline.plan import asking, patient
from etl.plugins import kept
from etl.publish.version import Version, is_published, of_newest
from etl.sources import source_module

AMISS = timedelta(hours=1)
"""By how much two clocks may differ before what is read by time is read wrongly."""
NO_LOGIN = "it has no credentials, runs skip it"


def logins(settings: Settings, now: Callable[[], datetime]) -> Iterator[Check]:
    """Try the login of each source that is to be read."""
    bound = _bound(settings.home)
    named = [name for name in settings.sources if name in schema.names()]
    for unknown in sorted(set(settings.sources) - set(named)):
        cure = f"known are {', '.join(schema.names())}"
        yield failed("SIGHTGLASS_SOURCES", f"{unknown} is no source", cure)
    looked = {name: list(_login(settings, name, bound, now)) for name in named or schema.names()}
    for checks in looked.values():
        yield from checks
    for name, each in kept(settings.home).items():
        yield warned(
            name, f"{each.package}, which brought it, is not installed", "install it, to load it again"
        )
    if all(check.says == NO_LOGIN for checks in looked.values() for check in checks):
        yield failed("sources", "none has credentials", "set those of one, or try `sightglass demo`")


def _login(
    settings: Settings, name: str, bound: dict[str, str], now: Callable[[], datetime]
) -> Iterator[Check]:
    try:
        login = source_module(name).LOGIN
    except ConfigError as error:
        yield failed(name, str(error), "install another version of it, or uninstall it")
        return
    try:
        session = source_module(name).connect(patient(settings))
    except ConfigError as error:
        yield failed(name, str(error), f"see to {login}")
        return
    if session is None:
        if name in bound or name in settings.sources:
            yield failed(name, "it has no credentials, and is to be read", f"set {login}")
        else:
            yield warned(name, NO_LOGIN, f"to load it, set {login}")
        return
    with closing(session):
        if not isinstance(session, SurveyedSession):
            yield warned(name, "its credentials cannot be tried: its module has no `survey`", "try a run")
            return
        try:
            survey = session.survey(SourceContext(now, _asking(settings.home), now()), RequestStats())
        except ConfigError as error:
            yield failed(name, str(error), f"see to {login}")
            return
        except SourceError as error:
            yield refused(name, str(error), f"wait and look again, or see to {login}")
            return
    yield _account(name, survey, bound.get(name))
    yield _clock(name, survey.skew)


def _account(name: str, survey: Survey, bound: str | None) -> Check:
    """Whether the login leads to the account that the warehouse holds."""
    if bound is None or bound == survey.account:
        return good(name, f"the login works; {survey.sees}")
    says = f"the login works ({survey.sees}), and leads to {survey.account}; the warehouse holds {bound}"
    if survey.names_account:
        return failed(name, says, "set SIGHTGLASS_HOME, or the credentials of that account")
    return warned(name, says, "a run takes it for the same account where it shows media that are stored")


def _clock(name: str, skew: timedelta | None) -> Check:
    """Whether the clock of this machine is that of the API."""
    where = f"{name} clock"
    if skew is None:
        return warned(where, "its answers do not say what time it is", "nothing")
    if abs(skew) <= CLOCKS_DIFFER:
        return good(where, "it agrees with this machine's")
    is_ahead = skew > timedelta(0)
    says = f"it is {_spoken(abs(skew))} {'ahead of' if is_ahead else 'behind'} this machine's"
    cure = "set this machine's clock (NTP)"
    return failed(where, says, cure) if abs(skew) > AMISS else warned(where, says, cure)


def _spoken(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes:,} minutes"


def _asking(home: Path) -> Query:
    """Return what answers queries about runs; with nothing where none can be read: another check says so."""
    ask = asking(home)

    def answered(name: str, **parameters: object) -> list[tuple[Any, ...]]:
        try:
            return ask(name, **parameters)
        except (SightglassError, OSError):
            return []

    return answered


def _bound(home: Path) -> dict[str, str]:
    """Return the account of each source that was loaded, as far as it is published."""

    def look(version: Version) -> list[tuple[Any, ...]]:
        return version.ask("status/accounts")

    try:
        rows = of_newest(home, ("etl.accounts",), look) if is_published(home) else []
    except (SightglassError, OSError):
        return {}  # another check says so
    return dict(rows)
