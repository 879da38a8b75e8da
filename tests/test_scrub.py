"""Damage to the lake that nothing but a checksum shows: found by and by, at a bounded price."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Sightglass
from faults import Healthy
from support.partitions import APRIL, MARCH, Small, agree, made_up, settings_of

from etl.load.warehouse import opened
from etl.pipeline.run import publish_again
from etl.publish import publish
from etl.publish.layout import Layout
from etl.publish.limits import PublishLimits
from etl.publish.scrub import damaged
from etl.publish.state import FileSeal, seal


def flip(path: Path) -> None:
    """Flip bits as a disk does: neither size nor time of the file tell of it."""
    told, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def three(folder: Path) -> dict[Path, FileSeal]:
    """Three files of a hundred bytes, as they were written."""
    paths = [folder / name for name in "abc"]
    for path in paths:
        path.write_bytes(os.urandom(100))
    return {path: seal(path) for path in paths}


def test_all_is_read_in_the_course_of_publishes(tmp_path: Path) -> None:
    """Each reads its share, first what was not read for the longest time."""
    files, record = three(tmp_path), tmp_path / "verified.json"
    first = damaged(files, record, 100)
    for path in files:
        flip(path)
    found = [damaged(files, record, 100) for _ in range(3)]
    everything = damaged(files, record)

    a, b, c = files
    assert [set(), {b}, {b}, {b}] == [first, *found]
    assert {a, b, c} == everything


def test_what_was_touched_is_read_whatever_it_costs(tmp_path: Path) -> None:
    """Another time or inode: the content decides, and once it was found to be whole it is trusted."""
    files, record = three(tmp_path), tmp_path / "verified.json"
    a, b, c = files
    os.utime(a, ns=(1, 1))
    for path in (b, c):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    flip(c)
    first = damaged(files, record, 0)
    flip(a)

    assert ({c}, {c}, {a, c}) == (first, damaged(files, record, 0), damaged(files, record))


def test_another_size_shows_without_reading(tmp_path: Path) -> None:
    """Though nothing else tells of it, and nothing is to be read."""
    files, record = three(tmp_path), tmp_path / "verified.json"
    path = next(iter(files))
    told = path.stat()
    os.truncate(path, 50)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))

    assert {path} == damaged(files, record, 0)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"a": 1}'])
def test_a_record_of_what_was_read_may_be_lost(tmp_path: Path, content: bytes) -> None:
    """It only saves time."""
    files, record = three(tmp_path), tmp_path / "verified.json"
    record.write_bytes(content)
    flip(next(iter(files)))

    assert {next(iter(files))} == damaged(files, record)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A lake of one table with two months."""
    made = Small(tmp_path / "lake", made_up("a"))
    made.insert(MARCH, 3)
    made.insert(APRIL, 3, start=10)
    made.publish()
    yield made
    made.close()


def test_a_damaged_file_alone_is_written_anew(small: Small) -> None:
    """The others stay as they are, and readers see the right values at once."""
    # A version that was late at first has several names.
    path = Layout(small.folder).version("small.a", "2026-03", small.lake.newest())
    others = set(small.folder.glob("versions/small/a/*.parquet")) - {path}
    flip(path)
    found = small.lake.damaged()
    change = small.publish()

    assert ([path], {"small.a": {"2026-03"}}) == (found, change.changed)
    assert (False, True, True) == (path.exists(), all(map(Path.exists, others)), agree(small))
    assert (0, []) == (small.publish().files, small.lake.damaged())


def test_an_older_version_that_nobody_can_read_goes_at_once(small: Small) -> None:
    """Those who still read it cannot, and all others could not as long as it stood there."""
    older = Layout(small.folder).version("small.a", "2026-03", small.lake.newest())
    small.insert(MARCH, 3, start=20)
    small.publish()
    os.truncate(older, 10)
    small.publish()

    assert (False, True) == (older.exists(), agree(small))


def test_a_version_knows_its_files(small: Small) -> None:
    """Size and checksum of each stand in the commit, which nobody can change unseen."""
    at = Layout(small.folder)
    state = small.lake.state()
    files = {
        at.version(name, part, each.since): each.file
        for name, parts in state.tables.items()
        for part, each in parts.items()
    }
    commit = at.commit(at.newest())
    commit.write_bytes(commit.read_bytes().replace(b'"rows":3', b'"rows":4', 1))

    assert {path: seal(path) for path in files} == files
    assert ([commit], {}) == (small.lake.damaged(), small.lake.state().tables)


def harmed(sightglass: Sightglass) -> list[str]:
    """Flip bits in every file of a table; their names in the lake."""
    folder = sightglass.home
    # A version that was late at first has several names.
    newest = Layout(folder).newest()
    paths = sorted(folder.glob(f"versions/cogniac/detections/2026-0*.{newest}.parquet"))
    for path in paths:
        flip(path)
    return [str(path.relative_to(folder)) for path in paths]


def test_the_report_of_a_run_names_what_it_mended(loaded: Healthy) -> None:
    """Under `published`, by the names in the lake; people are told some of them."""
    loaded.restore()
    names = harmed(loaded.sightglass)
    sightglass = loaded.sightglass.but_for({"SIGHTGLASS_LAKE_GRACE": "600"})
    ran, again = sightglass("run", "--json"), sightglass("run", "--json")
    left = [name for name in names if (sightglass.home / name).exists()]

    line = f"damaged files of the lake, written anew from the warehouse: {', '.join(names[:5])}"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    assert (0, names, []) == (ran.code, ran.report["published"]["mended"], left)
    assert f"sightglass: {line}{more}; see to the disk\n" in ran.err
    assert [] == again.report["published"]["mended"]


def test_publishing_by_hand_reads_every_file(loaded: Healthy) -> None:
    """However little a run reads of what nobody has touched, `sightglass publish` finds all damage."""
    loaded.restore()
    # What was copied counts as touched, until it was read.
    loaded.sightglass("publish")
    home = loaded.sightglass.home
    names, settings = harmed(loaded.sightglass), settings_of(home)
    limits = PublishLimits(reread_bytes=0)
    umask = os.umask(0o022)
    try:
        with opened(home) as warehouse:
            little = publish(warehouse, settings, limits=limits).mended
        everything = publish_again(settings, datetime(2026, 3, 4, tzinfo=UTC), limits=limits).mended
    finally:
        os.umask(umask)

    assert ([], names) == (little, everything)
