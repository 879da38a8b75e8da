"""An archive in an object store: what it keeps, refuses and loses, and what a kill leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Plant, Sightglass, serving
from support.archives import HEAT, PICTURE, archived, assets, gaps, medium, path_of, row_of
from support.kills import Moment, at_a_call, died
from support.s3 import SECRET, Store, serving_store

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize

WHEN_TAKEN = at_a_call("etl.archive.bucket", "owner.Bucket", "take")
UNDER = "bucket/some/prefix/"


@pytest.fixture
def store() -> Iterator[tuple[Store, dict[str, str]]]:
    """An empty store, and the variables that lead to it."""
    with serving_store() as served:
        yield served


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Two images that look alike."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as served:
        for media_id in ("a", "b"):
            served.neurons.put(medium(media_id), {"heat": PICTURE})
        yield served


@pytest.fixture
def sightglass(plant: Plant, store: tuple[Store, dict[str, str]], tmp_path: Path) -> Sightglass:
    """The command, one request at a time, with the settings that lead to Neurons and to the store."""
    return Sightglass(tmp_path, {**plant.neurons_login, **HEAT, **store[1], "SIGHTGLASS_CONCURRENCY": "1"})


def test_files_are_objects(store: tuple[Store, dict[str, str]], sightglass: Sightglass) -> None:
    """Each content is put once, with the store's own login; nothing stays here; the next run asks nothing."""
    first = sightglass("run")
    asked = len(store[0].requests)
    second = sightglass("run")

    assert (0, 0) == (first.code, second.code), first.err
    assert {UNDER + path_of(PICTURE): PICTURE} == store[0].objects
    assert [row_of("a", "heat", PICTURE), row_of("b", "heat", PICTURE)] == assets(sightglass.home, "heat")
    assert [UNDER + path_of(PICTURE)] == store[0].puts()
    assert ({True}, asked) == (set(store[0].authorized), len(store[0].requests))
    assert not any(path.is_file() for path in (sightglass.home / "archive.incoming").rglob("*"))
    assert {} == archived(sightglass.home)


def test_a_film_is_put_in_parts(
    store: tuple[Store, dict[str, str]], plant: Plant, sightglass: Sightglass
) -> None:
    """It is whole in the store, however many parts it came in."""
    film = b"\x00\x00\x00\x10ftypisom" + bytes(range(256)) * 65_536
    plant.neurons.put(medium("v", type="video"), {"heat": film})
    ran = sightglass("run")

    assert (0, film) == (ran.code, store[0].objects[UNDER + path_of(film, ending="mp4")])
    assert len(store[0].puts()) > 2


def test_the_report_shows_what_is_in_the_store(sightglass: Sightglass) -> None:
    """Its pictures are got from there; where they cannot be, it is made without them."""
    assert sightglass("run").code == 0
    with_pictures = sightglass("report", "with.html")
    without = sightglass("report", "without.html", AWS_ENDPOINT="http://127.0.0.1:1")

    pages = [(sightglass.folder / f"{name}.html").read_text() for name in ("with", "without")]
    assert (0, 0) == (with_pictures.code, without.code)
    assert [1, 0] == [page.count("data:image/jpeg;base64,") for page in pages]
    assert "the report has no pictures: the archive s3://bucket/some/prefix refuses or fails" in without.err


@pytest.mark.parametrize(("status", "loses"), [(403, 0), (200, 1)], ids=["refuses", "loses"])
def test_a_store_that_fails_does_so_alone(
    store: tuple[Store, dict[str, str]], sightglass: Sightglass, status: int, loses: int
) -> None:
    """All else is loaded; one line says what is wrong, without any secret; the next run goes on."""
    store[0].status, store[0].loses = status, loses
    bad = sightglass("run")
    states = [row[2] for row in assets(sightglass.home, "heat")]
    store[0].status, store[0].loses = 200, 0
    good = sightglass("run")

    assert (3, ["skipped", "skipped"], 0) == (bad.code, states, good.code)
    assert "the archive s3://bucket/some/prefix " in bad.err
    assert not any(each in bad.err for each in (SECRET, "Traceback", "Signature"))
    assert {UNDER + path_of(PICTURE): PICTURE} == store[0].objects
    assert [row_of("a", "heat", PICTURE), row_of("b", "heat", PICTURE)] == assets(sightglass.home, "heat")


@pytest.mark.parametrize(("side", "puts"), [("before", 1), ("after", 1)])
def test_a_kill_beside_the_put_costs_nothing(
    store: tuple[Store, dict[str, str]], sightglass: Sightglass, side: str, puts: int
) -> None:
    """What is in the store is not put again; what was not complete is removed."""
    killed = died(sightglass, Moment(WHEN_TAKEN, 1, side))
    ran = sightglass("run")

    assert (True, 0, puts) == (killed, ran.code, len(store[0].puts()))
    assert {UNDER + path_of(PICTURE): PICTURE} == store[0].objects
    assert [] == [path for path in (sightglass.home / "archive.incoming").rglob("*") if path.is_file()]


def test_what_is_in_the_store_counts(store: tuple[Store, dict[str, str]], sightglass: Sightglass) -> None:
    """Also what others put there."""
    store[0].objects[f"{UNDER}other"] = bytes(1_000_000)
    store[0].objects["bucket/elsewhere"] = bytes(9_000_000)
    ran = sightglass("run", SIGHTGLASS_ARCHIVE_DISK="1")
    named = [gap[2:4] for gap in gaps(sightglass.home)]
    more = sightglass("run", SIGHTGLASS_ARCHIVE_DISK="2")

    assert (0, [("archive", "2 pictures and films in the archive")]) == (ran.code, named)
    assert (0, []) == (more.code, gaps(sightglass.home))


def test_a_store_needs_its_extra(plant: Plant, sightglass: Sightglass, tmp_path: Path) -> None:
    """Where it is missing, one line says how to get it; without a store, nobody looks for it."""
    (tmp_path / "obstore.py").write_text("raise ImportError('No module named obstore')", encoding="utf-8")
    with_store = sightglass("run")
    asked = len(plant.neurons.requests)
    without = sightglass.but_for({"SIGHTGLASS_ARCHIVE": ""})("run")

    said = "sightglass: SIGHTGLASS_ARCHIVE names an object store: pip install 'sightglass-etl[store]' "
    assert (2, 0) == (with_store.code, asked)
    assert with_store.err.startswith(said)
    assert (0, 1) == (without.code, len(archived(sightglass.home)))
