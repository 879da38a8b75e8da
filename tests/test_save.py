"""What a batch does to the tables: new rows in, changed ones replaced with their parts, others left alone."""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
from support.save import Bench, Json, Rows, bench, page

from etl.extract.stream import Page
from etl.load.changes import Outcome
from etl.load.save import Lineage
from etl.sources import cogniac, neurons

CURRENT = ("results", "detections", "detection_boxes", "media")
DETECTIONS = "SELECT media_id, detection_id, probability FROM cogniac.detections ORDER BY ALL"
BOXES = "SELECT media_id, detection_id, box_index, x0 FROM cogniac.detection_boxes ORDER BY ALL"
MEDIA = "SELECT media_id, title, media_url, _run_id FROM cogniac.media ORDER BY ALL"
METRICS = "SELECT metric, time_window, value FROM neurons.media_metrics ORDER BY ALL"


@pytest.fixture
def cog() -> Iterator[Bench]:
    """A warehouse for Cogniac."""
    yield from bench("cogniac", cogniac)


@pytest.fixture
def neu() -> Iterator[Bench]:
    """A warehouse for Neurons."""
    yield from bench("neurons", neurons)


def result(media_id: str, at: float, *detections: Json, media: Json | None = None, **fields: object) -> Json:
    """A Cogniac record of a medium."""
    whole = {"media_id": media_id, **(media or {})}
    return {"media": whole, "updated_at": at, "detections": detections, **fields}


def says(detection_id: str, probability: float, lefts: Sequence[float] = (), **fields: object) -> Json:
    """An assertion, with a box for each left edge."""
    boxes = [{"box": {"x0": left, "y0": 0, "x1": left + 1, "y1": 1}} for left in lefts]
    data = {"app_data_type": "box_set", "app_data": boxes} if boxes else {}
    return {"detection_id": detection_id, "subject_uid": "cat", "probability": probability, **data, **fields}


def medium(at: str, metrics: Json) -> Page:
    """A Neurons medium with its metrics."""
    return page({"media_id": "m1", "status": "done", "updated_at": at, "metrics": metrics}, stream="media")


SETS = {
    "shrinks": ({"d1": (0.5, [1, 2]), "d2": (0.6, [3])}, {"d1": (0.5, [1])}),
    "grows": ({"d1": (0.5, [1])}, {"d1": (0.5, [1, 2]), "d2": (0.6, [3]), "d3": (0.1, [])}),
    "is emptied": ({"d1": (0.5, [1]), "d2": (0.6, [])}, {}),
    "was empty": ({}, {"d1": (0.5, [1])}),
    "is another": ({"d1": (0.5, [1])}, {"d2": (0.5, [2])}),
}


@pytest.mark.parametrize(("before", "after"), SETS.values(), ids=SETS)
def test_assertions_and_their_boxes_are_replaced_as_a_set(cog: Bench, before: Json, after: Json) -> None:
    """Whatever a record held before, its assertions and boxes are afterwards those it holds now."""
    cog.load(page(result("m1", 100, *(says(name, *one) for name, one in before.items()))))
    cog.load(page(result("m1", 200, *(says(name, *one) for name, one in after.items()))))

    assert [("m1", name, one[0]) for name, one in after.items()] == cog.rows(DETECTIONS)
    assert [
        ("m1", name, index, left) for name, one in after.items() for index, left in enumerate(one[1])
    ] == cog.rows(BOXES)


def test_what_is_sent_again_unchanged_is_not_written_again(cog: Bench) -> None:
    """Every row keeps the run and the time it was written in when the same records come again."""
    sent = page(result("m1", 100, says("d1", 0.5, [1]), media={"title": "t"}), result("m2", 100))
    cog.load(sent)
    before = cog.everything()

    assert [Outcome(0, 0)] == cog.load(sent)
    assert before == cog.everything()


def test_a_change_rewrites_the_rows_of_its_own_record_alone(cog: Bench) -> None:
    """Other records, and the medium of the changed one, keep the run they were written in."""
    cog.load(page(result("m1", 100, says("d1", 0.5, [1])), result("m2", 100, says("d1", 0.5, [1]))))
    cog.load(page(result("m1", 200, says("d1", 0.9, [1]))))

    written = {
        table: cog.rows(f"SELECT media_id, _run_id FROM cogniac.{table} ORDER BY ALL")  # noqa: S608
        for table in CURRENT
    }
    changed = [("m1", "r2"), ("m2", "r1")]
    assert {
        "results": changed,
        "detections": changed,
        "detection_boxes": changed,
        "media": [("m1", "r1"), ("m2", "r1")],
    } == written


