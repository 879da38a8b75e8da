"""The declarations hold in every form that is derived from them, and broken ones are refused."""

import re
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest
from support.schema import EACH_TYPE, TABLES, extremes, values

from etl import dictionary, reference, schema
from etl.declaration import Column, Declaration
from etl.errors import ConfigError
from etl.transform.decode import Decoder

ROOT = Path(__file__).parent.parent
MADE_UP = schema.Table("made", "up", Declaration("Every type word.", EACH_TYPE), EACH_TYPE)
every_table = pytest.mark.parametrize("table", [*TABLES, MADE_UP], ids=lambda table: table.qualified)

REPORTED = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "json": "JSON",
}
"""What duckdb_columns() calls the type of each type word."""

CONTRACT = """
cogniac.applications: application_id | tenant_id name description type active created_at modified_at
  output_subjects:json detection_thresholds:json
cogniac.application_thresholds: application_id subject_uid | threshold
cogniac.subjects: subject_uid | name description created_at modified_at
cogniac.media: media_id | author author_profile_url created_at external_media_id filename frame image_height
  image_width license md5 media_format media_src media_timestamp media_url meta_tags network_camera_id
  original_landing_url original_url parent_media_id parent_media_ids preview_url resize_urls set_assignment
  size source_url status tenant_id title uploaded_by_user video
cogniac.results: application_id media_id focus_key | focus:json focus_x0 focus_y0 focus_x1 focus_y1
  other_media:json detection_count updated_at
cogniac.detections: application_id media_id focus_key detection_id subject_uid | asserted_by user_id model_id
  app_data_type app_data:json reading prev_prob probability uncal_prob created_at updated_at
cogniac.detection_boxes: application_id media_id focus_key detection_id subject_uid box_index | x0 y0 x1 y1
  probability
cogniac.detection_history: application_id media_id focus_key detection_id subject_uid valid_from revision |
  asserted_by user_id model_id app_data_type app_data:json reading prev_prob probability uncal_prob
  created_at updated_at valid_to
neurons.media: media_id | name status type aoi_status created_at updated_at is_complete deleted_at
neurons.media_metrics: media_id metric time_window | value metric_raw
neurons.frame_metrics: media_id asset frame metric | time_s value metric_raw
neurons.aoi_frames: media_id asset frame aoi_id instance | aoi_name x0 y0 x1 y1 points:json time_s
neurons.aoi_metrics: media_id asset aoi_id metric | aoi_name value
neurons.aoi_scores: media_id asset row_number metric | aoi_name value text_value
neurons.assets: media_id asset | state content_type bytes sha256 fetched_at error
etl.runs: run_id | started_at finished_at status exit_code version
etl.run_streams: run_id source stream partition | fetched inserted updated unchanged quarantined requests
  retries bytes cursor status error
etl.cursors: source stream partition | cursor_at run_id
etl.quarantine: quarantine_id | run_id source stream partition reason path record state seen_at
etl.gaps: source stream key | what since attempts error
"""
"""Section 6 of the contract: each table, its key | the columns it has at least, JSON marked as such.

It leaves the key of detection_history open (an assertion can come in two versions with one time), and the
keys of three tables do without `asset`, which is the same in all of their rows.
"""

CORNERS = dict.fromkeys(("x0", "y0", "x1", "y1"), "named by the contract: here pixels, there fractions")
MAY_DIFFER = {"value": "has the unit of the metric, which another column names", **CORNERS}
"""Columns that share a name and not a unit, and why they may."""


