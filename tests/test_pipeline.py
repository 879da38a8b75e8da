"""What a run makes of the streams of a source: cursors, failures, and what must be true after each load."""

import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from conftest import table

from etl.config import load
from etl.errors import EnvironmentFaultError, RecordError, SourceError
from etl.extract import stream_reader
from etl.extract.stream import (
    Bundle,
    Checkpoint,
    Delivery,
    Enrich,
    File,
    Page,
    RequestStats,
    Stream,
    Watermark,
    size_of,
)
from etl.load.run_store import StreamStats
from etl.pipeline.part_pipeline import PartPipeline
from etl.pipeline.rebuild import rebuild
from etl.pipeline.run import Report, run
from etl.pipeline.source_loader import LoadLimits

pytestmark = pytest.mark.usefixtures("usual_umask")

HEAVY = 2**16
"""Bytes of a batch that is committed at once, in these tests."""
NOW = datetime(2026, 4, 1, tzinfo=UTC)
CURSORS = "SELECT partition, epoch(cursor_at) FROM etl.cursors ORDER BY ALL"
STREAMS = "SELECT partition, status, inserted FROM etl.run_streams ORDER BY ALL"
RUNS = "SELECT status, exit_code FROM etl.runs ORDER BY started_at"
RESULTS = "SELECT media_id FROM cogniac.results ORDER BY ALL"
FILES = "SELECT media_id, asset, state, error FROM neurons.assets ORDER BY ALL"
FRAMES = "SELECT frame, metric, value FROM neurons.frame_metrics ORDER BY ALL"
GAPS = "SELECT stream, key, what, error FROM etl.gaps ORDER BY ALL"
PARTS = ("frame_metrics", "aoi_frames", "aoi_metrics", "aoi_scores")
WITH_ROWS = " UNION ".join(f"SELECT media_id, asset FROM neurons.{part}" for part in PARTS)  # noqa: S608

Rows = list[tuple[Any, ...]]
Step = Bundle | Exception
Told = Callable[[Checkpoint], object]