def test_records_are_counted_as_inserted_or_updated(cog: Bench) -> None:
    """A new key is inserted; a changed result, set of assertions or medium is an update; the rest neither."""
    old = [result(f"m{number}", 100, says("d1", 0.5)) for number in range(1, 6)]
    cog.load(page(*old))
    changed = [
        result("m1", 200, says("d1", 0.5)),
        result("m2", 100, says("d1", 0.9)),
        result("m3", 100, says("d1", 0.5), media={"title": "t"}),
    ]

    assert [Outcome(inserted=1, updated=3)] == cog.load(page(*changed, *old[3:], result("m6", 1)))


def test_an_older_version_never_overwrites_a_newer_one(cog: Bench) -> None:
    """A version that arrives late leaves the current tables as they are and counts as unchanged."""
    cog.load(page(result("m1", 200, says("d1", 0.5, [1]))))
    before = {name: rows for name, rows in cog.everything().items() if name in CURRENT}

    assert [Outcome(0, 0)] == cog.load(page(result("m1", 199.999999, says("d1", 0.9), says("d2", 0.1, [7]))))
    assert before == {name: rows for name, rows in cog.everything().items() if name in CURRENT}


def test_other_content_of_the_same_time_replaces(cog: Bench) -> None:
    """Of two versions with one time, the one that was sent last stands."""
    cog.load(page(result("m1", 100, says("d1", 0.5))))

    assert [Outcome(0, 1)] == cog.load(page(result("m1", 100, says("d2", 0.6))))
    assert [("m1", "d2", 0.6)] == cog.rows(DETECTIONS)


def test_a_record_repeated_in_a_batch_counts_once(cog: Bench) -> None:
    """The same record twice in one batch is one row, and one change."""
    one = result("m1", 100, says("d1", 0.5, [1]), media={"title": "t"})

    assert [Outcome(1, 0)] == cog.load(page(one, one), page(one))
    assert [("m1", "d1", 0.5)] == cog.rows(DETECTIONS)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_the_newest_of_several_versions_in_a_batch_stands(cog: Bench, order: tuple[int, ...]) -> None:
    """Whatever order the versions of a record come in, the newest is stored, and it counts as new once."""
    versions = [result("m1", 100 * each, says(f"d{each}", 0.5, [each])) for each in order]

    assert [Outcome(1, 2)] == cog.load(page(*versions))
    assert [("m1", "d3", 0.5)] == cog.rows(DETECTIONS)
    assert [("m1", "d3", 0, 3)] == cog.rows(BOXES)


def test_a_medium_of_several_records_is_one_row_as_last_sent(cog: Bench) -> None:
    """Records of different regions share their medium: it is stored once, as in the last of them."""
    regions = [{"frames": [1]}, {"frames": [2]}, None]
    records = [
        result("m1", 100, says("d1", 0.5), media={"title": f"t{number}"}, focus=focus)
        for number, focus in enumerate(regions)
    ]

    assert [Outcome(3, 0)] == cog.load(page(*records))
    assert [("m1", "t2", None, "r1")] == cog.rows(MEDIA)
    assert [("m1", "d1", 0.5)] * 3 == cog.rows(DETECTIONS)


def test_all_media_that_a_record_names_are_stored_once(cog: Bench) -> None:
    """The medium of a record, and the related ones, are a row each, also where one is named twice."""
    related = [{"media_id": "m1"}, {"media_id": "m2", "title": "t2"}, {"media_id": "m2"}, {"media_id": "m3"}]

    assert [Outcome(1, 0)] == cog.load(page(result("m1", 100, media={"title": "t1"}, other_media=related)))
    assert [("m1", "t1", None, "r1"), ("m2", "t2", None, "r1"), ("m3", None, None, "r1")] == cog.rows(MEDIA)


def test_an_abridged_medium_wipes_nothing(cog: Bench) -> None:
    """A media object that holds only its id is inserted when it is new, and changes nothing otherwise."""
    cog.load(page(result("m1", 100, media={"title": "t"})))
    full = result("m3", 100, media={"title": "t3"})

    assert [Outcome(2, 2)] == cog.load(page(result("m1", 200), result("m2", 200), full, result("m3", 200)))
    assert [("m1", "t", None, "r1"), ("m2", None, None, "r2"), ("m3", "t3", None, "r2")] == cog.rows(MEDIA)


