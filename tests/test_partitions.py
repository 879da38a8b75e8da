"""How tables are cut into files: every row stands in one of them, and a change rewrites what it touched."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Event
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.partitions import APRIL, COLUMNS, DELETE, INSERT, MARCH, SOON, Small, agree, made_up

from etl import schema
from etl.errors import EnvironmentFaultError
from etl.publish import lake
from etl.publish.limits import PUBLISH_LIMITS
from etl.publish.parquet import PartitionWriter
from etl.publish.partitions import digested
from etl.publish.state import Partition
from etl.publish.writing import Rows, write_partitions
from etl.schema import Table

SQL = schema.sql_of("etl")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A lake of one table that is still empty; few rows make a partition, and fewer are sorted at once."""
    made = Small(tmp_path / "lake", made_up("a"), limits=replace(SOON, partition_rows=100, sorted_rows=7))
    yield made
    made.close()


def test_a_month_with_many_rows_is_cut(small: Small) -> None:
    """Its partitions have names that tell when they begin; months with few rows stay whole."""
    small.insert(MARCH, 430)
    small.insert(APRIL, 200, start=1000)

    small.publish()

    expected = {
        "2026-03": 100,
        "2026-03-01T014000-000000": 100,
        "2026-03-01T032000-000000": 100,
        "2026-03-01T050000-000000": 100,
        "2026-03-01T064000-000000": 30,
        "2026-04": 200,
    }
    assert (expected, True) == (small.cuts("small.a"), agree(small))


def test_an_increment_rewrites_the_piece_that_it_touches(small: Small) -> None:
    """A month stays cut where it was; a piece that has grown too large is cut again, the others stay."""
    small.insert(MARCH, 430)
    small.publish()
    nothing = small.publish()
    small.insert("2026-03-01 02:00:30+00", 10, start=1000)
    few = small.publish()
    between = small.cuts("small.a")
    small.insert("2026-03-20 00:00:00+00", 250, start=2000)
    many = small.publish()

    piece = "2026-03-01T014000-000000"
    last = {"2026-03-01T064000-000000", "2026-03-20T011000-000000", "2026-03-20T025000-000000"}
    assert [0, {piece}, last] == [nothing.files, few.changed["small.a"], many.changed["small.a"]]
    assert {**between, **dict(zip(sorted(last), (100, 100, 80), strict=True))} == small.cuts("small.a")
    assert (110, True) == (between[piece], agree(small))


def test_rows_of_one_time_stay_together(small: Small) -> None:
    """However many they are, and though no other piece is left for the rest."""
    small.insert(MARCH, 500)
    small.execute("UPDATE small.a SET seen_at = ?", MARCH)
    small.publish()
    small.insert("2026-03-01 00:01:00+00", 120, start=1000)
    small.publish()

    assert {"2026-03": 500, "2026-03-01T000100-000000": 100, "2026-03-01T014100-000000": 20} == small.cuts(
        "small.a"
    )
    assert agree(small)


def test_rows_without_a_time_stand_apart(small: Small) -> None:
    """They are in a partition of their own, and move to a month once they have a time."""
    small.execute("INSERT INTO small.a VALUES (1, NULL, NULL, 1), (2, NULL, NULL, 2)")
    small.insert(MARCH, 3, start=10)
    small.publish()
    apart = small.cuts("small.a")
    small.execute("UPDATE small.a SET seen_at = ? WHERE id = 1", APRIL)
    change = small.publish()

    assert {"2026-03": 3, "none": 2} == apart
    assert {"2026-03": 3, "2026-04": 1, "none": 1} == small.cuts("small.a")
    assert ({"2026-04", "none"}, True) == (change.changed["small.a"], agree(small))


def test_a_slice_that_loses_all_its_rows_is_empty(small: Small) -> None:
    """Readers see none of them, whether a month, a piece or the whole table has gone, until they return."""
    small.publish()
    at_first = small.seen("small.a"), small.cuts("small.a")
    small.insert(MARCH, 430)
    small.insert(APRIL, 5, start=1000)
    small.publish()
    everything = small.seen("small.a")
    found = []
    for first, last in ((1000, 1999), (100, 199), (0, 9999)):
        small.execute("DELETE FROM small.a WHERE id BETWEEN ? AND ?", first, last)
        small.publish()
        found.append((len(small.seen("small.a")), agree(small)))
    small.insert(MARCH, 430)
    small.insert(APRIL, 5, start=1000)
    small.publish()

    assert ([], {"none": 0}) == at_first
    assert [(430, True), (330, True), (0, True)] == found
    assert [row[:2] for row in everything] == [row[:2] for row in small.seen("small.a")]
    assert agree(small)


def test_a_table_may_be_cut_or_whole_as_it_is_declared(small: Small) -> None:
    """Going from the one to the other and back, and to another column, loses no row and doubles none."""
    small.insert(MARCH, 430)
    small.insert(APRIL, 5, start=1000)
    found = []
    for by_month in ("", "seen_at", "", "seen_at", "also_at", "seen_at"):
        small.declare(made_up("a", by_month))
        small.publish()
        found.append((len(small.seen("small.a")), agree(small)))
        small.execute(INSERT, -len(found), MARCH, APRIL, 0)

    assert [(number, True) for number in range(435, 441)] == found


