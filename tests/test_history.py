"""The history says of every assertion from when to when it held, in whatever order its versions arrive."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from etl import schema
from etl.extract.stream import Page
from etl.load.relation import MARK, relation
from etl.load.save import Lineage, save
from etl.load.tables import prepare
from etl.sources import source_module
from etl.transform.batch import Transformer

Rows = list[tuple[Any, ...]]

HISTORY = """
    SELECT detection_id, probability, epoch(valid_from), epoch(valid_to), revision
    FROM history ORDER BY ALL"""
WHOLE_HISTORY = """
    SELECT
        media_id, detection_id, probability, epoch(updated_at), epoch(valid_from), epoch(valid_to), revision,
        _run_id
    FROM history ORDER BY ALL"""
WHOLE_VERSIONS = "SELECT media_id, epoch(updated_at), _run_id FROM versions ORDER BY ALL"
LINEAGE = "SELECT detection_id, epoch(valid_from), _run_id FROM history ORDER BY ALL"
EXTRA = "SELECT _extra, epoch(valid_from), epoch(valid_to) FROM history ORDER BY ALL"
CURRENT = "SELECT media_id, detection_id, probability FROM cogniac.detections ORDER BY ALL"
NEWEST = "SELECT media_id, epoch(updated_at) FROM cogniac.results ORDER BY ALL"
AS_OF = """
    SELECT media_id, detection_id, probability FROM history
    WHERE media_id = $media_id AND epoch(valid_from) <= $at AND ($at < epoch(valid_to) OR valid_to IS NULL)
    ORDER BY ALL"""
KEPT = "SELECT DISTINCT media_id, detection_id, probability FROM history"
VERSIONED = {"history": "detection_history", "versions": "result_versions"}
UNMARKED = "UPDATE cogniac.{} SET {} = NULL"
REPEATED = "SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1"


@dataclass(frozen=True)
class Version:
    """What a record said at a time: probabilities by assertion."""

    at: int
    says: dict[str, float]
    media_id: str = "m1"
    undeclared: str | None = None

    def record(self) -> bytes:
        """What it says, as the API sends it."""
        detections = [
            {"detection_id": name, "subject_uid": "s", "probability": probability, "new": self.undeclared}
            for name, probability in self.says.items()
        ]
        media = {"media_id": self.media_id}
        return json.dumps({"media": media, "updated_at": self.at, "detections": detections}).encode()

    def rows(self) -> Rows:
        """What it says, as rows."""
        return sorted((self.media_id, name, probability) for name, probability in self.says.items())


def v(at: int, **says: float) -> Version:
    """A version of the record that most tests are about."""
    return Version(at, says)


class Bench:
    """A warehouse in memory that takes batches of versions, each as a run of its own: r1, r2, ..."""

    def __init__(self) -> None:
        self.source = schema.source("cogniac")
        self.connection = duckdb.connect()
        prepare(self.connection, self.source)
        for name, table in VERSIONED.items():
            self.connection.execute(f"CREATE VIEW {name} AS FROM {relation(self.source.tables[table])}")
        self._transformer = Transformer(source_module("cogniac"), self.source)
        self._runs = 0

    @property
    def run(self) -> str:
        """The last run."""
        return f"r{self._runs}"

    def load(self, *batch: Version) -> None:
        """Load versions as one batch."""
        self._runs += 1
        page = Page("detections", [each.record() for each in batch], {"application_id": "A"})
        lineage = Lineage(self.run, datetime(2026, 3, 1, tzinfo=UTC))
        save(self.connection, self.source, self._transformer.transform([page])["detections"].tables, lineage)

    def rows(self, query: str, **parameters: object) -> Rows:
        """The answer to a query."""
        return self.connection.execute(query, parameters or None).fetchall()

    def list_all_versions(self) -> None:
        """Let the warehouse be as one of before there were marks: every version stands in a table."""
        for name, table in VERSIONED.items():
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE everything AS FROM {name}")
            self.connection.execute(f"TRUNCATE cogniac.{table}")
            self.connection.execute(f"INSERT INTO cogniac.{table} BY NAME FROM everything")
        for table in ("results", "detections"):
            self.connection.execute(UNMARKED.format(table, MARK))

    def __enter__(self) -> Self:
        self.connection.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.rollback()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A warehouse; what is loaded inside a `with` block is forgotten after it."""
    made = Bench()
    yield made
    made.connection.close()


