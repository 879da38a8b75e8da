"""Iceberg tables in a REST catalog: the server says what each is, the files stay where they are."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Plant, Sightglass
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField
from support.iceberg import in_iceberg
from support.iceberg_rest import TOKEN, Rest, rest_catalog
from support.lake import plain
from support.open_tables import TWO, Made, Rows, advance, in_lake

from etl.errors import TargetError
from etl.publish.iceberg import catalog
from etl.publish.iceberg.tables import IcebergTables
from etl.setting import Secret


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[Rest]:
    """A REST catalog."""
    folder = tmp_path / "rest"
    folder.mkdir()
    with rest_catalog(folder) as found:
        yield found


@pytest.fixture
def asked(sightglass: Sightglass, rest: Rest) -> Sightglass:
    """The command with Iceberg tables asked for, in that catalog."""
    return sightglass.but_for({"SIGHTGLASS_LAKE_FORMAT": "iceberg", **rest.settings})


def in_rest(rest: Rest, home: Path) -> Rows:
    """The rows of every table of the lake as the server has it."""
    return {name: plain(rest.catalog.load_table(name).scan().to_arrow()) for name in in_lake(home)}


def test_rows_are_those_of_the_lake(plant: Plant, asked: Sightglass, rest: Rest) -> None:
    """By the catalog and by the folder, after a first run and one with corrections; without a file beside."""
    for _ in range(2):
        ran = asked("run")
        assert 0 == ran.code, ran.err
        lake = in_lake(asked.home)
        assert (lake, lake) == (in_rest(rest, asked.home), in_iceberg(asked.home / "iceberg"))
        advance(plant)

    assert not (asked.home / "iceberg/catalog.db").exists()


@pytest.mark.parametrize("status", [401, 409, 500, 503])
def test_a_server_that_fails_is_named_and_catches_up(asked: Sightglass, rest: Rest, status: int) -> None:
    """Exit code 4; the lake is published, and nothing is told of the login."""
    rest.status = status
    ran = asked("run")
    rest.status = 200
    again = asked("publish")

    said = "iceberg keeps the version that it has, the next run tries again: the catalog of"
    assert (4, True, False) == (ran.code, said in ran.err, TOKEN in ran.err)
    assert "Traceback" not in ran.err
    assert (0, in_lake(asked.home)) == (again.code, in_rest(rest, asked.home))


def test_a_server_that_says_done_and_is_not_is_found_out(asked: Sightglass, rest: Rest) -> None:
    """No version is said to be complete that the server does not have."""
    rest.lies = True
    ran = asked("run")
    published = "GET namespaces/etl/tables/published"
    rest.lies = False
    again = asked("publish")

    assert (4, True) == (ran.code, published in rest.requests)
    assert (0, in_lake(asked.home)) == (again.code, in_rest(rest, asked.home))


def test_nobody_there_is_named(asked: Sightglass) -> None:
    """A server that is down, and a login that is wrong."""
    down = asked("run", SIGHTGLASS_ICEBERG_CATALOG="http://127.0.0.1:9/secret-of-the-path")
    wrong = asked("publish", PYICEBERG_CATALOG__SIGHTGLASS__TOKEN="another-token")

    assert (4, True, False) == (down.code, "ConnectionError" in down.err, "secret-of-the-path" in down.err)
    assert (4, True, False) == (wrong.code, "UnauthorizedError" in wrong.err, "another-token" in wrong.err)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and holds nobody up for longer than its time."""
    monkeypatch.setattr(catalog, "SECONDS", 0.2)
    made = Made(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Secret(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TargetError, match=r"does not do what it is asked \(ReadTimeout\)"):
            IcebergTables(made.home / "iceberg", address).put(made.version(TWO))


def test_a_table_of_somebody_else_is_left_alone(asked: Sightglass, rest: Rest, tmp_path: Path) -> None:
    """It is named, and where it lies."""
    rest.catalog.create_namespace("cogniac")
    where = f"file://{tmp_path}/theirs"
    rest.catalog.create_table("cogniac.results", Schema(NestedField(1, "x", LongType())), where)
    ran = asked("run")

    assert (4, True) == (ran.code, f"cogniac.results in the catalog is at {where}, not at" in ran.err)
    assert where == rest.catalog.load_table("cogniac.results").location()


def test_an_address_that_is_none_is_refused(asked: Sightglass) -> None:
    """Before anything is asked, and without a word of it."""
    ran = asked("run", SIGHTGLASS_ICEBERG_CATALOG="http://catalog.example/secret")

    assert (2, False) == (ran.code, "catalog.example" in ran.err)
    assert "SIGHTGLASS_ICEBERG_CATALOG from the environment must be an address" in ran.err