@contextmanager
def made(table: schema.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with this table in it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE SCHEMA {table.schema}")
        for statement in table.ddl():
            connection.execute(statement)
        yield connection


@every_table
def test_database_reports_the_declared_columns(table: schema.Table) -> None:
    """Names, types, order and NOT NULL of a made table are those of its declaration."""
    query = """
        SELECT column_name, data_type, is_nullable FROM duckdb_columns()
        WHERE schema_name = ? AND table_name = ? ORDER BY column_index
    """

    with made(table) as connection:
        found = connection.execute(query, [table.schema, table.name]).fetchall()

    columns = table.columns.items()
    assert [(name, REPORTED[each.type], not table.not_null(name)) for name, each in columns] == found


@every_table
def test_comments_arrive_in_the_database(table: schema.Table) -> None:
    """A made table and each of its columns carry what the declaration says about them, units included."""
    query = """
        SELECT '', comment FROM duckdb_tables() WHERE schema_name = $schema AND table_name = $table
        UNION ALL
        SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = $schema AND table_name = $table
    """

    with made(table) as connection:
        found = connection.execute(query, {"schema": table.schema, "table": table.name}).fetchall()

    units = {name: f" Unit: {column.unit}." for name, column in table.columns.items() if column.unit}
    docs = {name: column.doc + units.get(name, "") for name, column in table.columns.items()}
    assert {"": table.declared.doc, **docs} == dict(found)


@every_table
def test_extremes_survive_the_database(table: schema.Table) -> None:
    """Rows at the edges of every type come back from DuckDB as they went in."""
    rows = extremes(table)

    with made(table) as connection:
        connection.register("incoming", rows)
        connection.execute(f"INSERT INTO {table.qualified} FROM incoming")
        found = connection.table(table.qualified).to_arrow_table().cast(table.arrow())

    assert values(rows) == values(found)


@every_table
def test_extremes_survive_parquet(table: schema.Table, tmp_path: Path) -> None:
    """Rows at the edges of every type come back from a Parquet file as they went in, with types and docs."""
    rows, path = extremes(table), tmp_path / "rows.parquet"
    pq.write_table(rows, path)

    found = pq.read_table(path)

    assert values(rows) == values(found)
    assert found.schema.equals(table.arrow(), check_metadata=True), found.schema


PROMISES = re.split(r"\n(?! )", CONTRACT.strip())


@pytest.mark.parametrize("promise", PROMISES, ids=lambda text: text.split(":")[0])
def test_table_of_the_contract_is_declared(promise: str) -> None:
    """Each table of the contract is there with its key and its columns; more columns are welcome."""
    head, _, others = promise.partition("|")
    name, *key = head.replace(":", " ").split()
    lineage = [] if name.startswith("etl.") else ["_extra:json", "_run_id", "_loaded_at"]
    columns = dict(each.partition(":")[::2] for each in [*key, *others.split(), *lineage])
    columns |= {each: "timestamp" for each in columns if each.endswith("_at")}
    table = next(table for table in TABLES if table.qualified == name)
    found = {each: column.type for each, column in table.columns.items() if each in columns}

    assert set(key) == set(table.key)
    assert columns == {each: kind if columns[each] else "" for each, kind in found.items()}


def test_same_name_means_same_type_and_unit() -> None:
    """Two tables that share the name of a column share its type and unit."""
    found: dict[str, set[tuple[str, str]]] = {}
    for table in TABLES:
        for name, column in table.columns.items():
            found.setdefault(name, set()).add((column.type, column.unit))

    assert set(MAY_DIFFER) == {name for name, forms in found.items() if len(forms) > 1}


@pytest.mark.parametrize("source", schema.sources(), ids=lambda source: source.name)
def test_parts_carry_the_key_of_their_whole(source: schema.Source) -> None:
    """A row that is replaced together with another begins its key with the other's."""
    parts = [table for table in source.tables.values() if table.declared.part_of]
    pairs = [(part, source.tables[part.declared.part_of]) for part in parts]

    assert [whole.key for _, whole in pairs] == [part.key[: len(whole.key)] for part, whole in pairs]


def test_history_has_the_columns_of_what_it_keeps() -> None:
    """The history of a table begins with all columns of the table."""
    tables = schema.source("cogniac").tables
    kept, history = (list(tables[name].columns) for name in ("detections", "detection_history"))

    assert kept[:-3] == history[: len(kept) - 3]


def test_dictionary_is_current() -> None:
    """The data dictionary says what the declarations say; `make docs` writes it anew."""
    assert dictionary.dictionary() == (ROOT / "schemas" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("struct", reference.TITLES, ids=lambda struct: struct.__name__)
def test_every_key_is_documented(struct: type[msgspec.Struct]) -> None:
    """Each key of a declaration says below its definition what it means."""
    found = reference.documented(struct)

    assert list(struct.__struct_fields__) == [key for key, doc in found.items() if doc.endswith(".")]


def test_reference_is_current() -> None:
    """People and editors are told what the declarations take; `make docs` writes both anew."""
    assert reference.reference() == (ROOT / "docs" / "schema-reference.md").read_text(encoding="utf-8")
    assert reference.json_schema() == (ROOT / "schemas" / "declaration.schema.json").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.toml")), ids=lambda path: path.name)
def test_shipped_file_is_valid_and_names_its_schema(path: Path) -> None:
    """A schema file can be read, and its first line leads editors to the JSON Schema."""
    _, schema_file = path.read_text(encoding="utf-8").splitlines()[0].split()

    assert (path.parent / schema_file).samefile(ROOT / "schemas" / "declaration.schema.json")
    assert schema.source(path.stem).tables


WHOLE_AND_PART = """doc = "Made up."
[a]
doc = "A."
stream = "s"
key = ["id", "x", "n"]
[a.columns]
id = {type = "text", path = ["p/id", "+id"], doc = "Id."}
x = {type = "integer", doc = "X.", min = 1}
n = {type = "text", path = "n", doc = "N."}
[b]
doc = "B."
stream = "s"
part_of = "a"
at = ["l[]"]
key = ["id", "x", "n", "i"]
[b.columns]
i = {type = "integer", doc = "I."}
x = {doc = "X of a."}
"""


def test_part_inherits_the_key_columns_of_its_whole(tmp_path: Path) -> None:
    """They come first, with their paths from the record on; what the part says of one itself holds."""
    found = declared(WHOLE_AND_PART, tmp_path).tables["b"].columns

    assert [
        ("id", Column("text", "Id.", ("/p/id", "/+id"))),
        ("x", Column("integer", "X of a.", "/x", min=1)),
        ("n", Column("text", "N.", "/n")),
        ("i", Column("integer", "I.")),
    ] == list(found.items())[:4]


def test_part_of_the_same_object_inherits_paths_as_they_are(tmp_path: Path) -> None:
    """Where both stand at one place, such as rows of files, they find a value at the same path."""
    text = WHOLE_AND_PART.replace('at = ["l[]"]\n', "")
    whole, part = declared(text, tmp_path).tables.values()

    assert [whole.columns[name] for name in ("id", "n")] == [part.columns[name] for name in ("id", "n")]


WHOLE = """doc = "Made up."
[a]
doc = "A."
stream = "s"
key = ["id"]
[a.columns]
id = {type = "text", doc = "Id."}
"""

BROKEN = {
    "Invalid enum value 'string' - at `$[...].columns[...].type`": WHOLE.replace('"text"', '"string"'),
    "Expected `str` of length >= 1 - at `$[...].columns[...].doc`": WHOLE.replace('"Id."', '""'),
    "Object contains unknown field `x` - at `$[...].columns[...]`": WHOLE.replace('"Id."', '"Id.", x = 3'),
    "[a] key column uid is not declared": WHOLE.replace('["id"]', '["uid"]'),
    "[a] version column at is not declared": WHOLE.replace('["id"]', '["id"]\nversion = "at"'),
    "[a] by_month column id is of type text, which has no months": WHOLE.replace(
        '["id"]', '["id"]\nby_month = "id"'
    ),
    "[a] bucket column n is not declared": WHOLE.replace('["id"]', '["id"]\nbucket = "n"'),
    "[a] bucket column n is neither of the key nor required": WHOLE.replace('["id"]', '["id"]\nbucket = "n"')
    + 'n = {type = "text", doc = "N."}\n',
    "[b] lacks n, the bucket of its table": WHOLE.replace('["id"]', '["id"]\nbucket = "n"')
    + 'n = {type = "text", required = true, doc = "N."}\n'
    + '[b]\ndoc = "B."\nstream = "s"\npart_of = "a"\nkey = ["id"]\n[b.columns]\n',
    "[a] its stream s is spread by nothing as well as by id": WHOLE.replace('["id"]', '["id"]\nbucket = "id"')
    + '[b]\ndoc = "B."\nstream = "s"\nkey = ["n"]\n[b.columns]\nn = {type = "text", doc = "N."}\n',
    "[a] part_of names no table: b": WHOLE.replace('["id"]', '["id"]\npart_of = "b"'),
    "[a] follows names no table: b": WHOLE.replace('["id"]', '["id"]\nfollows = "b"'),
    "[c] its key does not begin with that of a, which it follows": f"""{WHOLE}
        [c]
        doc = "C."
        key = ["at"]
        follows = "a"
        [c.columns]
        at = {{ type = "timestamp", doc = "Time.", maintained = true }}""",
    "[a] record_hash names no maintained integer column: h": WHOLE.replace(
        '["id"]', '["id"]\nrecord_hash = "h"'
    ),
    "[a] record_hash is declared, but its rows do not stand for whole records": WHOLE.replace(
        '["id"]', '["id"]\nat = ["b[]"]\nrecord_hash = "h"'
    )
    + 'h = {type = "integer", maintained = true, doc = "H."}\n',
    "[a] cursor is declared as text, but its rows do not stand for whole records of a stream": WHOLE.replace(
        '["id"]', '["id"]\nat = ["b[]"]\ncursor = "text"'
    ),
    "[b] cursor is declared as integer, but its rows do not stand for whole records of a stream": WHOLE
    + '[b]\ndoc = "B."\npart_of = "a"\nkey = ["id"]\ncursor = "integer"\n[b.columns]\n',
    "[a] the version id is of type text, the cursor is declared as integer": WHOLE.replace(
        '["id"]', '["id"]\nversion = "id"\ncursor = "integer"'
    ),
    "[a] the version id is of type text, the cursor is declared as time": WHOLE.replace(
        '["id"]', '["id"]\nversion = "id"'
    ),
    "[b] its stream s has another cursor than time": WHOLE.replace('["id"]', '["id"]\ncursor = "text"')
    + '[b]\ndoc = "B."\nstream = "s"\nversion = "id"\n[b.columns]\nid = {type = "text", doc = "N."}\n',
    "[a] history is kept by times, and its versions are of type text": WHOLE.replace(
        '["id"]', '["id"]\nversion = "id"\ncursor = "text"'
    )
    + '[b]\ndoc = "B."\nversions_of = "a"\n[b.columns]\nid = {type = "text", doc = "N."}\n',
    "Invalid enum value 'number' - at `$[...].cursor`": WHOLE.replace('["id"]', '["id"]\ncursor = "number"'),
    "[b] lacks id, key of a": WHOLE
    + '[b]\ndoc = "B."\npart_of = "a"\nkey = ["n"]\n[b.columns]\nn = {type = "text", doc = "N."}\n',
    "[b] key column id is not declared": WHOLE.replace('["id"]', '["id"]\nat = ["o"]')
    + '[b]\ndoc = "B."\npart_of = "a"\nkey = ["id"]\n[b.columns]\nn = {type = "text", doc = "N."}\n',
    "Object missing required field `doc`": WHOLE.partition("\n")[2],
    "Cannot declare ('a',) twice (at line 8, column 3)": WHOLE + WHOLE.partition("\n")[2],
}
"""What is wrong with a schema file, and such a file."""


@pytest.mark.parametrize(("complaint", "text"), BROKEN.items(), ids=BROKEN)
def test_broken_declaration_is_refused(complaint: str, text: str, tmp_path: Path) -> None:
    """A schema file that cannot be used is refused with its name and what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        declared(text, tmp_path)

    assert f"schemas/broken.toml: {complaint}" == str(caught.value)


CONTRADICTING = {
    "id is declared as text and as integer": 'n = {type = "integer", path = "id", doc = "N."}',
    "id is declared as a value and as an object": 'n = {type = "text", path = "id/n", doc = "N."}',
    "two fields of one object are called x_y": "\n".join(
        f'{name} = {{type = "text", doc = "N."}}' for name in ("x-y", "x_y")
    ),
}
"""What is wrong with the paths of columns, and a column more that makes it so."""


@pytest.mark.parametrize(("complaint", "column"), CONTRADICTING.items(), ids=CONTRADICTING)
def test_paths_that_contradict_each_other_are_refused(complaint: str, column: str, tmp_path: Path) -> None:
    """Columns that expect different things at one place of a record are refused with the place."""
    tables = declared(WHOLE + column, tmp_path).of_stream("s")

    with pytest.raises(ConfigError) as caught:
        Decoder(tables, None)

    assert complaint == str(caught.value)


def declared(text: str, folder: Path) -> schema.Source:
    """The tables that a checkout with this text as a schema file reads: files are found beside the module."""
    for name in ("etl", "schemas"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "schemas" / "etl.toml", folder / "schemas")
    (folder / "schemas" / "broken.toml").write_text(text, encoding="utf-8")
    copy = shutil.copy(ROOT / "etl" / "schema.py", folder / "etl")
    source: schema.Source = runpy.run_path(str(copy))["source"]("broken")
    return source
