"""A healthy warehouse, something that happens to it or to the machine, and what the commands make of it.

Each case of the catalogue (`test_fault_*.py`) names an exit code and the one line that tells of it. Then the
fault is undone, as far as it does not heal by itself, and the next run is a healthy one.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
from conftest import OF_THE_RUN, Ran, Row, Sightglass, rows
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Hostile,
    Placed,
    Request,
    Routes,
    Said,
    cogniac,
    medium,
    record,
    serving,
)

RECORDS = 60
MEDIA_COUNT = 5
DAYS_APART = 2
"""Days between two detections: the lake has several months of them."""
SCORES = b'[{"focus": 0.5, "intent": 0.25}]'
SETTINGS = {
    "COG_API_KEY": "id:secret-of-the-case",
    "NEURONS_API_KEY": "key-of-the-case",
    "SIGHTGLASS_RETRY_BUDGET": "2",
    "SIGHTGLASS_LAKE_GRACE": "0",
}
TABLES = (
    *("cogniac.results", "cogniac.detections", "cogniac.media", "cogniac.detection_history"),
    *("neurons.media", "neurons.assets", "neurons.media_metrics"),
)
"""What is compared: a table of each kind."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens, what is to come of it, and how an operator undoes it."""

    happens: Callable[[Sightglass], None]
    code: int = 0
    says: str = ""
    """A part of the one line on standard error that tells of it; empty where there is nothing to tell."""
    undone: Callable[[Sightglass], None] = lambda _sightglass: None
    command: tuple[str, ...] = ("run",)
    settings: tuple[tuple[str, str], ...] = ()
    """What is set otherwise while it lasts."""
    gaps: int = 0
    """How many gaps there are to tell of, besides, in a line of their own."""
    bound: bool = False
    """Whether the permissions of files bind the command."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """A command whose warehouse was loaded well, and what it then held."""

    sightglass: Sightglass
    stored: dict[str, list[Row]]
    published: dict[str, list[Row]]
    kept: Path
    """A copy of the home, from which each case begins."""
    server: Hostile
    """Both APIs."""

    def restore(self) -> None:
        """Have the home as it was."""
        shutil.rmtree(self.sightglass.home, ignore_errors=True)
        shutil.copytree(self.kept, self.sightglass.home, symlinks=True)


def healthy_routes() -> Routes:
    """Both APIs, with little in them."""
    day = 86_400
    detections = [record(number) for number in range(RECORDS)]
    for number, each in enumerate(detections):
        each["updated_at"] += number * DAYS_APART * day
    host = "{}"
    media = [
        medium(number, results={"metrics": f"http://{host}/files/{number}/metrics?signature=s"})
        for number in range(MEDIA_COUNT)
    ]

    def shown(request: Request, one: Row) -> Row:
        return {**one, "results": {"metrics": one["results"]["metrics"].format(request.headers["Host"])}}

    def listed(request: Request) -> Said:
        some = media[int(request.query["offset"]) :]
        return {"media": [shown(request, one) for one in some], "pagination": {"total": len(media)}}

    def single(request: Request) -> Said:
        name = request.path.rpartition("/")[2]
        found = (shown(request, one) for one in media if one["media_id"] == name)
        return next(found, Answer(b'{"detail": "no such medium"}', 404))

    placed = Placed([(one["updated_at"], one) for one in detections])
    own = {DETECTIONS: placed, MEDIA: listed, f"{MEDIA}/.*": single, "/files/.*": SCORES}
    return cogniac(own)


@contextmanager
def healthy(folder: Path) -> Iterator[Healthy]:
    """Both APIs served, and loaded once."""
    with serving(healthy_routes()) as server:
        urls = {"COG_URL_PREFIX": server.url, "NEURONS_URL": server.url}
        sightglass = Sightglass(folder, {**SETTINGS, **urls})
        ran = sightglass("run")
        assert (0, []) == (ran.code, told(ran)), ran.err
        kept = folder / "kept"
        shutil.copytree(sightglass.home, kept, symlinks=True)
        yield Healthy(sightglass, stored(sightglass.home), published(sightglass.home), kept, server)


def told(ran: Ran) -> list[str]:
    """The lines on standard error but for the one that every run ends with, and sources that are not set."""
    lines = ran.err.splitlines()
    usual = ("sightglass: run ", "sightglass: neurons skipped, ", "sightglass: cogniac skipped, ")
    return [line for line in lines if not line.startswith(usual)]


def meets(fault: Fault, healthy: Healthy) -> None:
    """Let it happen: exit code and line are as declared; once it is undone, the next run is healthy."""
    sightglass = healthy.sightglass
    healthy.restore()
    fault.happens(sightglass)
    try:
        ran = replace(sightglass, bound=fault.bound)(*fault.command, **dict(fault.settings))
    finally:
        fault.undone(sightglass)
    gaps = f"sightglass: gaps, listed in etl.gaps: {fault.gaps:,}"
    lines = [line for line in told(ran) if line != gaps]
    assert "Traceback" not in ran.err
    assert (fault.code, bool(fault.says)) == (ran.code, len(lines) == 1), ran.err
    assert fault.says in "".join(lines), ran.err
    after = sightglass("run")
    assert (0, []) == (after.code, told(after)), after.err
    assert healthy.stored == stored(sightglass.home)
    assert healthy.published == published(sightglass.home)


def stored(home: Path) -> dict[str, list[Row]]:
    """What the warehouse holds, without what each run writes anew."""
    return {name: _without_run(rows(home, name)) for name in TABLES}


def published(home: Path) -> dict[str, list[Row]]:
    """What a reader of `bi.duckdb` sees, likewise."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        return {name: _without_run(_read(reader, name)) for name in TABLES}


def _read(reader: duckdb.DuckDBPyConnection, name: str) -> list[Row]:
    found = reader.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {name}")  # noqa: S608 -- names of our own
    names: list[Any] = [column[0] for column in found.description]
    return [
        {column: value for column, value in zip(names, row, strict=True) if value is not None}
        for row in found.fetchall()
    ]


def _without_run(found: list[Row]) -> list[Row]:
    kept = [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in found]
    return sorted(kept, key=str)
