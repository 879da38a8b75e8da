"""The Neurons simulator answers like the API it stands for, with data that is believable and reproducible."""

import csv
import io
import json
import re
from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal

import httpx
import pytest
from support.neurons_simulator import Record, served

from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize, NeuronsVariant


@pytest.mark.parametrize(
    ("envelope", "unpack"),
    [("pagination", lambda body: body["media"]), ("bare", list), ("data", lambda body: body["data"])],
)
def test_neurons_media_are_paged_oldest_first(
    envelope: Literal["pagination", "bare", "data"], unpack: Callable[[Any], list[Record]]
) -> None:
    """By offset and limit all media arrive once, in any envelope, with a link for each asset."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=25), variant=NeuronsVariant(envelope=envelope))
    with served(simulator) as client:
        bodies = [
            client.get(f"predict/v2/media?limit=10&offset={offset}").json() for offset in (0, 10, 20, 30)
        ]
        one = client.get(f"predict/v2/media/{unpack(bodies[0])[0]['media_id']}").json()

    found = [medium for body in bodies for medium in unpack(body)]
    assert [len(unpack(body)) for body in bodies] == [10, 10, 5, 0]
    assert [{**medium, "results": list(medium["results"])} for medium in found] == list(simulator.truth())
    assert [medium["created_at"] for medium in found] == sorted(medium["created_at"] for medium in found)
    assert one["media_id"] == found[0]["media_id"]
    if envelope == "pagination":
        assert bodies[1]["pagination"] == {"total": 25, "offset": 10, "limit": 10}


def test_neurons_refuses_what_has_no_key_and_what_it_does_not_know() -> None:
    """Without the key 401, an unknown medium 404, a bad offset 422, each with a `detail`."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=1))
    with served(simulator) as client:
        answers = [
            client.get("predict/v2/media", headers={"X-API-Key": "no"}),
            client.get("predict/v2/media/none"),
            client.get("predict/v2/media?offset=-1"),
        ]

    assert [(one.status_code, list(one.json())) for one in answers] == [
        (x, ["detail"]) for x in (401, 404, 422)
    ]


def test_asset_links_open_without_a_key_and_only_for_five_minutes() -> None:
    """A link serves the asset's bytes until it expires by the clock; a forged one never does."""
    now = 1790000000.0
    simulator = NeuronsSimulator(size=NeuronsSize(media=6), clock=lambda: now)
    with served(simulator) as client, httpx.Client() as anyone:
        for medium in client.get("predict/v2/media").json()["media"]:
            for asset, link in medium["results"].items():
                got = anyone.get(link)
                assert got.content == simulator.asset_bytes(medium["media_id"], asset)
                assert got.headers["content-type"].split(";")[0] in {
                    *("image/jpeg", "video/mp4", "application/json", "text/csv")
                }
        forged = [link[:-10] + "9790000300", re.sub("signature=.", "signature=", link), link.split("?")[0]]
        assert [anyone.get(one).status_code for one in forged] == [403, 403, 403]
        now += 300
        assert anyone.get(link).status_code == 200
        now += 1
        assert anyone.get(link).status_code == 403
        anyone.get(link, headers={"X-API-Key": "leaked"})

    assert [one.path for one in simulator.file_requests if one.has_credentials] == [httpx.URL(link).path]


def test_every_shape_of_every_asset_occurs() -> None:
    """A demo's videos show each orientation and wrapping of the JSON files and each dialect of the CSV."""
    simulator = NeuronsSimulator()
    seen: dict[str, set[Any]] = {}
    for medium in simulator.truth():
        for asset in set(medium["results"]) & {
            "metrics",
            "frt_frame_metrics",
            "brand_detection",
            "brand_detection_metrics",
        }:
            body = json.loads(simulator.asset_bytes(medium["media_id"], asset))
            seen.setdefault(asset, set()).add(shape(body))
        if "aoi_scores" in medium["results"]:
            raw = simulator.asset_bytes(medium["media_id"], "aoi_scores")
            seen.setdefault("aoi_scores", set()).add("json" if raw.startswith(b"[") else dialect(raw))

    shapes = {(wrap, kind) for wrap in ("bare", "frames", "metrics") for kind in ("rows", "columns", "keyed")}
    assert seen["metrics"] == seen["frt_frame_metrics"] == shapes
    assert {kind for _, kind in seen["brand_detection"]} == {"rows", "keyed"}
    assert {wrap for wrap, _ in seen["brand_detection"]} == {"bare", "frames", "brand_detection"}
    assert seen["brand_detection_metrics"] == {("bare", "rows"), ("bare", "keyed")}
    dialects = {one for one in seen["aoi_scores"] if one != "json"}
    assert [set(values) for values in zip(*dialects, strict=True)] == [
        set(",;\t"),
        {True, False},
        {True, False},
    ]
    assert "json" in seen["aoi_scores"]


