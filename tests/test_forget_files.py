"""`sightglass forget` and the archive: pictures and films of a medium go with it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Plant, Sightglass, serving, table
from support.archives import HEAT, PICTURE, archived, medium, path_of
from support.kills import Moment, at_a_call, died
from support.s3 import serving_store

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize

OWN, SHARED = PICTURE + b"own", PICTURE + b"shared"
ONE = "medium-to-go"

AT_A_REMOVAL = at_a_call("etl.archive.places", "owner.Folder", "remove")
AT_THE_END = at_a_call("etl.pipeline.forget", "owner", "bring_in")


@pytest.fixture
def plant() -> Iterator[Plant]:
    """Two media: each has a heat map of its own, and both the same fog map."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as served:
        served.neurons.put(medium(ONE), {"heat": OWN, "fog": SHARED})
        served.neurons.put(medium("another"), {"heat": PICTURE, "fog": SHARED})
        yield served


@pytest.fixture
def sightglass(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Neurons, its heat maps and fog maps being wanted."""
    return Sightglass(tmp_path, {**plant.neurons_login, "SIGHTGLASS_NEURONS_ARCHIVE": "heat,fog"})


def test_the_pictures_of_a_medium_are_forgotten_with_it(sightglass: Sightglass) -> None:
    """No row names them any more, so that nobody could find them; what is another medium's as well stays."""
    assert 0 == sightglass("run").code
    before = archived(sightglass.home)
    ran = sightglass("forget", "--media", ONE, "--json")
    again = sightglass("run")

    left = {path_of(each): each for each in (PICTURE, SHARED)}
    assert left | {path_of(OWN): OWN} == before
    assert (0, 1, [], left) == (
        ran.code,
        ran.report["files"],
        ran.report["left"],
        archived(sightglass.home),
    )
    assert "files of the archive: 1; " in ran.err
    assert (0, [(2,)]) == (
        again.code,
        table(sightglass.home, "SELECT count(*) FROM neurons.assets WHERE state = 'archived'"),
    )


@pytest.mark.parametrize(
    "moment",
    [Moment(AT_A_REMOVAL, 1), Moment(AT_A_REMOVAL, 1, "after"), Moment(AT_THE_END, 1)],
    ids=["before", "after", "at the end"],
)
def test_a_kill_leaves_no_picture_that_the_next_does_not_remove(
    sightglass: Sightglass, moment: Moment
) -> None:
    """As long as a file is there, a row names it."""
    assert 0 == sightglass("run").code
    is_killed = died(sightglass, moment, "forget", "--media", ONE)
    ran = sightglass("forget", "--media", ONE, "--json")

    assert (True, 0, []) == (is_killed, ran.code, ran.report["left"])
    assert {path_of(each): each for each in (PICTURE, SHARED)} == archived(sightglass.home)


def test_a_picture_that_is_not_where_the_settings_say_is_named(sightglass: Sightglass) -> None:
    """It may be in another archive."""
    elsewhere = {"SIGHTGLASS_ARCHIVE": str(sightglass.folder / "elsewhere")}
    assert 0 == sightglass("run", **elsewhere).code
    ran = sightglass("forget", "--media", ONE)

    path = sightglass.home / "archive" / path_of(OWN)
    assert 4 == ran.code
    assert f"may still hold it, see to it by hand: {path}, or in another archive\n" in ran.err


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="nothing binds root")
def test_where_the_archive_cannot_be_written_it_is_to_be_done_again(sightglass: Sightglass) -> None:
    """It says what to do; its rows stay until then, for they name the files."""
    assert 0 == sightglass("run").code
    folder = (sightglass.home / "archive" / path_of(OWN)).parent
    folder.chmod(0o500)
    refused = Sightglass(sightglass.folder, sightglass.settings, bound=True)("forget", "--media", ONE)
    folder.chmod(0o700)
    ran = sightglass("forget", "--media", ONE)

    assert 2 == refused.code
    assert f"cannot write the archive {sightglass.home / 'archive'}: Permission denied" in refused.err
    assert "make it writable; then forget again" in refused.err
    assert (0, False) == (ran.code, path_of(OWN) in archived(sightglass.home))


def test_objects_of_a_medium_are_forgotten_with_it(plant: Plant, tmp_path: Path) -> None:
    """From an object store too; one that says so and keeps it is not believed."""
    with serving_store() as (store, settings):
        sightglass = Sightglass(tmp_path, {**plant.neurons_login, **HEAT, **settings})
        assert 0 == sightglass("run").code
        store.forgets = False
        kept = sightglass("forget", "--media", ONE)
        store.forgets = True
        ran = sightglass("forget", "--media", ONE)

    assert (2, True) == (kept.code, "which was to be removed; then forget again" in kept.err)
    assert (0, [PICTURE]) == (ran.code, list(store.objects.values()))
