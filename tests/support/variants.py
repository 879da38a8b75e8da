"""What tests of several files share with `test_variants`."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import stamina
from conftest import Plant, Row, Truth, as_read, in_order, rows, table

from etl import config, schema
from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.cogniac.written import late_record
from etl.demo.neurons.simulator import NeuronsSize
from etl.pipeline import run as pipeline
from etl.pipeline.source_loader import LOAD_LIMITS, LoadLimits
from etl.sources import own_settings

T = 1772600000
APPLICATION = {"application_id": "some", "name": "some", "type": "classification", "active": True}
COGNIAC = (
    *("applications", "application_thresholds", "subjects"),
    *("media", "results", "detections", "detection_boxes"),
)
LONGER = 20 if os.environ.get("TEST_LONG") else 1
"""How many times as many examples as usual."""


def load(
    home: Path,
    environ: Mapping[str, str],
    at: datetime | None = None,
    limits: LoadLimits = LOAD_LIMITS,
) -> pipeline.Report:
    """A run in this process, now or at a time, whose retries do not wait."""
    always = {"SIGHTGLASS_HOME": str(home), "SIGHTGLASS_RAW_DAYS": "0"}
    found = config.load(own_settings(), {**always, **environ}, file=Path(os.devnull))
    with stamina.set_testing(True, attempts=3):
        return pipeline.run(
            found, [], lambda: at or datetime.now(UTC), lambda _stats, _pending: None, limits=limits
        )


def sound(home: Path) -> list[Any]:
    """Streams that do not balance or do not end, and tables in which a key stands twice."""
    wrong = table(
        home,
        "SELECT run_id, source, stream, partition FROM etl.run_streams "
        "WHERE status = 'running' OR fetched <> inserted + updated + unchanged + quarantined",
    )
    kept = [each for name in schema.names() for each in schema.source(name).tables.values()]
    twice = " UNION ALL ".join(
        f"(SELECT '{each.qualified}' FROM {as_read(each.qualified)} GROUP BY {', '.join(each.key)} "  # noqa: S608
        "HAVING count(*) > 1 LIMIT 1)"
        for each in kept
    )
    return [*wrong, *table(home, twice)]


def stored(home: Path) -> dict[str, list[Row]]:
    """What the tables of Cogniac hold."""
    return {name: in_order(rows(home, f"cogniac.{name}")) for name in COGNIAC}


def expected_of(plant: Plant) -> dict[str, list[Row]]:
    """What the tables of Cogniac must hold."""
    return {name: in_order(found) for name, found in Truth.now(plant).rows().items()}


def holding(*groups: tuple[float, int], variant: ApiVariant | None = None) -> CogniacSimulator:
    """A tenant with one application, of whose records so many changed at each of these times."""
    simulator = CogniacSimulator(1, CogniacSize(applications=0, records=0), variant=variant)
    simulator.put_application(APPLICATION)
    names = count()
    for after, how_many in groups:
        for _ in range(how_many):
            simulator.put("some", late_record(APPLICATION, f"m{next(names)}", T + after))
    return simulator


def silently_lost(home: Path, plant: Plant) -> list[Row]:
    """Records that are not in the tables and that no gap names."""
    truth = expected_of(plant)["results"]
    there = {(row["media_id"], row["focus_key"]) for row in rows(home, "cogniac.results")}
    gaps = {row["key"] for row in rows(home, "etl.gaps")}
    return [
        row
        for row in truth
        if (row["media_id"], row["focus_key"]) not in there
        and not gaps & {"some", f"some at {row['updated_at']}"}
    ]


def known(home: Path) -> dict[str, tuple[str, str]]:
    """The states of the media that are not marked as gone."""
    found = rows(home, "neurons.media")
    return {row["media_id"]: (row["status"], row["aoi_status"]) for row in found if "deleted_at" not in row}


def gone(home: Path) -> set[str]:
    """The media that are marked as gone."""
    return {row["media_id"] for row in rows(home, "neurons.media")} - known(home).keys()


def confirm_deletions(home: Path) -> None:
    """Let the next run mark what runs hold back."""
    found = config.load((), {"SIGHTGLASS_HOME": str(home)}, file=Path(os.devnull))
    pipeline.confirm(found, "deletions", "neurons", datetime.now(UTC))


def differing(home: Path, plant: Plant) -> list[Any]:
    """Where the tables are not what Neurons says now: media, their metrics and files, rows of files."""
    truth = Truth.now(plant)
    there = known(home)
    media = {one["media_id"]: (one["status"], one["aoi_status"]) for one in truth.media}
    metrics = {(one["media_id"], name): at for one in truth.media for name, at in one["metrics"].items()}
    found = [row for row in rows(home, "neurons.media_metrics") if row["media_id"] in there]
    files = {key: sha256(body).hexdigest() for key, body in truth.files.items()}
    assets = [row for row in rows(home, "neurons.assets") if row["media_id"] in there and "sha256" in row]
    framed = {key for key in files if key[1] in ("metrics", "frt_frame_metrics")}
    frames = {(row["media_id"], row["asset"]) for row in rows(home, "neurons.frame_metrics")}
    pairs = [
        (media, there),
        (metrics, {(row["media_id"], row["metric_raw"]): row["value"] for row in found}),
        (files, {(row["media_id"], row["asset"]): row["sha256"] for row in assets}),
        (framed, {key for key in frames if key[0] in there}),
        ([], sound(home)),
    ]
    return [pair for pair in pairs if pair[0] != pair[1]]


SMALL = NeuronsSize(media=12, video_share=0.5, frames=(50, 60))
