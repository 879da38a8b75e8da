"""What does not hold is not published: two rows of a key, parts of nothing, wrong counts, smaller tables."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection
from support.partitions import settings_of

from etl import schema
from etl.errors import CheckFailedError
from etl.load.warehouse import Warehouse, open_for_writing
from etl.publish import publish
from etl.publish.checks import check
from etl.publish.lake import Lake
from etl.publish.limits import PUBLISH_LIMITS, PublishLimits

TABLES = {table.qualified: table for source in schema.sources() for table in source.tables.values()}
SOUND = (
    """
    INSERT INTO cogniac.results BY NAME
    SELECT
        'a' AS application_id, 'm' || i AS media_id, '' AS focus_key, 'r' AS _run_id, now() AS _loaded_at,
        TIMESTAMPTZ '2026-01-15' + to_months(CAST(i % 3 AS INTEGER)) AS updated_at
    FROM range(1000) t(i)""",
    """
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, focus_key, _run_id, _loaded_at, updated_at, 's' AS subject_uid,
        media_id || 'd' AS detection_id, 'model' AS asserted_by
    FROM cogniac.results""",
    """
    INSERT INTO cogniac.detection_boxes BY NAME
    SELECT
        application_id, media_id, focus_key, _run_id, _loaded_at, updated_at, subject_uid, detection_id,
        0 AS box_index, 0 AS x0, 0 AS y0, 1 AS x1, 1 AS y1
    FROM cogniac.detections""",
    """
    INSERT INTO etl.run_streams
    SELECT 'r', name, 'media', part, now(), 'ok', 3, 1, 1, 1, 0, 1, 0, 9, NULL, NULL, NULL, NULL
    FROM (VALUES ('cogniac', ''), ('neurons', 'p')) t(name, part)""",
)
"""Rows of which none contradicts another."""

LATER = """
    INSERT INTO cogniac.{0} SELECT * REPLACE (_loaded_at + INTERVAL 1 HOUR AS _loaded_at{2})
    FROM cogniac.{0} WHERE media_id = '{1}'"""
"""Loads a row again, after all that was published, with something else in it."""

NONE = "none that it belongs to"
UNSOUND = {
    "cogniac.results has two rows of the key ('a', 'm7', '')": [LATER.format("results", "m7", "")],
    "etl.cursors has two rows of the key ('cogniac', 'media', '')": [
        "INSERT INTO etl.cursors SELECT 'cogniac', 'media', '', now(), 'r', NULL FROM range(2)"
    ],
    f"cogniac.detections has the row ('a', 'nowhere', '', 'm7d', 's'), but cogniac.results {NONE}": [
        LATER.format("detections", "m7", ", 'nowhere' AS media_id")
    ],
    f"cogniac.detection_boxes has the row ('a', 'm7', '', 'none', 's', 0), but cogniac.detections {NONE}": [
        LATER.format("detection_boxes", "m7", ", 'none' AS detection_id")
    ],
    "the counts of a run do not add up for r cogniac media; "
    "the counts of a run do not add up for r neurons media p": [
        "UPDATE etl.run_streams SET unchanged = unchanged + 1"
    ],
    "cogniac.results has 999 rows, fewer than 1,000": ["DELETE FROM cogniac.results WHERE media_id = 'm7'"],
    "cogniac.detections has 499 rows, fewer than 500": [
        "DELETE FROM cogniac.detections WHERE CAST(media_id[2:] AS INTEGER) >= 499"
    ],
    "cogniac.results has 999 rows, fewer than 1,000; "
    "cogniac.detections has two rows of the key ('a', 'm8', '', 'm8d', 's')": [
        "DELETE FROM cogniac.results WHERE media_id = 'm7'",
        LATER.format("detections", "m8", ""),
    ],
}
"""What is said, and what has been done to a sound warehouse."""

WAYS = {
    "few": PUBLISH_LIMITS,
    "many": PublishLimits(selective_share=0),
    "in parts": PublishLimits(selective_share=0, keys_per_pass=1),
}
"""Limits that make the checks look in the one way or the other."""


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A sound warehouse that is published."""
    umask = os.umask(0o022)
    with closing(open_for_writing(tmp_path)) as opened:
        for statement in SOUND:
            opened.connection.execute(statement)
        publish(opened, settings_of(tmp_path))
        yield opened
    os.umask(umask)


@pytest.mark.parametrize("limits", WAYS.values(), ids=WAYS)
def test_what_is_unsound_is_named(warehouse: Warehouse, tmp_path: Path, limits: PublishLimits) -> None:
    """All that does not hold stands in the message, whether there is little or much to look at."""
    lake = Lake(tmp_path)
    said = [told(warehouse.connection, lake, statements, limits) for statements in UNSOUND.values()]

    hint = "where that is as it should be, `sightglass publish --force` publishes it"
    assert [f"not published, readers keep the version they have: {each}; {hint}" for each in UNSOUND] == said
    assert 0 == publish(warehouse, settings_of(tmp_path)).files


def told(connection: DuckDBPyConnection, lake: Lake, statements: list[str], limits: PublishLimits) -> str:
    """What is said of the warehouse after these statements, which are taken back."""
    connection.begin()
    for statement in statements:
        connection.execute(statement)
    with pytest.raises(CheckFailedError) as caught:
        check(connection, TABLES, lake.compare(connection, TABLES), lake.state(), limits)
    connection.rollback()
    return str(caught.value)


def test_what_was_published_by_force_is_not_said_again(warehouse: Warehouse, tmp_path: Path) -> None:
    """Keys, parts and floors are judged of what has come since; a table may shrink from there."""
    for statements in list(UNSOUND.values())[0:1] + list(UNSOUND.values())[5:7]:
        for statement in statements:
            warehouse.connection.execute(statement)
    forced = publish(warehouse, settings_of(tmp_path), force=True)
    warehouse.connection.execute("DELETE FROM cogniac.detections WHERE media_id = 'm1'")

    assert (2, 1) == (forced.tables, publish(warehouse, settings_of(tmp_path)).tables)
