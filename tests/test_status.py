"""`sightglass status`: what it shows of each stream, what is late and what is not, and what it exits with."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Ran, Sightglass, table
from faults import Healthy
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving
from support.kills import PAUSED, started

from etl.cli.durations import spoken
from etl.errors import EnvironmentFaultError
from etl.load.holder import HOLDER, Holding, holding
from etl.publish.status import status_of

HOUR = timedelta(hours=1)
NO_LOGIN = {"COG_API_KEY": "", "NEURONS_API_KEY": ""}


def states(ran: Ran) -> dict[str, str]:
    """The state of each part of a stream."""
    return {f"{one['stream']} {one['partition']}".strip(): one["state"] for one in ran.report["streams"]}


def newest_run(home: Path) -> datetime:
    """When the newest run of a warehouse began."""
    ((moment,),) = table(home, "SELECT epoch_us(max(started_at)) FROM etl.runs")
    return datetime.fromtimestamp(moment / 1_000_000, UTC)


def test_status_shows_every_stream_without_credentials(loaded: Healthy) -> None:
    """The whole of what is published is told, with exit code 0 where all went well."""
    loaded.restore()

    ran = loaded.sightglass.but_for(NO_LOGIN)("status", "--json", "--max-age", "1h")

    kept = table(loaded.sightglass.home, "SELECT run_id, epoch_us(started_at) FROM etl.runs")
    found = ran.report
    assert (0, "") == (ran.code, ran.err)
    assert (0, None, None, 0, 0) == tuple(
        found[name] for name in ("exit_code", "working", "broken_off", "open_quarantine", "open_gaps")
    )
    assert [("run", "ok", 0)] == [
        tuple(found["last_run"][name] for name in ("command", "status", "exit_code"))
    ]
    expected = dict.fromkeys(
        ("cogniac applications", "cogniac detections a1", "cogniac subjects", "neurons assets"),
        ("ok", kept[0][0], kept[0][1]),
    ) | {"neurons media": ("ok", kept[0][0], kept[0][1])}
    assert expected == {
        f"{one['source']} {one['stream']} {one['partition']}".strip(): (
            one["state"],
            one["last_run_id"],
            round(datetime.fromisoformat(one["last_good_at"]).timestamp() * 1_000_000),
        )
        for one in found["streams"]
    }
    assert all(0 <= one["age_s"] < HOUR.total_seconds() for one in found["streams"])


def test_status_is_one_table_for_people(loaded: Healthy) -> None:
    """Without `--json` it is a table of the same on standard output, with a line for the version."""
    loaded.restore()

    ran = loaded.sightglass("status")

    head, *lines, empty, summary = ran.out.splitlines()
    assert (0, "", "") == (ran.code, ran.err, empty)
    assert ["source", "stream", "part", "state"] == head.split()[:4]
    assert ["cogniac", "cogniac", "cogniac", "neurons", "neurons"] == [line.split()[0] for line in lines]
    assert summary.startswith("published ")
    assert summary.endswith(": ok; in quarantine 0, gaps 0")


def test_a_dead_cron_shows_by_the_clock(loaded: Healthy) -> None:
    """The same warehouse is well within the age that is asked, and late from it on: by the clock alone."""
    loaded.restore()
    home = loaded.sightglass.home
    began = newest_run(home)

    found = [
        {each.state for each in status_of(home, began + age, 2 * HOUR).streams}
        for age in (HOUR, 2 * HOUR, 2 * HOUR + timedelta(seconds=1), 1000 * HOUR)
    ]

    assert [{"ok"}, {"ok"}, {"late"}, {"late"}] == found
    assert {"ok"} == {each.state for each in status_of(home, began + 1000 * HOUR).streams}


def test_late_streams_are_exit_code_3_and_told(loaded: Healthy) -> None:
    """An age that no run can meet makes all streams late."""
    loaded.restore()

    ran = loaded.sightglass("status", "--max-age", "0s", "--json")

    assert (3, 3, {"late"}) == (ran.code, ran.report["exit_code"], set(states(ran).values()))
    assert (
        "sightglass: 5 of 5 streams had no good run within 0 s: see to cron, and to what runs said\n"
        == ran.err
    )


def test_sources_that_are_not_to_be_read_are_off(loaded: Healthy) -> None:
    """What `SIGHTGLASS_SOURCES` leaves out is not late."""
    loaded.restore()

    ran = loaded.sightglass("status", "--max-age", "0s", "--json", SIGHTGLASS_SOURCES="cogniac")

    expected = {"applications": "late", "detections a1": "late", "subjects": "late"}
    assert {**expected, "assets": "off", "media": "off"} == states(ran)


def test_a_backfill_makes_nothing_younger(loaded: Healthy) -> None:
    """A backfill counts neither as a good run, nor as one that left something out."""
    loaded.restore()
    sightglass = loaded.sightglass
    before = newest_run(sightglass.home)
    for source in ("cogniac", "neurons"):
        assert 0 == sightglass("backfill", source, "--since", "2026-03-01").code

    found = status_of(sightglass.home, before + 3 * HOUR, 2 * HOUR).streams

    about = {f"{each.stream} {each.partition}".strip(): (each.state, each.last_good_at) for each in found}
    assert [("off", None)] * 2 == [about.pop("assets backfill"), about.pop("media backfill")]
    assert {("late", before)} == set(about.values())


def test_an_application_that_is_gone_is_off(tmp_path: Path) -> None:
    """What the next run that lists all applications leaves out is not late for ever; what is read is."""
    applications = [{"application_id": name, "active": True} for name in ("a1", "a2")]
    placed = Placed([(one["updated_at"], one) for one in [record(0)]])
    routes = {
        "/1/tenants/[^/]*/applications": lambda _request: {"data": applications},
        "/1/applications/[^/]*/detections": placed,
    }
    with serving(cogniac(routes)) as server:
        sightglass = of_cogniac(tmp_path, server)
        codes = [sightglass("run").code]
        del applications[1]
        codes.append(sightglass("run").code)

        ran = sightglass("status", "--max-age", "0s", "--json")

    assert [0, 0] == codes
    expected = {"applications": "late", "subjects": "late", "detections a1": "late", "detections a2": "off"}
    assert expected == states(ran)


def test_a_stream_that_failed_is_exit_code_3_and_quarantine_4(tmp_path: Path) -> None:
    """Each is told with what to look at, and a failure wins."""
    bad = record(1, user_id=1)
    bad["detections"][0]["probability"] = 5
    placed = Placed([(one["updated_at"], one) for one in (record(0), bad)])
    routes = dict(cogniac({DETECTIONS: placed}))
    with serving(routes) as server:
        sightglass = of_cogniac(tmp_path, server)
        assert 4 == sightglass("run").code
        refused = sightglass("status", "--json")
        routes[DETECTIONS] = {"data": 7}
        assert 3 == sightglass("run").code
        failed = sightglass("status", "--json")

    assert (4, 1, "sightglass: in quarantine, see `sightglass quarantine`: 1\n") == (
        refused.code,
        refused.report["open_quarantine"],
        refused.err,
    )
    assert (3, "failed") == (failed.code, states(failed)["detections a1"])
    assert [True, True] == [
        line.startswith(begins)
        for line, begins in zip(
            failed.err.splitlines(),
            ("sightglass: cogniac detections a1 failed: GET ", "sightglass: in quarantine, "),
            strict=True,
        )
    ]


def test_status_works_beside_a_run_and_tells_of_one_that_was_killed(loaded: Healthy) -> None:
    """While a run holds the warehouse it is named; once it was killed, that is exit code 3 until the next."""
    loaded.restore()
    sightglass = loaded.sightglass
    with started(sightglass, PAUSED, "run") as process:
        assert process.stderr is not None
        assert "about to publish\n" == process.stderr.readline()
        beside = sightglass("status", "--json")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=100)
        after = sightglass("status", "--json")
    again = sightglass("run").code, sightglass("status").code

    works, died = beside.report["working"], after.report["broken_off"]
    assert (0, process.pid, None) == (beside.code, works["pid"], beside.report["broken_off"])
    assert (3, works["run_id"], None) == (after.code, died, after.report["working"])
    told = f"sightglass: run {died} was killed or failed as a whole; the next run goes on from there\n"
    assert told == after.err
    assert (0, 0) == again


def test_a_check_that_holds_publishing_back_is_exit_code_4(loaded: Healthy) -> None:
    """What is published cannot tell of it, so word is left, and taken back with the next version."""
    loaded.restore()
    sightglass = loaded.sightglass
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as warehouse:
        warehouse.execute("UPDATE etl.run_streams SET unchanged = unchanged + 1")
    ran = sightglass("run")
    held = sightglass("status", "--json")
    forced = sightglass("publish", "--force")
    again = sightglass("status", "--json")

    found = held.report["held_back"]
    assert (4, 4, 4) == (ran.code, held.code, held.report["exit_code"])
    assert f"sightglass: {found['error']}" in ran.err.splitlines()
    assert held.err.startswith(f"sightglass: {found['error']} (seen ")
    assert (0, 0, None) == (forced.code, again.code, again.report["held_back"])


def test_the_holder_is_asked_without_touching_the_lock(tmp_path: Path) -> None:
    """Word of a process that does not hold the lock is word of a dead one, whatever its number."""
    (tmp_path / "run.lock").touch()
    word: dict[str, Any] = {"pid": os.getpid(), "since": "2026-03-01T00:00:00+00:00", "run": "r1"}
    (tmp_path / HOLDER).write_text(json.dumps(word))

    assert Holding(os.getpid(), word["since"], "r1", is_alive=False) == holding(tmp_path)
    (tmp_path / HOLDER).write_text("[1")
    assert holding(tmp_path) is None


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shutil.rmtree, "nothing is published in {} yet: run `sightglass run`, or name"),
        (
            lambda home: [path.write_bytes(b"x") for path in home.glob("versions/*.commit")],
            "is damaged: `sightglass publish` makes it anew",
        ),
        (
            lambda home: [path.unlink() for path in home.glob("versions/etl/runs/*.parquet")],
            "what is published in {} cannot be read: ",
        ),
    ],
)
def test_nothing_to_read_is_exit_code_2(damage: Any, says: str, loaded: Healthy) -> None:  # noqa: ANN401
    """Where nothing is published, or it is damaged, one line says what to do."""
    loaded.restore()
    damage(loaded.sightglass.home)

    ran = loaded.sightglass("status", "--json")

    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert says.format(loaded.sightglass.home) in ran.err


def test_a_version_of_an_earlier_release_is_read(loaded: Healthy) -> None:
    """Columns that its files lack are NULL: what nothing tells of is taken for a run."""
    loaded.restore()
    home = loaded.sightglass.home
    for path in home.glob("versions/etl/runs/*.parquet"):
        rows = duckdb.read_parquet(str(path)).select("* EXCLUDE (command)").to_arrow_table()
        duckdb.from_arrow(rows).write_parquet(str(path))

    status = status_of(home, datetime.now(UTC))

    assert status.last_run is not None
    assert ("run", {"ok"}) == (status.last_run.command, {each.state for each in status.streams})


def test_a_file_that_goes_while_it_is_read_is_looked_for_in_the_next_version(loaded: Healthy) -> None:
    """Nothing newer there: the damage is told; this is no loop."""
    loaded.restore()
    for path in loaded.sightglass.home.glob("versions/etl/gaps/*.parquet"):
        path.unlink()

    with pytest.raises(EnvironmentFaultError, match="cannot be read"):
        status_of(loaded.sightglass.home, datetime.now(UTC))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("2", "Error: Invalid value for '--max-age': 2 is no span of time such as 90m, 2h, 1d12h"),
        ("", "Error: Invalid value for '--max-age':  is no span of time such as 90m, 2h, 1d12h"),
        ("-1h", "Error: Invalid value for '--max-age': -1h is no span of time such as 90m, 2h, 1d12h"),
        (
            "9" * 5000 + "d",
            f"Error: Invalid value for '--max-age': {'9' * 5000}d is longer than a hundred years",
        ),
    ],
)
def test_an_age_that_is_none_is_wrong_usage(given: str, says: str, tmp_path: Path) -> None:
    """What is no span of time is told with what would be one."""
    ran = Sightglass(tmp_path)("status", "--max-age", given)

    assert (2, says) == (ran.code, ran.err.splitlines()[-1])


def test_a_reader_that_has_enough_is_no_mistake(loaded: Healthy) -> None:
    """`sightglass status | head -1` ends well, however much there is to tell."""
    loaded.restore()
    with loaded.sightglass.start("status", "--max-age", "0s") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        process.wait(timeout=100)

    assert (3, 1) == (process.returncode, len(said.splitlines()))


LIGHT = """
import sys
sys.argv = ["sightglass", "status"]
from etl import cli
try:
    cli.main()
finally:
    heavy = {"polars", "httpx", "stamina", "pyarrow.compute", "pyarrow.parquet", "filelock", "rich"}
    sys.stderr.write(f"{sorted(heavy & set(sys.modules))}\\n")"""


def test_status_imports_nothing_that_takes_long(loaded: Healthy) -> None:
    """What asks APIs, makes rows or writes files is not waited for."""
    loaded.restore()
    with started(loaded.sightglass, LIGHT, "status") as process:
        _, said = process.communicate(timeout=100)

    assert (0, "[]\n") == (process.returncode, said)


def test_spans_are_told_in_the_largest_unit_of_which_there_are_two() -> None:
    """Nobody reads 7,203 seconds."""
    given = (None, 0.9, 119, 120, 7199, 7200, 172_799, 172_800, -7200)

    assert ["", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d", "-2 h"] == [*map(spoken, given)]
