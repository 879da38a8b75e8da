"""The transform stage in a process of its own makes the same rows, and its end is nobody's loss."""

import os
import select
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant, Sightglass
from test_kills import AT_A_COMMIT, Moment, Tables, a_little, content, died, place, started, torn, undisturbed

from etl import schema
from etl.aside import Aside, Cuts
from etl.extract.stream import Delivery, File, Page
from etl.registry import source_module
from etl.transform.batch import Cut, Transformer

AT_ONCE = """
from etl import loading
loading.LARGE = -1
"""
KILLED = f"""{AT_ONCE}
from etl.aside import Aside
put = Aside.put
def kill(self, *arguments):
    self._process.kill()
    self._process.wait()
    put(self, *arguments)
Aside.put = kill
"""
TELLING = f"""{AT_ONCE}
import sys
from etl.aside import Aside
begin = Aside.__init__
def tell(self, source):
    begin(self, source)
    sys.stderr.write(f"{{self._process.pid}}\\n")
    sys.stderr.flush()
Aside.__init__ = tell
"""
RECORDS = [
    b'{"media": {"media_id": "m1", "new": 1}, "updated_at": 1, "detections": []}',
    b'{"media": {"media_id": "m2"}, "updated_at": "soon", "detections": []}',
    b'{"media": {"media_id": "m3"}, "updated_at": 3, "detections": [], "other": [1, 2]}',
]


@pytest.fixture(scope="module")
def served() -> Iterator[Plant]:
    """Both simulators, for tests that change nothing in them."""
    with a_little(applications=3, records=45) as plant:
        yield plant


@pytest.fixture(scope="module")
def expected(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What a run leaves that does all in one process."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), served)


@pytest.fixture
def sightglass(served: Plant, tmp_path: Path) -> Sightglass:
    """The command in a new folder."""
    return place(tmp_path / "place", served)


def plain(cut: Cut) -> tuple[int, dict[str, Any], list[tuple[bytes, str, str]]]:
    """How many records were cut, their rows, and what was refused and why."""
    refused = [(each.content, each.why.reason, each.why.path) for each in cut.rejects]
    return cut.ordinals, cut.tables, refused


def test_another_process_makes_what_this_one_would() -> None:
    """Rows, refusals and undeclared fields are the same, batch after batch."""
    pages: list[Delivery] = [Page("detections", [each], {"application_id": "a"}) for each in RECORDS]
    here, there = Transformer(source_module("cogniac"), schema.source("cogniac")), Aside("cogniac")
    made: list[Future[Cuts]] = [Future() for _ in pages]
    for page, future in zip(pages, made, strict=True):
        there.put([page], future)
    there.close()

    alike = [plain(here.cut([page])["detections"]) for page in pages]
    assert alike == [plain(future.result()["detections"]) for future in made]
    assert [(1, 0), (0, 1), (1, 0)] == [(cut[0], len(cut[2])) for cut in alike]
    assert ["detections:media/new", "detections:other"] == there.unknown() == here.unknown()


def test_a_bug_in_the_other_process_is_told_as_what_it_is() -> None:
    """It is raised where the rows are waited for, and what comes after it is still transformed."""
    there, bug, rest = Aside("cogniac"), Future[Cuts](), Future[Cuts]()
    there.put([File("no stream", "no name", {})], bug)
    there.put([Page("detections", RECORDS[:1], {"application_id": "a"})], rest)
    there.close()

    with pytest.raises(ValueError, match="not enough values"):
        bug.result()
    assert 1 == rest.result()["detections"].fetched


def test_another_process_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks nobody, so it is given none: neither secrets nor where they are, nor what proxies are told."""
    kept = ("COG_API_KEY", "COG_USER", "COG_PASS", "NEURONS_API_KEY")
    others = ("COG_API_KEY_FILE", "COG_PASS_FILE", "NEURONS_API_KEY_FILE", "https_proxy", "HTTPS_PROXY")
    for name in (*kept, *others, "SIGHTGLASS_OVERLAP"):
        monkeypatch.setenv(name, "1")
    there = Aside("cogniac")
    given = Path(f"/proc/{there._process.pid}/environ").read_bytes()  # noqa: SLF001 -- its own business but here
    there.close()

    names = {each.partition(b"=")[0].decode() for each in given.split(b"\0")}
    assert set() == names & {*kept, *others}
    assert {"SIGHTGLASS_OVERLAP", "PATH"} <= names


def test_a_run_with_two_processes_leaves_what_one_would(sightglass: Sightglass, expected: Tables) -> None:
    """All tables are the same, whoever made the rows."""
    assert not died(sightglass, Moment(AT_ONCE, 0))
    assert expected == content(sightglass.home)


def test_a_killed_transform_ends_the_run(sightglass: Sightglass, expected: Tables) -> None:
    """It is said what may be the matter, nothing is loaded in part, and the next run loads all."""
    with started(sightglass, f"{KILLED}\nfrom etl import cli\ncli.main()", "run") as process:
        _, said = process.communicate(timeout=100)

    told = "the process that makes rows of records was killed: is there enough memory?"
    kept = "What was loaded is kept, the next run goes on from there"
    assert (2, f"sightglass: {told} {kept}\n") == (process.returncode, said)
    assert (0, expected, []) == (sightglass("run").code, content(sightglass.home), torn(sightglass.home))


@pytest.mark.parametrize("number", [4, 7])
def test_it_ends_with_a_run_that_is_killed(sightglass: Sightglass, expected: Tables, number: int) -> None:
    """No process is left behind, and the next run makes good what the killed one had begun."""
    program = Moment(TELLING + AT_A_COMMIT, number).program
    with started(sightglass, program, "run") as process:
        _, said = process.communicate(timeout=100)
    gone = [ended(int(pid)) for pid in said.split()]

    assert (-9, [True] * len(gone), True) == (process.returncode, gone, bool(gone))
    assert (0, expected) == (sightglass("run").code, content(sightglass.home))


def ended(pid: int) -> bool:
    """Whether a process ends soon."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


def test_key_that_interrupts_reaches_the_run_alone() -> None:
    """^C goes to all processes of a terminal's group: the other one ends when the run lets it go."""
    aside = Aside("cogniac")
    group = os.getpgid(aside._process.pid)  # noqa: SLF001 -- nobody else knows it
    aside.close()

    assert group != os.getpgid(0)
