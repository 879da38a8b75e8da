"""What is published can only be read: who opens `bi.duckdb` for writing locks nobody out, or not for long."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import duckdb
import pytest
from conftest import BOUND, Plant, Sightglass
from support.partitions import settings_of

from etl.load.warehouse import open_for_writing
from etl.publish import publish

LATE = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
connection.execute("CREATE TABLE mine AS SELECT 1 AS a; DROP VIEW mart.settings")
print("changed", flush=True)
sys.stdin.read()
"""
"""A client that opens the file for writing, and changes it when it is told to."""
WRITES = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE mine AS SELECT 1 AS a; DROP VIEW mart.settings")
print("open", flush=True)
sys.stdin.read()
connection.interrupt()
"""
"""A client that opens the file for writing, changes it, and goes on having it open."""
binds = pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="nothing binds root"
)


@pytest.fixture
def published(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command, whose permissions bind it, after a run."""
    sightglass = Sightglass(
        tmp_path, plant.settings | {"SIGHTGLASS_LAKE_FORMAT": "delta,iceberg"}, bound=True
    )
    assert 0 == sightglass("run").code
    return sightglass


@contextmanager
def writing(bi: Path) -> Iterator[Popen[str]]:
    """A client that writes into the file, as its owner can who makes it writable."""
    mode = bi.stat().st_mode
    bi.chmod(0o644)
    with Popen([sys.executable, "-c", WRITES, str(bi)], stdin=PIPE, stdout=PIPE, encoding="utf-8") as client:
        assert client.stdout is not None
        assert "open\n" == client.stdout.readline()
        bi.chmod(mode)
        try:
            yield client
        finally:
            client.kill()


def writable(home: Path) -> set[str]:
    """The published files that somebody may write."""
    found = [home / "bi.duckdb", *home.glob("versions/*.commit"), *home.glob("versions/**/*.parquet")]
    found += [
        *home.glob("lake/**/*.parquet"),
        *home.glob("delta/**/*.parquet"),
        *home.glob("iceberg/*/*/data/*"),
    ]
    return {str(path.relative_to(home)) for path in found if path.stat().st_mode & 0o222}


def published_in(home: Path) -> set[Path]:
    """The files of the newest version, as a publish looks at them, and `bi.duckdb`."""
    kept = {path.name for path in home.glob("lake/*/*/*.parquet")}
    return {home / "bi.duckdb", *(path for path in home.glob("versions/*/*/*.parquet") if path.name in kept)}


def views(home: Path) -> set[str]:
    """What a reader finds in `bi.duckdb`."""
    with closing(duckdb.connect(home / "bi.duckdb", read_only=True)) as reader:
        names = "FROM duckdb_views() SELECT schema_name || '.' || view_name WHERE NOT internal"
        return {
            name
            for (name,) in reader.execute(f"{names} UNION FROM duckdb_tables() SELECT 'a table'").fetchall()
        }


@binds
def test_whom_permissions_bind_cannot_open_it_for_writing(published: Sightglass) -> None:
    """Not the owner either; whoever asks for reading alone is let in."""
    how = "import sys, duckdb; duckdb.connect(sys.argv[1], read_only=bool(sys.argv[2]))"
    bind = BOUND if os.geteuid() == 0 else ()
    command = [*bind, sys.executable, "-c", how, str(published.home / "bi.duckdb")]
    writes, reads = (
        subprocess.run([*command, flag], check=False, capture_output=True, encoding="utf-8")
        for flag in ("", "yes")
    )

    assert set() == writable(published.home)
    assert (1, 0) == (writes.returncode, reads.returncode), reads.stderr
    assert "Permission denied" in writes.stderr


@binds
def test_all_commands_work_with_files_that_can_only_be_read(published: Sightglass) -> None:
    """They are replaced, linked and removed, also where what a kill has left aside is in the way."""
    for name in (
        "versions/.aside/cogniac.results.2025-01.part",
        "bi.duckdb.part",
        "delta/.aside/commit.json",
    ):
        (published.home / name).parent.mkdir(exist_ok=True)
        (published.home / name).touch(0o444)
    told = {
        " ".join(command): published(*command, SIGHTGLASS_LAKE_GRACE="0").code
        for command in (["run"], ["doctor"], ["rebuild"], ["publish"], ["verify"], ["status"])
    }

    assert {"run": 0, "doctor": 0, "rebuild": 0, "publish": 0, "verify": 0, "status": 0} == told
    assert set() == writable(published.home)