def test_a_medium_cut_to_a_few_fields_wipes_nothing(cog: Bench) -> None:
    """An object without its time of creation, which no full one lacks, stands only until such a one comes."""
    full: Json = {"title": "t", "created_at": 1.5}
    cut: Json = {"parent_media_ids": ["p"]}
    orders: list[tuple[str, list[Json]]] = [("m1", [full, cut]), ("m2", [cut, full]), ("m3", [cut, cut])]
    for media_id, sent in orders:
        for at, media in enumerate(sent, start=1):
            cog.load(page(result(media_id, 100 * at, media=media)))
    cog.load(page(result("m4", 100, media=full), result("m4", 200, media=cut)))

    found = cog.rows("SELECT media_id, title, parent_media_ids FROM cogniac.media ORDER BY ALL")
    assert [("m1", "t", None), ("m2", "t", None), ("m3", None, '["p"]'), ("m4", "t", None)] == found


def test_a_new_link_alone_is_no_change_but_travels_with_one(cog: Bench) -> None:
    """A column that changes by itself is written only along with another change."""
    versions = [("t", "u1"), ("t", "u2"), ("title", "u3")]
    sent = [page(result("m1", 100, media={"title": title, "media_url": url})) for title, url in versions]

    assert [[Outcome(1, 0)], [Outcome(0, 0)], [Outcome(0, 1)]] == [cog.load(each) for each in sent]
    assert [("m1", "title", "u3", "r3")] == cog.rows(MEDIA)


@pytest.mark.parametrize("table", ["results", "detections", "media"])
def test_a_change_of_an_undeclared_field_is_a_change(cog: Bench, table: str) -> None:
    """Fields nobody declared are compared by their content, in which the order of names does not matter."""

    def sent(extra: Json) -> Page:
        fields: dict[str, Json] = {"results": {}, "detections": {}, "media": {}, table: {"new": extra}}
        says_so = says("d1", 0.5, **fields["detections"])
        return page(result("m1", 100, says_so, media=fields["media"], **fields["results"]))

    extras = ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})

    assert [[Outcome(1, 0)], [Outcome(0, 0)], [Outcome(0, 1)]] == [cog.load(sent(each)) for each in extras]
    assert [('{"new":{"a":1,"b":3}}',)] == cog.rows(f"SELECT _extra FROM cogniac.{table}")  # noqa: S608


def test_an_error_in_the_middle_leaves_everything_as_it_was(cog: Bench) -> None:
    """A batch that breaks at its last table leaves no trace, and loads once it is sound."""
    cog.load(page(result("m1", 100, says("d1", 0.5, [1]))))
    before = cog.everything()
    sound = page(result("m1", 200, says("d1", 0.9, [2])), result("m2", 200))
    (tables,) = cog.cut(sound)
    boxes = tables["detection_boxes"]
    without = boxes.set_column(boxes.schema.get_field_index("x0"), "x0", pa.nulls(1, pa.float64()))

    with pytest.raises(duckdb.ConstraintException), cog.warehouse.transaction():
        cog.save({**tables, "detection_boxes": without}, Lineage("broken", datetime(2026, 3, 2, tzinfo=UTC)))

    assert before == cog.everything()
    assert [Outcome(1, 1)] == cog.load(sound)


@pytest.mark.parametrize(
    ("after", "rows"),
    [
        ({}, []),
        ({"focus": 1.5}, [("focus", "total", 1.5)]),
        ({"focus": 9, "buy_start": 2}, [("focus", "total", 9.0), ("intent", "start", 2.0)]),
        ({"clarity": 3, "annoying_end": 4}, [("avoidance", "end", 4.0), ("clarity", "total", 3.0)]),
    ],
)
def test_the_metrics_of_a_medium_are_replaced_as_a_set(neu: Bench, after: Json, rows: Rows) -> None:
    """Afterwards a medium has the metrics it was sent with last, whatever it had before, and no others."""
    neu.load(medium("2026-03-01T00:00:00Z", {"focus": 1.5, "trustworthy_first_two": 2}))

    assert [Outcome(0, 1)] == neu.load(medium("2026-03-02T00:00:00Z", after))
    assert rows == neu.rows(METRICS)


@pytest.mark.parametrize(("as_of", "stands"), [(None, "sent"), (1, "stored"), (3, "sent")])
def test_rows_without_a_version_are_late_where_they_are_replayed(
    cog: Bench, as_of: int | None, stands: str
) -> None:
    """By when they were sent; what is received now is newer than all that is stored, whatever the clock."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    stored = Lineage("first", start + timedelta(hours=2))
    sent = Lineage("second", start, None if as_of is None else start + timedelta(hours=as_of))
    for name, lineage in (("stored", stored), ("sent", sent)):
        body = json.dumps({"application_id": "A", "active": True, "name": name}).encode()
        (tables,) = cog.cut(Page("applications", [body], {"tenant_id": "T"}))
        cog.save(tables, lineage)

    assert [(stands,)] == cog.rows("SELECT name FROM cogniac.applications")
