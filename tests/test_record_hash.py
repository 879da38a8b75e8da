"""Rows that stand for whole records carry the hash of the record they were made of."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import duckdb
import pytest

from etl import schema
from etl.extract.stream import Page, stand_in
from etl.load.save import Lineage, save
from etl.load.tables import prepare
from etl.sources import source_module
from etl.transform.batch import Transformer
from etl.transform.recognize import Recognizer, RecordHasher, steady

HASHED = [("cogniac", name) for name in ("applications", "subjects", "results")] + [("neurons", "media")]
NOW = datetime(2026, 3, 4, tzinfo=UTC)
CONTEXT = {"application_id": "A", "tenant_id": "T"}


def hasher(stream: str = "detections", source: str = "cogniac") -> RecordHasher:
    """What hashes the records of a stream."""
    return RecordHasher(schema.source(source), stream, steady(source_module(source)))


def record_hash(record: bytes, context: Mapping[str, str] = CONTEXT, **of: str) -> int:
    """The hash of a record."""
    (found,) = hasher(**of).hashes([record], context)
    return found


def result(media_id: str, updated_at: object = 1.5) -> bytes:
    """A record of Cogniac's detections."""
    return json.dumps(
        {"media": {"media_id": media_id}, "updated_at": updated_at, "detections": []}, indent=1
    ).encode()


def tables(*records: bytes, source: str = "cogniac", stream: str = "detections") -> dict[str, object]:
    """The Arrow tables of these records."""
    page = Page(stream, records, CONTEXT)
    return Transformer(source_module(source), schema.source(source)).transform([page])[stream].tables


def hashes(made: object) -> list[int]:
    """The hashes in an Arrow table."""
    return list(made["_record_hash"].to_pylist())  # type: ignore[index]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the tables of Cogniac."""
    with duckdb.connect() as made:
        prepare(made, schema.source("cogniac"))
        yield made


def test_a_hash_depends_on_all_that_a_row_is_made_of() -> None:
    """The record, what the request said, the declarations: else something new would be taken for known."""
    found = [
        record_hash(b"{}"),
        record_hash(b"{ }"),
        record_hash(b"{}", {"application_id": "B", "tenant_id": "T"}),
        record_hash(b"{}", stream="subjects"),
        record_hash(b"{}", stream="media", source="neurons"),
    ]

    assert len(found) == len(set(found))
    assert all(-(2**63) <= each < 2**63 for each in found)
    assert found[0] == record_hash(b"{}")


def test_what_stands_in_for_a_record_hashes_like_it() -> None:
    """A record that is no JSON is taken as it was received."""
    assert record_hash(b'{"a":') == record_hash(stand_in(b'{"a":'))


def test_records_that_are_stored_are_recognized() -> None:
    """They leave their page, and the versions of their rows are told; of another stream nothing is known."""
    records, hashed = [b"1", b"2", b"3"], hasher()
    known = dict(zip(hashed.hashes([b"1", b"3", b"4"], CONTEXT), (10, None, 40), strict=True))
    page, other = Page("detections", records, CONTEXT), Page("subjects", records, CONTEXT)
    recognizer = Recognizer(hashed, known)

    assert (Page("detections", [b"2"], CONTEXT), [10, None]) == recognizer.split(page)
    assert ((other, []), (page, [])) == (recognizer.split(other), Recognizer().split(page))


def test_line_breaks_count_as_spaces() -> None:
    """A record is recognized as received just as it stands in the log, on one line."""
    logged, received, hashed = b'{ "a":  1 }', b'{\n"a":\r\n1\r}', hasher()
    recognizer = Recognizer(hashed, dict.fromkeys(hashed.hashes([logged], CONTEXT), 5))

    assert (Page("detections", [], CONTEXT), [5]) == recognizer.split(Page("detections", [received], CONTEXT))


