"""The lake: values of every kind survive it, and readers see one version whatever is done to it meanwhile."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lake import plain
from support.partitions import APRIL, DELETE, INSERT, MARCH, SOON, Rows, Small, agree, made_up
from support.schema import EACH_TYPE, TABLES, extremes

from etl import schema
from etl.declaration import Declaration
from etl.load.tables import prepare
from etl.publish import lake
from etl.publish.bi import query
from etl.publish.lake import Lake
from etl.publish.state import State, encode
from etl.schema import Table

SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A lake of two tables, of which one is cut by months and one is whole, with a row in each."""
    made = Small(tmp_path / "lake", made_up("a"), made_up("b", ""))
    put(made, 1)
    made.publish()
    made.publish(grace=0)
    yield made
    made.close()


def now() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1000


def put(small: Small, key: int, at: str = MARCH) -> None:
    """Put a row into each table, in place of another of its key."""
    for name in small.tables:
        small.execute(DELETE.replace("small.a", name), key)
        small.execute(INSERT.replace("small.a", name), key, at, None, now())


def content(small: Small) -> list[Rows]:
    """The rows of all tables."""
    return [small.held(name) for name in small.tables]


def seen(small: Small) -> list[Rows]:
    """The rows of all tables as the reader sees them."""
    return [small.seen(name) for name in small.tables]


def files(small: Small, pattern: str = "*.*") -> list[str]:
    """The files of versions whose names are like this, without those that were taken out of sight."""
    found = (path.relative_to(small.folder) for path in small.folder.rglob(pattern) if not path.is_symlink())
    return sorted(str(path) for path in found if {".aside", ".lakes"}.isdisjoint(path.parts))


DECLARED = [
    *TABLES,
    *(
        Table("made", name, Declaration("Made up.", EACH_TYPE, ("text",), by_month=by_month), EACH_TYPE)
        for name, by_month in (("whole", ""), ("cut", "timestamp"))
    ),
]


def test_extremes_survive_the_lake(tmp_path: Path) -> None:
    """Rows at the edges of every type are read as they were written, with the declared types and docs."""
    tables, made = {table.qualified: table for table in DECLARED}, Lake(tmp_path, SOON)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
            connection.execute(next(table.ddl()))
            connection.from_arrow(extremes(table)).insert_into(name)
        for source in schema.sources():
            prepare(connection, source)
        change = made.compare(connection, tables)
        made.write(connection, tables, change)
        made.commit(tables, change, 0)
        made.link()
        viewed = {
            name: connection.sql(query(table, str(tmp_path))).to_arrow_table().cast(table.arrow())
            for name, table in tables.items()
        }

    paths = {name: sorted(tmp_path.joinpath("lake", *name.split(".")).glob("*.parquet")) for name in tables}
    stored = {name: [pq.read_table(path) for path in found] for name, found in paths.items()}
    expected = {name: plain(extremes(table)) for name, table in tables.items()}
    assert expected == {name: plain(rows) for name, rows in viewed.items()}
    assert expected == {name: plain(pa.concat_tables(parts)) for name, parts in stored.items()}
    assert [] == [
        name
        for name, parts in stored.items()
        if not all(part.schema.equals(tables[name].arrow(), check_metadata=True) for part in parts)
    ]
    assert ["0001-01", "2017-06", "9999-12", "none"] == [
        path.name.split(".")[0] for path in paths["made.cut"]
    ]