def shape(body: Any) -> tuple[str, str]:  # noqa: ANN401 - whatever the JSON holds
    """How an asset is wrapped and oriented."""
    wrap = next((key for key in ("frames", "metrics", "brand_detection") if key in body), "bare")
    inner = body if wrap == "bare" else body[wrap]
    if isinstance(inner, list):
        return wrap, "rows"
    column = next(iter(inner.values()))
    return wrap, "columns" if isinstance(column, list) and isinstance(column[0], float | None) else "keyed"


def dialect(raw: bytes) -> tuple[str, bool, bool]:
    """The delimiter of a CSV, whether it has a byte-order mark, whether its decimals are commas."""
    text = raw.decode("utf-8-sig")
    delimiter = next(one for one in "\t;," if one in text.partition("\n")[0])
    cells = [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]
    return delimiter, raw.startswith(b"\xef\xbb\xbf"), any(re.fullmatch(r"\d+,\d+", cell) for cell in cells)


def test_the_metrics_of_a_video_are_those_of_its_frames() -> None:
    """Aggregates are means of the frames, and a brand's availability is the share of frames it is seen in."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=1, video_share=1))
    simulator.advance(0)
    (medium,) = simulator.truth()
    assets = {name: simulator.asset_bytes(medium["media_id"], name) for name in medium["results"]}

    rows, brands = json.loads(assets["metrics"]), json.loads(assets["brand_detection_metrics"])
    focus = [row["focus"] for row in rows]
    frames = json.loads(assets["brand_detection"])
    seen = sum(any(found["name"] == brands[0]["name"] for found in frame["aois"]) for frame in frames)
    assert medium["metrics"]["focus"] == pytest.approx(fmean(focus))
    assert medium["metrics"]["focus_last_two"] == pytest.approx(fmean(focus[-48:]))
    assert 144 <= len(rows) <= 480
    assert brands[0]["availability"] == pytest.approx(seen / len(frames))


def test_advance_finishes_what_was_open_and_predicts_one_medium_again() -> None:
    """The newest videos wait for one thing or another; `advance` ends that and changes one old medium."""
    simulator = NeuronsSimulator()
    before = {medium["media_id"]: medium for medium in simulator.truth()}
    states = [
        (one["status"], one["aoi_status"], one["results"])
        for one in before.values()
        if one["type"] == "video"
    ]

    simulator.advance(3)

    after = {medium["media_id"]: medium for medium in simulator.truth()}
    changed = [after[media_id] for media_id, medium in before.items() if after[media_id] != medium]
    assert [state[:2] for state in states[-3:]] == [
        *(("done", "started"), ("started", "unspecified"), ("started", "unspecified")),
    ]
    assert [len(state[2]) for state in states[-2:]] == [1, 0]
    assert {one["status"] for one in changed} == {"done"}
    assert len(changed) == 4
    assert len(after) == 43
    assert all(one["updated_at"] > before[one["media_id"]]["updated_at"] for one in changed)
    assert {medium["status"] for medium in before.values()} == {"done", "started", "failed"}
    assert {"buy" in one["metrics"] for one in after.values() if one["metrics"]} == {True, False}


def test_media_can_be_put_and_removed_by_hand() -> None:
    """A hand-written medium is shown as it is, with links to its assets and to wherever else it says."""
    simulator = NeuronsSimulator(size=NeuronsSize(media=2))
    mine = {
        "media_id": "a b",
        "status": "done",
        "type": "video",
        "results": {"elsewhere": "http://elsewhere.invalid/x"},
    }
    simulator.put(mine, {"metrics": b"[]", "aoi_scores": (b"{}", "application/json")})
    with served(simulator) as client:
        got = client.get("predict/v2/media/a b").json()
        files = [httpx.get(got["results"][name]) for name in ("metrics", "aoi_scores")]
        first = next(simulator.truth())["media_id"]
        simulator.remove(first)
        gone = client.get(f"predict/v2/media/{first}")

    assert got["results"].pop("elsewhere") == "http://elsewhere.invalid/x"
    assert [file.content for file in files] == [b"[]", b"{}"]
    assert files[1].headers["content-type"] == "application/json"
    assert gone.status_code == 404
    assert [medium["media_id"] for medium in simulator.truth()][-1] == "a b"