def test_pieces_are_filled_anew_where_another_column_cuts_them(small: Small) -> None:
    """A piece that was empty by the one column and is not by the other gets its rows."""
    small.insert(MARCH, 430)
    small.publish()
    small.execute(
        "UPDATE small.a SET seen_at = TIMESTAMPTZ '2026-03-20 00:00+00' WHERE id BETWEEN 100 AND 199"
    )
    small.execute("UPDATE small.a SET also_at = TIMESTAMPTZ '2026-03-01 02:00+00'")
    small.publish()
    small.declare(made_up("a", "also_at"))
    small.publish()

    assert agree(small)


@pytest.mark.parametrize("epoch", [-253_402_300_799, -62_135_596_800, 0, 253_402_300_799])
def test_any_time_that_can_be_loaded_can_be_published(small: Small, epoch: int) -> None:
    """Cogniac's seconds since 1970 reach back before the year 1, where Python's calendar begins."""
    step = -1 if epoch > 0 else 1
    small.insert(MARCH, 250)
    small.execute("UPDATE small.a SET seen_at = make_timestamptz($1 + $2 * id)", epoch * 1_000_000, step)
    small.publish()
    small.execute(
        "INSERT INTO small.a VALUES (999, make_timestamptz(?), NULL, 1)", epoch * 1_000_000 + 99 * step
    )
    small.publish()

    assert ([50, 100, 101], True) == (sorted(small.cuts("small.a").values()), agree(small))


