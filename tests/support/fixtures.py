"""Fixtures of tests in several files: simulators, places they are loaded into, and what a process has."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
import stamina.instrumentation
from conftest import Plant, Sightglass
from faults import Healthy, healthy

from support.asking import ATTEMPTS
from support.kills import Tables, a_little, place, undisturbed
from support.open_tables import Made, advance
from support.stops import answer_again

LITTLE = {"applications": 3, "records": 45}


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[Plant]:
    """Both simulators with a little of everything: how much, a module may say in `LITTLE`."""
    with a_little(**getattr(request.module, "LITTLE", LITTLE)) as plant:
        yield plant


@pytest.fixture(scope="module")
def expected(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What a run leaves that nothing befalls."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), served)


@pytest.fixture
def placed(served: Plant, tmp_path: Path) -> Iterator[Sightglass]:
    """The command in a new folder; afterwards the simulators answer again."""
    yield place(tmp_path / "place", served)
    answer_again(served)


@pytest.fixture(scope="module")
def grown(served: Plant, tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """A warehouse of three runs, over corrections and new media, with all of its log."""
    sightglass = place(tmp_path_factory.mktemp("grown") / "place", served, SIGHTGLASS_RAW_DAYS="forever")
    assert sightglass("run").code == 0
    for _ in range(2):
        served.cogniac.advance(records=30, corrections=20)
        served.neurons.advance(media=3)
        assert sightglass("run").code == 0
    return sightglass


@pytest.fixture
def copied(grown: Sightglass, tmp_path: Path) -> Sightglass:
    """A copy of it."""
    shutil.copytree(grown.folder, tmp_path / "place")
    return Sightglass(tmp_path / "place", grown.settings)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    """A warehouse that was loaded well, from two APIs that are still there."""
    with healthy(tmp_path_factory.mktemp("healthy")) as found:
        yield found


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Versions of tables of an open format, made by hand."""
    return Made(tmp_path)


@pytest.fixture(scope="module")
def behind(
    request: pytest.FixtureRequest, served: Plant, tmp_path_factory: pytest.TempPathFactory
) -> Sightglass:
    """A warehouse with tables of the module's `FORMAT` of a first run, and a lake that has come further."""
    sightglass = place(tmp_path_factory.mktemp("behind") / "place", served, **request.module.FORMAT)
    assert 0 == sightglass("run").code
    advance(served)
    assert 0 == sightglass("run", SIGHTGLASS_LAKE_FORMAT="").code
    return sightglass


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """The umask of most machines, given back after a warehouse has narrowed it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither credentials nor proxies of this machine, which the vendor's SDK would take."""
    for name in ("COG_API_KEY", "COG_USER", "COG_PASS", "COG_TENANT", "COG_URL_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine is asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine is asked, and nothing waits between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield
    stamina.instrumentation.set_on_retry_hooks([])
