"""Every command, killed at any of its steps and run again: what is left is as if nothing had happened."""

import itertools
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from subprocess import DEVNULL

import duckdb
import pytest
from conftest import Plant, Sightglass, rows
from starlette.requests import Request
from support.kills import Moment, at_a_call, died, place
from support.narrower import narrow
from support.posts import AT, post, posted
from support.publish_kills import copy
from support.steps import Left, ended, left, steps

LITTLE = {"applications": 2, "records": 30}
IS_LONG = "TEST_LONG" in os.environ
KILLS = 12 if IS_LONG else 1
MOST_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Homes:
    """Warehouses in the states that commands begin from, and what undisturbed commands leave of them."""

    sightglass: Sightglass
    kept: Path
    undisturbed: dict[str, tuple[int, Left]] = field(default_factory=dict)

    def keep(self, name: str) -> None:
        """Remember the folder as it is now."""
        copy(self.sightglass.folder, self.kept / name)

    def restored(self, name: str) -> Sightglass:
        """The command in a folder of this state; it is one folder for all, for the views name the lake's."""
        copy(self.kept / name, self.sightglass.folder)
        return self.sightglass

    def expected(self, name: str) -> tuple[int, Left]:
        """How many steps a command takes that nobody kills, and what it leaves."""
        if name not in self.undisturbed:
            spared = self.restored(CASES[name].begins)
            code, count = steps(spared, *CASES[name].arguments(spared))
            self.undisturbed[name] = count, left(spared, code)
        return self.undisturbed[name]


@dataclass(frozen=True, slots=True)
class Case:
    """A command, and what it begins from."""

    begins: str
    arguments: Callable[[Sightglass], tuple[str, ...]]
    code: int = 0
    is_elsewhere: bool = False
    """Whether other tests kill it too: then it is left to `make test-long` here."""


def said(*arguments: str) -> Callable[[Sightglass], tuple[str, ...]]:
    """Arguments that are the same whatever is stored."""
    return lambda _place: arguments


def newest(place: Sightglass) -> str:
    """The newest run."""
    return max(str(run["run_id"]) for run in rows(place.home, "etl.runs"))


def refused(place: Sightglass) -> str:
    """One of what is in quarantine."""
    return min(str(each["quarantine_id"]) for each in rows(place.home, "etl.quarantine"))


def medium(place: Sightglass) -> str:
    """A medium that has results."""
    return min(str(each["media_id"]) for each in rows(place.home, "cogniac.results"))


CASES = {
    "run": Case("first", said("run"), is_elsewhere=True),
    "backfill": Case("refused", said("backfill", "cogniac", "--since", "2020-01-01")),
    "refresh": Case("refused", said("refresh", "cogniac.detections"), is_elsewhere=True),
    "confirm": Case("grown", said("confirm", "account", "cogniac")),
    "quarantine replay": Case("refused", said("quarantine", "replay")),
    "quarantine dismiss": Case("refused", lambda place: ("quarantine", "dismiss", refused(place))),
    "publish": Case("unpublished", said("publish"), is_elsewhere=True),
    "rebuild": Case("refused", said("rebuild"), is_elsewhere=True),
    "rebuild into": Case("grown", said("rebuild", "--into", "other")),
    "rebuild alone": Case("altered", said("rebuild", "--log-alone"), code=4),
    "undo": Case("grown", lambda place: ("undo", newest(place)), is_elsewhere=True),
    "forget": Case("grown", lambda place: ("forget", "--media", medium(place)), is_elsewhere=True),
    "verify": Case("grown", said("verify"), is_elsewhere=True),
    "repair": Case("damaged", said("repair"), is_elsewhere=True),
    "snapshot": Case("grown", said("snapshot", "one.duckdb"), is_elsewhere=True),
    "report": Case("grown", said("report")),
    "status": Case("grown", said("status")),
    "doctor": Case("grown", said("doctor")),
    "plan": Case("grown", said("plan")),
    "sql": Case("grown", said("sql", "SELECT count(*) FROM cogniac.results")),
}
DAMAGE = """
    DELETE FROM cogniac.results WHERE media_id = (SELECT min(media_id) FROM cogniac.results);
    UPDATE cogniac.media SET filename = 'x' WHERE media_id = (SELECT min(media_id) FROM cogniac.media);
    DELETE FROM neurons.assets WHERE asset = 'metrics'"""


