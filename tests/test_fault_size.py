"""What is large, long, deep or many is loaded whole, or refused by name; it fails no run."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
from conftest import Row, Sightglass
from faults import told
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Placed,
    Request,
    Routes,
    Said,
    T,
    cogniac,
    medium,
    of_cogniac,
    of_neurons,
    record,
    serving,
)

BOX = {"x0": 1, "y0": 2, "x1": 3, "y1": 4}
MEGABYTE = 1_000_000
REFUSED = "newly quarantined, see etl.quarantine: {}"
UNDECLARED = "undeclared fields, kept in _extra: "


@dataclass(frozen=True, slots=True)
class Size:
    """What an API sends, what the first run makes of it, and how many rows there are then, by table."""

    routes: Routes
    rows: Mapping[str, int]
    refused: int = 0
    says: str = ""
    """A part of the line on standard error, where there is one besides that of what was refused."""
    settings: Mapping[str, str] = field(default_factory=dict)
    then: Mapping[str, int] = field(default_factory=dict)
    """How many rows there are after the second run, where these are more."""


def detections(*records: Row | bytes) -> Routes:
    """Cogniac with these records between two ordinary ones."""
    all_of_them = [record(0), *records, record(len(records) + 1)]
    return cogniac({DETECTIONS: Placed([(T + place, one) for place, one in enumerate(all_of_them)])})


def asserted(**more: object) -> Row:
    """A record whose assertion has these fields."""
    made = record(1)
    made["detections"][0] |= more
    return made


def with_text(text: str) -> bytes:
    """A record with an undeclared field that is written like this."""
    return f'{json.dumps(record(1))[:-1]}, "custom": {text}}}'.encode()


def films(files: Mapping[str, bytes], media: Iterable[Row]) -> Routes:
    """Neurons with these media, each of which has these files."""
    listed = list(media)

    def shown(request: Request, one: Row) -> Row:
        host = request.headers["Host"]
        return {**one, "results": {name: f"http://{host}/files/{name}?signature=s" for name in files}}

    def page(request: Request) -> Said:
        some = listed[int(request.query["offset"]) :]
        return {"media": [shown(request, one) for one in some], "pagination": {"total": len(listed)}}

    def one(request: Request) -> Said:
        named = (each for each in listed if each["media_id"] == request.path.rpartition("/")[2])
        return next((shown(request, each) for each in named), Answer(b"{}", 404))

    return {MEDIA: page, f"{MEDIA}/.*": one, "/files/.*": lambda asked: files[asked.path.rpartition("/")[2]]}


def film(**more: object) -> Row:
    """A video."""
    return medium(0, type="video", **more)


def cut_off(records: int) -> list[Row]:
    """So many records, each with an undeclared name of its own."""
    return [{**record(number), f"field_{number}": number} for number in range(1, records + 1)]


SIZES = {
    "a record of 60 MB": Size(
        detections(asserted(app_data_type="mask", app_data={"mask": "x" * 60 * MEGABYTE})),
        {"cogniac.results": 2, "etl.quarantine": 1},
        refused=1,
    ),
    "an assertion of 100,000 boxes": Size(
        detections(asserted(app_data_type="box_set", app_data=[BOX] * 100_000)),
        {"cogniac.results": 3, "cogniac.detection_boxes": 100_000},
    ),
    "a record of 20,000 assertions": Size(
        detections(
            {
                **record(1),
                "detections": [
                    record(1)["detections"][0] | {"detection_id": f"x{one}"} for one in range(20_000)
                ],
            }
        ),
        {"cogniac.results": 3, "cogniac.detections": 20_002},
    ),
    "a record 200,000 lists deep": Size(
        detections(with_text("[" * 200_000 + "]" * 200_000)),
        {"cogniac.results": 2, "etl.quarantine": 1},
        refused=1,
    ),
    "a record 900 lists deep": Size(
        detections(with_text("[" * 900 + "]" * 900)),
        {"cogniac.results": 3},
        says=f"{UNDECLARED}cogniac.detections:custom",
    ),
    "a text that holds 100,000 lists": Size(
        detections(asserted(app_data_type="odd", app_data="[" * 100_000 + "]" * 100_000)),
        {"cogniac.detections": 3},
    ),
    "5,000 undeclared names in one record": Size(
        detections({**record(1), **{f"field_{number}": number for number in range(5_000)}}),
        {"cogniac.results": 2, "etl.quarantine": 1},
        refused=1,
        says=UNDECLARED,
    ),
    "an undeclared name in each of 500 records": Size(
        detections(*cut_off(500)),
        {"cogniac.results": 202, "etl.quarantine": 300},
        refused=300,
        says=UNDECLARED,
        # What is stored is not looked into again: other names have their turn.
        then={"cogniac.results": 402, "etl.quarantine": 300},
    ),
    "an undeclared name of a megabyte": Size(
        detections({**record(1), "n" * MEGABYTE: 1}),
        {"cogniac.results": 3},
        says=f"{UNDECLARED}cogniac.detections:nnn",
    ),
    "a number of 5,000 digits": Size(
        detections(with_text("1").replace(b'"updated_at": ', b'"updated_at": ' + b"9" * 5_000)),
        {"cogniac.results": 2, "etl.quarantine": 1},
        refused=1,
    ),
    "an id of a megabyte": Size(
        detections({**record(1), "media": {"media_id": "m" * MEGABYTE}}),
        {"cogniac.results": 3, "cogniac.media": 3},
    ),
    "a focus of 4 MB": Size(
        detections({**record(1), "focus": {"box": BOX, "more": ["y" * 10] * 300_000}}), {"cogniac.results": 3}
    ),
    "100 applications": Size(
        cogniac(
            {"/1/applications/[^/]+/detections": {"data": [], "paging": {}}},
            applications=[{"application_id": f"a{number}", "active": True} for number in range(100)],
        ),
        {"cogniac.applications": 100},
    ),
    "a page of 50,000 subjects": Size(
        cogniac(
            {
                DETECTIONS: {"data": []},
                "/1/tenants/[^/]+/subjects": {
                    "data": [{"subject_uid": f"s{number}", "name": "n"} for number in range(50_000)]
                },
            }
        ),
        {"cogniac.subjects": 50_000},
    ),
    "a table of 5,000 columns": Size(
        films(
            {
                "aoi_scores": b"name"
                + b",".join(b"c%d" % n for n in range(5_001))[2:]
                + b"\nA"
                + b",1" * 5_000
                + b"\n"
            },
            [film()],
        ),
        {"neurons.aoi_scores": 5_000},
    ),
    "a table of 100,000 rows": Size(
        films({"aoi_scores": b"name,score\n" + b"".join(b"A%d,1\n" % n for n in range(100_000))}, [film()]),
        {"neurons.aoi_scores": 100_000},
    ),
    "a cell of a megabyte": Size(
        films({"aoi_scores": b"name,score\nA," + b"x" * MEGABYTE + b"\n"}, [film()]),
        {"neurons.aoi_scores": 1},
    ),
    "a video of 100,000 frames": Size(
        films({"metrics": json.dumps([{"focus": 0.5, "intent": 0.25}] * 100_000).encode()}, [film()]),
        {"neurons.frame_metrics": 200_000},
    ),
    "a medium of 20,000 metrics": Size(
        films({}, [film(metrics={f"metric_{number}": 1 for number in range(20_000)})]),
        {"neurons.media_metrics": 20_000},
    ),
    "a medium of 1,000 pictures": Size(
        films({f"heat{number}.png": b"" for number in range(1_000)}, [film()]), {"neurons.assets": 1_000}
    ),
    "a name of 10 MB": Size(films({}, [film(name="n" * 10 * MEGABYTE)]), {"neurons.media": 1}),
}


LONG = {
    *("a record of 60 MB", "an assertion of 100,000 boxes", "a record of 20,000 assertions"),
    *("a focus of 4 MB", "a table of 100,000 rows", "a video of 100,000 frames", "a name of 10 MB"),
}
"""Those that take more than a few seconds, for `make test-long`."""
CASES = {name: size for name, size in SIZES.items() if name not in LONG or "TEST_LONG" in os.environ}


@pytest.mark.parametrize("size", CASES.values(), ids=CASES)
def test_what_is_large_is_loaded_or_refused_by_name(tmp_path: Path, size: Size) -> None:
    """What is refused is reported once; a second run finds nothing new, and readers see the same."""
    with serving(size.routes) as server:
        of = of_neurons if MEDIA in size.routes else of_cogniac
        sightglass = of(tmp_path, server).but_for(size.settings)
        first = sightglass("run")
        found = published(sightglass, size.rows)
        second = sightglass("run")

    expected = [REFUSED.format(size.refused)] * bool(size.refused) + [size.says] * bool(size.says)
    lines = told(first)
    assert "Traceback" not in first.err
    assert (4 if size.refused else 0, len(expected)) == (first.code, len(lines)), first.err
    assert all(part in line for part, line in zip(expected, lines, strict=True))
    assert max(map(len, lines), default=0) < 10_000
    assert (size.rows, size.then or size.rows) == (found, published(sightglass, size.rows))
    # What is undeclared is named by the run that loads it.
    is_loaded = size.says.startswith(UNDECLARED) and not (size.then or size.refused)
    is_said_again = bool(size.says) and not is_loaded
    assert (0, is_said_again) == (second.code, len(told(second))), second.err


def published(sightglass: Sightglass, tables: Iterable[str]) -> dict[str, int]:
    """How many rows of each table a reader sees."""
    with duckdb.connect(sightglass.home / "bi.duckdb", read_only=True) as reader:
        return {name: len(reader.execute(f"SELECT 1 FROM {name}").fetchall()) for name in tables}  # noqa: S608 -- names of our own
