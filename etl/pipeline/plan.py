"""What a run would ask, and about how much it would bring: nothing is read but lists, and nothing written."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from etl import schema
from etl.config import Settings
from etl.errors import SourceError
from etl.extract.stream import Query, RequestStats, Session, SourceContext
from etl.extract.survey import Part, SurveyedSession
from etl.pipeline.sessions import connect
from etl.publish.version import Version, is_published, of_newest
from etl.values import datetime_of, micros_of

PATIENCE_S = 10.0
"""Seconds that one question may take, with retries: somebody waits for the answer."""


class History(NamedTuple):
    """What runs found of one part of a stream."""

    cursor_us: int | None
    requests: int
    """What the last good run cost."""
    fetched: int
    """What it brought."""
    news_per_s: float | None
    is_read: bool


Key = tuple[str, str, str]
"""Source, stream and partition."""


@dataclass(frozen=True, slots=True)
class PlannedStream:
    """What a run would ask of one part of a stream."""

    source: str
    stream: str
    partition: str
    is_list: bool
    """Whether all of it is asked for each time."""
    since: datetime | None
    """From when on what changed would be read; None for a list, and from the beginning."""
    until: datetime | None
    requests: int | None
    """About how many; None where nothing tells."""
    records: int | None
    """About how many would come, those included that are stored already."""


@dataclass(slots=True)
class Plan:
    """What a run would ask."""

    streams: list[PlannedStream] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    """How many requests each source was sent to make this plan, besides logins."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a source told nothing: of it, what runs read so far is shown."""
    skipped: list[str] = field(default_factory=list)
    """Sources without credentials."""


def plan(settings: Settings, wanted: Sequence[str], now: Callable[[], datetime]) -> Plan:
    """Return what a run of the wanted sources would ask; SightglassError where it could not begin."""
    sessions, skipped = connect(patient(settings), wanted)
    made, history = Plan(skipped=skipped), _history(settings.home)
    for name, session in sessions.items():
        with closing(session):
            parts = _parts(name, session, SourceContext(now, asking(settings.home), now()), history, made)
        made.streams += [_planned(name, part, history, settings, now()) for part in parts]
    return made


def patient(settings: Settings) -> Settings:
    """Return the settings for questions whose answer somebody waits for."""
    return replace(settings, retry_budget=min(settings.retry_budget, PATIENCE_S))


def asking(home: Path) -> Query:
    """Return what answers queries about runs from what is published; with nothing where nothing is."""

    def ask(name: str, **parameters: object) -> list[tuple[Any, ...]]:
        def look(version: Version) -> list[tuple[Any, ...]]:
            for table in schema.source(schema.SYSTEM).tables.values():
                version.hold(table)
            return version.ask(name, **parameters)

        return of_newest(home, (), look) if is_published(home) else []

    return ask


def _history(home: Path) -> dict[Key, History]:
    """Return what runs found of each part of a stream."""

    def look(version: Version) -> list[tuple[Any, ...]]:
        version.show_mart("pipeline_health")
        return version.ask("plan/history")

    names = [f"{schema.SYSTEM}.{name}" for name in schema.source(schema.SYSTEM).tables]
    rows = of_newest(home, names, look) if is_published(home) else []
    return {(source, stream, partition): History(*more) for source, stream, partition, *more in rows}


def _parts(
    name: str, session: Session, context: SourceContext, history: dict[Key, History], made: Plan
) -> Sequence[Part]:
    """Return what a run would read of a source: as it tells, or else as runs did so far."""
    if isinstance(session, SurveyedSession):
        stats = RequestStats()
        try:
            return session.survey(context, stats).parts
        except SourceError as error:
            made.failed[name] = str(error)
        finally:
            made.asked[name] = stats.requests
    return [
        Part(stream, partition, is_list=found.cursor_us is None)
        for (source, stream, partition), found in history.items()
        if source == name and found.is_read and found.requests
    ]


def _planned(
    source: str, part: Part, history: dict[Key, History], settings: Settings, now: datetime
) -> PlannedStream:
    found = history.get((source, part.stream, part.partition))
    about = source, part.stream, part.partition, part.is_list
    if part.is_list:
        records = part.holds if part.holds is not None else found and found.fetched
        requests = found.requests if found else None if records is None else max(1, ceil(records / part.page))
        return PlannedStream(*about, None, None, requests, records)
    until = micros_of(now) - round(settings.lag * 1_000_000)
    since = None
    if found and found.cursor_us is not None:
        since = max(0, found.cursor_us - round(settings.overlap * 1_000_000))
    if found is None or since is None or since >= until:
        # Such a cursor is not believed: the stream would be read from its beginning.
        return PlannedStream(*about, None, datetime_of(until), None, None)
    records = found.fetched
    if found.news_per_s is not None:
        records = round(found.news_per_s * (until - since) / 1_000_000)
    requests = max(1, ceil(records / part.page))
    return PlannedStream(*about, datetime_of(since), datetime_of(until), requests, records)
