"""What is not of its declared type is put aside, as received, and nothing that must stay secret is kept."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Row, Sightglass, Truth, in_order, leaked, rows, serving

SAID = {"detection_id": "d1", "subject_uid": "s1", "probability": 0.5}
CORNERS = {"x0": 1, "y0": 2, "x1": 3, "y1": 4}
BAD: dict[str, tuple[Row, object]] = {
    "a probability above 1": ({"detections": [SAID, SAID | {"probability": 1.5}]}, 1.5),
    "text for a number": ({"detections": [SAID], "media": {"image_width": "wide"}}, "wide"),
    "text for a list": ({"detections": "none at all"}, "none at all"),
    "no id": ({"detections": [SAID, {"probability": 0.25}]}, {"probability": 0.25}),
    "no time": ({"detections": [SAID], "updated_at": "soon"}, "soon"),
    "no time of an assertion": ({"detections": [SAID, SAID | {"created_at": "never"}]}, "never"),
    "no number in a box": (
        {
            "detections": [
                SAID | {"app_data_type": "box_set", "app_data": [CORNERS, CORNERS | {"x0": "left"}]}
            ]
        },
        "left",
    ),
    "no box": ({"detections": [SAID | {"app_data_type": "box_set", "app_data": [CORNERS, 7]}]}, 7),
}
"""Records that do not fit, each with the value that is wrong."""

REASONS = {
    "a probability above 1": ("Expected `float` <= 1.0", "$.detections[1].probability"),
    "text for a number": ("Expected `int | null`, got `str`", "$.media.image_width"),
    "text for a list": ("Expected `array`, got `str`", "$.detections"),
    "no id": ("Object missing required field `detection_id`", "$.detections[1]"),
}
UNREADABLE = {"metrics": b"not json", "frt_frame_metrics": b"\xff\xfe", "aoi_scores": b"name,a\nx,1,2\n"}
NEW: dict[str, Row] = {
    "cogniac.applications": {"new_application": {"a": [1]}},
    "cogniac.subjects": {"new_subject": "x"},
    "cogniac.results": {"new_record": None},
    "cogniac.media": {"new_medium": [1, 2]},
    "cogniac.detections": {"new_assertion": 0.5},
    "neurons.media": {"new_video": True},
    "neurons.aoi_frames": {"new_area": "red"},
}
"""Fields that nobody declared, by the table they belong to."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Two runs over data with faults in it."""

    application_id: str
    truth: Truth
    """What was there before the faults."""
    first: Ran
    second: Ran
    earlier: Path
    """A copy of the warehouse after the first run."""
    home: Path
    secrets: list[str]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoiled]:
    """Two runs, one logged in by password, one by key."""
    with serving() as plant:
        truth, cogniac, neurons = Truth.now(plant), plant.cogniac, plant.neurons
        application_id = next(iter(truth.records))
        for name, (record, _) in BAD.items():
            cogniac.put(application_id, record | {"media": {"media_id": name, **record.get("media", {})}})
        unknown = {"media": {"media_id": "new", **NEW["cogniac.media"]}, **NEW["cogniac.results"]}
        cogniac.put(application_id, unknown | {"detections": [SAID | NEW["cogniac.detections"]]})
        cogniac.put_application(truth.applications[0] | NEW["cogniac.applications"])
        cogniac.put_subject(truth.subjects[0] | NEW["cogniac.subjects"])
        area = {"name": "x", **CORNERS, **NEW["neurons.aoi_frames"]}
        found = {"brand_detection": json.dumps([{"frame": 1, "aois": [area]}]).encode()}
        video = {"status": "done", "type": "video", "metrics": {}}
        neurons.put(video | {"media_id": "unreadable"} | NEW["neurons.media"], UNREADABLE | found)
        neurons.put(video | {"media_id": "refused", "metrics": {"focus": "high"}}, {"metrics": b"[]"})

        sightglass = Sightglass(tmp_path_factory.mktemp("spoiled"), plant.settings)
        login = {"COG_USER": cogniac.user, "COG_PASS": cogniac.password, "COG_API_KEY": ""}
        first, copy = sightglass.but_for(login)("run", "--json"), tmp_path_factory.mktemp("earlier")
        shutil.copy(sightglass.home / "warehouse.duckdb", copy)
        second = sightglass("run", "--json")
        tokens = {seen.headers["authorization"].split()[1] for seen in cogniac.requests}
        signed = {seen.query for seen in neurons.file_requests}
        secrets = [cogniac.password, cogniac.api_key.partition(":")[2], neurons.api_key, "signature="]
        secrets += [*tokens, *(re.findall(r"signature=(\w+)", query)[0] for query in signed)]
        yield Spoiled(application_id, truth, first, second, copy, sightglass.home, secrets)


