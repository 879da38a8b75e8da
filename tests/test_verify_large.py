"""Tables that are too large to be looked through at once are looked through slice by slice."""

from pathlib import Path

import duckdb
import pytest
from conftest import Sightglass

from etl import schema
from etl.load import soundness
from etl.load.differences import Difference
from etl.load.stored import stored

HARM = """
INSERT INTO cogniac.media BY NAME SELECT * FROM cogniac.media ORDER BY media_id LIMIT 3;
INSERT INTO cogniac.results BY NAME
SELECT * FROM cogniac.results WHERE media_id > (SELECT min(media_id) FROM cogniac.results) LIMIT 3;
DELETE FROM cogniac.results WHERE media_id = (SELECT min(media_id) FROM cogniac.results);
UPDATE cogniac.detection_history SET valid_to = valid_from + (valid_to - valid_from) / 2;
DELETE FROM neurons.media_metrics WHERE metric IS NOT NULL AND rowid % 2 = 0;
DELETE FROM neurons.media WHERE media_id = (SELECT min(media_id) FROM neurons.media);
"""
MANY = """
INSERT INTO cogniac.detections BY NAME
SELECT * EXCLUDE (number) REPLACE (true AS _is_version, detection_id || '-' || number AS detection_id)
FROM (FROM cogniac.detections ORDER BY updated_at, detection_id LIMIT 100)
CROSS JOIN range(9000) AS numbered(number)
"""


def harmed(home: Path, statements: str) -> None:
    """Do to the warehouse what no command does."""
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute(statements)


def found(home: Path, aside: Path, megabytes: int = 1024) -> list[Difference]:
    """What does not hold of the tables by themselves."""
    with stored(home, aside, megabytes) as warehouse:
        sources = [schema.source(name) for name in ("cogniac", "neurons")]
        return list(soundness.unsound(warehouse.connection, sources, knows_newest=True))


def test_slices_name_what_is_named_of_all_at_once(
    copied: Sightglass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row, its parts and its history are in one slice, however small slices are."""
    harmed(copied.home, HARM)
    at_once = found(copied.home, tmp_path)
    monkeypatch.setattr(soundness, "AT_ONCE", 7)
    by_slices = found(copied.home, tmp_path)

    assert 20 < len(at_once)
    assert sorted(map(repr, at_once)) == sorted(map(repr, by_slices))


def test_slices_become_smaller_where_memory_is_little(copied: Sightglass, tmp_path: Path) -> None:
    """What one slice does not fit into is looked through in more of them."""
    harmed(copied.home, MANY)

    assert [] == found(copied.home, tmp_path, 64)
