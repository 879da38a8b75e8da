"""Engines that read files, each in a process of its own, beside many publishes."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from conftest import ROOT
from support.partitions import Small, agree, made_up

LONG = "TEST_LONG" in os.environ
PUBLISHES = 200 if LONG else 10
ROWS = 300
SPARK = Path(os.environ.get("TEST_SPARK", Path(sys.prefix, "spark")))
OTHERS = Path(os.environ.get("TEST_ENGINES", Path(sys.prefix, "engines")))
FOLDERS = {"sail": SPARK, "datafusion": OTHERS, "chdb": OTHERS, "daft": OTHERS, "spark": OTHERS}
"""In which folder each engine is installed; all but Sail for `make test-long` alone, as they are large."""
NOTHING = [0, None, None]
"""What is read where there is no row."""
engines = pytest.mark.parametrize("engine", FOLDERS if LONG else ["sail"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A lake of one table of several months."""
    made = Small(tmp_path / "home", made_up("a"))
    for month, start in enumerate(range(0, ROWS, 100), start=1):
        made.insert(f"2026-0{month}-01 00:00:00+00", 100, start)
    made.execute("UPDATE small.a SET value = 0")
    made.publish()
    yield made
    made.close()


@contextmanager
def reading(engine: str, small: Small, way: str) -> Iterator[dict[str, Any]]:
    """An engine that reads in a loop, and what it says of that afterwards."""
    if not FOLDERS[engine].is_dir():
        pytest.fail(
            f"{FOLDERS[engine]} is not there; `make .venv/engines` and `make setup` make these folders"
        )
    if engine == "spark" and not shutil.which("java"):
        pytest.skip("Spark needs Java")
    program = [sys.executable, str(ROOT / "tests" / "engines.py"), engine, str(small.folder), way, str(ROWS)]
    environment = {**os.environ, "PYTHONPATH": str(FOLDERS[engine]), "NO_PROXY": "127.0.0.1"}
    said: dict[str, Any] = {}
    with (
        (small.folder.parent / "log").open("w") as log,
        Popen(program, env=environment, stdin=PIPE, stdout=PIPE, stderr=log, encoding="utf-8") as process,
    ):
        try:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
            yield said
            out, _ = process.communicate(timeout=200)
            said.update(json.loads(out.splitlines()[-1]))
        finally:
            process.kill()


def published_often(small: Small) -> None:
    """Change all rows, and publish, many times."""
    for _ in range(PUBLISHES):
        small.execute("UPDATE small.a SET value = value + 1, also_at = now()")
        small.publish()


@engines
def test_an_engine_that_follows_the_link_once_sees_one_version_whole(small: Small, engine: str) -> None:
    """Beside many publishes: no error, no row twice, none missing."""
    with reading(engine, small, "resolved") as said:
        published_often(small)

    assert ([], []) == (said["errors"], said["wrong"]), said
    assert (True, True) == (said["versions"] > 1, agree(small))


@engines
def test_an_engine_that_reads_through_the_link_sees_no_other_rows(small: Small, engine: str) -> None:
    """An error, or nothing at all, where a file that it has listed was replaced, and else one version.

    Sail, as all that list files by object_store, leaves out what is gone between two of its looks.
    """
    with reading(engine, small, "through") as said:
        published_often(small)

    assert [] == [each for each in said["wrong"] if each != NOTHING], said
    assert (True, True) == (said["versions"] > 1, agree(small))
