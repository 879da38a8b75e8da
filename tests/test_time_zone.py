"""Where days begin: in the time zone of the plant, whoever asks and from wherever."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Ran, Sightglass
from hostile import DETECTIONS, Placed, cogniac, of_cogniac, record, serving

EVENING = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)
"""Midnight in Tokyo."""
TOKYO = {"SIGHTGLASS_TIME_ZONE": "Asia/Tokyo"}
DAYS = "SELECT day, time_zone FROM mart.detections_daily CROSS JOIN mart.settings"


@pytest.fixture
def sightglass(tmp_path: Path) -> Iterator[Sightglass]:
    """The command, over one assertion that was made in the evening by UTC."""
    made = record(1, EVENING.timestamp())
    made["detections"][0]["created_at"] = EVENING.timestamp()
    placed = Placed([(made["updated_at"], made)])
    with serving(cogniac({DETECTIONS: placed})) as server:
        yield of_cogniac(tmp_path, server)


def answer(path: Path, reader: str = "America/Lima") -> list[tuple[Any, ...]]:
    """What a reader is told who is elsewhere."""
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"SET TimeZone = '{reader}'")
        return connection.execute(DAYS).fetchall()


def test_days_are_those_of_the_plant(sightglass: Sightglass, tmp_path: Path) -> None:
    """In bi.duckdb, in a snapshot and in the report, from the next publish on; else they are those of UTC."""
    bi, snapshot, page = sightglass.home / "bi.duckdb", tmp_path / "all.duckdb", tmp_path / "report.html"
    codes = [sightglass("run").code]
    before = answer(bi)
    codes += [sightglass(*command, **TOKYO).code for command in (("publish",), ("snapshot", str(snapshot)))]
    codes.append(sightglass("report", str(page), **TOKYO).code)
    asked = sightglass("sql", "--csv", DAYS, **TOKYO)

    assert [0] * 4 == codes
    assert [(date(2026, 3, 1), "UTC")] == before
    assert [[(date(2026, 3, 2), "Asia/Tokyo")]] * 2 == [answer(bi), answer(snapshot)]
    assert Ran(0, "day,time_zone\n2026-03-02,Asia/Tokyo\n", "") == asked
    assert ('"time_zone":["Asia/Tokyo"]', '"day":["2026-03-02"]') == tuple(
        each for each in ('"time_zone":["Asia/Tokyo"]', '"day":["2026-03-02"]') if each in page.read_text()
    )


@pytest.mark.parametrize("name", ["Mars/Base", "europe/berlin", "+02:00", "UTC'; --", "x" * 100])
def test_what_is_no_time_zone_is_refused(sightglass: Sightglass, name: str) -> None:
    """Before anything is asked or written."""
    ran = sightglass("run", SIGHTGLASS_TIME_ZONE=name)

    given = repr(name if len(name) <= 60 else f"{name[:60]}...")
    said = (
        "sightglass: SIGHTGLASS_TIME_ZONE from the environment must be the name of a time zone such as "
        f"Europe/Berlin, not {given}\n"
    )
    assert Ran(2, "", said) == ran
    assert not sightglass.home.exists()
