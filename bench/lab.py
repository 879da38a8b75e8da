"""What the figures share: corpora, servers, folders, and how to start what is measured."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from bench.measure import PYTHON, Cost, measured, middle

ROOT = Path(__file__).parent.parent
SIGHTGLASS = str(Path(PYTHON).with_name("sightglass"))
VERSION = 2
"""Of what the cache holds; a higher number makes all of it anew."""
MB = 10**6
SECOND = 1_000_000
NEVER = 1 << 62
MONTH = 30
"""Days that a corpus covers out of which large warehouses are made, a month for each copy of it."""
DONE = "done"
"""The file that says a warehouse in the cache is complete."""
SIX = 6
"""Applications of the simulated plant: one of each kind."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Prepared records: where they are, and how much they are."""

    folder: Path
    records: int
    detections: int
    bytes: int
    applications: list[str]

    @property
    def range(self) -> tuple[int, int]:
        """Two whole epoch seconds between which all records changed."""
        first, last = NEVER, 0
        for application_id in self.applications:
            index = (self.folder / f"{application_id}.index").read_bytes()
            if index:
                times = memoryview(index).cast("q")[0::2]
                first, last = min(first, times[0]), max(last, times[-1])
        return first // SECOND - 1, last // SECOND + 2

    @property
    def changed(self) -> "Corpus":
        """The same after some records have changed."""
        return read_corpus(self.folder.with_name(self.folder.name + "-changed"))


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is held to: a number, and whether it may be at most or at least that."""

    bound: float
    at_most: bool = False
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Whether the value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    ours: str
    theirs: str
    value: float | None
    """What the goal is about, mostly a ratio; None where it could not be measured."""
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One measured process, for the second table."""

    name: str
    cost: Cost
    rows: int
    """Records (or frames) that went through it; 0 where that says nothing."""


@dataclass(slots=True)
class Lab:
    """Where figures are measured."""

    scale: float
    repeat: int
    cache: Path
    scratch: Path
    parts: list[Part] = field(default_factory=list)

    def size(self, full: int, least: int = 1) -> int:
        """Return a full size, scaled down, but not below the least that still says something."""
        return max(least, round(full * self.scale))

    def note(self, text: str) -> None:
        """Tell people what is going on."""
        sys.stderr.write(f"bench: {text}\n")

    def folder(self, name: str) -> Path:
        """Return a folder of this name that is new and empty."""
        made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))
        made.chmod(0o700)
        return made

    def prepared(self, name: str, module: str, *arguments: object, done: str) -> Path:
        """Return a folder of the cache, filled by a module of ours if need be.

        `done` is the file it writes last.
        """
        folder = self.cache / f"v{VERSION}" / name
        if not (folder / done).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.note(f"preparing {name}")
            subprocess.run(
                [PYTHON, "-m", module, folder, *map(str, arguments)], check=True, cwd=ROOT, env=self.environ()
            )
        return folder

    def corpus(self, records: int, applications: int = SIX, days: int = 120, changes: int = 0) -> Corpus:
        """Return a corpus of so many records over so many days, and one where some have changed since."""
        name = f"cogniac-{records}-{applications}-{days}-{changes}"
        return read_corpus(
            self.prepared(name, "bench.pages", records, applications, days, changes, done="tenant.json")
        )

    def environ(self, **settings: object) -> dict[str, str]:
        """Return the environment of a child.

        None of this machine's credentials or proxies, and these settings; and Python keeps what it compiles,
        whatever is said here: what is installed is compiled once, not by each run.
        """
        ours = ("COG_", "NEURONS_", "SIGHTGLASS_", "DLT_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        config = {name: str(self.scratch) for name in ("XDG_CONFIG_HOME", "TMPDIR")}
        config |= {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
        return {**kept, **config, **{name: str(value) for name, value in settings.items()}}

    def cost(self, command: Sequence[object], **settings: object) -> Cost:
        """Return what a command costs under these settings."""
        return measured([str(each) for each in command], self.environ(**settings))

    def enter(self, name: str, cost: Cost, rows: int) -> None:
        """Take a cost into the second table, and say it."""
        self.parts.append(Part(name, cost, rows))
        rate = f", {rows / cost.seconds:,.0f} rows/s" if rows else ""
        self.note(f"{name}: {cost.seconds:.2f} s{rate}, {cost.cpu_s:.2f} s of CPU, {cost.peak / MB:,.0f} MB")

    def by_turns(
        self, rows: int, contenders: Mapping[str, Callable[[], Cost]], turns: int = 0
    ) -> dict[str, Cost]:
        """Return the middle cost of each contender, all of them once, then all of them again, and so on."""
        found: dict[str, list[Cost]] = {name: [] for name in contenders}
        for turn in range(turns or self.repeat):
            for name, run in contenders.items():
                found[name].append(run())
                self.note(f"turn {turn + 1}, {name}: {found[name][-1].seconds:.2f} s")
        costs = {name: middle(some) for name, some in found.items()}
        for name, cost in costs.items():
            self.enter(name.replace("_", " "), cost, rows)
        return costs


def read_corpus(folder: Path) -> Corpus:
    """Return the corpus in this folder."""
    tenant = json.loads((folder / "tenant.json").read_bytes())
    applications = [each["application_id"] for each in tenant["applications"]]
    return Corpus(folder, tenant["records"], tenant["detections"], tenant["bytes"], applications)


def cogniac(url: str, home: Path) -> dict[str, str]:
    """Return the settings that lead `sightglass` to a served corpus."""
    return {"COG_API_KEY": "bench-key:bench-secret", "COG_URL_PREFIX": url, "SIGHTGLASS_HOME": str(home)}


def neurons(url: str, home: Path) -> dict[str, str]:
    """Return the settings that lead `sightglass` to served media."""
    return {"NEURONS_API_KEY": "bench-key", "NEURONS_URL": url, "SIGHTGLASS_HOME": str(home)}


@contextmanager
def serving(lab: Lab, module: str, *arguments: object) -> Iterator[str]:
    """Provide the address of a server of ours that lives as long as the block, a process of its own."""
    command = [PYTHON, "-m", module, *map(str, arguments)]
    server = subprocess.Popen(
        command, cwd=ROOT, env=lab.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    told, until = cast("IO[str]", server.stdout), cast("IO[str]", server.stdin)
    try:
        url = told.readline().strip()
        if not url:
            raise RuntimeError(f"{' '.join(command)} did not come up")
        yield url
    finally:
        until.close()
        server.wait(timeout=30)
        told.close()


def said(cost: Cost, rows: int, what: str = "records") -> str:
    """Return a cost as a cell of the table."""
    return (
        f"{cost.seconds:.2f} s, {rows / cost.seconds:,.0f} {what}/s, {cost.cpu_s:.1f} s of CPU, "
        f"{cost.peak / MB:,.0f} MB"
    )


def counted(cost: Cost, expected: int) -> Cost:
    """Return the cost of a run of ours, after a look at whether it did all there was to do."""
    streams: Sequence[Mapping[str, Any]] = cost.told["streams"]
    brought = sum(each["inserted"] + each["updated"] for each in streams if each["stream"] == "detections")
    if cost.told["status"] != "ok" or brought != expected:
        raise RuntimeError(f"the run brought {brought} of {expected} records, and was {cost.told['status']}")
    return cost
