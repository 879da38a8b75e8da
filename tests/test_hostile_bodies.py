"""Bodies that break off, that are no JSON in one place, that never come: nothing is lost or invented."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import rows
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Bytes,
    Request,
    T,
    cogniac,
    medium,
    of_cogniac,
    of_neurons,
    record,
    serving,
)

BAD = {
    "NaN": b'{"media": {"media_id": "bad"}, "updated_at": 1772600000, "detections": [], "x": NaN}',
    "minus infinity": b'{"media": {"media_id": "bad"}, "updated_at": -Infinity, "detections": []}',
    "lone surrogate": b'{"media": {"media_id": "bad \\ud800"}, "updated_at": 1772600000, "detections": []}',
    "raw line feed": b'{"media": {"media_id": "b\na\td"}, "updated_at": 1772600000, "detections": []}',
    "deep": b'{"media": {"media_id": "bad"}, "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "no UTF-8": b'{"media": {"media_id": "\xff\xfe"}, "updated_at": 1772600000, "detections": []}',
    "quotes in a text": b'{"media": {"media_id": "size 5" tall"}, "detections": [{"a": 1}, {"b": 2}]}',
    "a bracket too few": b'{"media": {"media_id": "bad"}, "detections": [}',
    "no record": b'"just a text"',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_one_bad_record_takes_no_other_of_its_page_with_it(tmp_path: Path, bad: bytes) -> None:
    """The other 250 are loaded, it is quarantined as received, and the next run changes nothing."""
    good = [json.dumps(record(number)).encode() for number in range(250)]

    def page(request: Request) -> bytes:
        start = float(request.query["start"])
        left = [each for number, each in enumerate(good) if T + number > start]
        found = [bad, *left[:99]] if len(left) > 200 else left[:100]
        later = len(left) > 100
        link = f"{request.path}?cursor={json.loads(found[-1])['updated_at']}" if later else None
        return b'{"data": [%s], "paging": {"next": %s}}' % (b",".join(found), json.dumps(link).encode())

    with serving(cogniac({DETECTIONS: page})) as server:
        sightglass = of_cogniac(tmp_path, server)
        first, again = sightglass("run", "--json"), sightglass("run", "--json")

    (refused,) = rows(tmp_path / "home", "etl.quarantine")
    assert (4, 0, []) == (first.code, again.code, rows(tmp_path / "home", "etl.gaps"))
    assert 250 == len(rows(tmp_path / "home", "cogniac.results"))
    assert bad == as_bytes(refused)


def as_bytes(refused: dict[str, Any]) -> bytes:
    """A refused record as it was received."""
    text = refused["record"]
    return base64.b64decode(text) if refused["encoding"] == "base64" else text.encode()


def test_an_application_that_is_no_json_has_its_detections_read(tmp_path: Path) -> None:
    """Its row is refused; its id is known, and one without an id is named as a gap."""
    listed = b"""{"data": [
        {"application_id": "a1", "name": NaN},
        {"application_id": "a2", "active": 1, "input_subjects": ["cat", null], "output_subjects": "dog"},
        {"application_id": "a3", "output_subjects": [{"subject_uid": "cow"}], "name": 5},
        {"application_id": "a4", "active": false},
        {"name": "nobody"}
    ]}"""
    asked: list[str] = []

    def detections(request: Request) -> object:
        asked.append(request.path.split("/")[3])
        return {"data": [record(1)], "paging": {}}

    def subjects(request: Request) -> object:
        ids = request.query.get("ids", "").split(",")
        return {"data": [{"subject_uid": each} for each in ids if each]}

    routes = {
        "/1/applications/[^/]+/detections": detections,
        "/1/tenants/[^/]+/applications": listed,
        "/1/tenants/[^/]+/subjects": subjects,
    }
    with serving(cogniac(routes)) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    home = tmp_path / "home"
    assert (3, ["a1", "a2", "a3"]) == (ran.code, sorted(asked))
    assert ["a1", "a2", "a3"] == sorted(row["application_id"] for row in rows(home, "cogniac.results"))
    assert ["cat", "cow", "dog"] == sorted(row["subject_uid"] for row in rows(home, "cogniac.subjects"))
    assert [("applications", "applications without a readable id: 1; their detections are missing")] == [
        (row["stream"], row["error"]) for row in rows(home, "etl.gaps")
    ]


WHOLE = b"name,score\nA,1.5\nB,2.25\n"
PACKED = gzip.compress(WHOLE)
ZSTD = pa.compress(WHOLE, codec="zstd", asbytes=True)
CHUNKED = {"Content-Length": None, "Transfer-Encoding": "chunked", "Content-Encoding": "gzip"}


def chunked(body: bytes) -> bytes:
    """A body as one chunk, and the end of chunks."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


