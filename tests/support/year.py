"""A year in fast motion: two APIs that change, and a warehouse that follows them by a clock passed in."""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE

import stamina
from conftest import TABLES, Plant, Ran, Row, Sightglass, Truth, in_order

from etl import config
from etl.demo.cogniac.written import late_record
from etl.demo.script import Clock, Rule, Script
from etl.load.stream_stats import StreamStats
from etl.pipeline.run import Report, confirm, run
from etl.publish.lake import Lake
from etl.sources import own_settings
from support.kills import started

DAY_S = 24 * 3600
START = 1_775_023_200.0
"""When the year begins, in seconds since 1970: when the data that is there at first has ended."""
SETTINGS = {"SIGHTGLASS_RAW_DAYS": "30", "SIGHTGLASS_RUN_DAYS": "31", "SIGHTGLASS_LAKE_GRACE": "0"}
"""How long the log and each run are kept: by these, what a year leaves is bounded. Readers are none."""
MEDIA = 12
"""Media that Neurons holds, more or less: when more have come, the oldest goes."""
MANY = 2
"""Assertions of a record from more than which one is lost."""
CLOCK = """
import datetime, importlib
class Passed(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.datetime.fromtimestamp({now!r}, zone)
for name in ("notify.announce", "cli.run"):
    importlib.import_module("etl." + name).datetime = Passed
"""
"""Code by which the command takes this moment for the present."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run cost, and what was there after it."""

    seconds: float
    requests: int
    files: int
    """Files of the lake that it wrote."""
    rows_written: int
    """Rows in these."""
    disk: dict[str, int]
    """Bytes below the home, by the first name below it."""
    kept: dict[str, int]
    """Files below it, likewise."""
    rows: int
    """Rows of all tables that are published."""
    partitions: int
    """Pieces that these tables are cut into: one for each month of most."""
    open_files: int
    """What this process holds open, of the simulators too."""