def quarantined(home: Path, stream: str) -> dict[str, Row]:
    """What was refused of a stream, by its medium or asset."""
    found = {}
    for row in rows(home, "etl.quarantine"):
        if row["stream"] == "assets" == stream:
            found[row["context"]["asset"]] = row
        elif row["stream"] == stream:
            record = json.loads(row["record"])
            found[record.get("media_id") or record["media"]["media_id"]] = row
    return found


@pytest.mark.parametrize("name", REASONS)
def test_a_record_outside_its_type_is_put_aside(spoiled: Spoiled, name: str) -> None:
    """It is in `etl.quarantine` as received, with the reason, the place in it, and where it came from."""
    row = quarantined(spoiled.home, "detections")[name]
    record = json.loads(row["record"])
    expected = {"media": {"media_id": name}, "updated_at": record["updated_at"]}

    assert REASONS[name] == (row["reason"], row["path"])
    assert expected | BAD[name][0] | {"media": record["media"]} == record
    about = ("source", "partition", "context", "encoding", "state", "run_id")
    application = {"application_id": spoiled.application_id}
    run_id = spoiled.first.report["run_id"]
    assert ["cogniac", spoiled.application_id, application, "utf-8", "open", run_id] == [
        row[each] for each in about
    ]


@pytest.mark.parametrize("name", BAD)
def test_the_path_leads_to_what_is_wrong(spoiled: Spoiled, name: str) -> None:
    """Followed through the record as received, the path ends at the value that does not fit."""
    row = quarantined(spoiled.home, "detections")[name]

    assert BAD[name][1] == followed(row["path"], json.loads(row["record"]))


def test_the_path_leads_to_the_metric_that_is_wrong(spoiled: Spoiled) -> None:
    """So it does in a medium of Neurons."""
    row = quarantined(spoiled.home, "media")["refused"]

    assert "high" == followed(row["path"], json.loads(row["record"]))