BROKEN_OFF: dict[str, Answer | Bytes] = {
    "gzip until close": Answer(PACKED[:-12], headers={"Content-Length": None, "Content-Encoding": "gzip"}),
    "gzip in chunks": Answer(chunked(PACKED[:-12]), headers=CHUNKED),
    "gzip of fitting length": Answer(PACKED[:-12], headers={"Content-Encoding": "gzip"}),
    "gzip without its sum": Answer(PACKED[:-8], headers={"Content-Encoding": "gzip"}),
    "gzip with a wrong sum": Answer(PACKED[:-8] + b"12345678", headers={"Content-Encoding": "gzip"}),
    "gzip that is none": Answer(WHOLE, headers={"Content-Encoding": "gzip"}),
    "nothing in gzip": Answer(b"", headers={"Content-Encoding": "gzip"}),
    "deflate": Answer(zlib.compress(WHOLE)[:-6], headers={"Content-Encoding": "deflate"}),
    "zstd until close": Answer(ZSTD[:-3], headers={"Content-Length": None, "Content-Encoding": "zstd"}),
    "zstd of fitting length": Answer(ZSTD[:-3], headers={"Content-Encoding": "zstd"}),
    "zstd in chunks": Answer(chunked(ZSTD[:-3]), headers={**CHUNKED, "Content-Encoding": "zstd"}),
    "zstd whose second part breaks off": Answer(ZSTD + ZSTD[:9], headers={"Content-Encoding": "zstd"}),
    "zstd that is none": Answer(WHOLE, headers={"Content-Encoding": "zstd"}),
    "nothing in zstd": Answer(b"", headers={"Content-Encoding": "zstd"}),
    "an encoding nobody asked for": Answer(PACKED, headers={"Content-Encoding": "br"}),
    "less than announced": Answer(
        WHOLE[:-5], headers={"Content-Length": str(len(WHOLE)), "Connection": "close"}
    ),
    "a chunk too short": Answer(
        b"ff\r\nname,sc", headers={**CHUNKED, "Content-Encoding": None, "Connection": "close"}
    ),
}


def first_then(first: object, then: object, times: int = 1) -> Callable[[Request], object]:
    """Answers so many requests in one way, and all later ones in another."""
    number = count()
    return lambda _request: first if next(number) < times else then


@pytest.mark.parametrize("broken", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_a_file_that_breaks_off_is_asked_for_again(tmp_path: Path, broken: Answer) -> None:
    """No row is made of a part of it, and none is invented."""
    film: dict[str, Any] = {}
    routes = {MEDIA: lambda _request: {"media": [film], "pagination": {"total": 1}}}
    with serving({**routes, "/film.csv": first_then(broken, WHOLE)}) as server:
        film |= medium(1, type="video", results={"aoi_scores": f"{server.url}film.csv"})
        ran = of_neurons(tmp_path, server)("run", "--json")

    scores = [(row["aoi_name"], row["value"]) for row in rows(tmp_path / "home", "neurons.aoi_scores")]
    assert (0, 2, [("A", 1.5), ("B", 2.25)]) == (ran.code, server.count("film.csv"), sorted(scores))


@pytest.mark.parametrize(
    "encoding",
    ["gzip", "deflate", "raw deflate", "gzip of two parts", "zstd", "zstd of two parts"],
)
def test_a_file_that_is_packed_and_whole_is_read_at_once(tmp_path: Path, encoding: str) -> None:
    """What a server may pack it with, and how such packs may be put together."""
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": PACKED,
        "deflate": zlib.compress(WHOLE),
        "raw deflate": raw.compress(WHOLE) + raw.flush(),
        "gzip of two parts": gzip.compress(WHOLE[:9]) + gzip.compress(WHOLE[9:]) + bytes(16),
        "zstd": ZSTD,
        "zstd of two parts": b"".join(
            pa.compress(part, codec="zstd", asbytes=True) for part in (WHOLE[:9], WHOLE[9:])
        ),
    }[encoding]
    named = next(each for each in ("deflate", "gzip", "zstd") if each in encoding)
    film: dict[str, Any] = {}
    routes = {MEDIA: lambda _request: {"media": [film], "pagination": {"total": 1}}}
    with serving({**routes, "/film.csv": Answer(packed, headers={"Content-Encoding": named})}) as server:
        film |= medium(1, type="video", results={"aoi_scores": f"{server.url}film.csv"})
        ran = of_neurons(tmp_path, server)("run", "--json")

    scores = [(row["aoi_name"], row["value"]) for row in rows(tmp_path / "home", "neurons.aoi_scores")]
    assert (0, 1, [("A", 1.5), ("B", 2.25)]) == (ran.code, server.count("film.csv"), sorted(scores))