def test_a_version_that_is_late_gets_a_later_moment(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again until it is in time; what a reader may have listed meanwhile stays for the grace."""
    delays, before = iter((0.02, 0.03)), small.lake.newest()

    def slowly(state: State) -> bytes:
        time.sleep(next(delays, 0))  # the slow disk that this is about
        return encode(state)

    monkeypatch.setattr(lake, "encode", slowly)
    put(small, 2)
    small.publish()

    names = [name for name in files(small, "all.*.parquet") if name.split(".")[-2] > before]
    assert content(small) == seen(small)
    assert small.lake.newest() == names[-1].split(".")[-2]
    assert (True, 1) == (len(names) > 2, len({(small.folder / name).stat().st_ino for name in names}))
    small.publish(grace=0)
    assert (names[-1:], content(small)) == (files(small, "all.*.parquet"), seen(small))


@pytest.mark.parametrize("back", [SECOND // 3, 10 * SECOND, YEAR, 200 * YEAR])
def test_a_clock_that_was_set_back_hides_no_version(small: Small, back: int) -> None:
    """Readers see what is published by the right time, though the version before is of the future."""
    right = small.lake
    small.lake = Lake(small.folder, SOON, lambda: now() + back)
    put(small, 2)
    put(small, 3, APRIL)
    small.publish()
    small.lake = right
    put(small, 2)
    small.publish()

    assert content(small) == seen(small)
    assert small.held("small.a") == small.linked("small.a")
    put(small, 4, APRIL)
    small.publish()
    assert (content(small), 0) == (seen(small), small.publish().files)
    small.publish(grace=0)
    assert content(small) == seen(small)
    assert [] == [name for name in files(small, "*.commit") if int(name.split("/")[1].split(".")[0]) > now()]


def test_what_never_became_part_of_a_version_is_not_seen(small: Small) -> None:
    """It is removed: halves at once, whole files when nobody can be about to open them any more."""
    published = files(small)
    old, recent = (f"{now() - ago * SECOND:016}" for ago in (700, 1))
    folder = small.folder / "versions" / "small" / "a"
    for since in (old, recent):
        shutil.copy(next(folder.glob("*.parquet")), folder / f"2026-03.{since}.parquet")
        shutil.copy(next(folder.glob("*.parquet")), folder / f"2026-05.{since}.parquet")
    aside = small.folder / "versions" / ".aside"
    for path in (aside / "small.a.2026-06.part", small.folder / "versions" / "1.part"):
        path.write_bytes(b"PAR1")
    expected = content(small)
    before = seen(small)
    small.publish()
    kept = set(files(small)) - set(published)
    after = seen(small)
    small.publish(grace=0)

    assert {f"versions/small/a/2026-{month}.{recent}.parquet" for month in ("03", "05")} == kept
    assert (published, expected, expected, expected) == (files(small), before, after, seen(small))


@pytest.mark.parametrize("name", [".DS_Store", "2026-03.tmp", "2026-03 (copy).parquet", "1.2.3.parquet"])
def test_what_does_not_belong_there_is_removed(small: Small, name: str) -> None:
    """A file that somebody or some tool has put there ends every query, until the next publish."""
    names = files(small)
    (small.folder / "versions" / "small" / "a" / name).write_bytes(b"not Parquet")
    small.publish()

    assert (names, content(small)) == (files(small), seen(small))


@pytest.mark.parametrize("name", ["@eaDir/x/y", "lost+found/a/b.parquet", "small/.AppleDouble/z"])
def test_what_stands_beside_the_tables_is_left_alone(small: Small, name: str) -> None:
    """No reader looks there."""
    path = small.folder / "versions" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of somebody else")
    small.publish(grace=0)

    assert (True, content(small)) == (path.exists(), seen(small))


def test_a_transaction_sees_one_version_until_it_ends(small: Small) -> None:
    """Whatever is published meanwhile, twice and in new months too, in tables it has not looked at before."""
    before = content(small)
    small.seen("small.a")
    small.reader.begin()
    small.reader.execute("SELECT 1")
    versions = []
    for key in (1, 2):
        put(small, key, APRIL)
        put(small, 9, f"2026-0{key + 4}-01 00:00:00+00")
        small.publish()
        versions.append(seen(small))
    small.reader.commit()

    assert ([before, before], content(small)) == (versions, seen(small))


@pytest.mark.parametrize("text", [b"", b"{", b'{"tables": 3}'])
def test_a_damaged_version_is_published_anew(small: Small, text: bytes) -> None:
    """Where nobody can tell what the files hold, all are written, and none is left that holds rows twice."""
    small.limit(partition_rows=100)
    small.insert(MARCH, 300, start=10)
    small.publish()
    small.insert("2026-02-28 23:59:30+00", 250, start=1000)
    (small.folder / "versions" / f"{small.lake.newest()}.commit").write_bytes(text)
    small.publish()

    assert (content(small), True) == (seen(small), agree(small))


@pytest.mark.parametrize(
    "lost",
    [
        "versions/small/a/*.parquet",
        "lake/small/b/*.parquet",
        "lake/small",
        "lake",
        "versions/.*",
        "versions",
        "",
    ],
)
def test_what_was_lost_is_written_again(small: Small, lost: str) -> None:
    """Files that somebody has removed, or all of them, are there again after the next publish."""
    expected = linked(small)
    for path in [*small.folder.glob(lost)] if lost else [small.folder]:
        path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    small.publish()

    assert (expected, content(small), True) == (linked(small), seen(small), agree(small))


def linked(small: Small) -> list[str]:
    """The partitions in the lake."""
    lake = (small.folder / "lake").resolve()
    return sorted(str(path.relative_to(lake)).partition(".")[0] for path in lake.rglob("*.*"))


def test_what_was_replaced_stays_for_the_grace_and_goes_after_it(small: Small) -> None:
    """Thirty small versions leave all their files with a long grace, and those of the last without."""
    first, found = read(small), []
    for grace in (600, 0):
        for key in range(15):
            put(small, key)
            small.publish(grace)
        found.append((read(small), content(small) == seen(small)))

    assert [({name: count + 15 for name, count in first.items()}, True), (first, True)] == found
    assert (1, 1, 1) == tuple(len(files(small, f"{name}*.{end}")) for name, end in KINDS)
    # A slow machine misses the moment it has set itself, sets another, and leaves two more names behind.
    assert hidden(small) in range(2, 20, 2)
    small.publish(grace=0)
    assert 0 == hidden(small)


def hidden(small: Small) -> int:
    """How many files are kept for those who have listed them, and for nobody else."""
    return len(list((small.folder / "versions" / ".aside").iterdir()))


KINDS = (("", "commit"), ("2026", "parquet"), ("all", "parquet"))


def read(small: Small) -> dict[str, int]:
    """How many files of each table readers must look into, and how many versions tell of them."""
    versions = [Path(name).stem for name in files(small, "*.commit")]
    tables = {name: files(small, f"versions/{name.replace('.', '/')}/*") for name in small.tables}
    counts = {name: sum(each.split(".")[-2] in versions for each in found) for name, found in tables.items()}
    return counts | {"versions": len(versions)}


@pytest.mark.parametrize("name", ["x[1]", "x*", "it's 50% ünï", "a.b.c"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """One that looks like a pattern is not taken for another that matches it."""
    for value, each in enumerate((name, "x1")):
        small = Small(tmp_path / each, made_up("a"))
        small.execute(INSERT, 1, MARCH, None, value)
        small.publish()
        small.close()
    reader = Small(tmp_path / name, made_up("a"))

    assert [0] == [row[-1] for row in reader.seen("small.a")]
    reader.close()