@dataclass
class Year:
    """Both simulators, the warehouse, and the clock that all of them go by."""

    plant: Plant
    sightglass: Sightglass
    clock: Clock
    runs: int
    rng: random.Random = field(default_factory=lambda: random.Random("a year"))  # noqa: S311 -- not cryptographic
    figures: list[Figures] = field(default_factory=list)
    """Of the runs that nothing befell."""
    is_extended: bool = False
    """Whether Cogniac sends fields that nobody has declared."""
    malformed: list[tuple[str, str]] = field(default_factory=list)
    """Application and medium of the records that no declaration accepts."""
    forgotten: list[str] = field(default_factory=list)
    switched_off: dict[str, list[Row]] = field(default_factory=dict)
    """What the applications showed that are read no more, when they were read last."""
    names: int = 0

    @property
    def home(self) -> Path:
        """The folder of the warehouse."""
        return self.sightglass.home

    def now(self) -> datetime:
        """What time it is."""
        return datetime.fromtimestamp(self.clock.now, UTC)

    # What happens at the APIs

    def live(self, share: float = 1.0) -> None:
        """Let this part of the time between two runs pass, with what comes in it: nothing sometimes."""
        self.clock.advance(share * 365 * DAY_S / self.runs)
        cogniac, neurons = self.plant.cogniac, self.plant.neurons
        if self.rng.random() < 0.1:
            cogniac.advance(records=1, corrections=1)
        if self.rng.random() < 0.1:
            neurons.advance(media=1)
            if len(neurons.media_ids()) > MEDIA:
                neurons.remove(neurons.media_ids()[0])
        elif self.rng.random() < 0.05:
            neurons.rerun(self.rng.choice(neurons.media_ids()))
        # The clock of a service is not behind its own data.
        updated = (datetime.fromisoformat(one["updated_at"]).timestamp() for one in neurons.truth())
        self.clock.now = max(self.clock.now, cogniac.newest / 1_000_000 + 10, *updated)
        for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2])):
            self.arrive()
        for _ in range(self.rng.choice([0, 0, 1])):
            self.correct()

    def arrive(self) -> str:
        """One more record; the id of its medium."""
        self.names += 1
        application = self.rng.choice(self.active())
        record = late_record(application, f"MEDIUM{self.names:08d}", self.lately())
        if self.is_extended:
            record["media"]["lens"] = f"L{self.names % 3}"
            record["detections"][0]["review"] = {"state": "open"}
        self.plant.cogniac.put(application["application_id"], record)
        return str(record["media"]["media_id"])

    def correct(self) -> None:
        """One record is asserted anew, another one loses an assertion now and then."""
        application_id = self.rng.choice(self.active())["application_id"]
        order = self.plant.cogniac.ledger(application_id).order
        if order:
            record = self.plant.cogniac.record(application_id, self.rng.choice(order))
            media_id, said = record["media"]["media_id"], record["detections"]
            if isinstance(said, list) and said:
                change = self.plant.cogniac.shrink if len(said) > MANY else self.plant.cogniac.bump
                change(application_id, media_id, record["focus"], at=self.lately())

    def put_right(self, application_id: str, media_id: str) -> None:
        """A record that was malformed comes as it should be."""
        application = self.plant.cogniac.application(application_id) or {}
        self.plant.cogniac.put(application_id, late_record(application, media_id, self.lately()))

    def known_alone(self) -> str:
        """A medium of an application with several assertions that no record of another medium names."""
        records = [
            record
            for one in self.active()
            for record in self.plant.cogniac.truth(one["application_id"])
            if record["media"]["media_id"] not in self.forgotten
        ]
        texts = [(record["media"]["media_id"], str(record)) for record in records]
        return next(
            media_id
            for record in sorted(records, key=lambda each: -len(each["detections"]))
            if (media_id := str(record["media"]["media_id"]))
            and not any(media_id in text for other, text in texts if other != media_id)
        )

    def lately(self) -> float:
        """A moment shortly before now."""
        return round(self.clock.now - self.rng.uniform(6, 3000), 6)

    def active(self) -> list[Row]:
        """The applications that are read."""
        return [one for one in self.plant.cogniac.applications() if one["active"]]

    # What a run meets

    @property
    def settings(self) -> config.Settings:
        """What is set, for a call in this process."""
        environ = {"SIGHTGLASS_HOME": str(self.home), **self.sightglass.settings}
        return config.load(own_settings(), environ, file=Path(os.devnull))

    def run(self, *rules: Rule, code: int = 0, check: str = "") -> Report:
        """A run in this process, which meets these rules, and ends with this code and this failed check."""
        watches = (self.plant.cogniac, self.plant.neurons, self.plant.neurons.file_watch)
        script = Script(*rules)
        for each in watches:
            each.fault = script
        begun = time.monotonic()
        with stamina.set_testing(True, attempts=3):
            report = run(self.settings, [], self.now, ignore)
        seconds = time.monotonic() - begun
        for each in watches:
            each.fault = None
        script.check()
        said = report.failed_checks or ""
        if code != report.exit_code or bool(check) != bool(said) or check not in said:
            raise AssertionError((code, check, report))
        if report.held_back:
            # Several media are gone at once: somebody sees to it that they are.
            confirm(self.settings, "deletions", "neurons", self.now())
        if not rules and not code:
            self.note(report, seconds)
        return report

    def note(self, report: Report, seconds: float) -> None:
        """Keep what a run cost."""
        if report.published is None:
            raise AssertionError(report)
        state = Lake(self.home).state()
        self.figures.append(
            Figures(
                seconds,
                sum(each.requests for each in report.streams),
                report.published.files,
                report.published.rows,
                *sizes(self.home),
                sum(each.partition.rows for parts in state.tables.values() for each in parts.values()),
                sum(map(len, state.tables.values())),
                sum(1 for _ in Path("/proc/self/fd").iterdir()),
            )
        )

    def command(self, *arguments: str, before: str = "", **settings: str) -> Ran:
        """The command as a process of its own, by this clock; some code may come before it."""
        program = f"{CLOCK.format(now=self.clock.now)}{before}\nfrom etl import cli\ncli.main()"
        changed = self.sightglass.but_for(settings)
        with started(changed, program, *arguments, out=PIPE) as process:
            out, err = process.communicate(timeout=100)
        return Ran(process.returncode, out, err)

    # What must be there at its end

    def expected(self) -> dict[str, list[Row]]:
        """What the tables of Cogniac must hold: of each application all that there was while it was read."""
        truth = Truth.now(self.plant)
        whole = replace(truth, records=truth.records | self.switched_off)
        return {
            name: in_order([shown(name, row) for row in self.known(found)])
            for name, found in whole.rows().items()
        }

    def known(self, found: Sequence[Row]) -> list[Row]:
        """The rows but for those of what was forgotten."""
        return [row for row in found if row.get("media_id") not in self.forgotten]


def ignore(_stats: StreamStats, _pending: int) -> None:
    """Show no progress."""


def shown(name: str, row: Row) -> Row:
    """A row with what no column is declared for in `_extra`."""
    columns = TABLES[f"cogniac.{name}"].columns
    extra = {key: value for key, value in row.items() if key not in columns}
    return {key: value for key, value in row.items() if key in columns} | ({"_extra": extra} if extra else {})


def sizes(home: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes and files below a folder, by the first name below it; what has several names counts once."""
    disk, kept, seen = dict[str, int](), dict[str, int](), set[int]()
    for folder, _, files in os.walk(home):
        for each in files:
            path = Path(folder, each)
            told, first = path.lstat(), path.relative_to(home).parts[0]
            if told.st_ino not in seen:
                seen.add(told.st_ino)
                disk[first] = disk.get(first, 0) + told.st_size
                kept[first] = kept.get(first, 0) + 1
    return disk, kept
