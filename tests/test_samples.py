"""Every field of the vendors' samples is in a column, and every file that Neurons offers is accounted for."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import FILES, Plant, Row, Sightglass, Story, Truth, in_order, plain, rows, serving

from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant

SAMPLES = Path(__file__).parent / "samples"
NEWER = {"buy": "intent", "trustworthy": "trust", "annoying": "avoidance"}
WINDOWS = {"_start": "start", "_first_two": "start", "_end": "end", "_last_two": "end"}
PLACES = {("detections", "0"): "detections", ("media",): "media", (): "results"}
IDS = ("detection_id", "subject_uid")
RENAMED = {("detections", "media_id"): "assertion_media_id"}

AREA = {"id": "a1", "name": "Nordlicht"}
CORNERS = [{"x": 0.1, "y": 0.2}, {"x": 0.3, "y": 0.2}, {"x": 0.3, "y": 0.5}]
SYNTHETIC = {
    "metrics": b'[{"frame": 1, "focus": 71.2, "cognitive_demand": null}, {"frame": 2, "focus": 70.9}]',
    "frt_frame_metrics": b'{"fps": 24, "frames": {"1": {"buy": 1.5}, "13": {"buy": 2.5}}}',
    "brand_detection": json.dumps(
        [{"frame": 7, "time_s": 0.25, "aois": [AREA | {"points": CORNERS}, AREA | {"points": CORNERS[1:]}]}]
    ).encode(),
    "brand_detection_metrics": b'{"Nordlicht": {"availability": 0.5, "trustworthy": 23.5}}',
    "aoi_scores": b'\xef\xbb\xbfname;availability;rating\r\n"M\xc3\xbcller; Co";0,25;high\r\n',
}
"""No real file is published: these are made up in shapes that the documents allow."""


def sample(name: str) -> Any:  # noqa: ANN401 -- any JSON
    """A vendor's sample."""
    return json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A warehouse with the samples of both vendors and nothing else."""
    cogniac = CogniacSimulator(1, CogniacSize(applications=0, records=0))
    cogniac.put_application({"application_id": "0Am1V3kr", "name": "Cats"})
    cogniac.put("0Am1V3kr", sample("cogniac_detections")["data"][0])
    cogniac.put("0Am1V3kr", {"media": {"media_id": "second"}, "detections": [sample("cogniac_assertion")]})
    neurons = NeuronsSimulator(1, NeuronsSize(media=0))
    image, video = sample("neurons_image"), sample("neurons_video")
    neurons.put(image | {"results": {}}, dict.fromkeys(image["results"], b"a picture"))
    neurons.put(video | {"results": {}}, {name: SYNTHETIC.get(name, b"a film") for name in video["results"]})
    with serving(cogniac, neurons) as plant:
        sightglass = Sightglass(tmp_path_factory.mktemp("samples"), plant.settings)
        assert sightglass("run").code == 0
        yield sightglass.home


def leaves(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 -- any JSON
    """Every value inside a sample and the way to it; times as tables hold them."""
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(inner, dict) or not inner:
        is_time = value is not None and path[-1].endswith(("_at", "timestamp"))
        yield path, round(value * 1_000_000) if is_time else value
        return
    for name, each in inner.items():
        yield from leaves(each, *path, str(name))


def column(row: Row, table: str, path: tuple[str, ...]) -> Any:  # noqa: ANN401 -- any JSON
    """What a row of a table holds of a value in a sample."""
    value: Any = row.get(RENAMED.get((table, path[0]), path[0]))
    for each in path[1:]:
        value = value[int(each)] if isinstance(value, list) else value[each]
    return value


def test_every_field_of_cogniacs_sample_is_in_a_column(home: Path) -> None:
    """Key by key, media, focus, assertions and all, a table holds what the sample says."""
    record = sample("cogniac_detections")["data"][0]
    stored = {
        name: next(row for row in rows(home, f"cogniac.{name}") if row["media_id"] != "second")
        for name in PLACES.values()
    }

    found = {}
    for path, _ in leaves(record):
        place = next(place for place in PLACES if path[: len(place)] == place)
        found[path] = column(stored[PLACES[place]], PLACES[place], path[len(place) :])
    assert dict(leaves(record)) == found
    corners = {corner: stored["results"][f"focus_{corner}"] for corner in ("x0", "x1", "y0", "y1")}
    assert record["focus"]["box"] == corners


def test_every_field_of_cogniacs_assertion_is_in_a_column(home: Path) -> None:
    """The examples in the table of fields of an assertion are stored one by one, the box as a row too."""
    said = sample("cogniac_assertion")
    stored = next(row for row in rows(home, "cogniac.detections") if row["media_id"] == "second")

    assert dict(leaves(said)) == {path: column(stored, "detections", path) for path, _ in leaves(said)}
    expected = said["app_data"]["box"] | {"probability": 0.95, "box_index": 0}
    about = {name: stored[name] for name in ("application_id", "media_id", "focus_key", "updated_at", *IDS)}
    assert [about | expected] == in_order(rows(home, "cogniac.detection_boxes"))


@pytest.mark.parametrize("name", ["neurons_image", "neurons_video"])
def test_every_field_of_neurons_samples_is_in_a_column(home: Path, name: str) -> None:
    """Key by key, a table holds what the sample says; of results it holds the names, for links expire."""
    medium = sample(name)
    media_id, files, metrics = medium["media_id"], medium.pop("results"), medium.pop("metrics")
    times = {field: micros(medium[field]) for field in ("created_at", "updated_at")}

    def of_it(table: str) -> list[Row]:
        return [row for row in rows(home, f"neurons.{table}") if row["media_id"] == media_id]

    (stored,) = in_order(of_it("media"))
    assert medium | times | {"asset_names": sorted(files), "is_complete": True} == stored
    assert metrics == {row["metric_raw"]: row["value"] for row in of_it("media_metrics")}
    states = {each: "loaded" if each in FILES else "skipped" for each in files}
    assert states == {row["asset"]: row["state"] for row in of_it("assets")}


def test_the_rows_of_all_five_files_are_in_tables(home: Path) -> None:
    """Frames, areas, their metrics and the cells of the CSV are rows, named and timed as the file says."""
    seen = {"asset": "brand_detection", "frame": 7, "time_s": 0.25, "aoi_id": "a1", "aoi_name": "Nordlicht"}
    brand = {"asset": "brand_detection_metrics", "aoi_id": "Nordlicht"}
    line = {"asset": "aoi_scores", "row_number": 1, "aoi_name": "Müller; Co"}
    focus, demand = (
        {"asset": "metrics", "metric": m, "metric_raw": m} for m in ("focus", "cognitive_demand")
    )
    buy = {"asset": "frt_frame_metrics", "metric": "intent", "metric_raw": "buy"}

    expected: dict[str, list[Row]] = {
        "frame_metrics": [
            *(
                demand | {"frame": 1},
                focus | {"frame": 1, "value": 71.2},
                focus | {"frame": 2, "value": 70.9},
            ),
            *(
                buy | {"frame": 1, "time_s": 0.0, "value": 1.5},
                buy | {"frame": 13, "time_s": 0.5, "value": 2.5},
            ),
        ],
        "aoi_frames": [
            seen | {"instance": 0, "points": CORNERS, "x0": 0.1, "y0": 0.2, "x1": 0.3, "y1": 0.5},
            seen | {"instance": 1, "points": CORNERS[1:], "x0": 0.3, "y0": 0.2, "x1": 0.3, "y1": 0.5},
        ],
        "aoi_metrics": [
            brand | {"metric": "availability", "metric_raw": "availability", "value": 0.5},
            brand | {"metric": "trust", "metric_raw": "trustworthy", "value": 23.5},
        ],
        "aoi_scores": [
            line | {"metric": "availability", "metric_raw": "availability", "value": 0.25},
            line | {"metric": "rating", "metric_raw": "rating", "text_value": "high"},
        ],
    }
    video = {"media_id": sample("neurons_video")["media_id"]}
    for name, found in expected.items():
        assert in_order([{**video, **row} for row in found]) == in_order(rows(home, f"neurons.{name}"))


def test_an_empty_link_is_a_gap_until_it_leads_somewhere(plant: Plant, tmp_path: Path) -> None:
    """Files without a link, as in the sample, are missing and asked for again; pictures are not missed."""
    sightglass, video = Sightglass(tmp_path, plant.neurons_login), sample("neurons_video")
    for media_id in plant.neurons.media_ids():
        plant.neurons.remove(media_id)

    def outcome() -> tuple[int, int, dict[str, str], list[tuple[str, int]], bool]:
        ran = sightglass("run", "--json")
        states = {row["asset"]: row["state"] for row in rows(sightglass.home, "neurons.assets")}
        gaps = sorted((row["key"], row["attempts"]) for row in rows(sightglass.home, "etl.gaps"))
        (medium,) = rows(sightglass.home, "neurons.media")
        return ran.code, ran.report["gaps"], states, gaps, medium["is_complete"]

    plant.neurons.put(video)
    keys = sorted(f"{video['media_id']}/{name}" for name in FILES)
    missing = {name: "missing" if name in FILES else "skipped" for name in video["results"]}
    assert (0, 5, missing, [(key, 1) for key in keys], False) == outcome()
    assert (0, 5, missing, [(key, 2) for key in keys], False) == outcome()

    later = {"updated_at": "2024-01-19T10:36:49Z", "results": {"heat": "", "fog": "", "formatted": ""}}
    plant.neurons.put(video | later, SYNTHETIC)
    loaded = {name: "loaded" if name in FILES else "skipped" for name in video["results"]}
    assert (0, 0, loaded, [], True) == outcome()


@pytest.mark.parametrize("name", ["first", "increment"])
def test_the_tables_equal_what_neurons_says(story: Story, name: str) -> None:
    """After a first load and after an increment, each medium and its metrics are there by canonical names."""
    step = getattr(story, name)
    media, metrics = [], []
    for one in step.truth.media:
        times = {field: micros(one[field]) for field in ("created_at", "updated_at")}
        added = {"asset_names": sorted(one["results"]), "is_complete": one["status"] != "started"}
        own = {field: one[field] for field in ("media_id", "name", "status", "type", "aoi_status")}
        media.append(own | times | added)
        for raw, value in one["metrics"].items():
            metrics.append({"media_id": one["media_id"], "metric_raw": raw, "value": value, **named(raw)})

    assert in_order(media) == in_order(rows(step.home, "neurons.media"))
    assert in_order(metrics) == in_order(rows(step.home, "neurons.media_metrics"))


@pytest.mark.parametrize("name", ["first", "increment"])
def test_frame_metrics_are_those_of_the_files(story: Story, name: str) -> None:
    """Whichever way round a file is, each metric of each frame is a row, timed as far as the file tells."""
    step = getattr(story, name)
    expected = [
        {"media_id": media_id, "asset": asset, **row}
        for (media_id, asset), body in step.truth.files.items()
        if asset in ("metrics", "frt_frame_metrics")
        for row in frame_rows(json.loads(body))
    ]

    assert in_order(expected) == in_order(rows(step.home, "neurons.frame_metrics"))


def test_a_file_is_fetched_once_and_without_credentials(plant: Plant, sightglass: Sightglass) -> None:
    """Only files with rows are fetched, the key stays at home, and unchanged media are left alone."""
    seen = plant.neurons.file_requests
    expected = {f"/{key[0]}/{plant.neurons.filename(*key)}" for key in Truth.now(plant).files}

    assert sightglass("run", "neurons").code == 0
    assert sorted(expected) == sorted(one.path for one in seen)
    assert [] == [one for one in seen if one.has_credentials]
    seen.clear()
    assert sightglass("run", "neurons").code == 0
    assert [] == list(seen)


@pytest.mark.parametrize("envelope", ["bare", "data"])
def test_the_list_may_come_in_another_envelope(
    plant: Plant, sightglass: Sightglass, envelope: Literal["bare", "data"]
) -> None:
    """A bare list, or one under `data`, is read as well as one under `media`."""
    plant.neurons.variant = NeuronsVariant(envelope=envelope)

    assert sightglass("run", "neurons").code == 0
    expected = {one["media_id"]: micros(one["updated_at"]) for one in plant.neurons.truth()}
    stored = rows(sightglass.home, "neurons.media")
    assert expected == {row["media_id"]: row["updated_at"] for row in stored}


def test_between_sweeps_only_the_tail_and_what_is_open_are_read(tmp_path: Path) -> None:
    """Within the hours of SIGHTGLASS_NEURONS_SWEEP a run asks for the list's end and for each open medium."""
    neurons = NeuronsSimulator(1, NeuronsSize(media=130, video_share=0.03, frames=(50, 60)))
    old = {"media_id": "old", "status": "started", "type": "image", "created_at": "2026-03-01T00:00:00Z"}
    neurons.put(old)
    with serving(neurons=neurons) as plant:
        sightglass = Sightglass(tmp_path, plant.neurons_login | {"SIGHTGLASS_NEURONS_SWEEP": "24"})
        assert sightglass("run").code == 0
        neurons.requests.clear()
        neurons.put(old | {"status": "done"})
        neurons.advance(media=1)
        assert sightglass("run").code == 0

    pages = {("/predict/v2/media", f"limit=100&offset={offset}") for offset in (31, 130)}
    assert pages | {("/predict/v2/media/old", "")} == {(one.path, one.query) for one in neurons.requests}
    expected = {one["media_id"]: one["status"] for one in neurons.truth()}
    assert expected == {row["media_id"]: row["status"] for row in rows(sightglass.home, "neurons.media")}