@pytest.fixture
def cog(bench: Bench) -> Iterator[Bench]:
    """An empty warehouse."""
    with bench:
        yield bench


def test_a_change_closes_one_version_and_opens_the_next(cog: Bench) -> None:
    """An assertion that changes held as it was until then, and as it is from then on; others go on."""
    cog.load(v(100, d1=0.5, d2=0.6))
    cog.load(v(200, d1=0.9, d2=0.6))

    expected = [("d1", 0.5, 100, 200, 0), ("d1", 0.9, 200, None, 0), ("d2", 0.6, 100, None, 0)]
    assert expected == cog.rows(HISTORY)


def test_an_assertion_that_is_gone_and_back_has_a_hole_in_its_history(cog: Bench) -> None:
    """A disappearance closes a version and a reappearance opens another; in between there is none."""
    for version in (v(100, d1=0.5, d2=0.6), v(200, d2=0.6), v(300, d1=0.5, d2=0.6), v(400)):
        cog.load(version)

    expected = [("d1", 0.5, 100, 200, 0), ("d1", 0.5, 300, 400, 0), ("d2", 0.6, 100, 400, 0)]
    assert expected == cog.rows(HISTORY)


def test_a_newer_time_alone_is_no_new_version(cog: Bench) -> None:
    """A record that comes with another time and the same assertions adds nothing and writes nothing."""
    cog.load(v(100, d1=0.5))
    before = cog.rows(LINEAGE)
    cog.load(v(200, d1=0.5))

    assert [("d1", 0.5, 100, None, 0)] == cog.rows(HISTORY)
    assert before == cog.rows(LINEAGE)


LATE = [v(100, d1=0.5, d2=0.6, d4=0.2), v(300, d1=0.5, d2=0.6, d4=0.2), v(200, d1=0.7, d2=0.6, d3=0.1)]
SPLIT = [
    ("d1", 0.5, 100, 200, 0),
    ("d1", 0.5, 300, None, 0),
    ("d1", 0.7, 200, 300, 0),
    ("d2", 0.6, 100, None, 0),
    ("d3", 0.1, 200, 300, 0),
    ("d4", 0.2, 100, 200, 0),
    ("d4", 0.2, 300, None, 0),
]


def test_a_late_version_splits_what_it_interrupts(cog: Bench) -> None:
    """What a version in the middle denies goes on after it; what it brings holds until then."""
    for version in LATE:
        cog.load(version)

    assert SPLIT == cog.rows(HISTORY)
    assert LATE[1].rows() == cog.rows(CURRENT)


def test_a_late_version_that_is_repeated_changes_nothing(cog: Bench) -> None:
    """Old versions that come again, late or not, leave the history as it is, down to the run of each row."""
    for version in LATE:
        cog.load(version)
    before = cog.rows(LINEAGE)
    for batch in ([LATE[0]], [LATE[2]], LATE):
        cog.load(*batch)

    assert SPLIT == cog.rows(HISTORY)
    assert before == cog.rows(LINEAGE)


def test_a_version_older_than_all_others_comes_before_them(cog: Bench) -> None:
    """It holds until the first version known."""
    cog.load(v(200, d1=0.5))
    cog.load(v(100, d1=0.5, d2=0.6))

    expected = [("d1", 0.5, 100, 200, 0), ("d1", 0.5, 200, None, 0), ("d2", 0.6, 100, 200, 0)]
    assert expected == cog.rows(HISTORY)


@pytest.mark.parametrize(
    ("known", "holds"),
    [
        ([v(100, d1=0.5), v(300, d1=0.5), v(400, d1=0.5)], [(100, 200), (300, None)]),
        ([v(300), v(400, d1=0.5)], [(400, None)]),
    ],
    ids=["repeats another", "empty"],
)
def test_a_late_version_ends_where_the_record_was_seen(
    cog: Bench, known: list[Version], holds: list[tuple[int, int | None]]
) -> None:
    """A version that changed nothing is evidence all the same: what it says is not denied by an older one."""
    for version in known:
        cog.load(version)
    cog.load(v(200, d2=0.6))

    assert [*(("d1", 0.5, *each, 0) for each in holds), ("d2", 0.6, 200, 300, 0)] == cog.rows(HISTORY)


