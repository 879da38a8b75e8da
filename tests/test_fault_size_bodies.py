"""Bodies that are too large, too deep or too many at once: one line names them, and the rest is loaded."""

import gzip
import json
import threading
from pathlib import Path

import pytest
from conftest import Ran, Row, Sightglass, rows
from faults import told
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Request,
    Said,
    cogniac,
    medium,
    of_cogniac,
    of_neurons,
    record,
    serving,
)

DEEP = b"[" * 200_000 + b"]" * 200_000
DEEP_OBJECT = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
MEGABYTE = 2**20
SMALLEST = 16
SHARE = SMALLEST * MEGABYTE // 16
"""Bytes that each of eight requests in flight may have of the smallest memory that can be set."""


def failed(ran: Ran) -> list[str]:
    """The lines of a run that name what failed, but for those that every such run has."""
    usual = ("sightglass: gaps, listed", "sightglass: neurons skipped", "sightglass: cogniac skipped")
    return [line for line in told(ran) if not line.startswith(usual)]


NO_TOKEN = (
    "cogniac applications failed: GET {url}1/tenants/current/applications failed: the login answered "
    "something that is no token"
)
OTHER_SHAPE = (
    "cogniac applications failed: GET {url}1/tenants/current/applications answered JSON of another shape "
    "than documented: Expected `object`, got `array`"
)
NO_JSON = (
    "cogniac detections a1 failed: GET {url}1/applications/a1/detections answered something that is not JSON"
)
DEEP_BODIES: dict[str, tuple[str, Said, int, str]] = {
    "a token": (
        "/1/token",
        DEEP,
        3,
        NO_TOKEN,
    ),
    "a token with more beside it": (
        "/1/token",
        b'{"more": %s, "access_token": "token-of-the-case"}' % DEEP,
        3,
        NO_TOKEN,
    ),
    "the tenants": (
        "/1/users/current/tenants",
        b'{"tenants": %s}' % DEEP,
        3,
        NO_TOKEN,
    ),
    "an error": (
        DETECTIONS,
        Answer(DEEP, 400),
        3,
        "cogniac detections a1 failed: GET {url}1/applications/a1/detections answered 400",
    ),
    "the message of an error": (
        DETECTIONS,
        Answer(b'{"message": %s}' % DEEP_OBJECT, 400),
        3,
        "cogniac detections a1 failed: GET {url}1/applications/a1/detections answered 400",
    ),
    "the applications": (
        "/1/tenants/[^/]+/applications",
        DEEP,
        3,
        OTHER_SHAPE,
    ),
    "an application": (
        "/1/tenants/[^/]+/applications",
        b'{"data": [%s]}' % DEEP_OBJECT,
        3,
        "cogniac applications failed: applications without a readable id: 1; their detections are missing",
    ),
    "a page": (
        DETECTIONS,
        DEEP_OBJECT,
        3,
        NO_JSON,
    ),
}


@pytest.mark.parametrize(("path", "said", "code", "line"), DEEP_BODIES.values(), ids=DEEP_BODIES)
def test_json_that_is_nested_too_deeply_is_named(
    tmp_path: Path, path: str, said: Said, code: int, line: str
) -> None:
    """Wherever it comes: a run ends with one line, and none is a traceback; the next one loads all."""
    page = {"data": [record(1)], "paging": {}}
    with serving(cogniac({DETECTIONS: page})) as server:
        server.instead[path] = said
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run", SIGHTGLASS_RETRY_BUDGET="0")
        server.instead.clear()
        again = sightglass("run")

    lines = [each for each in failed(ran) if "newly quarantined" not in each]
    assert (code, [f"sightglass: {line.format(url=server.url)}"]) == (ran.code, lines), ran.err
    assert (0, ["m1"]) == (again.code, [one["media_id"] for one in rows(sightglass.home, "cogniac.results")])


def test_a_record_that_is_nested_too_deeply_is_quarantined(tmp_path: Path) -> None:
    """The others of its page are loaded."""
    body = b'{"data": [%s, %s], "paging": {}}' % (json.dumps(record(1)).encode(), DEEP_OBJECT)
    with serving(cogniac({DETECTIONS: body})) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran, again = sightglass("run"), sightglass("run")

    (refused,) = rows(sightglass.home, "etl.quarantine")
    assert (4, ["sightglass: newly quarantined, see etl.quarantine: 1"]) == (ran.code, failed(ran)), ran.err
    assert (0, []) == (again.code, failed(again))
    assert DEEP_OBJECT.decode() == refused["record"]


