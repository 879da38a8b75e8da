"""Both simulators served, the command as a process of its own, and the tables that it leaves."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import duckdb
import forked
import hypothesis
import pytest
from share import CASES, FEWER, SLOW

from etl import schema
from etl.config import load
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.server import serve
from etl.load.relation import relation

ROOT = Path(__file__).parents[1]
TABLES = {table.qualified: table for source in schema.sources() for table in source.tables.values()}
Row = dict[str, Any]
OF_THE_RUN = {"_run_id", "_loaded_at", "_record_hash", "fetched_at"}
KEY = (
    *("application_id", "media_id", "focus_key", "subject_uid", "detection_id", "box_index", "valid_from"),
    *("asset", "frame", "aoi_id", "instance", "row_number", "metric", "time_window"),
)
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
OURS = ("COG_", "NEURONS_", "SIGHTGLASS_")
LONGEST_SHOWN = 4000
"""Characters of what a command complained of, at most."""
DEFAULTS = load((), {}, file=Path(os.devnull))
"""The settings where nothing is given."""
FILES = ("metrics", "frt_frame_metrics", "brand_detection", "brand_detection_metrics", "aoi_scores")
pytest.register_assert_rewrite("support", "hostile", "faults")
pytest_plugins = ["support.fixtures"]
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests, and leave out what only `make test-long` tries."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        name = f"{item.path.name}::{item.name.partition('[')[0]}"
        if not SLOW.isdisjoint({item.path.name, name}):
            item.add_marker(pytest.mark.slow)
            cases.setdefault(name, []).append(item)
    if "TEST_LONG" in os.environ:
        return
    left_out = set[pytest.Item]()
    for name, found in cases.items():
        most = FEWER.get(name, CASES)
        kept = {found[place * len(found) // most] for place in range(most)} if len(found) > most else {*found}
        left_out |= {*found} - kept
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True, slots=True)
class Ran:
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:  # noqa: ANN401 -- any JSON
        """The JSON that is all of standard output."""
        return json.loads(self.out)


def _shown(arguments: Sequence[str], ran: Ran) -> Ran:
    """Say how a command ended where a failure shows it: what comes once in a thousand runs is seen once."""
    sys.stdout.write(f"$ sightglass {' '.join(arguments)} -> {ran.code}\n{ran.err[-LONGEST_SHOWN:]}")
    return ran


@dataclass(frozen=True, slots=True)
class Sightglass:
    """The command, run in a folder of its own with these settings and no others."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    bound: bool = False
    """Whether the permissions of files bind it, though the superuser starts it."""

    @property
    def home(self) -> Path:
        """The folder of the warehouse."""
        return self.folder / "home"

    def __call__(self, *arguments: str, **settings: str) -> Ran:
        """Run the command to its end."""
        asked = replace(self, settings={**self.settings, **settings})
        if not self.bound and forked.may_fork(asked.environment):
            code, *said = forked.run(arguments, asked.environment, self.folder, 100)
            return _shown(arguments, Ran(code, *(each.decode() for each in said)))
        with asked.start(*arguments) as process:
            try:
                out, err = process.communicate(timeout=100)
            finally:
                process.kill()
        return _shown(arguments, Ran(process.returncode, out, err))

    def but_for(self, changed: Mapping[str, str]) -> "Sightglass":
        """The command with these settings changed, and without those that are empty here."""
        merged = {**self.settings, **changed}
        return replace(self, settings={name: value for name, value in merged.items() if value})

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        always = {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "SIGHTGLASS_HOME": str(self.home)}
        return {**machine, **always, **self.settings}

    def start(self, *arguments: str, out: int = PIPE, err: int = PIPE) -> Popen[str]:
        """The command as a process that has begun."""
        return Popen(
            [*(BOUND if self.bound and os.geteuid() == 0 else ()), sys.executable, "-m", "etl", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=DEVNULL,
            stdout=out,
            stderr=err,
            encoding="utf-8",
            umask=0o022,
        )


@dataclass(frozen=True, slots=True)
class Plant:
    """Both simulators, served, and the settings that lead to them."""

    cogniac: CogniacSimulator
    neurons: NeuronsSimulator
    cogniac_login: dict[str, str]
    neurons_login: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """All that a run of both sources needs."""
        return self.cogniac_login | self.neurons_login


@contextmanager
def serving(
    cogniac: CogniacSimulator | None = None,
    neurons: NeuronsSimulator | None = None,
    clock: Callable[[], float] | None = None,
) -> Iterator[Plant]:
    """Serve both simulators, small ones where none are given; their answers are dated by the clock."""
    cogniac = cogniac or CogniacSimulator(1, CogniacSize(records=40))
    neurons = neurons or NeuronsSimulator(1, NeuronsSize(media=6, frames=(50, 60)))
    with (
        serve(cogniac.app, clock) as cogniac_url,
        serve(neurons.app, clock) as url,
        serve(neurons.files, clock) as files_url,
    ):
        neurons.files_url = files_url
        yield Plant(
            cogniac,
            neurons,
            {"COG_API_KEY": cogniac.api_key, "COG_URL_PREFIX": cogniac_url},
            {"NEURONS_API_KEY": neurons.api_key, "NEURONS_URL": url},
        )


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Both simulators with little in them."""
    with serving() as served:
        yield served


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to both simulators."""
    return Sightglass(tmp_path, plant.settings)


def read_terminal(terminal: int) -> str:
    """Everything written to a terminal until its other side is closed, which Linux tells by an error."""
    shown = b""
    with suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as ours:
        while chunk := ours.read(4096):
            shown += chunk
    return shown.decode()


def as_read(name: str) -> str:
    """A table of the warehouse as readers see it, to be named after FROM."""
    declared = TABLES.get(name)
    if declared is None:
        return name
    return f"(SELECT {', '.join(declared.columns)} FROM {relation(declared)})"  # noqa: S608


def rows(home: Path, name: str) -> list[Row]:
    """A table's rows without what is NULL: times as microseconds since 1970, JSON parsed."""
    kinds = {column: kind for column, kind, *_ in table(home, f"DESCRIBE FROM {as_read(name)}")}
    shown = (f'epoch_us("{column}")' if "ZONE" in kind else f'"{column}"' for column, kind in kinds.items())
    found = table(home, f"SELECT {', '.join(shown)} FROM {as_read(name)}")  # noqa: S608 -- names of our own
    readers = {
        column: json.loads if kind == "JSON" else lambda value: value for column, kind in kinds.items()
    }
    return [
        {name: readers[name](value) for name, value in zip(kinds, row, strict=True) if value is not None}
        for row in found
    ]


def all_rows(home: Path) -> dict[str, list[Row]]:
    """Every row of every table, in no order of the file's."""
    names = table(home, "SELECT schema_name || '.' || table_name FROM duckdb_tables()")
    return {name: sorted(rows(home, name), key=str) for (name,) in names}


def leaked(secrets: Iterable[str], ran: Ran, home: Path) -> list[str]:
    """The secrets that the command has said, or left in a table or any byte outside the log."""
    files = [path for path in home.rglob("*") if path.is_file() and home / "raw" not in path.parents]
    seen = [ran.out, ran.err, str(all_rows(home)), *(path.read_bytes().decode("latin-1") for path in files)]
    return [secret for secret in secrets if any(secret in each for each in seen)]


def in_order(found: list[Row]) -> list[Row]:
    """Rows without what each run writes anew, by their keys."""
    kept = [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in found]
    return sorted(kept, key=lambda row: [str(row.get(name)) for name in KEY])


def table(home: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of a warehouse to a query."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulators said at a moment."""

    applications: list[Row]
    subjects: list[Row]
    records: dict[str, list[Row]]
    """Of the active applications, by their ids."""
    media: list[Row]
    files: dict[tuple[str, str], bytes]
    """The assets of videos that hold rows, by medium and name."""

    @classmethod
    def now(cls, plant: Plant) -> "Truth":
        """What the simulators say now."""
        applications, media = plant.cogniac.applications(), list(plant.neurons.truth())
        active = [one["application_id"] for one in applications if one["active"]]
        named = [(one["media_id"], name) for one in media for name in one["results"] if name in FILES]
        return cls(
            applications,
            plant.cogniac.subjects(),
            {application_id: list(plant.cogniac.truth(application_id)) for application_id in active},
            media,
            {(media_id, name): plant.neurons.asset_bytes(media_id, name) for media_id, name in named},
        )

    def rows(self) -> dict[str, list[Row]]:
        """What the tables must hold, as `rows` shows it."""
        made: dict[str, list[Row]] = {name: [] for name in ("results", "detections", "detection_boxes")}
        media: dict[str, Row] = {}
        for application_id, records in self.records.items():
            for record in records:
                focus, media_id = record["focus"], record["media"]["media_id"]
                key = "" if focus is None else json.dumps(focus, sort_keys=True, separators=(",", ":"))
                about = {"application_id": application_id, "media_id": media_id, "focus_key": key}
                media[media_id] = plain(record["media"])
                for other in record.get("other_media", ()):
                    media.setdefault(other["media_id"], other)
                made["results"].append(result_row(about, record))
                for said in record["detections"]:
                    made["detections"].append(detection_row(about, said, record["updated_at"]))
                    made["detection_boxes"] += box_rows(about, said, record["updated_at"])
        made |= {"media": list(media.values())}
        made |= {"applications": [plain(one) for one in self.applications]}
        made |= {"application_thresholds": [row for one in self.applications for row in threshold_rows(one)]}
        return made | {"subjects": [plain(one) for one in self.subjects]}


def plain(record: Row) -> Row:
    """The fields of a record as `rows` shows them."""
    shown = {name: value for name, value in record.items() if value is not None}
    for name, value in shown.items():
        if name.endswith("_at") or name == "media_timestamp":
            shown[name] = round(value * 1_000_000)
        elif name in ("app_data", "custom_data") and isinstance(value, str):
            shown[name] = json.loads(value) if value[:1] in ("{", "[") else value
    return shown


def threshold_rows(application: Row) -> Iterator[Row]:
    """The thresholds that one application sets."""
    for uid, threshold in application.get("detection_thresholds", {}).items():
        yield {"application_id": application["application_id"], "subject_uid": uid, "threshold": threshold}


def result_row(about: Row, record: Row) -> Row:
    """What one record says of itself."""
    corners = {f"focus_{corner}": at for corner, at in (record["focus"] or {}).get("box", {}).items()}
    own = {name: record.get(name) for name in ("focus", "other_media", "updated_at")}
    return plain({**about, **corners, **own, "detection_count": len(record["detections"])})


def detection_row(about: Row, said: Row, updated_at: float) -> Row:
    """One assertion of a record."""
    who = "model" if said["user_id"] is None else "user" if said["app_id"] else "capture"
    added = {"asserted_by": who, "assertion_media_id": said["media_id"], "updated_at": updated_at}
    if said["app_data"] is not None and said["app_data_type"] in ("ocr", "count"):
        is_count = said["app_data_type"] == "count"
        added["reading"] = str(float(said["app_data"]) if is_count else said["app_data"])
    return plain({**about, **said, **added})


def box_rows(about: Row, said: Row, updated_at: float) -> Iterator[Row]:
    """The boxes of one assertion."""
    found = plain(said)["app_data"] if said["app_data_type"] == "box_set" else []
    named = {
        "detection_id": said["detection_id"],
        "subject_uid": said["subject_uid"],
        "updated_at": updated_at,
    }
    for index, each in enumerate(found if isinstance(found, list) else [found]):
        box = {"box_index": index, "probability": each.get("probability"), **each["box"]}
        yield plain({**about, **named, **box})


@dataclass(frozen=True, slots=True)
class Step:
    """One run, what was true at that time, and a copy of the warehouse it left."""

    ran: Ran
    truth: Truth
    home: Path


@dataclass(frozen=True, slots=True)
class Story:
    """A first load, a run right after it, and a run after more has happened, all into one warehouse."""

    first: Step
    again: Step
    increment: Step
    home: Path


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Three runs for tests that only read."""
    cogniac = CogniacSimulator(27, CogniacSize(records=300))  # 27: so few records seldom show every shape
    neurons = NeuronsSimulator(1, NeuronsSize(media=20, frames=(60, 90)))
    with serving(cogniac, neurons) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("story"), plant.settings)

        def step() -> Step:
            ran = sightglass("run", "--json")
            copy = tmp_path_factory.mktemp("step")
            shutil.copy(sightglass.home / "warehouse.duckdb", copy)
            return Step(ran, Truth.now(plant), copy)

        first, again = step(), step()
        cogniac.advance(records=40, corrections=60)
        neurons.advance(media=2)
        return Story(first, again, step(), sightglass.home)
