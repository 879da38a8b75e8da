"""From when to when each threshold of an application held, as runs have seen it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Row, Sightglass
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving

from etl import schema
from etl.extract.stream import THE_RUN
from etl.load.after_load import after_load

BEFORE, LATER = 1_700_000_000.5, 4_000_000_000
"""Seconds since 1970: long before the test is run, and long after."""


@pytest.fixture
def application() -> Row:
    """What the API says of the one application, which a test changes."""
    return {
        "application_id": "a1",
        "active": True,
        "modified_at": BEFORE,
        "output_subjects": ["cat", "dog"],
        "detection_thresholds": {"cat": 0.7},
    }


@pytest.fixture
def sightglass(tmp_path: Path, application: Row) -> Iterator[Sightglass]:
    """The command, whose log keeps all that was ever received."""
    placed = Placed([(record(1)["updated_at"], record(1))])
    with serving(cogniac({DETECTIONS: placed}, applications=[application])) as server:
        made = of_cogniac(tmp_path, server)
        yield replace(made, settings={**made.settings, "SIGHTGLASS_RAW_DAYS": "forever"})


def published(home: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of what readers have."""
    with duckdb.connect(home / "bi.duckdb", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


def history(home: Path) -> list[tuple[Any, ...]]:
    """The thresholds by subject and time, each with when it was loaded."""
    query = """
        SELECT subject_uid, threshold, valid_from, valid_to
        FROM cogniac.threshold_history
        ORDER BY subject_uid, valid_from
    """
    return published(home, query)


def loaded(home: Path) -> datetime:
    """When the application was loaded that is stored."""
    ((at,),) = published(home, "SELECT _loaded_at FROM cogniac.applications")
    assert isinstance(at, datetime)
    return at


def test_a_threshold_holds_until_another_is_loaded(sightglass: Sightglass, application: Row) -> None:
    """From when the application was changed, where that lies between two loads; else from when it came.

    What is the same goes on, whatever else has changed. The log gives all of it again.
    """
    began = datetime.fromtimestamp(BEFORE, UTC)
    codes = [sightglass("run").code]
    first = history(sightglass.home)

    application |= {"detection_thresholds": {"cat": 0.6}, "modified_at": LATER}
    codes.append(sightglass("run").code)
    second = loaded(sightglass.home)

    application |= {"name": "Labels"}
    codes.append(sightglass("run").code)

    changed = datetime.now(UTC)
    application |= {"detection_thresholds": {"dog": "0.4"}, "modified_at": changed.timestamp()}
    codes.append(sightglass("run").code)

    application |= {"output_subjects": [{"subject_uid": "dog"}]}
    codes.append(sightglass("run").code)
    last = loaded(sightglass.home)
    found = history(sightglass.home)
    codes += [sightglass(command).code for command in ("verify", "rebuild", "verify")]

    assert [("cat", 0.7, began, None), ("dog", None, began, None)] == first
    assert [0] * 8 == codes
    assert [
        ("cat", 0.7, began, second),
        ("cat", 0.6, second, changed),
        ("cat", None, changed, last),
        ("dog", None, began, changed),
        ("dog", 0.4, changed, None),
    ] == found
    assert found == history(sightglass.home)


def test_a_warehouse_of_an_earlier_version_begins_with_what_it_has(
    sightglass: Sightglass, application: Row
) -> None:
    """As the first load would have begun it."""
    codes = [sightglass("run").code]
    before = history(sightglass.home)
    with duckdb.connect(sightglass.home / "warehouse.duckdb") as connection:
        connection.execute("DROP TABLE cogniac.threshold_history")
    codes += [sightglass(command).code for command in ("publish", "verify")]
    filled = history(sightglass.home)
    application |= {"detection_thresholds": {"cat": 0.6}}
    codes.append(sightglass("run").code)

    assert [0] * 4 == codes
    assert before == filled
    assert [("cat", 0.7, loaded(sightglass.home)), ("cat", 0.6, None), ("dog", None, None)] == [
        (subject, threshold, until) for subject, threshold, _, until in history(sightglass.home)
    ]


def test_an_application_without_subjects_ends_its_thresholds(
    sightglass: Sightglass, application: Row
) -> None:
    """One whose map and list are gone, or are none."""
    codes = [sightglass("run").code]
    application |= {"detection_thresholds": None, "output_subjects": "cat"}
    codes.append(sightglass("run").code)
    at = loaded(sightglass.home)
    application |= {"detection_thresholds": {"cat": 0.9}, "output_subjects": None}
    codes.append(sightglass("run").code)

    assert [0, 0, 0] == codes
    assert [
        ("cat", 0.7, at),
        ("cat", 0.9, None),
        ("dog", None, at),
    ] == [(subject, threshold, until) for subject, threshold, _, until in history(sightglass.home)]


def test_what_follows_from_applications_is_worked_out_where_some_came() -> None:
    """Not after each batch of detections; what was done by hand may be about any stream."""
    source = schema.source("cogniac")
    done = {
        name: [each.splitlines()[0] for each in after_load(source, streams)]
        for name, streams in {
            "detections": {"detections", "subjects"},
            "applications": {"applications", "detections"},
            "by hand": {THE_RUN},
        }.items()
    }

    assert [] == done["detections"]
    assert 3 == len(done["applications"])
    assert done["applications"] == done["by hand"]