def test_files_of_an_earlier_version_are_sealed_once(
    published: Sightglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next publish: none is written for it, who may read them still may, and no later one does it."""
    home = published.home
    assert 0 == published("publish", SIGHTGLASS_LAKE_GRACE="0").code
    files = [home / "bi.duckdb", *home.glob("lake/*/*/*.parquet")]
    before = {path: path.stat().st_ino for path in files}
    for path in files:
        path.chmod(0o640)
    changed, chmod = list[Path](), Path.chmod

    def noted(path: Path, mode: int) -> None:
        changed.append(path)
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", noted)
    counted = []
    for _ in range(2):
        changed.clear()
        with closing(open_for_writing(home)) as warehouse:
            assert 0 == publish(warehouse, settings_of(home)).files
        counted.append(len({*changed} & published_in(home)))

    assert {path: (0o440, inode) for path, inode in before.items()} == {
        path: (stat.S_IMODE(path.stat().st_mode), path.stat().st_ino) for path in files
    }
    assert [len(files), 0] == counted


def test_status_names_who_has_it_open_for_writing(published: Sightglass) -> None:
    """The process and its program, with the exit code of what is published; nobody before and after."""
    bi = published.home / "bi.duckdb"
    before = published("status", "--json")
    with writing(bi) as client:
        told, said = published("status", "--json"), published("status")
    after = published("status", "--json")

    opened = told.report["bi_opened_by"]
    assert (0, client.pid, None, None) == (
        told.code,
        opened["pid"],
        before.report["bi_opened_by"],
        after.report["bi_opened_by"],
    )
    who = f"process {client.pid} ({opened['program']})"
    line = f"{who} has opened bi.duckdb for writing: nobody else can open it"
    assert line in said.err


def test_the_next_publish_lets_readers_in_again(published: Sightglass) -> None:
    """While that client goes on, and after it was killed: what it has changed is in no reader's way."""
    before = views(published.home)
    with writing(published.home / "bi.duckdb"):
        with pytest.raises(duckdb.IOException, match="Could not set lock"):
            views(published.home)
        healed = published("publish").code
        beside = views(published.home)
    with writing(published.home / "bi.duckdb"):
        pass
    left = views(published.home)
    again = published("publish").code

    assert (0, before) == (healed, beside)
    assert before | {"a table"} == left | {"mart.settings"}
    assert (0, before) == (again, views(published.home))


def test_status_names_what_a_client_changes_after_the_next_publish(published: Sightglass) -> None:
    """It does so by name, in a file beside the new one, which readers take for a part of that."""
    bi, before = published.home / "bi.duckdb", views(published.home)
    bi.chmod(0o644)
    with Popen([sys.executable, "-c", LATE, str(bi)], stdin=PIPE, stdout=PIPE, encoding="utf-8") as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert "open\n" == client.stdout.readline()
        healed = published("publish").code
        client.stdin.write("now\n")
        client.stdin.flush()
        assert "changed\n" == client.stdout.readline()
        client.kill()
    told, said, left = published("status", "--json"), published("status"), views(published.home)
    checked = published("doctor")
    again, after = published("publish").code, published("status", "--json")

    who = "bi.duckdb.wal: somebody has changed bi.duckdb for all who read it"
    assert (0, before | {"a table"}) == (healed, left | {"mart.settings"})
    assert (0, None, ["bi.duckdb.wal"]) == (
        told.code,
        told.report["bi_opened_by"],
        told.report["bi_changed"],
    )
    assert f"sightglass: {who}; `sightglass publish` undoes that" in said.err.splitlines()
    assert "bi.duckdb: somebody has changed it for all who read it: bi.duckdb.wal;" in checked.out
    assert (0, [], before) == (again, after.report["bi_changed"], views(published.home))


def test_what_a_client_has_written_into_it_is_gone_with_the_next_publish(published: Sightglass) -> None:
    """Also where it closed the file well, and all of it is in the file."""
    bi, before = published.home / "bi.duckdb", views(published.home)
    bi.chmod(0o644)
    with closing(duckdb.connect(bi)) as client:
        client.execute("CREATE TABLE mine AS SELECT 1 AS a; DROP VIEW mart.settings")
    left = views(published.home)
    again = published("publish").code

    assert before | {"a table"} == left | {"mart.settings"}
    assert (0, before) == (again, views(published.home))
