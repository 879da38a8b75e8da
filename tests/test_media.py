"""Media and their files: what is complete, what is missing, and what a file's rows become."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.bench import GAPS, Bench

from etl.extract.stream import File, Page

pytestmark = pytest.mark.usefixtures("usual_umask")
FILES = "SELECT media_id, asset, state, error FROM neurons.assets ORDER BY ALL"
FRAMES = "SELECT frame, metric, value FROM neurons.frame_metrics ORDER BY ALL"
PARTS = ("frame_metrics", "aoi_frames", "aoi_metrics", "aoi_scores")
WITH_ROWS = " UNION ".join(f"SELECT media_id, asset FROM neurons.{part}" for part in PARTS)  # noqa: S608
Rows = list[tuple[Any, ...]]


@pytest.fixture
def neu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs of Neurons."""
    return Bench("neurons", tmp_path, monkeypatch)


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
