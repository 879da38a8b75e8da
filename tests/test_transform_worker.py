"""The transform stage in a process of its own makes the same rows, and its end is nobody's loss."""

import errno
import json
import mmap
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any, NoReturn

import pytest
from conftest import Sightglass
from support.kills import (
    AT_A_COMMIT,
    Moment,
    Tables,
    content,
    died,
    started,
    torn,
    with_limits,
)

from etl.errors import EnvironmentFaultError
from etl.extract.log import Log, Part, Run, StreamHead
from etl.extract.log_reader import read
from etl.extract.log_writer import LogWriter, Received
from etl.extract.stream import Page
from etl.pipeline import hand_over, transform_worker
from etl.pipeline.transform_worker import PartTransformer, TransformWorker
from etl.transform.part_rows import PartRows

START_AT_ONCE = with_limits(part_bytes=1_000, batch_bytes=4_000, worth_bytes=0)
KILLED = f"""{START_AT_ONCE}
from etl.pipeline.transform_worker import TransformWorker
rows = TransformWorker._rows_there
def kill(self, *arguments):
    self._process.kill()
    self._process.wait()
    return rows(self, *arguments)
TransformWorker._rows_there = kill
"""
TELLING = f"""{START_AT_ONCE}
import sys
from etl.pipeline.transform_worker import TransformWorker
rows = TransformWorker._rows_there
def tell(self, *arguments):
    sys.stderr.write(f"{{self._process.pid}}\\n")
    sys.stderr.flush()
    return rows(self, *arguments)
TransformWorker._rows_there = tell
"""
HEAD = StreamHead("detections", "a", 0)
RECORDS = [
    b'{"media": {"media_id": "m1", "new": 1}, "updated_at": 1, "detections": []}',
    b'{"media": {"media_id": "m2"}, "updated_at": "soon", "detections": []}',
    b'{"media": {"media_id": "m3"}, "updated_at": 3, "detections": [], "other": [1, 2]}',
]


def log_of(folder: Path, parts: Sequence[Sequence[bytes]]) -> Log:
    """A log of these records in parts."""
    log = Log(folder / "raw" / "cogniac")
    writer = LogWriter(log, Run("r", 0, "0"), "2026-01-01", 0)
    for at, records in enumerate(parts):
        page = Page("detections", records, {"application_id": "a"})
        writer.seal([HEAD], [Received(0, at, [page])], sealed_at=at, ends_batch=True)
    return log


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Log, list[Part]]:
    """A log of three parts, with a record each."""
    log = log_of(tmp_path, [[each] for each in RECORDS])
    return log, log.parts()


def with_names(numbers: Iterable[int]) -> bytes:
    """A record with fields that nobody has declared."""
    about = {"media": {"media_id": "m"}, "updated_at": 1, "detections": []}
    return json.dumps(about | {f"name_{number}": number for number in numbers}).encode()


def plain(rows: PartRows) -> tuple[dict[str, Any], list[tuple[int, list[tuple[bytes, str, str]]]]]:
    """The rows, how many records came, and what was refused and why."""
    tables = {name: rows.rows.joined(name) for name in rows.rows.tables}
    brought = [each for stream in rows.streams for each in stream.contributions.values()]
    refused = [[(one.content, one.why.reason, one.why.path) for one in each.rejected] for each in brought]
    return tables, list(zip([each.fetched for each in brought], refused, strict=True))


def test_another_process_makes_what_this_one_would(sealed: tuple[Log, list[Part]]) -> None:
    """Rows, refusals and undeclared fields are the same, also of names that were met before it began."""
    log, (first, *others) = sealed
    here = PartTransformer(log, "cogniac")
    expected = [plain(here.rows(each)) for each in (first, *others)]
    with closing(TransformWorker(log, "cogniac")) as there:
        made = [there.rows(first)]
        there.start()
        made += map(there.rows, others)

    assert expected == list(map(plain, made))
    assert [0, 1, 0] == [len(refused) for _, brought in expected for _, refused in brought]
    assert ["detections:media/new", "detections:other"] == there.unknown() == here.transformer.unknown()


def test_parts_that_are_expected_give_the_rows_of_each(sealed: tuple[Log, list[Part]]) -> None:
    """Whether they were named before the process began or after, all at once, or not at all."""
    log, parts = sealed
    alone = PartTransformer(log, "cogniac")
    expected = [plain(alone.rows(each)) for each in (*parts, *parts, *parts)]
    made = []
    with closing(TransformWorker(log, "cogniac")) as there:
        for each in parts:
            there.expect(each)
        made.append(there.rows(parts[0]))
        assert (True, False) == (there.start(), there.start())
        for each in parts:
            there.expect(each)
        made += [there.rows(each) for each in (*parts[1:], *parts, *parts)]

    assert expected == list(map(plain, made))


