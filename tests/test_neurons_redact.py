"""Links in media of Neurons: signatures are kept nowhere, and what else their queries say is not lost."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from conftest import Row, leaked, rows, table
from hostile import MEDIA, Request, Said, medium, of_neurons, serving
from hypothesis import given
from hypothesis import strategies as st

from etl.sources.neurons import redact, steady

SECRET = "SIGNATURE-OF-THE-CASE"
LINK = f"https://host/path?Expires=1&Signature={SECRET}"
Write = Callable[[str], str]
FORMS: dict[str, Write] = {
    "as it is": str,
    "with slashes escaped": lambda text: text.replace("/", "\\/"),
    "with a question mark escaped": lambda text: text.replace("?", "\\u003f"),
    "with slashes by number": lambda text: text.replace("/", "\\u002F"),
    "with ampersands escaped": lambda text: text.replace("&", "\\u0026"),
    "with quotes by number": lambda text: text.replace('\\"', "\\u0022"),
    "in capitals": lambda text: text.replace("https:", "HTTPS:"),
}


def nested(value: object, depth: int) -> object:
    """The value in JSON that is a text in JSON, and so on, so many times."""
    return nested({"v": json.dumps(value)}, depth - 1) if depth else value


def innermost(value: object, depth: int) -> object:
    """What `nested` has put there."""
    return innermost(json.loads(value["v"]), depth - 1) if depth else value  # type: ignore[index]


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
def test_what_is_redacted_is_json_as_before(write: Write, depth: int) -> None:
    """At any depth of JSON in texts of JSON, and nothing is lost of it but the query."""
    record = write(json.dumps(nested({"link": LINK, "after": "it"}, depth))).encode()

    redacted = redact("media", record)

    found = innermost(json.loads(redacted), depth)
    assert SECRET.encode() not in redacted
    assert {"link": LINK.partition("?")[0], "after": "it"} == {
        name: text.replace("HTTPS", "https")
        for name, text in found.items()  # type: ignore[attr-defined]
    }


TEXTS = st.lists(
    st.sampled_from([*'\\"/?& {}:', "u0022", "u003f", "https://h/p", f"?sig={SECRET}"]), max_size=20
)


@given(TEXTS.map("".join), st.integers(0, 2))
def test_no_text_becomes_something_else_than_json(text: str, depth: int) -> None:
    """Whatever stands around quotes and backslashes in it."""
    record = json.dumps({"results": {"a": text}, "b": nested(text, depth)}).encode()

    for changed in (redact("media", record), steady("media", record)):
        assert ["results", "b"] == list(json.loads(changed))


def test_many_backslashes_are_looked_at_once() -> None:
    """Half a million of them in a link, or after it, take no longer than other text."""
    many = b"\\" * 500_000

    assert b'"https://h' + many + b'x"' == redact("media", b'"https://h' + many + b'x"')
    assert b'"https://h' + many + b'"' == redact("media", b'"https://h?' + many + b'"')


def test_only_what_is_signed_anew_each_time_is_no_change() -> None:
    """Queries of the results, and signatures elsewhere; not the rest of what a link says."""

    def record(number: int, **more: object) -> bytes:
        return json.dumps({"results": {"heat": f"https://h/p?v={number}"}, **more}).encode()

    signed = [record(each, film=f"{LINK}{each}") for each in range(2)]
    told = [record(0, name=f"https://shop/?campaign={each}") for each in range(2)]

    assert 1 == len({steady("media", each) for each in (record(0), record(1))})
    assert 1 == len({steady("media", each) for each in signed})
    assert 2 == len({steady("media", each) for each in told})
    # Else rows in which an earlier version has left a signature were recognized, and kept it.
    assert redact("media", signed[0]) != steady("media", signed[0])


def test_signatures_get_into_no_table_and_no_file_that_is_published(tmp_path: Path) -> None:
    """Neither of undeclared fields, at any depth, nor of what is refused, which stays JSON."""
    note = {"in": [json.dumps({"v": LINK})], LINK: LINK}
    media = [medium(0, note=note, film=LINK), medium(1, note=note, film=LINK, status=5)]
    area = {"name": "A", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "picture": LINK}
    files = {"brand_detection": [[area]], "brand_detection_metrics": [{"name": "A", "m": 1, "picture": LINK}]}
    routes = {f"/files/{name}": said for name, said in files.items()}
    with serving({MEDIA: {"media": media, "pagination": {"total": 2}}, **routes}) as server:
        media[0]["results"] = {name: f"{server.url}files/{name}?Signature={SECRET}" for name in files}
        sightglass = of_neurons(tmp_path, server)
        ran = sightglass("run", "--json")

    ((kept,),) = table(sightglass.home, "SELECT record FROM etl.quarantine")
    (stored,) = rows(sightglass.home, "neurons.media")
    shorn = "https://host/path"
    clean = {"film": shorn, "note": {"in": [json.dumps({"v": shorn})], shorn: shorn}}
    assert (4, []) == (ran.code, leaked([SECRET], ran, sightglass.home))
    assert clean == stored["_extra"]
    for name in ("aoi_frames", "aoi_metrics"):
        assert [{"picture": shorn}] == [row["_extra"] for row in rows(sightglass.home, f"neurons.{name}")]
    assert {**media[1], **clean} == json.loads(kept)


def test_a_name_that_changes_in_the_query_of_a_link_alone_is_loaded(tmp_path: Path) -> None:
    """Though it changed at the same time; links that are signed anew change nothing."""
    campaign, signed = [1], count()

    def listed(_asked: Request) -> Said:
        return {"media": [one()], "pagination": {"total": 1}}

    def one() -> Row:
        links = {"heat": f"https://h/heat.png?Signature={next(signed)}"}
        return medium(0, name=f"https://shop/?campaign={campaign[0]}", results=links)

    with serving({MEDIA: listed}) as server:
        sightglass = of_neurons(tmp_path, server)
        seen = [sightglass("run", "--json").report["streams"][0] for campaign[0] in (1, 1, 2, 2)]

    counts = [(stats["inserted"], stats["updated"], stats["unchanged"]) for stats in seen]
    assert [(1, 0, 0), (0, 0, 1), (0, 1, 0), (0, 0, 1)] == counts
    assert "https://shop/?campaign=2" == rows(sightglass.home, "neurons.media")[0]["name"]
