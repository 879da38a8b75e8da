"""A warehouse of an earlier release, under a release that declares other tables: nothing of it is lost."""

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from backports import zstd
from conftest import ROOT, Row, Sightglass, table
from hostile import DETECTIONS, Hostile, Placed, T, cogniac, of_cogniac, record, serving
from support.kills import AT_A_STATEMENT, Moment, died

from etl import schema
from etl.load.tables import prepare

LATER = "0.2.0"
EARLIER = T - 10 * 86400
"""Long before what is read again."""
FORMER_HOME = Path(__file__).parent / "samples" / "home-0.1.0.tar.zst"
"""Two runs over both simulators, by the last commit of 0.1.0 that had no postbacks and no archive."""

Edit = Callable[[str], str]
SECTION = "[detections.columns]\n"


def without(column: str) -> Edit:
    """Take a column out of a schema file, wherever it is declared."""
    return lambda text: re.sub(rf"^{column} .*\n", "", text, flags=re.MULTILINE)


def retyped(column: str, kind: str) -> Edit:
    """Declare a column with another type."""
    return lambda text: re.sub(
        rf'^({column} +=) \{{ type = "\w+"', rf'\1 {{ type = "{kind}"', text, flags=re.MULTILINE
    )


def with_column(line: str, section: str = SECTION) -> Edit:
    """Declare another column."""
    return lambda text: text.replace(section, f"{section}{line}\n")


def with_table(text: str) -> Edit:
    """Declare another table."""
    return lambda before: f"{before}\n{text}"


