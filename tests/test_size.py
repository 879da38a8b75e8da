"""What stands on the disk, and how it grows."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import rows
from faults import Healthy

from etl.publish.size import Forecast, Growth, Sizes, forecast, growth_of, measured, spoken_size

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TODAY = NOW.date()
MB = 10**6
BLOCK = 2**16
"""Bytes that any file system allots as they are."""


def written(path: Path, size: int) -> None:
    """A file of so many bytes that no file system makes smaller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def test_everything_below_a_home_is_counted_once(tmp_path: Path) -> None:
    """By what it belongs to, and the log by its days; a second name of a file of the lake counts nothing."""
    written(tmp_path / "warehouse.duckdb", 3 * BLOCK)
    written(tmp_path / "warehouse.duckdb.wal", BLOCK)
    written(tmp_path / "versions" / "etl" / "runs" / "all.1.parquet", 2 * BLOCK)
    (tmp_path / "versions/.lakes/1/etl/runs").mkdir(parents=True)
    os.link(
        tmp_path / "versions/etl/runs/all.1.parquet", tmp_path / "versions/.lakes/1/etl/runs/all.1.parquet"
    )
    (tmp_path / "lake").symlink_to("versions/.lakes/1")
    written(tmp_path / "raw" / "cogniac" / "detections" / "2026-03-01" / "1.jsonl.zst", BLOCK)
    written(tmp_path / "raw" / "cogniac" / "log" / "2026-03-01" / "1.log", BLOCK)
    written(tmp_path / "raw" / "neurons" / "media" / "2026-03-02" / "1.jsonl.zst", BLOCK)
    written(tmp_path / "bi.duckdb", BLOCK)

    by_day = {date(2026, 3, 1): 2 * BLOCK, date(2026, 3, 2): BLOCK}
    expected = Sizes(4 * BLOCK, 2 * BLOCK, 3 * BLOCK, BLOCK, by_day, 2 * BLOCK)
    assert expected == measured(tmp_path)
    assert Sizes(0, 0, 0, 0, {}, 0) == measured(tmp_path / "nowhere")


def test_a_forecast_follows_records_and_the_log_until_its_oldest_goes() -> None:
    """Tables grow with their records for ever, the log for as many days as it is kept."""
    days = {TODAY - timedelta(days=number): 10 * MB for number in range(1, 11)}
    sizes = Sizes(60 * MB, 40 * MB, 100 * MB, 0, days, 0)
    growth = Growth(TODAY - timedelta(days=11), 100.0, 1000)

    found = forecast(sizes, growth, 30, 640 * MB, NOW)

    # 100 bytes a record of 1,000 in 100 MB, 100 a day; the log goes on growing for the 20 days it lacks.
    expected = Forecast(10 * MB, 10 * MB, 700 * MB, 4050 * MB, TODAY + timedelta(days=45))
    assert expected == found


def test_a_log_that_is_kept_for_ever_grows_for_ever() -> None:
    """And a disk that is large enough is not full within ten years."""
    sizes = Sizes(0, 0, 5 * MB, 0, {TODAY - timedelta(days=1): 5 * MB}, 0)
    growth = Growth(TODAY - timedelta(days=2), 0.0, 0)

    found = [forecast(sizes, growth, None, free * MB, NOW) for free in (1000, 10**9)]

    expected = [
        Forecast(0.0, 5 * MB, 155 * MB, 1830 * MB, full) for full in (TODAY + timedelta(days=201), None)
    ]
    assert expected == found


@pytest.mark.parametrize("began", [None, TODAY, TODAY - timedelta(days=1), TODAY + timedelta(days=9)])
def test_without_a_whole_day_after_the_first_there_is_no_forecast(began: date | None) -> None:
    """The first day loads all that there is, and today is not over."""
    assert forecast(Sizes(1, 1, 1, 0, {}, 0), Growth(began, 0.0, 1), 30, 1, NOW) is None


def test_growth_is_that_of_the_records_that_were_new(loaded: Healthy) -> None:
    """What the first day loaded, and files, are left out; the days without anything new count too."""
    loaded.restore()
    home = loaded.sightglass.home
    change = """
        UPDATE etl.runs SET started_at = started_at - INTERVAL 240 HOUR;
        INSERT INTO etl.runs (run_id, started_at, status, version, command)
        VALUES ('r2', now() - INTERVAL 48 HOUR, 'ok', '0.0', 'run'), ('r3', now(), 'ok', '0.0', 'run');
        INSERT INTO etl.run_streams
        SELECT * REPLACE (run.name AS run_id, 450 AS fetched, 450 AS inserted)
        FROM etl.run_streams, (VALUES ('r2'), ('r3')) AS run (name)
        WHERE stream IN ('detections', 'assets', 'media')
    """
    with duckdb.connect(home / "warehouse.duckdb") as warehouse:
        warehouse.execute(change.replace("SELECT *", "SELECT run_streams.*"))
    assert 0 == loaded.sightglass("publish", "--force").code
    now = datetime.now(UTC)

    found = growth_of(home, now)

    stored = sum(
        len(rows(home, name)) for name in ("cogniac.results", "cogniac.applications", "neurons.media")
    )
    assert Growth(now.date() - timedelta(days=10), 2 * 450 / 9, stored) == found
    assert Growth(None, 0.0, 0) == growth_of(home / "nowhere", now)


def test_status_tells_of_the_disk_where_it_is_asked_to(loaded: Healthy) -> None:
    """In a few lines, or as `disk` of the JSON object, which is null else."""
    loaded.restore()

    asked = loaded.sightglass("status", "--disk", "--json")
    lines = loaded.sightglass("status", "--disk").out.splitlines()[-2:]
    unasked = loaded.sightglass("status", "--json")

    sizes = measured(loaded.sightglass.home)
    disk = asked.report["disk"]
    assert (0, None) == (asked.code, unasked.report["disk"])
    assert (sizes.warehouse, sizes.lake, sizes.raw, sizes.other, None) == tuple(
        disk[name] for name in ("warehouse", "lake", "raw", "other", "forecast")
    )
    assert lines[0].startswith(f"disk: warehouse {spoken_size(sizes.warehouse)}, lake ")
    assert "forecast: none, there is no history of two whole days yet" == lines[1]


def test_sizes_are_told_in_the_units_of_disks() -> None:
    """Thousands, as their makers count."""
    given = (0, 999, 1000, 1_500_000, 2.5e9, 3e12)

    assert ["0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "2.5 GB", "3.0 TB"] == [*map(spoken_size, given)]
