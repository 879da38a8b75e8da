"""Both simulators served, the command as a process of its own, and the tables that it leaves."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import duckdb
import forked
import hypothesis
import pytest

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
DEFAULTS = load((), {}, file=Path(os.devnull))
"""The settings where nothing is given."""
FILES = ("metrics", "frt_frame_metrics", "brand_detection", "brand_detection_metrics", "aoi_scores")
SLOW = {
    "test_address.py",
    "test_announce.py",
    "test_any_input.py",
    "test_any_kill.py",
    "test_archive.py",
    "test_archive_cogniac.py",
    "test_archive_kills.py",
    "test_archive_store.py",
    "test_backfill.py",
    "test_clocks.py",
    "test_command_kills.py",
    "test_copies.py",
    "test_cursors.py",
    "test_dialects.py::test_spark_answers_over_the_lake_what_duckdb_does",
    "test_dialects.py::test_spark_answers_to_each_case_what_duckdb_does",
    "test_dialects.py::test_what_is_printed_for_duckdb_answers_as_the_views",
    "test_disk.py",
    "test_doctor.py",
    "test_doctor_apis.py",
    "test_extras.py",
    "test_failures.py",
    "test_fault_damage.py",
    "test_fault_files.py",
    "test_fault_machine.py",
    "test_fault_queries.py",
    "test_fault_size.py",
    "test_fault_size_bodies.py",
    "test_fault_slowness.py",
    "test_faults.py",
    "test_follow.py",
    "test_forget.py",
    "test_found.py",
    "test_history.py::test_every_row_is_as_it_would_be_stored",
    "test_history.py::test_versions_in_any_order_are_what_the_history_says",
    "test_history.py::test_versions_in_order_are_what_the_history_says",
    "test_home_names.py",
    "test_hostile_accounts.py",
    "test_hostile_bodies.py",
    "test_hostile_listing.py",
    "test_hostile_lists.py",
    "test_hostile_output.py",
    "test_hostile_settings.py",
    "test_hostile_sizes.py",
    "test_hostile_values.py",
    "test_kills.py",
    "test_links.py",
    "test_listen_disk.py::test_a_burst_of_20_000_posts_is_stored",
    "test_listen_disk.py::test_a_kill_at_any_moment_loses_nothing_that_was_answered",
    "test_listen_start.py",
    "test_logs.py",
    "test_marts.py::test_all_of_this_holds_on_the_floor",
    "test_media.py",
    "test_moving.py",
    "test_package.py",
    "test_plan.py",
    "test_postbacks.py",
    "test_postbacks_odd.py",
    "test_postgres.py",
    "test_publish_files.py",
    "test_publish_kills.py",
    "test_quarantine_command.py",
    "test_readers.py",
    "test_rebuild.py",
    "test_recovery.py",
    "test_redact.py",
    "test_refresh.py",
    "test_report.py",
    "test_report_reading.py",
    "test_resume.py",
    "test_run.py::test_the_oldest_supported_duckdb_loads_the_same_rows",
    "test_run_days.py",
    "test_samples.py",
    "test_scrub.py",
    "test_short_list.py",
    "test_snapshot.py",
    "test_stateful.py",
    "test_stateful_lists.py",
    "test_status.py",
    "test_stops.py",
    "test_store.py",
    "test_target_delta.py::test_a_kill_at_any_moment_is_made_good",
    "test_target_delta.py::test_forget_leaves_nothing_there",
    "test_target_delta.py::test_what_could_not_be_forgotten_there_is_by_the_next",
    "test_terminal.py",
    "test_third_source.py::test_a_rebuild_and_a_run_that_finds_nothing_leave_tables_and_cursors_as_they_are",
    "test_third_source.py::test_a_run_that_is_killed_is_gone_on_with_without_loss_or_duplicate",
    "test_undo.py",
    "test_unreported.py",
    "test_upgrade.py",
    "test_variants.py",
    "test_verify.py",
    "test_year.py",
}
"""What `make test` leaves out: files of this folder, and tests of other files."""

CASES = 2
"""Of a slow test with more cases so many are tried, evenly chosen; `make test-long` tries all."""
FEWER = {
    "test_any_kill.py::test_killed_anywhere": 3,
    "test_archive_cogniac.py::test_a_kill_at_any_commit_costs_nothing": 0,
    "test_archive_kills.py::test_a_kill_at_any_moment_costs_nothing": 1,
    "test_command_kills.py::test_a_loop_of_runs_that_is_killed_goes_on_with_the_next": 1,
    "test_command_kills.py::test_killed_and_run_again": 3,
    "test_copies.py::test_every_order_of_contradictory_copies_tells_the_same": 0,
    "test_fault_machine.py::test_commands_work_without_anybody_to_tell": 1,
    "test_faults.py::test_nothing_that_opens_anything_is_kept_or_said": 0,
    "test_forget.py::test_a_kill_at_any_moment_is_made_good_by_the_next": 1,
    "test_forget.py::test_a_rebuild_gives_the_same": 1,
    "test_forget.py::test_no_run_brings_it_back": 1,
    "test_home_names.py::test_every_command_works_where_the_name_is_a_pattern": 0,
    "test_hostile_output.py::test_a_standard_output_that_is_full_or_closed_ends_in_no_traceback": 0,
    "test_hostile_output.py::test_what_standard_output_cannot_show_is_shown_by_its_number": 1,
    "test_hostile_sizes.py::test_a_record_that_is_too_large_is_refused_alone": 0,
    "test_hostile_sizes.py::test_memory_that_cannot_be_had_is_told_as_such": 0,
    "test_hostile_sizes.py::test_much_that_is_large_in_quarantine": 0,
    "test_hostile_sizes.py::test_wide_texts_beside_narrow_ones_need_no_more_than_usual_memory": 0,
    "test_kills.py::test_killed_at_any_commit": 0,
    "test_marts.py::test_all_of_this_holds_on_the_floor": 0,
    "test_postbacks.py::test_a_rebuild_gives_the_posts_as_well": 0,
    "test_postgres.py::test_a_key_that_no_index_can_hold_costs_the_key_alone": 0,
    "test_postgres.py::test_a_kill_at_any_moment_is_made_good_by_the_next": 1,
    "test_postgres.py::test_a_reader_sees_whole_versions_alone": 0,
    "test_postgres.py::test_a_server_that_answers_nothing_is_given_up": 0,
    "test_postgres.py::test_another_warehouse_is_refused": 0,
    "test_postgres.py::test_what_somebody_else_has_changed_is_made_good": 0,
    "test_publish_kills.py::test_an_increment_killed_anywhere": 0,
    "test_publish_kills.py::test_new_definitions_killed_anywhere": 0,
    "test_quarantine_command.py::test_of_several_versions_the_newest_stays": 0,
    "test_readers.py::test_every_run_goes_well": 0,
    "test_readers.py::test_every_version_reads_the_same": 0,
    "test_readers.py::test_readers_are_never_disturbed": 0,
    "test_refresh.py::test_a_kill_leaves_readers_what_they_had": 1,
    "test_resume.py::test_a_killed_load_costs_what_was_in_flight": 0,
    "test_resume.py::test_a_stream_that_fails_keeps_what_it_read": 0,
    "test_run_days.py::test_a_rebuild_has_the_same_sums": 0,
    "test_stops.py::test_a_long_load_goes_on_where_it_was_killed": 0,
    "test_store.py::test_a_kill_at_any_request_leaves_a_whole_version": 0,
    "test_store.py::test_forgetting_and_rebuilding_reach_the_store": 0,
    "test_undo.py::test_a_kill_at_any_moment_changes_nothing_or_all": 2,
    "test_undo.py::test_what_was_posted_goes_back_to_the_inbox": 0,
    "test_upgrade.py::test_an_upgrade_that_is_killed_is_whole_or_not_begun": 1,
    "test_variants.py::test_a_deletion_between_two_pages_of_the_list_hides_nothing": 1,
    "test_variants.py::test_a_list_that_repeats_or_omits_marks_nothing_as_gone": 2,
    "test_variants.py::test_ties_are_read_to_the_last_under_any_reading": 0,
    "test_verify.py::test_a_repair_that_is_killed_is_done_by_the_next": 0,
    "test_verify.py::test_damage_to_the_log_is_named_and_set_aside": 0,
    "test_verify.py::test_damage_to_the_tables_is_named_and_healed_from_the_log": 1,
    "test_verify.py::test_random_damage_is_found_and_healed": 0,
    "test_verify.py::test_readers_who_see_something_else_get_what_is_stored": 0,
    "test_verify.py::test_what_the_log_does_not_hold_is_read_again": 0,
    "test_verify.py::test_windows_are_drawn_by_a_seed": 0,
    "test_year.py::test_a_rebuild_gives_equal_tables": 0,
    "test_year.py::test_a_run_costs_what_it_did": 0,
    "test_year.py::test_nothing_is_left_open": 0,
    "test_year.py::test_the_log_is_cut_off": 0,
    "test_year.py::test_the_tables_are_what_the_apis_say": 0,
    "test_year.py::test_verify_finds_nothing": 0,
}
"""Of these others: more of what finds most, fewer or none of what takes long."""

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
            return Ran(code, *(each.decode() for each in said))
        with asked.start(*arguments) as process:
            try:
                out, err = process.communicate(timeout=100)
            finally:
                process.kill()
        return Ran(process.returncode, out, err)

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