def test_the_process_knows_the_next_part_before_its_rows_are_asked_for(
    sealed: tuple[Log, list[Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than that: the rows of all others would wait in memory."""
    log, parts = sealed
    named, send = list[object](), hand_over.send

    def told(channel: socket, what: object) -> EnvironmentFaultError | None:
        named.append(what)
        return send(channel, what)

    monkeypatch.setattr(transform_worker, "send", told)
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()
        for each in parts:
            there.expect(each)
        before = list(named)
        there.rows(parts[0])

    assert (parts[:2], parts) == (before, named)


def test_a_process_that_is_gone_is_told_where_its_rows_are_waited_for(
    sealed: tuple[Log, list[Part]],
) -> None:
    """Not where a part is expected, for that is where it is sealed, and nothing is wrong with that."""
    log, (first, second, third) = sealed
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()
        there.rows(first)
        os.kill(pid_of(there), signal.SIGKILL)
        assert ended(pid_of(there))
        there.expect(second)
        there.expect(third)
        for each in (second, third):
            with pytest.raises(EnvironmentFaultError, match="was killed: is there enough memory"):
                there.rows(each)


def test_another_process_has_this_package_whatever_else_is_called_so(
    sealed: tuple[Log, list[Part]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package `etl` on PYTHONPATH is the user's own."""
    log, (first, *_) = sealed
    (tmp_path / "etl.py").write_text("raise SystemExit('not ours')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()

        assert plain(PartTransformer(log, "cogniac").rows(first)) == plain(there.rows(first))


def test_what_came_before_does_not_count(sealed: tuple[Log, list[Part]]) -> None:
    """Rows and refusals of a part are the same, whatever other parts were read before, and by whom."""
    log, parts = sealed
    transformer = PartTransformer(log, "cogniac")
    in_order = [plain(transformer.rows(each)) for each in parts]
    backwards = [plain(transformer.rows(each)) for each in reversed(parts)]

    assert (
        in_order == backwards[::-1] == [plain(PartTransformer(log, "cogniac").rows(each)) for each in parts]
    )


def test_the_limit_of_undeclared_fields_is_one_of_each_part(tmp_path: Path) -> None:
    """So a record is refused or not whichever worker reads it: 150 and 150 names do, 300 at once do not."""
    few = [with_names(range(150)), with_names(range(150, 300))]
    log = log_of(tmp_path, [few[:1], few[1:], few])
    transformer = PartTransformer(log, "cogniac")
    refused = [
        [
            one.why.reason
            for each in transformer.rows(part).streams
            for one in each.contributions["detections"].rejected
        ]
        for part in log.parts()
    ]

    assert [[], [], ["more than 200 undeclared fields, this one: name_200"]] == refused
    assert 300 == len(transformer.transformer.unknown())


def test_a_damaged_part_is_told_as_such(sealed: tuple[Log, list[Part]]) -> None:
    """It is raised where the rows are waited for, and what comes after it is still made into rows."""
    log, (first, second, _) = sealed
    first.entry.write_bytes(b"")
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()
        with pytest.raises(
            EnvironmentFaultError, match=r"the log was altered while it was written: .*breaks off"
        ):
            there.rows(first)

        assert 1 == there.rows(second).streams[0].contributions["detections"].fetched


def test_another_process_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks nobody, so it is given none: neither secrets nor where they are, nor what proxies are told."""
    kept = ("COG_API_KEY", "COG_USER", "COG_PASS", "NEURONS_API_KEY")
    others = ("COG_API_KEY_FILE", "COG_PASS_FILE", "NEURONS_API_KEY_FILE", "https_proxy", "HTTPS_PROXY")
    for name in (*kept, *others, "SIGHTGLASS_OVERLAP"):
        monkeypatch.setenv(name, "1")
    with closing(TransformWorker(Log(Path("home/raw/cogniac")), "cogniac")) as there:
        there.start()
        environ = Path(f"/proc/{pid_of(there)}/environ")
        given = b""
        while not given:  # it is there once the process is its own program
            given = environ.read_bytes()

    names = {each.partition(b"=")[0].decode() for each in given.split(b"\0")}
    assert set() == names & {*kept, *others}
    assert {"SIGHTGLASS_OVERLAP", "PATH"} <= names


def test_a_run_with_two_processes_leaves_what_one_would(placed: Sightglass, expected: Tables) -> None:
    """All tables are the same, whoever made the rows."""
    assert not died(placed, Moment(START_AT_ONCE, 0))
    assert expected == content(placed.home)


def test_what_there_is_when_the_process_begins_is_a_part(placed: Sightglass) -> None:
    """So that it has something to do: the rest of what is received, which is not much here, is another."""
    parts = []
    for worth in (20_000, 10**9):
        own = placed.but_for({"SIGHTGLASS_HOME": f"home-{worth}"})
        limits = with_limits(part_bytes=10**9, batch_bytes=10**9, worth_bytes=worth)
        assert not died(own, Moment(limits, 0))
        log = Log(own.folder / f"home-{worth}" / "raw" / "cogniac")
        parts.append(sum("detections" in each for each in (streams_of(log, part) for part in log.parts())))

    assert [2, 1] == parts


def streams_of(log: Log, part: Part) -> set[str]:
    """The streams of which records are in a part."""
    return {
        each.stream
        for one in read(log, part).received
        for each in one.bundle
        if isinstance(each, Page) and each.records
    }


def test_a_killed_transform_ends_the_run(placed: Sightglass, expected: Tables) -> None:
    """It is said what may be the matter, nothing is loaded in part, and the next run loads all."""
    with started(placed, f"{KILLED}\nfrom etl import cli\ncli.main()", "run") as process:
        _, said = process.communicate(timeout=100)

    told = "the process that makes rows of records was killed: is there enough memory?"
    kept = "What was received is kept, the next run goes on from there"
    assert (2, f"sightglass: {told} {kept}\n") == (process.returncode, said)
    assert (0, expected, []) == (placed("run").code, content(placed.home), torn(placed.home))


@pytest.mark.parametrize("number", [4, 7])
def test_it_ends_with_a_run_that_is_killed(placed: Sightglass, expected: Tables, number: int) -> None:
    """No process is left behind, and the next run makes good what the killed one had begun."""
    program = Moment(TELLING + AT_A_COMMIT, number).program
    with started(placed, program, "run") as process:
        _, said = process.communicate(timeout=100)
    gone = [ended(int(pid)) for pid in said.split()]

    assert (-9, [True] * len(gone), True) == (process.returncode, gone, bool(gone))
    assert (0, expected) == (placed("run").code, content(placed.home))


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


def refused(*_: object, **__: object) -> NoReturn:
    """Do as a machine that has no room for another process, or forbids it."""
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("of", "name"), [(subprocess, "Popen"), (os, "memfd_create")], ids=["process", "memory"]
)
def test_rows_are_made_though_the_machine_refuses(
    sealed: tuple[Log, list[Part]], monkeypatch: pytest.MonkeyPatch, of: object, name: str
) -> None:
    """A second process is for speed alone; what it is told goes through a file on disk if need be."""
    log, (first, *_) = sealed
    monkeypatch.setattr(of, name, refused)
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()

        assert 1 == there.rows(first).streams[0].contributions["detections"].fetched


def test_what_cannot_be_handed_over_is_told_with_its_reason(
    sealed: tuple[Log, list[Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files are not a lack of memory, and no traceback."""
    log, (first, *_) = sealed

    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()
        monkeypatch.setattr(mmap, "mmap", full)
        with pytest.raises(EnvironmentFaultError, match="handed from one process to another: Too many open"):
            there.rows(first)


def test_after_a_part_that_could_not_be_named_no_rows_are_given(
    sealed: tuple[Log, list[Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be those of the part before, which the process makes once it can be told of it."""
    log, (first, second, third) = sealed
    with closing(TransformWorker(log, "cogniac")) as there:
        there.start()
        there.rows(first)
        with monkeypatch.context() as full:
            full.setattr(hand_over, "send_fds", refused)
            for each in (second, third):
                with pytest.raises(EnvironmentFaultError, match="handed from one process to another"):
                    there.rows(each)
        with pytest.raises(EnvironmentFaultError, match="handed from one process to another"):
            there.rows(third)


def test_key_that_interrupts_reaches_the_run_alone() -> None:
    """^C goes to all processes of a terminal's group: the other one ends when the run lets it go."""
    with closing(TransformWorker(Log(Path("home/raw/cogniac")), "cogniac")) as there:
        there.start()
        group = os.getpgid(pid_of(there))

    assert group != os.getpgid(0)


def pid_of(worker: TransformWorker) -> int:
    """The process behind it."""
    process = worker._process  # noqa: SLF001 -- nobody else knows it
    assert process is not None
    return process.pid