def release(folder: Path, *edits: Edit, version: str = LATER) -> dict[str, str]:
    """Make a release whose schema file of Cogniac is edited so; the settings by which it runs."""
    for name in ("etl", "schemas", "sql"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    declared = folder / "schemas" / "cogniac.toml"
    for edit in edits:
        text = declared.read_text()
        assert edit(text) != text
        declared.write_text(edit(text))
    named = folder / "etl" / "__init__.py"
    named.write_text(re.sub(r'__version__ = "[^"]+"', f'__version__ = "{version}"', named.read_text()))
    return {"PYTHONPATH": str(folder)}


def detected(number: int, at: float | None = None, **more: Any) -> tuple[float, Row | bytes]:  # noqa: ANN401
    """A record at its place in time, with these fields in its detection."""
    made = record(number, at)
    made["detections"][0] |= more
    return made["updated_at"], made


def before_the_upgrade(folder: Path, server: Hostile) -> Sightglass:
    """The command in a folder whose warehouse is of this release."""
    sightglass = replace(of_cogniac(folder, server))
    sightglass = replace(sightglass, settings={**sightglass.settings, "SIGHTGLASS_RAW_DAYS": "forever"})
    assert sightglass("run").code == 0
    return sightglass


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of what readers have to a query."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def under(sightglass: Sightglass, later: dict[str, str]) -> Sightglass:
    """The command as another release of it."""
    return replace(sightglass, settings={**sightglass.settings, **later})


def dump(home: Path, *left_out: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables of Cogniac, all columns by their names, but for the hashes of records."""
    listed = f"""
        SELECT table_name, string_agg('CAST("' || column_name || '" AS VARCHAR)', ', ' ORDER BY column_name)
        FROM duckdb_columns()
        WHERE schema_name = 'cogniac' AND NOT list_contains({["_record_hash", *left_out]}, column_name)
        GROUP BY table_name"""  # noqa: S608 -- our own
    return {
        name: table(home, f"SELECT {columns} FROM cogniac.{name} ORDER BY ALL")  # noqa: S608 -- our own
        for name, columns in table(home, listed)
    }


QUALITY = 'quality = { type = "number", doc = "How good it is." }'
NOTES = """
[detection_notes]
doc     = "Notes on an assertion."
stream  = "detections"
at      = ["detections[]/notes[]"]
key     = ["application_id", "media_id", "focus_key", "detection_id", "note_id"]
part_of = "results"

[detection_notes.columns]
application_id = { doc = "Application." }
media_id       = { doc = "Media item." }
focus_key      = { doc = "Region." }
detection_id   = { type = "text", path = "../detection_id", doc = "Assertion." }
note_id        = { type = "text", doc = "Note." }
"""


def test_what_is_removed_added_and_retyped_keeps_its_values(tmp_path: Path) -> None:
    """In tables and history; what cannot be taken stays undeclared."""
    listed = [
        detected(1, comment="good", activation="42", quality=0.75),
        detected(2, activation="high", quality="poor"),
        detected(3, comment="bad"),
    ]
    edits = without("comment"), retyped("activation", "integer"), with_column(QUALITY)
    later = release(tmp_path / "later", *edits)
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        sightglass = before_the_upgrade(tmp_path, server)
        listed[2] = detected(3, T + 9, comment="better")
        assert sightglass("run").code == 0
        upgraded = under(sightglass, later)
        ran = upgraded("publish")

    home = sightglass.home
    assert [
        ("m1", 42, 0.75, '{"comment":"good"}'),
        ("m2", None, None, '{"activation":"high","quality":"poor"}'),
        ("m3", None, None, '{"comment":"better"}'),
    ] == table(
        home,
        "SELECT media_id, activation, quality, CAST(_extra AS VARCHAR) FROM cogniac.detections ORDER BY ALL",
    )
    assert [("bad",), ("better",)] == published(
        home,
        "SELECT _extra ->> 'comment' FROM cogniac.detection_history WHERE media_id = 'm3' ORDER BY 1",
    )
    assert [
        ("cogniac.detection_history", "activation", "retyped", 0, 0, LATER),
        ("cogniac.detection_history", "comment", "removed", 1, 0, LATER),
        ("cogniac.detection_history", "quality", "added", 0, 0, LATER),
        ("cogniac.detections", "activation", "retyped", 1, 1, LATER),
        ("cogniac.detections", "comment", "removed", 2, 0, LATER),
        ("cogniac.detections", "quality", "added", 1, 0, LATER),
    ] == published(home, "SELECT * EXCLUDE (migrated_at) FROM etl.migrations ORDER BY ALL")
    assert 0 == ran.code


def test_the_log_gives_the_tables_that_an_upgrade_has_made(tmp_path: Path) -> None:
    """To the last column; verify has nothing to complain of, and runs go on."""
    listed = [
        detected(1, EARLIER, comment="good", quality=0.75, activation="42"),
        detected(2, EARLIER, quality=1),
        detected(3, comment="bad", activation='{"a": 1}'),
    ]
    edits = (
        without("comment"),
        with_column(QUALITY),
        retyped("activation", "json"),
    )
    later = release(tmp_path / "later", *edits)
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        upgraded = under(before_the_upgrade(tmp_path, server), later)
        codes = [upgraded("publish").code, upgraded("rebuild", "--into", str(tmp_path / "made")).code]
        before = dump(upgraded.home)
        verified = [upgraded("verify")]
        listed += [detected(4, quality=0.5)]
        codes.append(upgraded("run").code)
        verified.append(upgraded("verify"))

    assert [0, 0, 0] == codes
    assert 3 == len(before["detections"])
    assert before == dump(tmp_path / "made")
    assert [("", 0), ("", 0)] == [(each.out, each.code) for each in verified]
    assert [(0.5,), (0.75,), (1.0,), (None,)] == published(
        upgraded.home, "SELECT quality FROM cogniac.detections ORDER BY ALL"
    )


RETYPED = {
    ("text", "integer"): (["42", "4.5", "high"], [42, None, None]),
    ("text", "number"): (["42", "4.5", "1e3"], [42.0, 4.5, None]),
    ("text", "boolean"): (["true", "1"], [True, None]),
    ("text", "json"): (["42", "x"], ['"42"', '"x"']),
    ("text", "timestamp"): (
        ["2026-03-04T05:06:07Z", "42"],
        [datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), None],
    ),
    ("number", "integer"): ([42.0, 4.5, 1e300], [42, None, None]),
    ("number", "text"): ([42.0, 4.5], ["42.0", "4.5"]),
    ("integer", "number"): ([42, 2**53 + 1], [42.0, None]),
    ("integer", "text"): ([42], ["42"]),
    ("json", "text"): (["x", {"a": 1}, 7], ["x", None, "7"]),
    ("json", "number"): ([7, 2**53 + 1, "7"], [7.0, None, 7.0]),
}
"""By the types before and after, the values that an API sends, and what becomes of them."""


@pytest.mark.parametrize(("kinds", "values"), RETYPED.items(), ids=str)
def test_a_value_takes_another_type_or_stays_undeclared(
    tmp_path: Path, kinds: tuple[str, str], values: tuple[list[Any], list[Any]]
) -> None:
    """Whatever cannot be it without a loss; readers have the new type, and the values of none are changed."""
    before, after = kinds
    sent, taken = values
    home = tmp_path / "home"
    home.mkdir()
    declared = replace(schema.source("cogniac"), tables={})
    subjects = schema.source("cogniac").tables["subjects"]

    def of_kind(kind: str) -> schema.Source:
        column = msgspec.structs.replace(subjects.columns["description"], type=kind)
        changed = replace(subjects, columns={**subjects.columns, "description": column})
        return replace(declared, tables={"subjects": changed})

    with duckdb.connect() as connection:
        prepare(connection, of_kind(before), schema.source("etl"))
        for number, value in enumerate(sent):
            connection.execute(
                "INSERT INTO cogniac.subjects (subject_uid, description) VALUES (?, ?)",
                [str(number), json.dumps(value) if before == "json" else value],
            )
        prepare(connection, of_kind(after), schema.source("etl"))
        found = connection.execute(
            "SELECT description, _extra ->> 'description' FROM cogniac.subjects ORDER BY rowid"
        ).fetchall()
        prepare(connection, of_kind(before), schema.source("etl"))
        back = connection.execute("SELECT description FROM cogniac.subjects ORDER BY rowid").fetchall()

    assert taken == [value for value, _ in found]
    assert [value is None for value in taken] == [left is not None for _, left in found]
    expected = [json.dumps(value, separators=(",", ":")) if before == "json" else value for value in sent]
    kept = [value for (value,), was_taken in zip(back, taken, strict=True) if was_taken is None]
    assert [value for value, was_taken in zip(expected, taken, strict=True) if was_taken is None] == kept


def test_readers_have_what_is_json_now(tmp_path: Path) -> None:
    """A text is a text in JSON too, though Parquet holds both alike: the files are written anew."""
    listed = [detected(1, EARLIER, activation="42"), detected(2, EARLIER, activation="x")]
    later = release(tmp_path / "later", retyped("activation", "json"))
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        upgraded = under(before_the_upgrade(tmp_path, server), later)
        assert upgraded("publish").code == 0

    query = "SELECT typeof(activation), activation ->> '$' FROM cogniac.detections ORDER BY ALL"
    assert [("JSON", "42"), ("JSON", "x")] == published(upgraded.home, query)


def test_a_column_that_comes_back_has_its_values_again(tmp_path: Path) -> None:
    """Also where records have them under another name; what is undeclared under its own name stays."""
    listed = [detected(1, EARLIER, media_id="m7", assertion_media_id="undeclared"), detected(2, EARLIER)]
    later = release(tmp_path / "later", without("assertion_media_id"))
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        sightglass = before_the_upgrade(tmp_path, server)
        codes = [under(sightglass, later)("publish").code]
        latest = release(tmp_path / "latest", version="0.3.0")
        codes.append(under(sightglass, latest)("publish").code)

    query = "SELECT assertion_media_id, CAST(_extra AS VARCHAR) FROM cogniac.detections ORDER BY media_id"
    assert [0, 0] == codes
    assert [("m7", '{"assertion_media_id_":"undeclared"}'), ("m2", None)] == table(sightglass.home, query)


def test_a_new_table_is_filled_from_the_log(tmp_path: Path) -> None:
    """The run says which is not, and how it will be."""
    listed = [detected(1, EARLIER, notes=[{"note_id": "n1"}, {"note_id": "n2"}]), detected(2, notes=[])]
    later = release(tmp_path / "later", with_table(NOTES))
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        upgraded = under(before_the_upgrade(tmp_path, server), later)
        listed[1] = detected(2, T + 9, probability=0.25, notes=[{"note_id": "n3"}])
        ran = upgraded("run")
        notes = "SELECT media_id, note_id FROM cogniac.detection_notes ORDER BY ALL"
        before = published(upgraded.home, notes)
        rebuilt, verified = upgraded("rebuild"), upgraded("verify")

    said = (
        "sightglass: not filled for what was loaded before: cogniac.detection_notes; "
        "`sightglass rebuild` fills them from the log\n"
    )
    assert said in ran.err
    assert [("m2", "n3")] == before
    assert [("m1", "n1"), ("m1", "n2"), ("m2", "n3")] == published(upgraded.home, notes)
    assert (0, 0, 0) == (ran.code, rebuilt.code, verified.code), verified.out


FORMER = """
    DROP TABLE cogniac.application_thresholds;
    DROP TABLE cogniac.threshold_history;
    ALTER TABLE cogniac.detections DROP COLUMN reading;
    ALTER TABLE cogniac.detection_history DROP COLUMN reading;
"""
"""Makes a warehouse one of the releases that had the marts read the JSON."""


def test_marts_lose_nothing_by_an_upgrade(tmp_path: Path) -> None:
    """Thresholds and readings that releases before read from JSON are there at once, also of what is gone."""
    listed = [
        detected(1, EARLIER, app_data_type="ocr", app_data="0123"),
        detected(2, EARLIER, app_data_type="ocr", app_data={"b": 1}),
        detected(3, EARLIER, app_data_type="count", app_data=12),
        detected(4, EARLIER, app_data_type="count", app_data="1e400"),
        detected(5, EARLIER, app_data_type="count", app_data=True),
        detected(6, EARLIER, app_data_type="box", app_data=None),
    ]
    application = {
        "application_id": "a1",
        "active": True,
        "detection_thresholds": {"cat": 0.7, "dog": "0.6", "owl": "high", "": None, "$x": True},
    }
    answers = cogniac({DETECTIONS: Placed(listed)}, applications=[application])
    with serving(answers) as server:
        sightglass = before_the_upgrade(tmp_path, server)
        listed[0] = detected(1, T + 9, app_data_type="ocr", app_data="012")
        codes = [sightglass("run").code]
        loaded = dump(sightglass.home)
        with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
            connection.execute(FORMER)
        ran = sightglass("publish")
        filled = dump(sightglass.home)
        codes += [ran.code, *(sightglass(command).code for command in ("verify", "run"))]

    assert [0] * 4 == codes
    assert loaded == filled == dump(sightglass.home)
    assert "not filled" not in ran.err
    assert [("", None), ("$x", None), ("cat", 0.7), ("dog", 0.6), ("owl", None)] == published(
        sightglass.home, "SELECT subject_uid, threshold FROM staging.thresholds ORDER BY ALL"
    )
    assert [
        *[("m1", "012"), ("m1", "0123"), ("m2", '{"b":1}')],
        *[("m3", "12.0"), ("m4", None), ("m5", None), ("m6", None)],
    ] == published(sightglass.home, "SELECT media_id, reading FROM staging.assertions ORDER BY ALL")


def test_a_column_that_must_be_filled_now_is_empty_in_rows_from_before(tmp_path: Path) -> None:
    """Unless they have it undeclared; what comes without it from now on is refused."""
    listed = [detected(1, EARLIER, quality=0.75), detected(2, EARLIER), detected(3, quality=1)]
    later = release(tmp_path / "later", with_column(QUALITY.replace("{", "{ required = true,")))
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        upgraded = under(before_the_upgrade(tmp_path, server), later)
        listed += [detected(4), detected(5, quality=0.5)]
        code = upgraded("run").code
        again = upgraded("run").code

    assert [("m1", 0.75), ("m2", None), ("m3", 1.0), ("m5", 0.5)] == published(
        upgraded.home, "SELECT media_id, quality FROM cogniac.detections ORDER BY ALL"
    )
    assert [("$.detections[0]",)] == published(upgraded.home, "SELECT path FROM etl.quarantine")
    assert (4, 0) == (code, again)


def test_rows_without_a_key_are_refused_and_the_log_makes_them_anew(tmp_path: Path) -> None:
    """Nothing is changed: the release before goes on with its warehouse."""
    listed = [detected(1, part="a"), detected(2, part="b"), detected(3)]

    def keyed(text: str) -> str:
        column = with_column('part = { type = "text", doc = "Part." }')(text)
        key = '"focus_key", "detection_id", "subject_uid"]\npart_of  = "results"'
        return column.replace(key, key.replace('"subject_uid"', '"subject_uid", "part"'))

    later = release(tmp_path / "later", keyed)
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        sightglass = before_the_upgrade(tmp_path, server)
        upgraded = under(sightglass, later)
        before = dump(sightglass.home)
        refused = upgraded("run")
        is_same = before == dump(sightglass.home)
        commands = (("rebuild", "--log-alone"), ("publish", "--force"))
        codes = [sightglass("run").code, *(upgraded(*command).code for command in commands)]

    said = (
        "sightglass: the warehouse cannot become as this version declares it: "
        "1 rows of cogniac.detections have no value for its key "
        "(application_id, media_id, focus_key, detection_id, subject_uid, part); nothing was changed: "
        "run `sightglass rebuild --log-alone`, which makes the tables anew from the log, "
        "or load into a new SIGHTGLASS_HOME\n"
    )
    assert (2, said) == (refused.code, refused.err)
    assert is_same
    assert [0, 4, 0] == codes
    assert [("m1", "a"), ("m2", "b")] == published(
        upgraded.home, "SELECT media_id, part FROM cogniac.detections ORDER BY ALL"
    )


@pytest.mark.parametrize("number", [3, 9, 12, 15])
def test_an_upgrade_that_is_killed_is_whole_or_not_begun(tmp_path: Path, number: int) -> None:
    """Whatever it was at; the next command goes on, and nothing is moved twice."""
    listed = [detected(number, EARLIER, comment="good", quality=0.75) for number in range(9)]
    later = release(tmp_path / "later", without("comment"), with_column(QUALITY))
    with serving(cogniac({DETECTIONS: Placed(listed)})) as server:
        upgraded = under(before_the_upgrade(tmp_path, server), later)
    before = dump(upgraded.home)
    moment = Moment(AT_A_STATEMENT, number)
    was_killed = died(upgraded, moment, "publish")
    found = dump(upgraded.home)
    assert upgraded("publish").code == 0

    assert was_killed
    assert found in (before, dump(upgraded.home))
    assert [(0.75, '{"comment":"good"}', 9)] == published(
        upgraded.home,
        "SELECT quality, CAST(_extra AS VARCHAR), count(*) FROM cogniac.detections GROUP BY ALL",
    )


def test_a_warehouse_of_a_later_release_is_refused_as_soon_as_it_is_one(tmp_path: Path) -> None:
    """Also where the later release has changed its tables and no run of it has ended."""
    later = release(tmp_path / "later", without("comment"))
    with serving(cogniac({DETECTIONS: Placed([detected(1, comment="good")])})) as server:
        sightglass = before_the_upgrade(tmp_path, server)
        assert under(sightglass, later)("publish").code == 0
        before = dump(sightglass.home)
        refused = [sightglass(*command) for command in (("run",), ("rebuild",), ("verify",))]

    said = (
        "sightglass: the warehouse was written by Sightglass 0.2.0, "
        "which is newer than this one (0.1.0): run that version or a later one\n"
    )
    assert [(2, said)] * 3 == [(ran.code, ran.err) for ran in refused]
    assert before == dump(sightglass.home)


def test_a_warehouse_of_the_release_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """By any command that writes; what its log gives is equal, and what is published is what it held."""
    with zstd.open(FORMER_HOME) as packed, tarfile.open(fileobj=packed) as archive:
        archive.extractall(tmp_path, filter="data")
    sightglass = Sightglass(tmp_path)
    stale = [sightglass(*command) for command in (("status",), ("doctor",), ("sql", "SELECT 1"))]
    before = dump(sightglass.home)
    codes = [sightglass("publish").code, sightglass("rebuild", "--into", str(tmp_path / "made")).code]
    former, after = dump(sightglass.home, "reading"), dump(sightglass.home)

    assert [] == [ran.err for ran in stale if "Traceback" in ran.err]
    assert [0, 0] == codes
    assert before == {name: former[name] for name in before}
    assert after == dump(tmp_path / "made")
    assert [(len(after["detections"]),)] == published(
        sightglass.home, "SELECT count(*) FROM cogniac.detections"
    )
