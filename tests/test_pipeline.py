"""What a run makes of the streams of a source: cursors, failures, and what must be true after each load."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from conftest import table
from support.bench import GAPS, HEAVY, NOW, Bench, Step, stream

from etl.config import load
from etl.errors import EnvironmentFaultError, RecordError, SourceError
from etl.extract import stream_reader
from etl.extract.log import Head, Part, Run
from etl.extract.stream import Bundle, Checkpoint, Enrich, Page, RequestStats, Stream, Watermark, size_of
from etl.load.commit import Batch
from etl.pipeline.part_pipeline import PartPipeline, Steps
from etl.pipeline.rebuild import rebuild
from etl.pipeline.source_loader import LoadLimits
from etl.pipeline.stages import Stages
from etl.transform.part_rows import PartRows, RowSet

pytestmark = pytest.mark.usefixtures("usual_umask")
CURSORS = "SELECT partition, epoch(cursor_at) FROM etl.cursors ORDER BY ALL"
STREAMS = "SELECT partition, status, inserted FROM etl.run_streams ORDER BY ALL"
RUNS = "SELECT status, exit_code FROM etl.runs ORDER BY started_at"
RESULTS = "SELECT media_id FROM cogniac.results ORDER BY ALL"


@pytest.fixture
def cog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs of Cogniac."""
    return Bench("cogniac", tmp_path, monkeypatch)


def page(*times: float, heavy: bool = True) -> Bundle:
    """Records of these times, all up to the last; heavy enough to be loaded before anything else is read."""
    record = b'{"media": {"media_id": "m%g"}, "updated_at": %a, "detections": []}'
    records = [record % (at, at) for at in times]
    records[0] += b" " * (HEAVY if heavy else 0)
    return [Page("detections", records, {"application_id": "A"}), Watermark(round(times[-1] * 1_000_000))]


def unproven(*times: float) -> Bundle:
    """The same, of which nothing says that all up to a time has come."""
    return page(*times)[:1]


@pytest.mark.parametrize(
    ("bundles", "seen"),
    [
        ([page(100, 200), page(200, 300)], [200, 300]),
        ([page(200, 300), unproven(100), unproven(400)], [300]),
        ([page(100), unproven(300, 200), page(400)], [100, 400]),
        ([unproven(300, 200), [Watermark(250_000_000)], unproven(400)], [250]),
        ([page(100), page(200), [Watermark(300_000_000, holds=True)], unproven(300)], [100, 200]),
    ],
)
def test_a_cursor_moves_over_what_is_proven_to_have_come(
    cog: Bench, bundles: list[Bundle], seen: list[float]
) -> None:
    """It follows what the source says of it, whatever times the records have."""
    cog.run([stream(*bundles, SourceError("broke off"))])

    assert seen == cog.seen
    assert [("", seen[-1])] == cog.rows(CURSORS)


def test_a_cursor_never_passes_the_end_that_was_asked_for(cog: Bench) -> None:
    """Where a source proves nothing, the newest time before the end counts once the stream has ended well."""
    end = cog.now.timestamp() + 3600 - 5
    cog.run([stream(unproven(100, end - 1, end + 1, 4e9))])

    assert [("", end - 1)] == cog.rows(CURSORS)


def test_a_cursor_that_is_yet_to_come_is_not_believed(cog: Bench) -> None:
    """The stream is read from its beginning, and the cursor goes back to where the data is."""
    told: list[Checkpoint] = []
    cog.run([stream(page(cog.now.timestamp()))])
    cog.now -= timedelta(days=400)
    report = cog.run([stream(page(100, 200), told=told.append)])

    assert (None, 0) == (told[0].cursor, told[0].start)
    assert [("", 200)] == cog.rows(CURSORS)
    (notice,) = cog.rows("SELECT notice FROM etl.run_streams WHERE notice IS NOT NULL")
    assert (report.streams[0].notice,) == notice
    assert "is yet to come: the stream is read from its beginning" in str(notice[0])