def films(sightglass: Sightglass) -> list[tuple[str, str]]:
    """Each file of the warehouse that is missing, and why."""
    found = rows(sightglass.home, "etl.gaps")
    return sorted((one["key"], one["error"]) for one in found)


def test_files_that_are_too_large_are_missing(tmp_path: Path) -> None:
    """Eight at once, each small until it is unpacked: gaps name them until there is room for them."""
    number, packed = 8, gzip.compress(b" " * SHARE + b'[{"focus": 0.5}]')
    media: list[Row] = []
    routes = {
        MEDIA: lambda _request: {"media": media, "pagination": {"total": number}},
        "/film.*": Answer(packed, headers={"Content-Encoding": "gzip"}),
    }
    with serving(routes) as server:
        media += [
            medium(one, results={"metrics": f"{server.url}film{one}?signature=s"}) for one in range(number)
        ]
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run", SIGHTGLASS_BODY_MEMORY=str(SMALLEST))
        before = films(sightglass)
        again = sightglass("run")

    said = f"sent more than the {SHARE:,} bytes that SIGHTGLASS_BODY_MEMORY leaves for a file: raise it"
    assert [(f"n{one}/metrics", f"GET {server.url}film{one} {said}") for one in range(number)] == before
    assert (0, []) == (ran.code, failed(ran))
    assert (0, []) == (again.code, films(sightglass))


def test_a_page_may_outgrow_its_share(tmp_path: Path) -> None:
    """Up to half of the memory that is set; beyond, its stream fails, and the line says what to raise."""
    half = SMALLEST * MEGABYTE // 2

    def page(size: int) -> bytes:
        body = json.dumps({"data": [record(1)], "paging": {}}).encode()
        return body + b" " * (size - len(body))

    with serving(cogniac({DETECTIONS: page(half)})) as server:
        sightglass = of_cogniac(tmp_path, server)
        whole = sightglass("run", SIGHTGLASS_BODY_MEMORY=str(SMALLEST))
        server.instead[DETECTIONS] = page(half + 1)
        larger = sightglass("run", SIGHTGLASS_BODY_MEMORY=str(SMALLEST))
        gaps = [(one["stream"], one["key"]) for one in rows(sightglass.home, "etl.gaps")]
        raised = sightglass("run", SIGHTGLASS_BODY_MEMORY=str(SMALLEST + 1))

    said = (
        f"sightglass: cogniac detections a1 failed: GET {server.url}1/applications/a1/detections sent more "
        f"than the {half:,} bytes that SIGHTGLASS_BODY_MEMORY leaves for a page: raise it"
    )
    assert [(0, []), (3, [said]), (0, [])] == [(ran.code, failed(ran)) for ran in (whole, larger, raised)]
    assert [("detections", "a1")] == gaps


def test_large_pages_of_many_streams_come_one_after_the_other(tmp_path: Path) -> None:
    """Each outgrows its share, so that no two of them are there at a time; all are loaded."""
    number, together = 4, threading.Semaphore(0)
    names = [f"a{one}" for one in range(number)]

    def page(request: Request) -> bytes:
        # Nobody is answered before all have asked.
        together.release()
        body = json.dumps({"data": [record(int(request.path.split("/")[3][1:]))], "paging": {}}).encode()
        return body + b" " * (3 * SHARE)

    listed = [{"application_id": name, "active": True} for name in names]
    routes = cogniac({"/1/applications/[^/]+/detections": page}, applications=listed)
    with serving(routes) as server:
        sightglass = of_cogniac(tmp_path, server)
        ran = sightglass("run", SIGHTGLASS_BODY_MEMORY=str(SMALLEST))

    found = sorted(one["application_id"] for one in rows(sightglass.home, "cogniac.results"))
    assert (0, [], names) == (ran.code, failed(ran), found)


@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
def test_a_cell_that_is_large_is_read_whole(tmp_path: Path, quote: str) -> None:
    """One of a table of scores that is larger than 131,072 characters, and a name of a column as well."""
    cell, name = "x" * 200_000, "y" * 150_000
    table = f"aoi_name,{quote}{name}{quote},score\nA,{quote}{cell}{quote},1.5\n"
    media: list[Row] = []
    routes = {MEDIA: lambda _request: {"media": media, "pagination": {"total": 1}}, "/film": table.encode()}
    with serving(routes) as server:
        media.append(medium(1, results={"aoi_scores": f"{server.url}film"}))
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run")

    found = {one["metric"]: one for one in rows(sightglass.home, "neurons.aoi_scores")}
    assert (0, {name: cell}, 1.5) == (
        ran.code,
        {metric: one["text_value"] for metric, one in found.items() if "text_value" in one},
        found["score"]["value"],
    )
