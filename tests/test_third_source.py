"""A third API takes one schema file and one module; everything else follows from the two."""

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from etl.demo.server import serve

CHECKOUT = Path(__file__).parents[1]

SCHEMA = """
doc = "Acme: a made-up API that counts what its cameras see."

[sightings]
doc     = "One row per sighting."
stream  = "sightings"
key     = ["sighting_id"]
version = "seen_at"

[sightings.columns]
sighting_id = { type = "text",      doc = "Acme's id of the sighting." }
seen_at     = { type = "timestamp", required = true, doc = "When it was seen." }
shout       = { type = "text",      path = "+shout", doc = "The id, louder." }

[sighting_tags]
doc     = "One row per tag of a sighting."
stream  = "sightings"
part_of = "sightings"
at      = ["tags[]"]
key     = ["sighting_id", "tag"]

[sighting_tags.columns]
tag    = { type = "text",   doc = "The tag." }
weight = { type = "number", min = 0, max = 1, doc = "How sure Acme is." }
"""

MODULE = '''
"""Acme: sightings."""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from etl.extract.http import Api
from etl.extract.stream import Enrich, Page, Stream
from etl.setting import Secret, Setting, Url


@dataclass(frozen=True)
class OwnSettings:
    key: Annotated[Secret, Setting("ACME_KEY", "Key.")]
    url: Annotated[Url, Setting("ACME_URL", "Address.", "https://acme.example/")]


class Acme:
    def __init__(self, settings):
        self.api = Api(settings.of(OwnSettings).url, settings)

    def close(self):
        self.api.close()

    def streams(self, context):
        yield [Stream("sightings", self.sightings)]

    def sightings(self, checkpoint, stats):
        yield [Page("sightings", self.api.get(list[msgspec.Raw], "/sightings", stats))]


def connect(settings):
    return Acme(settings) if settings.of(OwnSettings).key else None


def enrich(record, context):
    record.added_shout = record.sighting_id.upper() + "!"


ENRICH = {"sightings": Enrich(enrich)}


def redact(stream, record):
    return record
'''

SIGHTINGS = [
    {
        "sighting_id": "a",
        "seen_at": 1.5,
        "tags": [{"tag": "cat", "weight": 0.5}, {"tag": "dog", "weight": 1}],
    },
    {"sighting_id": "b", "seen_at": 2.5, "tags": [{"tag": "cat", "weight": 7}]},
    {"sighting_id": "c", "seen_at": 3.5, "tags": [], "colour": "red"},
]


async def sightings(request: Request) -> JSONResponse:
    """All there is."""
    del request
    return JSONResponse(SIGHTINGS)


def test_a_third_source_needs_a_schema_file_and_a_module_and_nothing_else(tmp_path: Path) -> None:
    """With the two in place `run acme` loads its tables, quarantines, keeps unknown fields and counts."""
    for folder in ("etl", "schemas", "sql"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "schemas" / "acme.toml").write_text(SCHEMA, encoding="utf-8")
    (tmp_path / "etl" / "sources" / "acme.py").write_text(MODULE, encoding="utf-8")

    with serve(Starlette(routes=[Route("/sightings", sightings)])) as url:
        done = subprocess.run(
            [sys.executable, "-m", "etl", "run", "acme"],
            cwd=tmp_path,
            env={"ACME_KEY": "key-of-acme", "ACME_URL": url},
            check=False,
            capture_output=True,
            text=True,
        )

    with duckdb.connect(tmp_path / "warehouse" / "warehouse.duckdb", read_only=True) as warehouse:
        loaded = warehouse.execute(
            "SELECT sighting_id, epoch_us(seen_at), shout, _extra FROM acme.sightings ORDER BY ALL"
        ).fetchall()
        tags = warehouse.execute(
            "SELECT * EXCLUDE (_extra, _run_id, _loaded_at) FROM acme.sighting_tags ORDER BY ALL"
        )
        parts = tags.fetchall()
        refused = warehouse.execute(
            "SELECT source, stream, reason, path, record FROM etl.quarantine"
        ).fetchall()
        run_store = warehouse.execute(
            "SELECT source, stream, fetched, inserted, quarantined, status FROM etl.run_streams"
        ).fetchall()

    assert 4 == done.returncode, done.stderr
    assert [("a", 1_500_000, "A!", None), ("c", 3_500_000, "C!", '{"colour":"red"}')] == loaded
    assert [("a", "cat", 0.5), ("a", "dog", 1.0)] == parts
    record = '{"sighting_id":"b","seen_at":2.5,"tags":[{"tag":"cat","weight":7}]}'
    assert [("acme", "sightings", "Expected `float` <= 1.0", "$.tags[0].weight", record)] == refused
    assert [("acme", "sightings", 3, 2, 1, "ok")] == run_store
