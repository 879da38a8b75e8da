"""Forgetting one leaves others alone whose ids are like it, and finds it however it is written."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Row, Sightglass, table
from hostile import DETECTIONS, cogniac, of_cogniac, record, serving
from support.folders import holding
from support.tables import differing, everything

from etl import schema
from etl.extract.forgotten import begun, load, remember
from etl.extract.mentions import Kind, is_named, may_name, normal, replaced, shape_of
from etl.transform.forgetting import members_of

ANN = "ann@acme.com"
ITEM = "item-0001"
GONE = "[]"


def left_of(kind: Kind, one: str, text: str) -> str:
    """A text with GONE where it names one."""
    shape = shape_of(kind, one)
    assert shape
    return replaced(
        [shape], text, lambda _, token: GONE if normal(kind, token) == normal(kind, one) else None
    )


@pytest.mark.parametrize(
    ("kind", "one", "text", "left"),
    [
        ("medium", ITEM, "see item-0001, item-0001.", "see [], []."),
        ("medium", ITEM, "/media/item-0001/item-0001.jpg?id=item-0001&x", "/media/[]/[].jpg?id=[]&x"),
        ("medium", ITEM, "item-0001 - item-0001- (_item-0001_)", "[] - []- (_[]_)"),
        ("medium", ITEM, "L%3Aitem%2D0001 item-0001%2Fa", "L%3A[] []%2Fa"),
        ("medium", ITEM, r"C:\item-0001 \u0069tem-0001", r"C:\[] []"),
        ("medium", "temp-1", r"C:\temp-1 {\ttemp-1", r"C:\[] {\t[]"),
        ("medium", "50%41x", "a 50%41x b", "a [] b"),
        ("medium", "写真1", "見る 写真1、写真1", "見る []、[]"),
        ("medium", "img 7/a", "at img 7/a, img 7/ab", "at [], img 7/ab"),
        ("person", ANN, "ann@acme.com. ANN@Acme.com, <ann@acme.com>", "[]. [], <[]>"),
        ("person", ANN, "mailto:ann@acme.com?u=ann%40acme.com&v", "mailto:[]?u=[]&v"),
        ("person", ANN, "'ann@acme.com' ann@acme.com's ann@acme.com_1.txt", "'[]' []'s []_1.txt"),
        ("person", ANN, "wait...ann@acme.com... -- ann@acme.com--", "wait...[]... -- []--"),
        ("person", ANN, r"{\"u\":\"ann\u0040acme.com\", \n\u0041nn@acme.com", r"{\"u\":\"[]\", \n[]"),
        ("person", "josé@example.com", "JOSÉ@example.com JOS%C3%89@example.com", "[] []"),
        ("person", "josé@example.com", r"jos\u00e9@example.com JOS\u00C9@example.com", "[] []"),
        ("person", "strasse@x.de", "STRAßE@x.de, Straẞe@x.de", "[], []"),
        ("person", "\N{LATIN SMALL LETTER LONG S}k@x.de", "SK@x.de", "[]"),
        ("person", "İlker@x.de", "i̇lker@x.de", "[]"),
        ("person", "38osksd", "by 38OSKSD: @38osksd", "by []: @[]"),
    ],
)
def test_a_text_names_one_however_it_is_written(kind: Kind, one: str, text: str, left: str) -> None:
    """Between blanks, in paths and links, at the end of a sentence, in capitals, coded."""
    assert (left, True, True) == (left_of(kind, one, text), is_named(kind, one, text), may_name(one, text))


@pytest.mark.parametrize(
    ("kind", "one", "text"),
    [
        ("medium", ITEM, "item-00012 item-0001a aitem-0001 x-item-0001 item-0001-crop"),
        ("medium", ITEM, "item-0001_2 a_item-0001 éitem-0001 item-0001é item-0001の item-0001\u0301"),
        ("medium", ITEM, "ITEM-0001 item-0001%2Dcrop x%2Ditem-0001 %C3%A9item-0001"),
        ("medium", ITEM, r"item-0001\u002dcrop \u00e9item-0001"),
        ("medium", "item", "item-0001 item_1"),
        ("medium", "0001", "item-0001"),
        ("person", ANN, "joann@acme.com jo.ann@acme.com jo+ann@acme.com jo-ann@acme.com jo_ann@acme.com"),
        ("person", ANN, "ann@acme.com.au ann@acme.community ann@acme.com-x.org ann@acme.com2 éann@acme.com"),
        ("person", ANN, r"joann%40acme.com x%2Dann%40acme.com jo\u0061nn@acme.com ann@acme.com%2Eau"),
        ("person", "brien@acme.com", "o'brien@acme.com"),
        ("person", "ann", "ann@acme.com ann.lee joann ann_lee lee-ann x@ann"),
        ("person", "jose@example.com", "josé@example.com jose\u0301@example.com"),
    ],
)
def test_a_text_does_not_name_one_where_it_names_another(kind: Kind, one: str, text: str) -> None:
    """What touches an id, or is joined to it, makes it another."""
    assert (text, False) == (left_of(kind, one, text), is_named(kind, one, text))


def test_what_is_known_by_its_hash_alone_is_found_in_the_same_places(tmp_path: Path) -> None:
    """A later run, which does not know the id, leaves out what the command has taken out."""
    one = begun(tmp_path).with_one("medium", ITEM)
    both = one.with_one("person", "Ann Lee <@acme>!")
    remember(tmp_path, both)
    later = load(tmp_path)
    text = "item-0001/item-00012, by ann lee <@acme>!, not by joann lee <@acme>!"
    name = later.pseudonym("Ann Lee <@acme>!")

    expected = f"[forgotten]/item-00012, by {name}, not by joann lee <@acme>!"
    assert [expected, expected] == [both.text(text), later.text(text)]


def test_those_forgotten_by_an_earlier_version_are_still_found(tmp_path: Path) -> None:
    """Its file does not tell of how many parts the ids are."""
    remember(tmp_path, begun(tmp_path).with_one("person", "ann.lee+x@mail.acme.co.uk"))
    path = tmp_path / "forgotten.json"
    listed = json.loads(path.read_text())
    del listed["shapes"]
    path.write_text(json.dumps(listed))
    known = load(tmp_path)

    expected = f"to {known.pseudonym('ann.lee+x@mail.acme.co.uk')}."
    assert expected == known.text("to Ann.Lee+x@mail.acme.co.uk.")


def test_ids_in_members_are_compared_whole(tmp_path: Path) -> None:
    """Also in lists of them; an address that a name goes with still counts; in other texts, tokens do."""
    known = begun(tmp_path).with_one("medium", ITEM).with_one("person", ANN)
    value = {
        "reference_media_id": "item-0001.2",
        "parent_media_ids": ["item-0001", "item-0001.2", "a/item-0001"],
        "created_by": f"Ann <{ANN}>",
        "app_managers": [ANN, f"google|{ANN}"],
        "note": "item-0001.2",
    }
    name = known.pseudonym(ANN)

    assert {
        "reference_media_id": "item-0001.2",
        "parent_media_ids": ["item-0001.2", "a/item-0001"],
        "created_by": f"Ann <{name}>",
        "app_managers": [name, f"google|{ANN}"],
        "note": "[forgotten].2",
    } == known.value(value, members_of(schema.source("cogniac")))


def loaded(folder: Path, records: list[Row | bytes]) -> tuple[Sightglass, Any]:
    """A warehouse of these records, and the server that has them still."""
    said = b",".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in records)
    serves = serving(cogniac({DETECTIONS: b'{"data":[' + said + b'],"paging":{}}'}))
    return of_cogniac(folder, serves.__enter__()).but_for({"SIGHTGLASS_RAW_DAYS": "forever"}), serves


def about(number: int, medium: str = "", user: str | None = None, **more: object) -> Row:
    """A record about this medium, with an assertion by this user."""
    made = record(number, **more)
    if medium:
        made["media"]["media_id"] = made["detections"][0]["media_id"] = medium
    if user:
        made["detections"][0] |= {"user_id": user, "model_id": None}
    return made


def test_media_whose_ids_begin_alike_stay_as_they_are(tmp_path: Path) -> None:
    """Neither the command nor the next run nor a rebuild changes a row of theirs."""
    others = ["item-00012", "item-0001a", "ITEM-0001a", "x-item-0001", "item-0001-crop", "item-0001.2"]
    given = [about(number, each) for number, each in enumerate([ITEM, *others])]
    sightglass, serves = loaded(tmp_path, [*given])
    try:
        assert sightglass("run").code == 0
        before = {
            name: [row for row in found if ITEM not in row]
            for name, found in everything(sightglass.home).items()
            if name.startswith("cogniac.")
        }
        forgot = sightglass("forget", "--media", ITEM, "--json")
        after = everything(sightglass.home)
        ran = sightglass("run", "--json").report["streams"]
        rebuilt = sightglass("rebuild")
    finally:
        serves.__exit__(None, None, None)

    assert (0, []) == (forgot.code, forgot.report["left"])
    assert {} == differing(before, {name: after[name] for name in before})
    assert [0, 0, 0] == [sum(each[name] for each in ran) for name in ("inserted", "updated", "quarantined")]
    again = everything(sightglass.home)
    assert (0, {}) == (rebuilt.code, differing(before, {name: again[name] for name in before}))


def test_people_whose_ids_end_alike_keep_their_names(tmp_path: Path) -> None:
    """Where they are listed as users, and where a text names them."""
    others = ["joann@acme.com", "jo.ann@acme.com", "ann@acme.com.au", "ann@acme.community"]
    said = f"{ANN}: ask {', '.join(others)} or Ann@Acme.com."
    given = [about(number, "", each, note=said) for number, each in enumerate([ANN, *others])]
    sightglass, serves = loaded(tmp_path, [*given])
    try:
        assert sightglass("run").code == 0
        forgot = sightglass("forget", "--user", ANN, "--json")
        users = "SELECT user_id FROM cogniac.detections ORDER BY updated_at"
        notes = "SELECT DISTINCT _extra ->> 'note' FROM cogniac.results"
        found = [(table(sightglass.home, users), table(sightglass.home, notes))]
        ran = sightglass("run", "--json").report["streams"]
        rebuilt = sightglass("rebuild")
        found.append((table(sightglass.home, users), table(sightglass.home, notes)))
    finally:
        serves.__exit__(None, None, None)

    name = load(sightglass.home).pseudonym(ANN)
    expected = [(each,) for each in [name, *others]], [(f"{name}: ask {', '.join(others)} or {name}.",)]
    assert (0, [], 0, [expected, expected]) == (forgot.code, forgot.report["left"], rebuilt.code, found)
    assert [0, 0] == [sum(each[name] for each in ran) for name in ("inserted", "updated")]


@pytest.mark.parametrize(
    ("stored", "asked", "is_escaped"),
    [
        ("JOSÉ@example.com", "josé@example.com", False),
        ("JOSÉ@example.com", "josé@example.com", True),
        ("STRAßE@example.com", "strasse@example.com", False),
        ("\N{KELVIN SIGN}im@example.com", "kim@example.com", True),
    ],
)
def test_who_is_written_in_capitals_is_out_of_the_log_too(
    tmp_path: Path, stored: str, asked: str, *, is_escaped: bool
) -> None:
    """Letters beyond ASCII have capitals as well, and the log may hold them behind backslashes."""
    given = json.dumps(about(0, "", stored, note=f"by {stored}."), ensure_ascii=is_escaped).encode()
    sightglass, serves = loaded(tmp_path, [given])
    try:
        assert sightglass("run").code == 0
        held = held_in_log(sightglass.home, stored)
        forgot = sightglass("forget", "--user", asked, "--json")
    finally:
        serves.__exit__(None, None, None)

    name = load(sightglass.home).pseudonym(asked)
    found = table(sightglass.home, "SELECT user_id FROM cogniac.detections")
    assert (True, 0, [], [(name,)]) == (held, forgot.code, forgot.report["left"], found)
    assert (False, []) == (held_in_log(sightglass.home, stored), holding(sightglass.home, stored))


def held_in_log(home: Path, text: str) -> bool:
    """Whether a part of the log holds a text, in the clear or behind backslashes."""
    forms = {text.encode(), json.dumps(text)[1:-1].encode()}
    paths = (home / "raw").rglob("*.zst")
    contents = [pa.input_stream(str(path), compression="zstd").read() for path in paths]
    return any(form in content for form in forms for content in contents)
