"""A page that `sightglass ui` serves, for the tests of it and of its server."""

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import httpx
import pytest
from conftest import Sightglass, serving

ENDLESS = "SELECT sum(sin(i)) FROM range(1000000000000) AS a(i)"


@pytest.fixture(scope="module")
def sightglass(tmp_path_factory: pytest.TempPathFactory) -> Sightglass:
    """The command, after a run; both APIs are gone."""
    folder = tmp_path_factory.mktemp("ui")
    with serving() as plant:
        loaded = Sightglass(folder, plant.settings)
        assert 0 == loaded("run").code
    return Sightglass(folder)


@contextmanager
def started(sightglass: Sightglass, *more: str) -> Iterator[tuple[str, Popen[str]]]:
    """The page's address, and the process that serves it."""
    with sightglass.start("ui", "--port", "0", *more) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("sightglass: open http://127.0.0.1:"), line
            yield line.split()[2], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address(sightglass: Sightglass) -> Iterator[str]:
    """The address of a page that stays."""
    with started(sightglass) as (found, _):
        yield found


def post(
    address: str, query: str = "SELECT 1", headers: dict[str, str] | None = None, form: str = ""
) -> httpx.Response:
    """What the server answers to what the page would ask; a file of a form, where one is named."""
    asked = {"key": "test", "query": query, "form": form}
    where = "download" if form else "ask"
    return httpx.post(f"{address}{where}", json=asked, headers=headers, timeout=60)