@pytest.mark.parametrize(("source", "name"), HASHED)
def test_rows_of_whole_records_are_hashed(source: str, name: str) -> None:
    """Exactly the tables whose rows stand for whole records have the column, filled for each row."""
    table = schema.source(source).tables[name]
    raw = {
        "results": result("M"),
        "applications": b'{"application_id":"A"}',
        "subjects": b'{"subject_uid":"S"}',
        "media": b'{"media_id":"N"}',
    }[name]

    made = tables(raw, source=source, stream=table.declared.stream)

    assert [record_hash(raw, stream=table.declared.stream, source=source)] == hashes(made[name])
    declared = {
        (each.schema, each.name)
        for all_of in schema.sources()
        for each in all_of.tables.values()
        if each.declared.record_hash
    }
    assert set(HASHED) == declared


def test_each_row_has_the_hash_of_its_own_record() -> None:
    """Records that are refused, for their shape or for a value, shift no hash to another row."""
    good = [result(f"M{number}") for number in range(6)]

    made = tables(b"?", good[0], result("M", "soon"), *good[1:4], b"{}", result("M", "later"), *good[4:])

    assert [record_hash(each) for each in good] == hashes(made["results"])


def test_links_that_expire_are_not_hashed() -> None:
    """A record whose links were signed anew is the same record."""
    raw = b'{"media_id":"N","results":{"heat":"https://files.example/heat.jpeg?sig=%s"}}'

    made = tables(raw % b"one", raw % b"another", source="neurons", stream="media")

    assert 1 == len(set(hashes(made["media"])))


def test_hash_is_stored_and_is_no_change_by_itself(connection: duckdb.DuckDBPyConnection) -> None:
    """New and changed rows get their hash; a record that only looks different changes nothing."""
    records = [result("M"), result("M").replace(b"\n", b""), result("M", 2)]

    found = []
    for number, record in enumerate(records):
        lineage = Lineage(f"r{number}", NOW)
        outcome = save(connection, schema.source("cogniac"), tables(record), lineage).among([(0, 9)])
        stored = connection.execute("SELECT _record_hash FROM cogniac.results").fetchall()
        found.append((outcome.inserted, outcome.updated, stored))

    first, last = [(record_hash(records[0]),)], [(record_hash(records[2]),)]
    assert [(1, 0, first), (0, 0, first), (0, 1, last)] == found


def test_a_row_of_several_records_is_recognized_by_all_of_them(connection: duckdb.DuckDBPyConnection) -> None:
    """Those of one batch have one hash; of several batches of a run the next has to find out which counts."""
    one = result("M")
    other = json.dumps({**json.loads(one), "force_review": True}).encode()
    of_one, of_other = map(record_hash, (one, other))
    known = []
    for run, records in (
        ("r1", [one, other]),
        ("r2", [one]),
        ("r2", [other]),
        ("r3", [one, other]),
        ("r4", [one, other]),
        ("r5", [one, one]),
    ):
        save(connection, schema.source("cogniac"), tables(*records), Lineage(run, NOW))
        known += connection.execute("SELECT _record_hash, _run_id FROM cogniac.results").fetchall()

    (joint, _), *later = known
    assert joint not in (None, of_one, of_other)
    assert [(of_one, "r2"), (None, "r2"), (joint, "r3"), (joint, "r3"), (of_one, "r5")] == later


def test_a_row_of_a_batch_before_is_contested_also_by_the_last_of_several(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Else the last would be recognized alone, and the first be taken for a correction of it."""
    older, first = result("M", 1.5), result("M", 2.5)
    last = json.dumps({**json.loads(first), "force_review": True}).encode()
    known = []
    for run, records in (("r1", [first]), ("r1", [older, last]), ("r2", [older, first, last])):
        save(connection, schema.source("cogniac"), tables(*records), Lineage(run, NOW))
        known += connection.execute("SELECT _record_hash, force_review FROM cogniac.results").fetchall()

    *split, (joint, is_last) = known
    assert [(record_hash(first), None), (None, True)] == split
    assert (True, True) == (joint not in (None, record_hash(first), record_hash(last)), is_last)