@pytest.fixture(scope="module")
def homes(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """A warehouse where a run has refused much, one before its second run and after it, and worse ones."""
    folder = tmp_path_factory.mktemp("homes")
    settings = {"SIGHTGLASS_RAW_DAYS": "forever", "SIGHTGLASS_LAKE_GRACE": "0"}
    sightglass = place(folder / "place", served, **settings)
    homes = Homes(sightglass, folder / "kept")
    homes.kept.mkdir()
    homes.keep("empty")
    codes = [sightglass("run", PYTHONPATH=narrow(folder / "narrower")).code]
    homes.keep("refused")
    codes.append(homes.restored("empty")("run").code)
    served.cogniac.advance(records=20, corrections=10)
    served.neurons.advance(media=2)
    posted(sightglass.home, post("m1", ("s1", 0.5, AT)), post("m2", ("s2", 0.25, AT)))
    homes.keep("first")
    assert died(sightglass, Moment(at_a_call("etl.pipeline.run", "owner", "publish"), 1))
    homes.keep("unpublished")
    codes.append(homes.restored("first")("run").code)
    homes.keep("grown")
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        connection.execute(DAMAGE)
    homes.keep("altered")
    max((sightglass.home / "versions" / "cogniac" / "subjects").glob("*[!0].*.parquet")).write_bytes(b"no")
    homes.keep("damaged")
    assert [4, 0, 0] == codes
    return homes


@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if IS_LONG or not case.is_elsewhere])
def test_killed_and_run_again(homes: Homes, name: str, number: int) -> None:
    """Tables, what readers see, files and the exit code are those of a command that nobody killed."""
    case, (count, expected) = CASES[name], homes.expected(name)
    killed = homes.restored(case.begins)
    arguments = case.arguments(killed)
    dice = random.Random(f"{name} {number}")  # noqa: S311 -- wants a seed, not secrecy
    moments = [dice.randint(1, count) for _ in range(dice.randint(1, MOST_IN_A_ROW))]
    codes = list[int]()
    while moments and all(code < 0 for code in codes):
        codes.append(ended(killed, moments.pop(), *arguments))
    if codes[-1] < 0:
        ran = killed(*arguments)
        assert "Traceback" not in ran.err
        codes.append(ran.code)

    assert case.code == expected.code
    assert expected == left(killed, codes[-1]), (moments, codes)


ASIDE = {
    "verify": (
        "verify",
        Moment(at_a_call("etl.pipeline.verify", "owner", "replayed_differences"), 1, "after"),
    ),
    "rebuild": ("rebuild", Moment(at_a_call("etl.pipeline.rebuild", "owner", "bring_in"), 1)),
    "undo": ("rebuild", Moment(at_a_call("etl.pipeline.undo", "owner", "bring_in"), 1)),
}
"""By the command, the folder of what it makes aside, and when that is largest."""


@pytest.mark.parametrize("name", ASIDE)
def test_what_was_made_aside_goes_with_whatever_comes_next(homes: Homes, name: str) -> None:
    """It is as large as the warehouse: nobody need run the command again that was killed."""
    aside, moment = ASIDE[name]
    killed = homes.restored("grown")
    is_killed = died(killed, moment, *CASES[name].arguments(killed))
    was_there = [*(killed.home / aside).rglob("*.duckdb")]
    ran = killed("run")

    assert (True, 1, 0) == (is_killed, len(was_there), ran.code)
    assert not (killed.home / aside).exists()


def test_a_folder_that_was_rebuilt_into_is_its_owners_once_a_run_has_loaded(homes: Homes) -> None:
    """It is never begun again over what came since, whatever became of the rebuild."""
    killed = homes.restored("grown")
    arguments = CASES["rebuild into"].arguments(killed)
    is_killed = died(killed, Moment(at_a_call("etl.pipeline.rebuild", "owner", "_publish"), 1), *arguments)
    is_there = (killed.folder / "other" / "warehouse.duckdb").exists()
    ran = killed("run", "--home", "other")
    again = killed(*arguments)

    assert (True, True, 0, 2) == (is_killed, is_there, ran.code, again.code)
    assert "sightglass: other has a warehouse already: name an empty folder\n" == again.err


@pytest.mark.parametrize("number", [2, 9] if IS_LONG else [2])
def test_a_loop_of_runs_that_is_killed_goes_on_with_the_next(
    homes: Homes, served: Plant, number: int
) -> None:
    """The run that it had begun ends by itself, and no other one gets in its way."""
    _, expected = homes.expected("run")
    killed = homes.restored("first")
    pids, requests = Queue[int](), itertools.count(1)

    def kill(_request: Request) -> None:
        if next(requests) == number:
            os.kill(pids.get(), signal.SIGKILL)

    served.cogniac.fault = kill
    with killed.start("follow", "--every", "1", out=DEVNULL, err=DEVNULL) as first:
        pids.put(first.pid)
    served.cogniac.fault = None
    with killed.start("follow", "--every", "1") as second:
        assert second.stderr is not None
        next(line for line in iter(second.stderr.readline, "") if " run " in line and " ok: " in line)
        second.terminate()
        _, said = second.communicate(timeout=60)

    assert (-signal.SIGKILL, 0) == (first.returncode, second.returncode), said
    assert expected == left(killed, second.returncode)