@pytest.mark.parametrize("name", ["gzip until close", "zstd until close", "less than announced"])
def test_a_page_that_breaks_off_is_asked_for_again(tmp_path: Path, name: str) -> None:
    """The stream goes on with the whole page."""
    page = {"data": [record(number) for number in range(5)], "paging": {}}
    with serving(cogniac({DETECTIONS: first_then(BROKEN_OFF[name], page)})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, 2, 5) == (
        ran.code,
        server.count("detections"),
        len(rows(tmp_path / "home", "cogniac.results")),
    )


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 100 Continue\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_an_answer_that_never_comes_holds_a_run_no_longer_than_its_budget(
    tmp_path: Path, said: bytes
) -> None:
    """After two seconds the stream is named as a gap; what other streams brought is loaded."""
    with serving(cogniac({DETECTIONS: Bytes(said, held=True)})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    gaps = [(row["stream"], row["key"]) for row in rows(tmp_path / "home", "etl.gaps")]
    assert (3, [("detections", "a1")]) == (ran.code, gaps)
    assert ["a1"] == [row["application_id"] for row in rows(tmp_path / "home", "cogniac.applications")]


def test_a_page_that_is_no_json_at_all_is_asked_for_again(tmp_path: Path) -> None:
    """A login page of a proxy in between, once, then what was asked for."""
    page = {"data": [record(1)], "paging": {}}
    with serving(cogniac({DETECTIONS: first_then(b"<html>log in</html>", page)})) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    assert (0, 2) == (ran.code, server.count("detections"))
    assert ["m1"] == [row["media_id"] for row in rows(tmp_path / "home", "cogniac.results")]


def test_ids_that_are_no_text_take_nothing_else_with_them(tmp_path: Path) -> None:
    """Bytes that are no UTF-8: an id of an application, a subject that one names, one that is listed."""
    bad = [
        b'{"application_id": "a1", "output_subjects": ["\xff"]}',
        b'{"application_id": "\xfe"}',
        b'{"subject_uid": "\xfd"}',
    ]
    routes = {
        DETECTIONS: {"data": [record(1)], "paging": {}},
        "/1/tenants/[^/]+/applications": b'{"data": [%s, %s]}' % (bad[0], bad[1]),
        "/1/tenants/[^/]+/subjects": b'{"data": [{"subject_uid": "cat"}, %s]}' % bad[2],
    }
    with serving(cogniac(routes)) as server:
        ran = of_cogniac(tmp_path, server)("run", "--json")

    home = tmp_path / "home"
    assert sorted(bad) == sorted(as_bytes(row) for row in rows(home, "etl.quarantine"))
    assert (3, ["applications"]) == (ran.code, [row["stream"] for row in rows(home, "etl.gaps")])
    assert ["cat"] == [row["subject_uid"] for row in rows(home, "cogniac.subjects")]
    assert ["m1"] == [row["media_id"] for row in rows(home, "cogniac.results")]


def test_a_medium_whose_id_is_no_text_takes_no_other_with_it(tmp_path: Path) -> None:
    """It is quarantined as received, whether the list is JSON but for it or not at all."""
    bad = [b'{"media_id": "\xff"}', b'{"media_id": "n2", "name": NaN}', b'{"media_id": "n3", "name": "a\nb"}']
    listed = b'{"pagination": {"total": 4}, "media": [%s, %s]}'
    body = listed % (json.dumps(medium(1)).encode(), b", ".join(bad))
    with serving({MEDIA: body}) as server:
        ran = of_neurons(tmp_path, server)("run", "--json")

    refused = sorted(as_bytes(row) for row in rows(tmp_path / "home", "etl.quarantine"))
    assert (4, ["n1"]) == (ran.code, [row["media_id"] for row in rows(tmp_path / "home", "neurons.media")])
    assert sorted(bad) == refused