def micros(text: str) -> int:
    """Microseconds since 1970 of a time in whole seconds."""
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def named(raw: str) -> Row:
    """The canonical name of a metric, and its window."""
    suffix = next((each for each in WINDOWS if raw.endswith(each)), "")
    metric = raw.removesuffix(suffix)
    return {"metric": NEWER.get(metric, metric), "time_window": WINDOWS.get(suffix, "total")}


def frame_rows(body: Any) -> Iterator[Row]:  # noqa: ANN401 -- any JSON
    """The rows of a file of metrics per frame: a list of rows, columns, or rows by frame; bare or wrapped."""
    about = body if isinstance(body, dict) else {}
    inner = next((about[name] for name in ("frames", "metrics") if name in about), body)
    if isinstance(inner, dict) and "1" in inner:
        inner = [{"frame": int(frame), **row} for frame, row in inner.items()]
    elif isinstance(inner, dict):
        inner = [dict(zip(inner, values, strict=True)) for values in zip(*inner.values(), strict=True)]
    for count, row in enumerate(inner, start=1):
        frame = row.pop("frame", count)
        computed = (frame - 1) / about["fps"] if "fps" in about else None
        stated = [row.pop(name) for name in ("time_s", "time", "timestamp") if name in row]
        for raw, value in row.items():
            made = {"frame": frame, "metric": NEWER.get(raw, raw), "metric_raw": raw, "value": value}
            yield plain(made | {"time_s": stated[0] if stated else computed})