def test_what_has_come_is_committed_though_nothing_more_comes(
    cog: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API that answers no more holds up what it has answered for some seconds only."""
    monkeypatch.setattr(stream_reader, "QUIET", 0.01)
    committed = []

    def deliver(_checkpoint: Checkpoint, _request_stats: RequestStats) -> Iterator[Bundle]:
        yield page(1.0, heavy=False)
        for _ in range(600):
            cog.now += timedelta(seconds=10)
            if cog.moved.wait(0.05):
                break
        committed.append(cog.moved.is_set())

    cog.run([Stream("detections", deliver, "a")])

    assert [True] == committed


def test_a_commit_that_fails_is_told_though_nothing_more_comes(
    cog: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot write does not wait for an API that answers no more."""
    released, given_up = threading.Event(), []

    def fail(_pipeline: PartPipeline, *_given: object) -> None:
        raise EnvironmentFaultError("the disk is full")

    def deliver(_checkpoint: Checkpoint, _request_stats: RequestStats) -> Iterator[Bundle]:
        yield page(1.0)
        given_up.append(not released.wait(30))

    monkeypatch.setattr(stream_reader, "QUIET", 0.01)
    monkeypatch.setattr(PartPipeline, "_commit", fail)
    with pytest.raises(EnvironmentFaultError, match="the disk is full"):
        cog.run([Stream("detections", deliver, "a")])
    waited = list(given_up)
    released.set()

    assert [] == waited


class Kept:
    """A writer of the log and a maker of rows, of parts that hold nothing."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def seal(self, *_given: object, **_more: object) -> Part:
        """Number the next part."""
        self.parts.append(Part(len(self.parts) + 1, "run", Path("entry")))
        return self.parts[-1]

    def expect(self, part: Part) -> None:
        """Begin with nothing."""

    def rows(self, part: Part) -> PartRows:
        """No rows."""
        head = Head(1, part.number, Run("run", 0, "0"), 0, [], [], ends_batch=True)
        return PartRows(head, [], RowSet(), is_of_run=True)


class FullDisk:
    """A committer that fails once it is let."""

    def __init__(self) -> None:
        self.tried: list[int | None] = []
        self.may_fail = threading.Event()

    def commit(self, batch: Batch) -> None:
        """Fail."""
        self.tried.append(batch.number)
        assert self.may_fail.wait(30)
        raise EnvironmentFaultError("the disk is full")


def test_no_batch_is_committed_after_one_that_was_not() -> None:
    """Else the parts of the first would look as if they were applied: they wait for the next run."""
    kept, committer = Kept(), FullDisk()
    steps: Any = Steps(
        cast("Any", kept), cast("Any", kept), cast("Any", committer), Stages(), lambda: NOW, lambda *_: None
    )

    def load() -> None:
        with PartPipeline(steps) as pipeline:
            pipeline.add([], ends_batch=True)
            pipeline.add([], ends_batch=True)
            committer.may_fail.set()
            pipeline.wait()

    with pytest.raises(EnvironmentFaultError, match="the disk is full"):
        load()

    assert [1] == committer.tried


def test_a_batch_ends_once_its_rows_are_large(cog: Bench) -> None:
    """However little was received: the rows that were made of it are held until they are committed."""
    pages = [page(float(at), heavy=False) for at in range(1, 51)]
    cog.limits = LoadLimits(part_bytes=1, batch_bytes=sum(map(size_of, pages)) + 1)
    committed = []

    def deliver(_checkpoint: Checkpoint, _request_stats: RequestStats) -> Iterator[Bundle]:
        for each in pages:
            yield each
            if cog.moved.wait(0.1):
                break
        committed.append(cog.moved.is_set())

    cog.run([Stream("detections", deliver, "a")])

    assert [True] == committed


@pytest.mark.parametrize(("holds", "cursors"), [(True, []), (False, [("", 100.0)])], ids=["holds", "moves"])
def test_how_far_a_cursor_may_move_counts_though_its_stream_ends_in_a_later_batch(
    cog: Bench, *, holds: bool, cursors: list[tuple[str, float]]
) -> None:
    """What the source has proven bounds the cursor, whatever is committed between that and the end."""
    bundle = [*unproven(400, 100), Watermark(100_000_000, holds=holds)]
    cog.run([stream(bundle)], SIGHTGLASS_RAW_DAYS="forever")
    again = cog.home.with_name(f"{cog.home.name}-again")
    rebuild(load((), {}, {"SIGHTGLASS_HOME": str(cog.home)}), [], again, lambda: cog.now, alone=True)

    assert [cursors, cursors] == [table(home, CURSORS) for home in (cog.home, again)]


@pytest.mark.parametrize("ends", [[], [SourceError("broke off")]], ids=["ends", "fails"])
def test_a_cursor_is_held_to_the_end_where_records_come_in_no_order(cog: Bench, ends: list[Step]) -> None:
    """Something older may still come, so that only a stream that ended well moves it, to the newest."""
    cog.run([stream(unproven(300, 100), unproven(200), *ends)])

    assert ([] if ends else [300]) == cog.seen
    assert ([] if ends else [("", 300)]) == cog.rows(CURSORS)


def test_a_later_run_moves_the_cursor_on_and_never_back(cog: Bench) -> None:
    """It begins before the cursor, in order all the same: what it has loaded need not be loaded again."""
    cog.run([stream(page(500, 1000))])
    cog.run([stream(page(400, 1000), page(1100), page(1200), SourceError("broke off"))])
    cog.run([stream(page(400, 900))])

    assert [1000, 1100, 1200] == cog.seen
    assert [("", 1200)] == cog.rows(CURSORS)


def test_a_cursor_does_not_pass_what_was_refused(cog: Bench) -> None:
    """Only records that are loaded move it, so that a refused one at the end is read again."""
    bad = Page("detections", [b'{"media": {"media_id": "m"}, "updated_at": 200}'], {"application_id": "A"})
    report = cog.run([stream([*unproven(100), bad])])

    assert [("", 100)] == cog.rows(CURSORS)
    assert ("partial", 4, 1) == (report.status, report.exit_code, report.newly_quarantined)


def test_a_stream_is_told_where_it_stands(cog: Bench) -> None:
    """It begins the overlap before its own cursor, never below 0, and ends the lag before now."""
    told: list[Checkpoint] = []
    cog.run([stream(page(5000.5), told=told.append)])
    cog.run([stream(told=told.append)], SIGHTGLASS_OVERLAP="200.25", SIGHTGLASS_LAG="7")
    cog.run([stream(told=told.append)], SIGHTGLASS_OVERLAP="6000", SIGHTGLASS_LAG="0")

    starts = [(None, 0), (5_000_500_000, 4_800_250_000), (5_000_500_000, 0)]
    ends = [
        (round(NOW.timestamp()) + hour * 3600 - lag) * 1_000_000 for hour, lag in [(1, 5), (2, 7), (3, 0)]
    ]
    overlaps = [3_600_000_000, 200_250_000, 6_000_000_000]
    assert told == [
        Checkpoint(*each, end, [], end - overlap)
        for each, end, overlap in zip(starts, ends, overlaps, strict=True)
    ]


def test_a_stream_that_fails_stops_no_other(cog: Bench) -> None:
    """The others are loaded, of its own group and of later ones; the gap is listed until it is closed."""
    broken = stream(page(1, heavy=False), SourceError("broke off"), partition="broken")
    others = [stream(page(at, heavy=False), partition=f"p{at}") for at in (2, 3)]
    cog.run([broken, others[0]], [others[1]])
    gaps, streams = cog.rows(GAPS), cog.rows(STREAMS)
    cog.run([stream(partition="broken")])

    assert [("broken", "failed", 1), ("p2", "ok", 1), ("p3", "ok", 1)] == streams
    assert [("detections", "broken", "what changed after 1970-01-01T00:00:01.000000Z", "broke off")] == gaps
    assert ([("partial", 3), ("ok", 0)], []) == (cog.rows(RUNS), cog.rows(GAPS))


def test_a_bug_in_a_source_surfaces_as_itself(cog: Bench) -> None:
    """The run is entered as failed, what was loaded before stays, and the next run can begin."""
    with pytest.raises(ZeroDivisionError, match=r"^a bug$"):
        cog.run([stream(page(1), ZeroDivisionError("a bug")), stream(partition="other")])
    cog.run([stream(page(2))])

    assert [("m1",), ("m2",)] == cog.rows(RESULTS)
    assert [("failed", 1), ("ok", 0)] == cog.rows(RUNS)


def test_a_run_that_cannot_go_on_is_entered_with_its_exit_code(cog: Bench) -> None:
    """What the command ends with is what is entered of the run."""
    (cog.home / "raw").touch()

    with pytest.raises(EnvironmentFaultError):
        cog.run([stream(page(1))], SIGHTGLASS_RAW_DAYS="1")

    assert [("failed", EnvironmentFaultError.exit_code)] == cog.rows(RUNS)


def test_rows_counts_and_cursor_are_one_transaction(cog: Bench) -> None:
    """Where a refusal cannot be entered, the records of its batch are not loaded and the cursor stays."""
    enrich = cog.source.ENRICH["detections"].record

    def refuse(record: Any, context: Any) -> None:  # noqa: ANN401 -- a type made from the schema
        enrich(record, context)
        if record.updated_at == 300:
            raise RecordError(None)  # type: ignore[arg-type]

    cog.source.ENRICH = {"detections": Enrich(refuse)}
    with pytest.raises(duckdb.ConstraintException):
        cog.run([stream(page(100), page(200, 300))])

    assert [("m100",)] == cog.rows(RESULTS)
    assert [("", 100)] == cog.rows(CURSORS)
    assert [(1, 0)] == cog.rows("SELECT fetched, quarantined FROM etl.run_streams")