NEWER = pytest.mark.parametrize("newer", [[], [v(200, d1=0.7)]], ids=["in time", "late"])


@NEWER
def test_versions_of_one_time_are_numbered(cog: Bench, newer: list[Version]) -> None:
    """Of several versions with one time all are kept, and all but the last held for no time."""
    cog.load(*newer)
    cog.load(v(100, d1=0.5, d2=0.6))
    cog.load(v(100, d1=0.8, d2=0.6), v(100, d1=0.9))
    end = 200 if newer else None
    after = [("d1", 0.7, 200, None, 0)] if newer else []

    expected = [("d1", 0.5, 100, 100, 0), *after, ("d1", 0.8, 100, 100, 1), ("d1", 0.9, 100, end, 2)]
    assert [*expected, ("d2", 0.6, 100, 100, 0)] == cog.rows(HISTORY)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_versions_in_one_batch_are_taken_in_their_own_order(cog: Bench, order: tuple[int, ...]) -> None:
    """However a batch is ordered, its history is that of the times in it."""
    versions = [v(100, d1=0.5), v(200), v(300, d1=0.5, d2=0.6), v(400, d2=0.6)]
    cog.load(*(versions[place] for place in order))

    expected = [("d1", 0.5, 100, 200, 0), ("d1", 0.5, 300, 400, 0), ("d2", 0.6, 300, None, 0)]
    assert expected == cog.rows(HISTORY)


def test_an_undeclared_field_belongs_to_the_version(cog: Bench) -> None:
    """The history keeps what the current table keeps, fields nobody declared included."""
    for at, new in [(100, "a"), (200, "a"), (300, "b")]:
        cog.load(replace(v(at, d1=0.5), undeclared=new))

    assert [('{"new":"a"}', 100, 300), ('{"new":"b"}', 300, None)] == cog.rows(EXTRA)


@st.composite
def deliveries(draw: st.DrawFn, *, late: bool) -> list[list[Version]]:
    """Batches of versions of two records; late: in any order, some of them more than once."""
    says = st.dictionaries(st.sampled_from(["d1", "d2", "d3"]), st.sampled_from([0.1, 0.2]))
    made = st.builds(Version, st.integers(1, 6), says, st.sampled_from(["m1", "m2"]))
    sent = draw(st.lists(made, min_size=2, max_size=10))
    if late:
        sent = draw(st.permutations(sent + draw(st.lists(st.sampled_from(sent), max_size=3))))
    else:
        sent.sort(key=lambda each: each.at)
    ends = sorted(draw(st.sets(st.integers(1, len(sent) - 1), max_size=5)))
    batches = [sent[first:last] for first, last in itertools.pairwise([0, *ends, len(sent)])]
    return [draw(st.permutations(batch)) for batch in batches]


# Shrinking takes minutes, and an example has few versions anyway.
MANY = 600 if os.environ.get("TEST_LONG") else 30
EXAMPLES = settings(
    derandomize=True, database=None, deadline=None, max_examples=MANY, phases=[Phase.generate]
)


def check(cog: Bench, batches: list[list[Version]]) -> None:
    """Load the batches, and hold tables and history to what was said: of versions with one time, the last."""
    versions: dict[tuple[str, int], list[Rows]] = {}
    for batch in batches:
        cog.load(*batch)
        for each in batch:
            versions.setdefault((each.media_id, each.at), []).append(each.rows())

    newest = {media_id: max(at for of, at in versions if of == media_id) for media_id, _ in versions}
    assert sorted(newest.items()) == cog.rows(NEWEST)
    assert [row for one in sorted(newest.items()) for row in versions[one][-1]] == cog.rows(CURRENT)
    for table in cog.source.tables.values():
        assert [] == cog.rows(REPEATED.format(key=", ".join(table.key), table=relation(table)))
    assert {row for shared in versions.values() for rows in shared for row in rows} == {*cog.rows(KEPT)}
    for media_id, moment in itertools.product(newest, range(8)):
        at = max((at for of, at in versions if of == media_id and at <= moment), default=0)
        held = versions.get((media_id, at), [[]])[-1]
        assert held == cog.rows(AS_OF, media_id=media_id, at=moment)


