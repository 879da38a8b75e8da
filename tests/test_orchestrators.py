"""The examples in docs/examples/ run with the library that each is for, and do what an operator expects.

Dagster, Prefect and dlt are in an environment of their own, and so is Airflow: `make test-long` makes both.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import OURS, ROOT, Plant, Sightglass, table
from support.environments import needs, program
from support.odd import send_odd
from support.programs import assigned_in

from etl.demo.script import FOREVER, Answer, Rule, Script
from etl.load import lock

EXAMPLES = ROOT / "docs" / "examples"
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "200",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""What keeps the libraries from telling their makers, or from being impatient."""
SOON = {
    "pipeline.py": ("OVERLAP = 3600.0", "OVERLAP = 0.0"),
    "definitions.py": ("BUSY_SECONDS = 60", "BUSY_SECONDS = 0.5"),
    "flow.py": ("retry_delay_seconds=60", "retry_delay_seconds=0.5"),
    "sightglass_dag.py": ("timedelta(minutes=1)", "timedelta(seconds=0.5)"),
}
"""How long an example waits, or looks back, and how long here."""


@dataclass(frozen=True, slots=True)
class Example:
    """An example in a folder of its own, with the settings that lead to both simulators."""

    folder: Path
    environment: str
    settings: Mapping[str, str]

    @property
    def home(self) -> Path:
        """The folder of the warehouse."""
        return self.folder / "home"

    def has(self, path: str) -> Path:
        """Return a program of the examples as it is here: it does not wait for long."""
        copied = Path(shutil.copy(EXAMPLES / path, self.folder))
        before, after = SOON[copied.name]
        text = copied.read_text(encoding="utf-8")
        assert before in text
        copied.write_text(text.replace(before, after), encoding="utf-8")
        return copied

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program of the environment; what it says, on whatever stream, is read as it comes."""
        machine = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        own = {
            name: str(self.folder)
            for name in ("HOME", "DAGSTER_HOME", "AIRFLOW_HOME", "AIRFLOW__CORE__DAGS_FOLDER", "DLT_DATA_DIR")
        }
        ours = {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "SIGHTGLASS_HOME": str(self.home)}
        return subprocess.Popen(
            [program(self.environment, command), *arguments],
            cwd=self.folder,
            env={**machine, **QUIET, **own, **ours, **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """Run it to its end: its exit code, and what it said."""
        with self.start(command, *arguments) as process:
            said, _ = process.communicate()
        return process.returncode, said

    def run_while_busy(self, sign: str, command: str, *arguments: str) -> tuple[int, int]:
        """Run it while another run holds the warehouse, which ends once the sign of it was seen.

        Its exit code, and how often the sign was seen.
        """
        self.home.mkdir(exist_ok=True)
        with ExitStack() as held, self.start(command, *arguments) as process:
            held.enter_context(lock.hold(self.home, datetime.now(UTC)))
            seen = 0
            assert process.stdout is not None
            for line in process.stdout:
                if re.search(sign, line):
                    seen += 1
                    held.close()
        return process.returncode, seen

    def asked(self, database: str, query: str) -> list[Any]:
        """Return the answer of a database of the library's own."""
        with sqlite3.connect(self.folder / database) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def example(plant: Plant, tmp_path: Path) -> Example:
    """An example of those that share an environment."""
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    return Example(tmp_path, "orchestrators", plant.settings)


@pytest.fixture
def airflow(plant: Plant, tmp_path: Path) -> Example:
    """Airflow, with its database."""
    found = Example(tmp_path, "airflow", plant.settings)
    code, said = found.run("airflow", "db", "migrate")
    assert 0 == code, said
    found.has("airflow/sightglass_dag.py")
    return found


def spoil(plant: Plant) -> None:
    """Let one stream fail, and one record be refused."""
    send_odd(plant)
    plant.cogniac.fault = Script(Rule(path="/subjects$", times=FOREVER, answer=Answer(status=404)))


def said_of(problems: str) -> list[str]:
    """Return the beginning of each line, in which no address is."""
    return [re.split(": GET|: \\d", line)[0] for line in problems.splitlines()]


SPOILED = ["cogniac subjects failed", "newly quarantined, see etl.quarantine"]


# Dagster.


def in_dagster(example: Example) -> Any:  # noqa: ANN401 -- any JSON
    """What Dagster knows of its newest run."""
    code, said = example.run("python", str(ROOT / "tests" / "support" / "dagster_events.py"))
    assert 0 == code, said
    return json.loads(said[said.index("{") :])