class Bench:
    """Runs of a source that delivers what a test lays before it, and is the real one in everything else."""

    def __init__(self, name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.home = name, home
        self.source = SimpleNamespace(**vars(importlib.import_module(f"etl.sources.{name}")))
        self.seen: list[float] = []
        """Where a cursor stood, whenever it had moved."""
        self.moved = threading.Event()
        """Set once it has."""
        self.rows = partial(table, home)
        self.now = NOW
        self.limits = LoadLimits(part_bytes=HEAVY, batch_bytes=HEAVY)
        monkeypatch.setitem(sys.modules, f"etl.sources.{name}", self.source)

    def run(self, *groups: list[Stream], **settings: str) -> Report:
        """Run once, an hour after the run before."""
        session = SimpleNamespace(streams=lambda _source_context: groups, close=lambda: None)
        self.source.connect = lambda _settings: session
        given = {"SIGHTGLASS_HOME": str(self.home), "SIGHTGLASS_RAW_DAYS": "0"} | settings
        self.now += timedelta(hours=1)
        return run(load((), {}, given), [self.name], lambda: self.now, self._watch, limits=self.limits)

    def _watch(self, stats: StreamStats, _waiting: int) -> None:
        at = None if stats.cursor is None else stats.cursor / 1_000_000
        if at is not None and self.seen[-1:] != [at]:
            self.seen.append(at)
            self.moved.set()

    def load(self, *deliveries: Delivery) -> Report:
        """Run once, with all of this in one bundle of one stream."""
        return self.run([stream(deliveries, name="media")])


@pytest.fixture
def cog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs of Cogniac."""
    return Bench("cogniac", tmp_path, monkeypatch)


@pytest.fixture
def neu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs of Neurons."""
    return Bench("neurons", tmp_path, monkeypatch)


def stream(*steps: Step, name: str = "detections", partition: str = "", told: Told = id) -> Stream:
    """A stream that takes these steps: bundles that it yields, errors that it raises."""

    def deliver(checkpoint: Checkpoint, _request_stats: RequestStats) -> Iterator[Bundle]:
        told(checkpoint)
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step

    return Stream(name, deliver, partition)


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

    def fail(_pipeline: PartPipeline, _parts: object) -> None:
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
    again = cog.home / "again"
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


def medium(media_id: str, status: str | None, *assets: str, at: float = 1) -> Page:
    """A medium that names these files."""
    record = {"media_id": media_id, "status": status, "updated_at": at, "results": dict.fromkeys(assets, "x")}
    return Page("media", [json.dumps(record).encode()])


def file(media_id: str, asset: str, body: bytes | None = None, **row: object) -> File:
    """A file of a medium, as the source delivers it."""
    about = {"media_id": media_id, "asset": asset, "state": "loaded", **row}
    return File("assets", f"{media_id}/{asset}", about, body)


LOST = file("m1", "metrics", state="missing", error="answered 404")
SETTLED = {"loaded": True, "archived": True, "skipped": True, "missing": False, "quarantined": False}
SETTLED |= {"never delivered": False, "not named": True}


@pytest.mark.parametrize(("state", "settled"), SETTLED.items())
def test_a_medium_is_complete_or_in_the_gaps(neu: Bench, state: str, *, settled: bool) -> None:
    """It is complete when its state is final and its files are settled; until then it is in the gaps."""
    names = [] if state == "not named" else ["metrics"]
    media = [medium(str(status), status, *names) for status in ("done", "failed", "started", None)]
    files = [file(each, "metrics", state=state) for each in ("done", "failed", "started", "None")]
    neu.load(*media, *([] if state in ("never delivered", "not named") else files))

    expected = {"done": settled, "failed": settled, "started": False, "None": False}
    assert expected == dict(neu.rows("SELECT media_id, is_complete FROM neurons.media"))
    gaps = {key.partition("/")[0] for (key,) in neu.rows("SELECT key FROM etl.gaps")}
    assert {each for each, complete in expected.items() if not complete} == gaps


def test_gaps_say_what_is_missing_and_why(neu: Bench) -> None:
    """Each file that could not be loaded is one, and so is each prediction that is not final."""
    files = [LOST, file("m1", "frt_frame_metrics", b"[1]"), file("m1", "heat", state="skipped")]
    named = [each.row["asset"] for each in files]
    neu.load(medium("m1", "done", *named), medium("m2", "started"), medium("m3", None), *files)

    assert [
        ("assets", "m1/frt_frame_metrics", "quarantined file", "a frame must be an object"),
        ("assets", "m1/metrics", "missing file", "answered 404"),
        ("media", "m2", "final results: the prediction is started", None),
        ("media", "m3", "final results: the prediction is without a status", None),
    ] == neu.rows(GAPS)


BODIES = {
    "metrics": b'[{"a": 1, "b": 2}, {"a": 3}]',
    "brand_detection": b'[[{"id": "x", "x0": 0, "y0": 0, "x1": 1, "y1": 1}]]',
    "brand_detection_metrics": b'[{"id": "x", "seen": 1}]',
    "aoi_scores": b'[{"name": "x", "score": 1}]',
}


@pytest.mark.parametrize("left", [[], ["metrics"], [*BODIES][1:], [*BODIES]])
def test_files_that_a_medium_no_longer_names_are_dropped(neu: Bench, left: list[str]) -> None:
    """Their rows go with them; files that it still names stay, and so do those of other media."""
    files = [file(media_id, *each) for media_id in ("m1", "m2") for each in BODIES.items()]
    neu.load(medium("m1", "done", *BODIES), medium("m2", "done", *BODIES), *files)
    neu.load(medium("m1", "done", *left, at=2))

    expected = sorted([*(("m1", each) for each in left), *(("m2", each) for each in BODIES)])
    assert [(*each, "loaded", None) for each in expected] == neu.rows(FILES)
    assert expected == sorted(neu.rows(WITH_ROWS))


OLD = [(1, "a", 1), (1, "b", 2), (2, "a", 3)]
SENT = {
    "another": (file("m1", "metrics", b'[{"b": 4}]'), ("loaded", None), [(1, "b", 4)]),
    "empty": (file("m1", "metrics", b"[]"), ("loaded", None), []),
    "refused": (file("m1", "metrics", b"[1]"), ("quarantined", "a frame must be an object"), OLD),
    "gone": (LOST, ("missing", "answered 404"), OLD),
}


@pytest.mark.parametrize(("sent", "state", "rows"), SENT.values(), ids=SENT)
def test_a_file_replaces_its_rows_when_it_can_be_read(
    neu: Bench, sent: File, state: tuple[str, str | None], rows: Rows
) -> None:
    """One that cannot be read keeps the rows it had, and its state says why."""
    neu.load(medium("m1", "done", "metrics"), file("m1", "metrics", BODIES["metrics"]))
    neu.load(sent)

    assert [("m1", "metrics", *state)] == neu.rows(FILES)
    assert rows == neu.rows(FRAMES)
