"""The archive across kills and films of any size: nothing half, nothing twice, nothing in memory."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Plant, Sightglass, serving
from starlette.types import Receive, Scope, Send
from support.archives import HEAT, PICTURE, archived, assets, medium, path_of
from support.kills import AT_A_COMMIT, Moment, at_a_call, content, died, place, started
from support.tables import differing, everything

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.script import Rule, Script

MEGABYTE = 2**20
WHEN_NAMED = at_a_call("etl.archive.places", "owner.Folder", "take")
WHEN_SYNCED = at_a_call("etl.archive.archive", "owner.Draft", "finish")
WHEN_WRITTEN = at_a_call("etl.archive.archive", "owner.Draft", "write")


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Three images, two of which look alike."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as served:
        for media_id, picture in {"a": PICTURE, "b": PICTURE, "c": PICTURE + b"c"}.items():
            served.neurons.put(medium(media_id), {"heat": picture})
        yield served


@pytest.mark.parametrize(
    ("code", "most"),
    [(WHEN_WRITTEN, 3), (WHEN_SYNCED, 3), (WHEN_NAMED, 2), (AT_A_COMMIT, 12)],
    ids=["written", "synced", "named", "commit"],
)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_any_moment_costs_nothing(
    plant: Plant, tmp_path: Path, code: str, most: int, side: str
) -> None:
    """The next run leaves the same rows and the same files as one that nothing befell, and nothing else."""
    alone = dict.fromkeys(plant.cogniac_login, "") | HEAT | {"SIGHTGLASS_CONCURRENCY": "1"}

    def at(folder: Path) -> Sightglass:
        return place(folder, plant).but_for(alone)

    spared = at(tmp_path / "spared")
    assert spared("run").code == 0
    expected = content(spared.home)
    killed = 0
    for number in range(1, most + 1):
        sightglass = at(tmp_path / str(number))
        killed += died(sightglass, Moment(code, number, side))
        assert 0 == sightglass("run").code
        assert expected == content(sightglass.home)
        assert {path_of(PICTURE): PICTURE, path_of(PICTURE + b"c"): PICTURE + b"c"} == archived(
            sightglass.home
        )
    assert killed >= min(most, 2)


def test_the_log_gives_the_same_rows_without_the_files(plant: Plant, tmp_path: Path) -> None:
    """Archived, lost, left out by a limit, refused: each column is as the runs have left it."""
    sightglass = Sightglass(tmp_path, {**plant.neurons_login, **HEAT})
    assert sightglass("run").code == 0
    (sightglass.home / "archive" / path_of(PICTURE)).unlink()
    plant.neurons.put(medium("d"), {"heat": b"no picture"})
    plant.neurons.put(medium("e"), {"heat": PICTURE + bytes(MEGABYTE)})
    assert sightglass("run", SIGHTGLASS_ARCHIVE_DISK="1").code == 0
    before = everything(sightglass.home)
    states = {(row[2], row[7] is None) for row in assets(sightglass.home, "heat")}
    ran = sightglass.but_for(dict.fromkeys(sightglass.settings, ""))("rebuild", "--json")

    assert {("archived", True), ("skipped", True), ("skipped", False)} == states
    assert (0, {}) == (ran.code, differing(before, everything(sightglass.home)))


class Film:
    """A film of so many megabytes, which come slowly enough that they cannot be in one piece."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        length = str(self.megabytes * MEGABYTE).encode()
        headers = [(b"content-type", b"video/mp4"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        begin = b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00"
        for count in range(self.megabytes):
            piece = (begin if not count else b"").ljust(MEGABYTE, b"f")
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})


PEAK = """
import atexit, resource, sys
from etl.archive import archive
fetch = archive.Archive.fetch
def measured(self, *arguments):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = fetch(self, *arguments)
    print("grown by", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, file=sys.stderr)
    return kept
archive.Archive.fetch = measured
from etl import cli
cli.main()
"""


def test_a_film_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    """Of 300 megabytes, no more than a few are held at a time."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as plant:
        plant.neurons.put(medium("v", type="video"), {"heat": b""})
        plant.neurons.file_watch.fault = Script(Rule(path="heat", answer=Film(300)))
        sightglass = Sightglass(tmp_path, {**plant.neurons_login, **HEAT})
        with started(sightglass, PEAK, "run") as process:
            _, said = process.communicate(timeout=100)

    grown = re.search(r"grown by (\d+)", said)
    assert grown is not None, said
    assert int(grown[1]) < 16 * 1024, "kilobytes"
    assert [("archived", 300 * MEGABYTE)] == [(row[2], row[4]) for row in assets(sightglass.home, "heat")]