def job(example: Example) -> tuple[str, ...]:
    """Return the command that runs all assets."""
    return ("dagster", "job", "execute", "-f", str(example.has("dagster/definitions.py")), "-j", "load_all")


@needs("orchestrators")
def test_dagster_materializes_each_table_with_what_is_known_of_it(example: Example) -> None:
    """Rows, counts of the run, cursor and version; what is missing is a warning of the stream's check."""
    code, said = example.run(*job(example))
    assert 0 == code, said
    told = in_dagster(example)

    assigned = assigned_in(EXAMPLES / "dagster" / "definitions.py")
    expected = {name.replace(".", "/") for name in assigned["TABLES"]} | {"defect_rate"}
    assert ("SUCCESS", expected, []) == (told["status"], {*told["materialized"]}, told["failures"])
    results = told["materialized"]["cogniac/results"]
    ((rows, run_id, newest),) = table(
        example.home, "SELECT count(*), any_value(_run_id), max(updated_at)::VARCHAR FROM cogniac.results"
    )
    assert (rows, run_id, rows, 0) == tuple(
        results[name] for name in ("dagster/row_count", "run_id", "inserted", "quarantined")
    )
    assert newest[:19] == results["cursor"][:19].replace("T", " ")
    failed = {name: each["severity"] for name, each in told["checks"].items() if not each["passed"]}
    assert {"neurons/media nothing_is_missing": "WARN"} == failed
    assert 2 * len(assigned["CHECKED"]) == len(told["checks"])


@needs("orchestrators")
def test_dagster_shows_what_was_loaded_and_fails_for_what_was_not(plant: Plant, example: Example) -> None:
    """All tables but that of the stream that failed; the step says which, and is not tried again."""
    spoil(plant)
    code, said = example.run(*job(example))
    told = in_dagster(example)

    assigned = assigned_in(EXAMPLES / "dagster" / "definitions.py")
    expected = {name.replace(".", "/") for name in assigned["TABLES"]} - {"cogniac/subjects"}
    assert (1, "FAILURE", expected) == (code, told["status"], {*told["materialized"]}), said
    assert [SPOILED] == [said_of(each) for each in told["failures"]]
    failed = {name for name, each in told["checks"].items() if not each["passed"]}
    assert {"cogniac/results nothing_is_refused", "neurons/media nothing_is_missing"} <= failed


@needs("orchestrators")
def test_dagster_tries_again_where_another_run_holds_the_warehouse(example: Example) -> None:
    """Until that one is done."""
    code, seen = example.run_while_busy("STEP_UP_FOR_RETRY", *job(example))

    assert (0, True) == (code, seen > 0)
    assert "SUCCESS" == in_dagster(example)["status"]
    assert [("ok",)] == table(example.home, "SELECT status FROM etl.runs")


# Prefect.


def flow(example: Example) -> tuple[str, ...]:
    """Return the command that runs the flow once."""
    example.has("prefect/flow.py")
    return ("python", "-c", "import flow; flow.load_all()")


def artifacts(example: Example) -> dict[str, Any]:
    """The newest of each artifact, by key."""
    found = example.asked(
        ".prefect/prefect.db", "SELECT key, data FROM artifact WHERE key IS NOT NULL ORDER BY created"
    )
    return {key: json.loads(json.loads(data) if data[0] == '"' else data) for key, data in found}


@needs("orchestrators")
def test_prefect_shows_counts_and_gaps_as_artifacts(example: Example) -> None:
    """One row for each part of each stream."""
    code, said = example.run(*flow(example))
    assert 0 == code, said
    told = artifacts(example)

    counted = table(
        example.home, "SELECT source, stream, partition, inserted, updated, quarantined FROM etl.run_streams"
    )
    shown = [tuple(row.values())[:6] for row in told["sightglass-streams"]]
    assert sorted(counted) == sorted(shown)
    gaps = table(example.home, "SELECT key FROM etl.gaps ORDER BY key")
    assert gaps == [(row["key"],) for row in told["sightglass-gaps"]]
    assert [] == told["sightglass-quarantine"]


@needs("orchestrators")
def test_prefect_fails_for_what_was_not_loaded_and_shows_it(plant: Plant, example: Example) -> None:
    """The error names it; the artifacts are made all the same."""
    spoil(plant)
    code, said = example.run(*flow(example))
    told = artifacts(example)

    assert (1, 1) == (code, len(told["sightglass-quarantine"])), said
    assert ["subjects"] == [row["stream"] for row in told["sightglass-streams"] if row["error"]]
    ((message,),) = example.asked(".prefect/prefect.db", "SELECT state_name || state_type FROM flow_run")
    assert "FailedFAILED" == message
    assert SPOILED == [line for line in SPOILED if line in said]