@EXAMPLES
@given(batches=deliveries(late=False))
def test_versions_in_order_are_what_the_history_says(bench: Bench, batches: list[list[Version]]) -> None:
    """Batch after batch in the order of time: at each moment the history holds what was said last."""
    with bench as cog:
        check(cog, batches)


@EXAMPLES
@given(batches=deliveries(late=True))
def test_versions_in_any_order_are_what_the_history_says(bench: Bench, batches: list[list[Version]]) -> None:
    """In whatever order versions arrive: at each moment the history holds what was said last before it."""
    with bench as cog:
        check(cog, batches)


@dataclass
class Model:
    """What is to be known of records: every version of every assertion, and the times of all versions."""

    history: list[list[Any]] = field(default_factory=list)
    """Record, assertion, what it says, since when it was sent so; from, until, revision; and the run."""
    versions: dict[tuple[str, int], str] = field(default_factory=dict)
    """The run that found a version, by record and time."""
    newest: dict[str, Version] = field(default_factory=dict)

    def take(self, sent: Version, run: str) -> None:
        """Take a version in."""
        known = self.newest.get(sent.media_id)
        if known == sent:
            return
        if known is None or known.at <= sent.at:
            self.newest[sent.media_id] = sent
        later = [at for of, at in self.versions if of == sent.media_id and at > sent.at]
        following = min(later, default=None)
        own = [row for row in self.history if row[0] == sent.media_id]
        holding = [row for row in own if row[4] <= sent.at and (row[5] is None or row[5] > sent.at)]
        ended = [row for row in holding if sent.says.get(row[1]) != row[2]]
        for row in ended:
            if following is not None and (row[5] is None or following < row[5]):
                self.history.append([*row[:4], following, row[5], 0, run])
            row[5], row[7] = sent.at, run
        for name in sent.says.keys() - {row[1] for row in holding if row not in ended}:
            revision = sum(row[1] == name and row[4] == sent.at for row in own)
            self.history.append(
                [sent.media_id, name, sent.says[name], sent.at, sent.at, following, revision, run]
            )
        self.versions.setdefault((sent.media_id, sent.at), run)


def in_order(rows: Iterable[Sequence[Any]]) -> Rows:
    """The rows as DuckDB orders them."""
    return sorted(map(tuple, rows), key=lambda row: [(value is None, value) for value in row])


@EXAMPLES
@given(batches=deliveries(late=True), unmarked=st.sets(st.integers(0, 5)))
def test_every_row_is_as_it_would_be_stored(
    bench: Bench, batches: list[list[Version]], unmarked: set[int]
) -> None:
    """What is stored, and what follows from current rows, is the history down to the run of each row.

    So it is with rows of a warehouse from before there were marks.
    """
    model = Model()
    with bench as cog:
        for number, batch in enumerate(batches):
            cog.load(*batch)
            for version in sorted(batch, key=lambda each: each.at):
                model.take(version, cog.run)
            if number in unmarked:
                cog.list_all_versions()
        versions = [(*one, run) for one, run in model.versions.items()]

        assert in_order(model.history) == in_order(cog.rows(WHOLE_HISTORY))
        assert in_order(versions) == cog.rows(WHOLE_VERSIONS)


def test_what_holds_is_not_stored_twice(cog: Bench) -> None:
    """A first load leaves history and versions empty; a replaced record brings in what it replaced."""
    cog.load(v(100, d1=0.5, d2=0.6), Version(100, {"d1": 0.5}, "m2"))
    counts = "SELECT (SELECT count(*) FROM cogniac.detection_history), count(*) FROM cogniac.result_versions"
    first = cog.rows(counts)
    cog.load(v(200, d1=0.9))

    assert ([(0, 0)], [(2, 1)]) == (first, cog.rows(counts))