def followed(path: str, value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """What stands at a path such as `$.detections[0].probability`; None where it leads nowhere."""
    for name, place in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        if isinstance(value, dict):
            value = value.get(name)
        else:
            value = value[int(place)] if isinstance(value, list) and place else None
    return value


def test_the_rest_of_the_page_is_loaded(spoiled: Spoiled) -> None:
    """Of the page with the faults in it, every other record is in the tables."""
    expected = {row["media_id"] for row in spoiled.truth.rows()["results"]} | {"new"}

    assert expected == {row["media_id"] for row in rows(spoiled.earlier, "cogniac.results")}


def test_refusals_turn_the_exit_code_to_4_once(spoiled: Spoiled) -> None:
    """The same faults again are counted, not stored twice, and change neither exit code nor any row."""
    counted = {("cogniac", "detections"): len(BAD), ("neurons", "media"): 1, ("neurons", "assets"): 3}
    for ran, code in ((spoiled.first, 4), (spoiled.second, 0)):
        found = {
            (one["source"], one["stream"]): one["quarantined"]
            for one in ran.report["streams"]
            if one["quarantined"]
        }
        assert (code, counted) == (ran.code, found)

    assert (
        len(BAD) + 4 == spoiled.first.report["newly_quarantined"] == len(rows(spoiled.home, "etl.quarantine"))
    )
    assert 0 == spoiled.second.report["newly_quarantined"]


def test_refusals_again_are_no_change(spoiled: Spoiled) -> None:
    """A run that meets nothing but the same faults inserts and updates nothing."""
    streams = spoiled.second.report["streams"]

    assert [] == [one for one in streams if one["inserted"] or one["updated"]]


@pytest.mark.parametrize("asset", UNREADABLE)
def test_a_file_that_cannot_be_read_is_a_gap(spoiled: Spoiled, asset: str) -> None:
    """Its row says so, its bytes are in `etl.quarantine`, and `etl.gaps` lists it."""
    row, body = quarantined(spoiled.home, "assets")[asset], UNREADABLE[asset]
    (gap,) = [row for row in rows(spoiled.home, "etl.gaps") if row["key"] == f"unreadable/{asset}"]
    entered = rows(spoiled.home, "neurons.assets")
    states = {one["asset"]: one["state"] for one in entered if one["media_id"] == "unreadable"}

    is_text = row["encoding"] == "utf-8"
    assert body == (row["record"].encode() if is_text else base64.b64decode(row["record"]))
    assert ("quarantined file", 2, row["reason"]) == (gap["what"], gap["attempts"], gap["error"])
    assert {"brand_detection": "loaded", **dict.fromkeys(UNREADABLE, "quarantined")} == states


@pytest.mark.parametrize("name", NEW)
def test_undeclared_fields_are_kept_beside_their_row(spoiled: Spoiled, name: str) -> None:
    """Whatever the level, they are in `_extra` of the table they belong to, values and all."""
    kept = [row["_extra"] for row in rows(spoiled.home, name) if "_extra" in row]

    assert [NEW[name]] == kept


@pytest.mark.parametrize("name", NEW)
def test_undeclared_fields_are_named_once(spoiled: Spoiled, name: str) -> None:
    """Each is named exactly once in the report, on standard error, and in `etl.runs`."""
    (field,) = NEW[name]
    kept = {row["run_id"]: row["unknown"] for row in rows(spoiled.home, "etl.runs")}

    named = [each for each in spoiled.first.report["unknown_fields"] if each.endswith(field)]
    assert (1, 1) == (len(named), spoiled.first.err.count(field))
    assert spoiled.first.report["unknown_fields"] == kept[spoiled.first.report["run_id"]]


def test_a_refused_medium_keeps_its_links_without_their_signatures(spoiled: Spoiled) -> None:
    """The record that is stored names each file, but opens none."""
    record = json.loads(quarantined(spoiled.home, "media")["refused"]["record"])

    (link,) = record["results"].values()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/refused/media_nvai_metrics\.json", link)


def test_no_secret_is_anywhere_but_in_the_raw_archive(spoiled: Spoiled) -> None:
    """Keys, password, tokens and link signatures are in no byte of the home folder and in no output."""
    assert 8 < len(spoiled.secrets)
    for ran in (spoiled.first, spoiled.second):
        assert [] == leaked(spoiled.secrets, ran, spoiled.home)


def test_a_corrected_record_is_loaded(tmp_path: Path) -> None:
    """When the API sends the record as it should be, it is loaded like any other."""
    with serving() as plant:
        sightglass = Sightglass(tmp_path, plant.cogniac_login)
        application_id = next(iter(Truth.now(plant).records))
        record = next(plant.cogniac.truth(application_id))
        plant.cogniac.put(application_id, record | {"detections": None, "updated_at": 1775000000.5})
        refused = sightglass("run")
        plant.cogniac.put(application_id, record | {"updated_at": 1775000001.5})
        corrected = sightglass("run")
        expected = Truth.now(plant).rows()["results"]

    assert (4, 0) == (refused.code, corrected.code)
    assert in_order(expected) == in_order(rows(sightglass.home, "cogniac.results"))