@needs("orchestrators")
def test_prefect_tries_again_where_another_run_holds_the_warehouse(example: Example) -> None:
    """Until that one is done."""
    code, seen = example.run_while_busy(r"BusyError.*Retry \d/5", *flow(example))

    assert (0, True) == (code, seen > 0)
    assert [("ok",)] == table(example.home, "SELECT status FROM etl.runs")


# Airflow.

RUN = ("airflow", "dags", "test", "sightglass")


def tasks(airflow: Example) -> dict[str, tuple[str, int]]:
    """How each task ended, and on which try."""
    found = airflow.asked("airflow.db", "SELECT task_id, state, try_number FROM task_instance")
    return {name: (state, tried) for name, state, tried in found}


@needs("airflow")
def test_airflow_loads_and_tells_dags_that_follow(airflow: Example) -> None:
    """The event of the asset names the run."""
    airflow.run(*RUN)

    assert {"load": ("success", 1), "look": ("success", 1)} == tasks(airflow)
    ((run_id, changed),) = table(
        airflow.home, "SELECT any_value(run_id), sum(inserted + updated)::BIGINT FROM etl.run_streams"
    )
    ((extra,),) = airflow.asked("airflow.db", "SELECT extra FROM asset_event")
    assert {"run_id": run_id, "changed": changed} == json.loads(extra)


@needs("airflow")
def test_airflow_fails_for_what_was_not_loaded(plant: Plant, airflow: Example) -> None:
    """At the first try, for another one would meet the same; what was refused fails the look at it too."""
    spoil(plant)
    _, said = airflow.run(*RUN)

    assert {"load": ("failed", 1), "look": ("failed", 1)} == tasks(airflow)
    assert SPOILED == [line for line in SPOILED if line in said]
    assert [] == airflow.asked("airflow.db", "SELECT * FROM asset_event")


@needs("airflow")
def test_airflow_tries_again_where_another_run_holds_the_warehouse(airflow: Example) -> None:
    """Until that one is done."""
    _, seen = airflow.run_while_busy("BusyError", *RUN)
    state, tried = tasks(airflow)["load"]

    assert ("success", True, True) == (state, tried > 1, seen > 0)
    assert [("ok",)] == table(airflow.home, "SELECT status FROM etl.runs")


# dlt.


def differing(example: Example) -> list[str]:
    """The tables that are not in the copy as they are in the warehouse."""
    code, said = example.run("python", str(ROOT / "tests" / "support" / "dlt_differences.py"))
    assert 0 == code, said
    found: list[str] = json.loads(said)
    return found


def loaded(said: str) -> dict[str, int]:
    """The rows of each table that dlt loaded, as it says."""
    return {name: int(rows) for name, rows in re.findall(r"- ((?:cogniac|neurons)_\w+): (\d+) row", said)}


@needs("orchestrators")
def test_dlt_keeps_a_copy_equal_and_loads_only_news(
    plant: Plant, example: Example, sightglass: Sightglass
) -> None:
    """What is replaced, and what is gone, gets there too; a refresh brings all anew."""
    example.has("dlt/pipeline.py")

    assert 0 == sightglass("run").code
    first = example.run("python", "pipeline.py")
    again = example.run("python", "pipeline.py")
    assert (0, 0) == (first[0], again[0]), first[1] + again[1]
    assert ([], {"neurons_media", "neurons_assets"}) == (differing(example), {*loaded(again[1])})

    keys = "SELECT application_id, media_id, focus_key, detection_id, subject_uid FROM cogniac.detections"
    before = {*table(example.home, keys)}
    plant.cogniac.advance(records=5, corrections=25)
    plant.neurons.advance(media=2)
    plant.neurons.remove(next(iter(plant.neurons.truth()))["media_id"])
    assert 0 == sightglass("run").code
    code, said = example.run("python", "pipeline.py")
    assert before - {*table(example.home, keys)}
    assert [(1,)] == table(example.home, "SELECT count(*) FROM neurons.media WHERE deleted_at IS NOT NULL")
    ((changed,),) = table(
        example.home,
        "SELECT count(*) FROM cogniac.results WHERE _run_id = (SELECT max(run_id) FROM etl.runs)",
    )
    assert (0, [], changed) == (code, differing(example), loaded(said)["cogniac_results"]), said

    ((media_id,),) = table(example.home, "SELECT min(media_id) FROM cogniac.results")
    assert 0 == sightglass("forget", "--media", media_id).code
    assert [] != differing(example)
    code, said = example.run("python", "pipeline.py", "--refresh")
    assert (0, []) == (code, differing(example)), said