@pytest.mark.parametrize("fails", ["2026-03", "2026-04"])
def test_a_slice_that_cannot_be_written_ends_the_other(
    small: Small, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Two are written at once; when one fails, or the run is told to stop, neither goes on to its end."""
    both, told = Barrier(2), []

    def write(_connection: object, _table: Table, each: Partition, _path: Path, unwanted: Event) -> None:
        both.wait(30)
        if each.name == fails:
            raise OSError(ENOSPC, "No space left on device")
        told.append(unwanted.wait(30))

    monkeypatch.setattr(lake, "PartitionWriter", lambda _limits: write)
    small.insert(MARCH, 60)
    small.insert(APRIL, 50, 60)
    with pytest.raises(EnvironmentFaultError, match="No space left on device; make room"):
        small.publish()

    assert [True] == told


def test_a_lack_of_memory_while_rows_are_read_is_made_good_by_one_slice_at_a_time(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow tells of it as of a file that cannot be read."""
    real, refused = PartitionWriter(), list[str]()

    def write(connection: Any, tables: Any, each: Partition, paths: Any, unwanted: Event) -> None:  # noqa: ANN401
        if each.name == "2026-03" and not refused:
            refused.append(each.name)
            raise OSError("Out of Memory Error: failed to allocate data of size 4.0 KiB")
        real(connection, tables, each, paths, unwanted)

    monkeypatch.setattr(lake, "PartitionWriter", lambda _limits: write)
    small.insert(MARCH, 60)
    small.insert(APRIL, 50, 60)
    small.publish()

    assert (["2026-03"], True) == (refused, agree(small))


def only(small: Small) -> Path:
    """The one file of the first table."""
    (path,) = small.folder.glob("lake/small/a/*.parquet")
    return path


@pytest.mark.parametrize(("at_once", "expected"), [(10_000, 5), (3_000, 5)])
def test_row_groups_are_in_the_order_of_time(small: Small, at_once: int, expected: int) -> None:
    """Who asks for a range of time need read only the row groups that hold it, in however many sorts."""
    small.limit(group_rows=2048, sorted_rows=at_once)
    small.insert(MARCH, 10_000)
    small.execute("CREATE OR REPLACE TABLE small.a AS FROM small.a ORDER BY hash(id)")
    small.publish()

    groups = pq.read_metadata(only(small))
    place = list(COLUMNS).index("seen_at")
    found = [groups.row_group(number).column(place).statistics for number in range(groups.num_row_groups)]
    edges = [edge for one in found for edge in (one.min, one.max)]
    assert (expected, sorted(edges), True) == (len(found), edges, agree(small))


def test_only_what_repeats_is_written_as_a_dictionary(small: Small) -> None:
    """Whatever the columns are written as, a reader of Arrow finds them as they are declared."""
    small.limit(partition_rows=100_000)
    small.insert(MARCH, 10_000)
    small.publish()

    path = only(small)
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    found = {each.path_in_schema: each.has_dictionary_page for each in columns}
    assert (False, True) == (found["id"], found["also_at"])
    assert small.tables["small.a"].arrow().types == pq.read_schema(path).types


@pytest.mark.parametrize("bytes_held", [10_000, PUBLISH_LIMITS.held_bytes])
def test_rows_too_large_to_hold_are_sorted_all_the_same(small: Small, bytes_held: int) -> None:
    """DuckDB sorts them then, which can spill: the file is the same."""
    small.limit(held_bytes=bytes_held)
    small.insert(MARCH, 5_000)
    small.execute("CREATE OR REPLACE TABLE small.a AS FROM small.a ORDER BY hash(id)")
    small.publish()

    times = pq.read_table(only(small))["seen_at"].to_pylist()
    assert (5_000, sorted(times), True) == (len(times), times, agree(small))


TIMES = (None, *(f"{month}{day} 00:00:00+00" for month in ("2026-03-0", "2026-04-0") for day in (1, 2, 3)))
CHANGES = st.dictionaries(
    st.integers(0, 11),
    st.none() | st.tuples(st.sampled_from(TIMES), st.integers(0, 2)),
    max_size=12,
)
"""By id, what a row becomes: another time and value, or nothing."""


@given(st.lists(st.tuples(CHANGES, CHANGES), min_size=2, max_size=4))
@settings(max_examples=12)
def test_whatever_changes_is_what_readers_see(story: list[tuple[dict[int, Any], ...]]) -> None:
    """Rows come, change, move between months and go: after each publish all ways to read give the tables."""
    limits = replace(SOON, partition_rows=2, sorted_rows=7)
    with TemporaryDirectory() as folder:
        small = Small(Path(folder), made_up("a"), made_up("b", ""), limits=limits)
        for changes in story:
            for name, change in zip(small.tables, changes, strict=True):
                for key, row in change.items():
                    small.execute(DELETE.replace("small.a", name), key)
                    if row is not None:
                        small.execute(INSERT.replace("small.a", name), key, row[0], None, row[1])
            small.publish()

            assert [True, True] == [agree(small, name) for name in small.tables]
        small.close()


CHANGED_IN_PLACE = re.compile(
    r"^(?:UPDATE|MERGE INTO) (?P<table>\w+\.\w+).*?\bSET\b(?P<set>.*?)(?=^(?:FROM|WHERE|WHEN)\b|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A statement that changes rows where they stand: its table, and what it sets."""
TABLES = {table.qualified: table for source in schema.sources() for table in source.tables.values()}


def unseen(statement: str) -> list[str]:
    """The tables whose rows a statement changes without any column that their digest reads."""
    return [
        each["table"]
        for each in CHANGED_IN_PLACE.finditer(statement)
        if each["table"] in TABLES
        and not {*re.findall(r"(\w+) = ", each["set"])} & {*digested(TABLES[each["table"]])}
    ]


def test_whatever_statement_changes_rows_in_place_is_seen() -> None:
    """It sets a column that the digest reads, for readers keep what has the digest that it had."""
    texts = {str(path.relative_to(SQL)): path.read_text(encoding="utf-8") for path in SQL.rglob("*.sql")}
    found = {name for name, text in texts.items() if CHANGED_IN_PLACE.search(text)}
    written = {name for name, text in texts.items() if re.search(r"^(?!--).*\bUPDATE\b", text, re.MULTILINE)}

    assert written == found
    assert {"cogniac/mark_lost.sql", "neurons/mark_deleted.sql", "etl/save_streams.sql"} <= found
    assert {} == {name: tables for name, text in texts.items() if (tables := unseen(text))}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE neurons.assets\nSET error = NULL\nWHERE _run_id = 'a'", ["neurons.assets"]),
        ("UPDATE neurons.assets\nSET error = NULL, _run_id = $run_id\nWHERE state = 'a'", []),
        ("UPDATE neurons.media\nSET deleted_at = $now", []),
        ("UPDATE neurons.media\nSET name = 'a'\nFROM named\nWHERE deleted_at = $now", ["neurons.media"]),
        ("UPDATE etl.quarantine\nSET record = ''", ["etl.quarantine"]),
    ],
)
def test_a_statement_that_no_digest_sees_is_found(statement: str, expected: list[str]) -> None:
    """What it reads says nothing of what it changes."""
    assert expected == unseen(statement)


class Compared(Partition, frozen=True):
    """A partition that lets other threads go on while it is compared."""

    def __eq__(self, other: object) -> bool:
        os.sched_yield()
        return self is other

    __hash__ = None  # type: ignore[assignment]


def test_each_partition_that_is_written_leaves_the_list_and_no_other(tmp_path: Path) -> None:
    """Whatever order the threads end in, while others are looked for."""
    table = made_up("many")
    parts = [Compared(f"{number:03}") for number in range(100)]
    left: list[Rows] = [((table,), each) for each in parts]

    def write(*given: Any) -> None:  # noqa: ANN401 -- of what it is given, only the path matters
        (path,) = given[3]
        path.write_bytes(b"")

    with duckdb.connect() as connection:
        write_partitions(connection, left, lambda _table, name: tmp_path / name, write, 8)

    assert [] == left
    assert sorted(each.name for each in parts) == sorted(path.name for path in tmp_path.iterdir())
