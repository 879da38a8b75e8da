"""A third API takes one schema file and one module, as `docs/adding-a-source.md` has them.

Both files are taken from that page and run, against a server on a real socket, in processes of their own.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.acme import CHECKOUT, GUIDE, KEY, NOTES, SIGHTINGS, USES, Acme, blocks, serving
from support.kills import with_limits

KILLED_AFTER_TWO_SEALS = f"""
import os, signal
from etl.extract.log_writer import LogWriter
{with_limits(part_bytes=1, batch_bytes=1)}
seal, sealed = LogWriter.seal, []
def deadly(*given, **named):
    sealed.append(seal(*given, **named))
    if len(sealed) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return sealed[-1]
LogWriter.seal = deadly
from etl import cli
cli.main()
"""
TABLES = {
    "sightings": "SELECT sighting_id, change, epoch_us(seen_at), camera, country, _extra FROM acme.sightings",
    "tags": "SELECT sighting_id, tag, weight FROM acme.sighting_tags",
    "notes": "SELECT note_id, text FROM acme.notes",
}
CURSORS = "SELECT stream, cursor_at, cursor_value FROM etl.cursors"


@dataclass
class Place:
    """A copy of the program with the two files in it, and the API that it reads."""

    folder: Path
    acme: Acme
    url: str

    def run(self, *arguments: str, program: str = "from etl import cli\ncli.main()") -> tuple[int, str, str]:
        """Run the command: its exit code, what it answered, and what it told people."""
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=self.folder,
            env={"ACME_KEY": KEY, "ACME_URL": self.url, "PYTHONPATH": str(self.folder)},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def loaded(self) -> tuple[str, dict[str, dict[str, Any]]]:
        """Run `run --json`, which must go well: its status, and by stream what it says of it."""
        code, out, err = self.run("run", "acme", "--json")
        assert 0 == code, err
        report = json.loads(out)
        return report["status"], {each["stream"]: each for each in report["streams"]}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the sorted rows of a query."""
        with duckdb.connect(self.folder / "warehouse" / "warehouse.duckdb", read_only=True) as warehouse:
            return sorted(warehouse.execute(query).fetchall(), key=str)

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the tables hold."""
        return {name: sorted(self.ask(query)) for name, query in TABLES.items()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A program that has learned to read an API where some sightings and notes are."""
    for folder in ("etl", "schemas", "sql"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("schemas/acme.toml", "etl/sources/acme.py"):
        (tmp_path / path).write_text(blocks(path), encoding="utf-8")
    acme = Acme()
    acme.change(*range(1, SIGHTINGS + 1))
    with serving(acme) as url:
        yield Place(tmp_path, acme, url)


def test_a_schema_file_and_a_module_load_what_there_is_and_then_what_is_new(place: Place) -> None:
    """The first run reads all, logging in as often as tokens expire; the second one what changed since."""
    status, streams = place.loaded()

    assert ("ok", SIGHTINGS, NOTES[-1]) == (
        status,
        streams["sightings"]["cursor"],
        streams["notes"]["cursor"],
    )
    assert place.acme.tables() == place.tables()
    assert {None} == place.acme.asked_after()
    assert [USES, 3] == list(place.acme.tokens.values())

    place.acme.change(7, 300, 999)
    place.acme.notes.append("01K")
    _, streams = place.loaded()

    counted = ("fetched", "inserted", "updated", "unchanged", "cursor")
    assert (3, 1, 2, 0, SIGHTINGS + 3) == tuple(streams["sightings"][name] for name in counted)
    assert (1, 1, 0, 0, "01K") == tuple(streams["notes"][name] for name in counted)
    assert place.acme.tables() == place.tables()
    assert {SIGHTINGS, NOTES[-1]} == place.acme.asked_after()
    assert [("notes", None, '"01K"'), ("sightings", None, str(SIGHTINGS + 3))] == place.ask(CURSORS)


def test_a_run_that_is_killed_is_gone_on_with_without_loss_or_duplicate(place: Place) -> None:
    """Whether the first run or an increment is killed: the cursor stays until all before it is there."""
    assert -signal.SIGKILL == place.run("run", "acme", program=KILLED_AFTER_TWO_SEALS)[0]
    place.loaded()
    assert place.acme.tables() == place.tables()
    assert {None} == place.acme.asked_after()

    place.acme.change(*range(1, 250), *range(900, 1000))
    place.acme.notes += [f"01K{number}" for number in range(9)]
    assert -signal.SIGKILL == place.run("run", "acme", program=KILLED_AFTER_TWO_SEALS)[0]
    _, streams = place.loaded()

    assert place.acme.tables() == place.tables()
    assert (SIGHTINGS + 349, "01K8") == (streams["sightings"]["cursor"], streams["notes"]["cursor"])


def test_a_rebuild_and_a_run_that_finds_nothing_leave_tables_and_cursors_as_they_are(place: Place) -> None:
    """The log holds how far each cursor may move, whatever it is made of."""
    place.loaded()
    place.acme.change(1)
    place.loaded()
    tables, cursors = place.tables(), place.ask(CURSORS)

    code, _, said = place.run("rebuild", "acme", "--log-alone")

    assert 0 == code, said
    assert (tables, cursors) == (place.tables(), place.ask(CURSORS))
    place.acme.asked_after()
    _, streams = place.loaded()
    assert [0, 0] == [each["fetched"] for each in streams.values()]
    assert {SIGHTINGS + 1, NOTES[-1]} == place.acme.asked_after()
    assert (tables, cursors) == (place.tables(), place.ask(CURSORS))


def test_what_does_not_fit_is_quarantined_and_what_nobody_declared_is_kept(place: Place) -> None:
    """The rest of the page is loaded, and the run says so by its exit code."""
    place.acme.seen.clear()
    place.acme.change(1, colour="red")
    place.acme.change(2, tags=[{"tag": "cat", "weight": 7}])
    place.acme.change(3, camera=None)

    code, _, _ = place.run("run", "acme")

    assert 4 == code
    assert [("s1", "NL", '{"colour":"red"}'), ("s3", None, None)] == place.ask(
        "SELECT sighting_id, country, _extra FROM acme.sightings"
    )
    assert [("acme", "sightings", "Expected `float` <= 1.0", "$.tags[0].weight")] == place.ask(
        "SELECT source, stream, reason, path FROM etl.quarantine"
    )


def test_a_key_that_is_refused_is_told_without_it(place: Place) -> None:
    """The exit code says that the source refused, the message what to check; neither key nor token shows."""
    place.acme.tokens = {}
    (place.folder / "etl/sources/acme.py").write_text(
        blocks("etl/sources/acme.py").replace('json={"key"', 'json={"kee"'), encoding="utf-8"
    )

    code, out, said = place.run("run", "acme")

    assert (3, "") == (code, out)
    assert f"acme sightings failed: POST {place.url}login answered 403: who are you?; check ACME_KEY" in said
    assert KEY not in said


def test_backfill_of_streams_that_are_not_read_by_times_is_refused(place: Place) -> None:
    """Exit 2, before anything is asked or written."""
    code, _, said = place.run("backfill", "acme", "--since", "2026-01-01")

    assert 2 == code
    assert (
        "acme cannot be read by a range of time: the cursor of its stream notes is declared as text" in said
    )
    assert (0, False) == (len(place.acme.tokens), (place.folder / "warehouse").exists())


def test_the_readme_leads_to_the_guide_and_the_guide_to_the_reference() -> None:
    """A newcomer finds both."""
    assert "(docs/adding-a-source.md)" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "(schema-reference.md)" in GUIDE
